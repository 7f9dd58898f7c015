/** The call itself: pictures, sound, buttons, panels. It follows the events of the call and draws once per frame. */

import type { Call, LocalTrack, Quality, RemoteParticipant, RemoteTrack, Rest } from '../../client/index.js';
import { h, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { report } from '../shared/problems.js';
import { readPreference, writePreference } from '../shared/preferences.js';
import { toast } from '../shared/toast.js';
import { TelstarError } from '../../client/index.js';
import { isMessageKey, type MessageKey } from '../shared/messages.js';
import { buildDevicePicker } from '../shared/device-picker.js';
import type { Devices } from '../shared/devices.js';
import type { Fault } from '../shared/faults.js';
import { isSpeaking, isWithoutPath, mediaFault } from './logic.js';
import { buildNotices, type Missing } from './notices.js';
import { OwnMedia } from './own-media.js';
import { buildPanel, Panels, type PanelName } from './panels.js';
import { buildPeoplePanel } from './people.js';
import { publishCallFacts } from './facts.js';
import { Sound } from './sound.js';
import { Stage, type Layout, type StageTile } from './stage.js';
import { buildStatsPanel } from './stats-panel.js';
import { buildToolbar, KEYS } from './toolbar.js';

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
/** Lower: a word that is gone before it is read, since others are about to come. Higher: people wonder who is there. A guess. */
const ALONE_AFTER_MS = 2_000;

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
  private readonly notices = buildNotices({ unblock: () => this.sound.unblock(), invite: () => this.panels.open !== 'people' && this.panels.toggle('people') });
  private readonly people;
  private readonly stats;
  private readonly picker;
  private readonly toolbar;
  private readonly panels: Panels;
  private readonly stops: (() => void)[] = [];
  /** Of which the person has been told. */
  private readonly mutedByModerator = new WeakSet<LocalTrack>();
  private readonly levels = new Map<string, number>();
  private readonly qualities = new Map<string, Quality>();
  private layout: Layout = readPreference('call.layout') === 'speaker' ? 'speaker' : 'grid';
  /** Somebody else has been here, or a while has gone by: before that, being alone is not worth a word. */
  private isSettled = false;
  /** A right to publish that one had and lost, and not one that one came without. */
  private isBarred = false;
  private fault: Fault | null = null;
  private hasFailed = false;
  private joinedAt: number | null = null;
  /** Since when a connection has been wanted and there is none. */
  private withoutPathSince: number | null = null;
  private isDrawing = false;

  constructor(private readonly options: RoomOptions) {
    const { call, devices, rest } = options;
    this.call = call;
    this.own = new OwnMedia(call, devices, () => this.later());
    this.people = buildPeoplePanel(call, rest);
    this.stats = buildStatsPanel(call);
    this.picker = buildDevicePicker(devices, (kind, track) => void this.own.replace(kind, track).catch(report));
    const settings = buildPanel('aside', 'settings', 'side-panel', t('settings.heading'), this.picker.root).root;
    const help = buildPanel('aside', 'help', 'side-panel', t('help.heading'), buildKeyHelp()).root;
    this.panels = new Panels({ people: this.people.root, settings, stats: this.stats.root, help },
      (name) => this.toolbar.root.querySelector<HTMLElement>(`[data-name="${name}"]`),
      (open) => this.panelsChanged(open));
    this.toolbar = buildToolbar({
      audio: () => this.send(() => this.own.toggleAudio()),
      video: () => this.send(() => this.own.toggleVideo()),
      screen: () => this.send(() => this.own.toggleScreen()),
      layout: () => this.toggleLayout(),
      people: () => this.panels.toggle('people'),
      settings: () => this.panels.toggle('settings'),
      stats: () => this.panels.toggle('stats'),
      help: () => this.panels.toggle('help'),
      leave: options.leave,
    });
    this.root = h('main', { class: 'call' },
      h('div', { class: 'call-head' }, this.title), this.notices.root,
      h('div', { class: 'call-middle' }, this.stage.root, ...Object.values(this.panels.all)),
      this.toolbar.root, this.spoken, this.sound.root);
    this.root.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.panels.close();
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
        this.isBarred = false;
        draw();
      }),
      call.on('grants', ({ gained, lost }) => this.grantsChanged(gained, lost)),
      call.on('participantJoined', ({ name }) => this.say('call.joined', name)),
      call.on('participantLeft', ({ participant }) => this.say('call.has-left', participant.name)),
      call.on('localTrack', (local) => {
        const isMuted = local.mutedBy === 'moderator';
        if (isMuted && !this.mutedByModerator.has(local)) toast('info', t('call.muted-by-moderator'));
        if (isMuted) this.mutedByModerator.add(local);
        else this.mutedByModerator.delete(local);
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

  private grantsChanged(gained: readonly string[], lost: readonly string[]): void {
    if (lost.includes('publish')) this.isBarred = true;
    if (gained.includes('publish')) {
      this.isBarred = false;
      toast('info', t('rights.publish-back'));
    }
    this.later();
  }

  /** A microphone, a camera or a screen on or off, where one may. */
  private send(action: () => Promise<void>): void {
    const reason = this.sendingBarred();
    if (reason !== null) {
      toast('error', t(reason));
      return;
    }
    action().catch((error: unknown) => {
      const key = error instanceof TelstarError ? `fault.${error.code}` : '';
      if (isMessageKey(key)) toast('error', t(key));
      else report(error);
    }).finally(() => this.later());
  }

  /** Until the first answer nobody knows one's rights. */
  private sendingBarred(): MessageKey | null {
    const { self } = this.call;
    if (self.id === '' || self.grants.includes('publish')) return null;
    return this.isBarred ? 'rights.no-publish' : 'rights.listener';
  }

  private toggleLayout(): void {
    this.layout = this.stage.isLarge ? 'grid' : 'speaker';
    if (this.layout === 'grid') this.stage.flatten();
    writePreference('call.layout', this.layout);
    this.later();
  }

  private panelsChanged(open: PanelName | null): void {
    this.stats.shown(open === 'stats');
    this.later();
  }

  private judge(): void {
    const { call } = this;
    if (call.state !== 'connected') return;
    const { peers } = call;
    const now = performance.now();
    if (peers.includes('connected')) this.hasFailed = false;
    this.withoutPathSince = isWithoutPath(peers) ? (this.withoutPathSince ?? now) : null;
    this.fault = mediaFault({
      mode: call.mode, peers, hasFailed: this.hasFailed, transports: this.stats.latest().map(({ transport }) => transport),
      waitedMs: this.withoutPathSince === null ? 0 : now - this.withoutPathSince,
    });
    this.isSettled ||= call.participants.size > 0 || (this.joinedAt !== null && now - this.joinedAt > ALONE_AFTER_MS);
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
    const layout = this.stage.isLarge ? 'speaker' : 'grid';
    this.toolbar.update({ sendingBarred: this.sendingBarred(), isAudioOn: own.isAudioOn, isVideoOn: own.isVideoOn, isSharing: own.isSharing, layout, open: this.panels.open });
    const missing: Missing = call.self.id === '' ? null : !call.self.grants.includes('subscribe') ? 'subscribe' : this.isBarred ? 'publish' : null;
    this.notices.update({
      isReconnecting: call.state === 'reconnecting', fault: this.fault, tried: this.fault === null ? [] : call.serverAddresses, missing,
      isAlone: this.isSettled && people.length === 0 && call.state === 'connected' && this.panels.open === null, canInvite: call.self.grants.includes('admin'),
      isSoundBlocked: this.sound.isBlocked,
    });
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

/** A line per key, as the toolbar has them. */
function buildKeyHelp(): HTMLElement {
  const names = { audio: 'help.microphone', video: 'help.camera', screen: 'help.screen', layout: 'help.layout', people: 'people.heading', settings: 'settings.heading', stats: 'stats.heading', help: 'help.heading' } as const;
  const lines = [...Object.entries(KEYS).map(([key, action]) => [key, names[action]] as const), ['Esc', 'call.close-panel'] as const, ['Enter', 'help.large'] as const];
  return h('dl', { class: 'key-help' }, ...lines.map(([key, text]) => h('div', {}, h('dt', {}, h('kbd', {}, key)), h('dd', {}, t(text)))));
}
