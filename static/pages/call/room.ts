/** The call itself: pictures, sound, buttons, panels. It follows the events of the call and draws once per frame. */

import type { Call, Quality, RemoteParticipant, RemoteTrack, Rest } from '../../client/index.js';
import { h, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { report } from '../shared/problems.js';
import { readPreference, writePreference } from '../shared/preferences.js';
import { toast } from '../shared/toast.js';
import { TelstarError } from '../../client/index.js';
import { isMessageKey } from '../shared/messages.js';
import { buildDevicePicker } from './device-picker.js';
import type { Devices } from './devices.js';
import { isSpeaking, mediaFault, type Fault } from './logic.js';
import { buildNotices } from './notices.js';
import { OwnMedia } from './own-media.js';
import { buildPeoplePanel } from './people.js';
import { publishCallFacts } from './facts.js';
import { Sound } from './sound.js';
import { Stage, type Layout, type StageTile } from './stage.js';
import { buildStatsPanel } from './stats-panel.js';
import { buildToolbar } from './toolbar.js';

export interface RoomOptions {
  call: Call;
  devices: Devices;
  rest: Rest;
  isAudioOn: boolean;
  isVideoOn: boolean;
  leave(): void;
}

export interface RoomView {
  root: HTMLElement;
  dispose(): void;
}

/** How often the path of the media is judged. */
const CHECK_EVERY_MS = 1_000;

export function buildRoom(options: RoomOptions): RoomView {
  return new Room(options);
}

class Room implements RoomView {
  readonly root: HTMLElement;
  private readonly call: Call;
  private readonly own: OwnMedia;
  private readonly stage = new Stage(() => this.later());
  private readonly sound = new Sound(() => this.later());
  private readonly title = h('h1', { class: 'call-title' });
  private readonly spoken = h('div', { class: 'visually-hidden', 'aria-live': 'polite', 'data-name': 'announcements' });
  private readonly notices = buildNotices(() => this.sound.unblock());
  private readonly people;
  private readonly stats;
  private readonly picker;
  private readonly toolbar;
  private readonly panels: Record<'people' | 'settings' | 'stats' | 'help', HTMLElement>;
  private readonly stops: (() => void)[] = [];
  private readonly levels = new Map<string, number>();
  private readonly qualities = new Map<string, Quality>();
  private layout: Layout = readPreference('call.layout') === 'speaker' ? 'speaker' : 'grid';
  private open: string | null = null;
  private fault: Fault | null = null;
  private hasFailed = false;
  private joinedAt: number | null = null;
  private isDrawing = false;

  constructor(private readonly options: RoomOptions) {
    const { call, devices, rest } = options;
    this.call = call;
    this.own = new OwnMedia(call, devices, () => this.later());
    this.people = buildPeoplePanel(call, rest);
    this.stats = buildStatsPanel(call);
    this.picker = buildDevicePicker(devices, (kind, track) => void this.own.replace(kind, track).catch(report));
    const settings = h('aside', { class: 'side-panel', hidden: true, tabindex: -1, 'aria-label': t('call.settings') }, h('h2', {}, t('call.settings')), this.picker.root);
    const help = h('aside', { class: 'side-panel', hidden: true, tabindex: -1, 'aria-label': t('call.help') }, h('h2', {}, t('call.help')), h('p', { class: 'key-help' }, t('call.keys')));
    this.panels = { people: this.people.root, settings, stats: this.stats.root, help };
    this.toolbar = buildToolbar({
      audio: () => this.act(this.own.toggleAudio()),
      video: () => this.act(this.own.toggleVideo()),
      screen: () => this.act(this.own.toggleScreen()),
      layout: () => this.toggleLayout(),
      people: () => this.toggle('people'),
      settings: () => this.toggle('settings'),
      stats: () => this.toggle('stats'),
      help: () => this.toggle('help'),
      leave: options.leave,
    });
    this.root = h('main', { class: 'call' },
      h('div', { class: 'call-head' }, this.title), this.notices.root,
      h('div', { class: 'call-middle' }, this.stage.root, ...Object.values(this.panels)),
      this.toolbar.root, this.spoken, this.sound.root);
    this.root.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.open !== null) this.toggle(this.open as keyof typeof this.panels);
    });
    this.listen();
    this.own.start(options.isAudioOn, options.isVideoOn);
    // Nothing is sent: a connection without media still tells whether the path is open.
    if (call.localTracks.size === 0) call.probe();
    publishCallFacts(call, this.stats, () => this.fault);
    this.later();
  }

  dispose(): void {
    for (const stop of this.stops) stop();
    this.own.close();
    this.stage.close();
    this.sound.close();
    this.stats.dispose();
    this.picker.dispose();
    this.toolbar.dispose();
    this.notices.dispose();
  }

  private listen(): void {
    const { call } = this;
    const draw = (): void => this.later();
    for (const name of ['state', 'trackPublished', 'trackUpdated', 'trackUnpublished', 'trackMedia', 'trackFlow', 'participantUpdated', 'selfUpdated', 'peers'] as const) {
      this.stops.push(call.on(name, draw));
    }
    this.stops.push(
      this.options.devices.listen(draw),
      call.on('joined', () => {
        this.joinedAt = performance.now();
        this.hasFailed = false;
        draw();
      }),
      call.on('participantJoined', ({ name }) => this.say('call.joined', name)),
      call.on('participantLeft', ({ participant }) => this.say('call.has-left', participant.name)),
      call.on('localTrack', (local) => {
        if (local.mutedBy === 'moderator') toast('info', t('call.muted-by-moderator'));
      }),
      call.on('speakers', (speakers) => {
        this.levels.clear();
        for (const { participant, level } of speakers) this.levels.set(participant, level);
        draw();
      }),
      call.on('quality', (list) => {
        for (const { participant, quality } of list) this.qualities.set(participant, quality);
        draw();
      }),
      call.on('mediaFailed', () => {
        this.hasFailed = true;
        this.judge();
      }),
    );
    const timer = setInterval(() => this.judge(), CHECK_EVERY_MS);
    this.stops.push(() => clearInterval(timer));
  }

  private say(key: 'call.joined' | 'call.has-left', name: string): void {
    setText(this.spoken, t(key, { name }));
    this.later();
  }

  private act(action: Promise<void>): void {
    action.catch((error: unknown) => {
      const key = error instanceof TelstarError ? `fault.${error.code}` : '';
      if (isMessageKey(key)) toast('error', t(key));
      else report(error);
    }).finally(() => this.later());
  }

  private toggleLayout(): void {
    this.layout = this.layout === 'grid' ? 'speaker' : 'grid';
    writePreference('call.layout', this.layout);
    this.later();
  }

  private toggle(name: keyof typeof this.panels): void {
    this.open = this.open === name ? null : name;
    for (const [panel, element] of Object.entries(this.panels)) {
      if (panel === 'stats') this.stats.setShown(this.open === 'stats');
      else element.hidden = this.open !== panel;
    }
    if (this.open !== null) this.panels[name].focus();
    else this.toolbar.root.querySelector<HTMLElement>(`[data-name="${name}"]`)?.focus();
    this.later();
  }

  private judge(): void {
    if (this.joinedAt === null || this.call.state !== 'connected') return;
    const peers = this.call.peers;
    if (peers.includes('connected')) this.hasFailed = false;
    this.fault = mediaFault({ peers, hasFailed: this.hasFailed, transports: this.stats.latest().map(({ transport }) => transport), waitedMs: performance.now() - this.joinedAt });
    this.later();
  }

  private later(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    // Not a frame of animation: a page in the background still keeps its sound and its tiles in order.
    queueMicrotask(() => {
      this.isDrawing = false;
      this.draw();
    });
  }

  private draw(): void {
    const { call, own } = this;
    const people = [...call.participants.values()];
    setText(this.title, call.title === '' ? call.room : call.title);
    const tiles = [...this.ownTiles(), ...people.flatMap((person) => this.tilesOf(person))];
    const loudest = [...this.levels].filter(([id, level]) => id !== call.self.id && isSpeaking(level)).sort((a, b) => a[1] - b[1])[0];
    this.stage.show(tiles, this.layout, loudest?.[0] ?? null);
    const sounds = people.flatMap((person) => [...person.tracks.values()].filter(({ kind }) => kind === 'audio'));
    this.sound.show(sounds, this.options.devices.current('audiooutput'));
    this.people.update();
    // Until the first answer nobody knows one's rights; refused tracks take the buttons back.
    const canPublish = call.self.id === '' || call.self.grants.includes('publish');
    this.toolbar.update({ canPublish, isAudioOn: own.isAudioOn, isVideoOn: own.isVideoOn, isSharing: own.isSharing, layout: this.layout, open: this.open });
    this.notices.update({ isReconnecting: call.state === 'reconnecting', fault: this.fault, tried: this.fault === null ? [] : call.serverAddresses, isSoundBlocked: this.sound.isBlocked });
    this.root.dataset['state'] = call.state;
    this.root.dataset['participants'] = String(people.length + (call.self.id === '' ? 0 : 1));
  }

  private ownTiles(): StageTile[] {
    const { call, own } = this;
    const base = {
      participant: call.self.id, isSelf: true, name: call.self.name, isSpeaking: this.speaks(call.self.id), isAway: false,
      quality: this.qualities.get(call.self.id) ?? null, flow: null, remote: null,
    };
    const camera = own.isVideoOn ? (own.camera?.mediaTrack ?? null) : null;
    const tiles: StageTile[] = [{ ...base, key: 'self/camera', isScreen: false, video: camera, hasVideo: camera !== null, isAudioOn: own.isAudioOn }];
    const screen = own.screen?.mediaTrack ?? null;
    if (screen !== null) tiles.push({ ...base, key: 'self/screen', isScreen: true, video: screen, hasVideo: true, isAudioOn: null });
    return tiles;
  }

  private tilesOf(person: RemoteParticipant): StageTile[] {
    const videos = [...person.tracks.values()].filter(({ kind }) => kind === 'video');
    const microphone = person.track('microphone');
    const base = {
      participant: person.id, isSelf: false, name: person.name, isSpeaking: this.speaks(person.id), isAway: person.isAway,
      quality: this.qualities.get(person.id) ?? null,
    };
    const tile = (kind: string, track: RemoteTrack | null, isScreen: boolean): StageTile => ({
      ...base, key: `${person.id}/${kind}`, isScreen, remote: track, flow: track?.flow ?? null, video: track?.mediaTrack ?? null,
      hasVideo: track !== null && track.mediaTrack !== null && !track.isMuted && track.flow !== 'silent' && track.flow !== 'codec',
      isAudioOn: isScreen ? null : microphone !== null && !microphone.isMuted,
    });
    const screens = videos.filter(({ source }) => source === 'screen');
    const camera = videos.find(({ source }) => source !== 'screen') ?? null;
    return [tile('camera', camera, false), ...screens.map((track) => tile(track.id, track, true))];
  }

  private speaks(id: string): boolean {
    return isSpeaking(this.levels.get(id));
  }
}
