/** The studio: what goes out on one side, what is chosen on the other, and how it goes below. */

import { TelstarError, type Room, type RoomTopicState, type ServerFacts } from '../../client/index.js';
import { faultLine } from '../shared/check-line.js';
import { copyButton } from '../shared/copy.js';
import { confirmDialog } from '../shared/dialog.js';
import { h, replace, setProp, setText } from '../shared/dom.js';
import type { Fault } from '../shared/faults.js';
import { formatBitrate, formatFrameRate, formatUptime } from '../shared/format.js';
import { t, type Message } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';
import { inWords } from '../shared/problems.js';
import { everySecond } from '../shared/ticker.js';
import type { Broadcast } from './broadcast.js';
import { refusalOf, type Health } from './logic.js';
import type { StudioMedia } from './media.js';
import { buildPreview } from './preview.js';
import { buildSettings } from './settings.js';

export interface StudioView {
  root: HTMLElement;
  update(): void;
  showRoom(state: RoomTopicState): void;
  dispose(): void;
}

export function buildStudio(room: Pick<Room, 'name' | 'title'>, media: StudioMedia, broadcast: Broadcast, server: Promise<ServerFacts | null>, hasHome: boolean): StudioView {
  const preview = buildPreview(media);
  const settings = buildSettings(media);
  const head = buildHead(room, hasHome);
  const health = h('p', { class: 'studio-health', role: 'status', hidden: true });
  const tiles = h('dl', { class: 'tiles', hidden: true });
  const problems = h('ul', { class: 'check-list', 'aria-live': 'polite' });
  const label = h('span', {});
  const button = h('button', { type: 'button', class: 'button button-primary studio-button', 'data-name': 'go-live', onclick: () => void press() }, icon('broadcast'), label);
  let httpsUrl: string | null = null;
  let live: RoomTopicState | null = null;

  async function press(): Promise<void> {
    if (!broadcast.isOn) {
      broadcast.start(settings.codec(), settings.simulcast());
      update();
      return;
    }
    const isSure = await confirmDialog({ title: t('studio.end-title'), text: t('studio.end-text'), confirm: t('studio.end') });
    if (!isSure) return;
    await broadcast.stop();
    update();
  }

  let shownProblems = '';
  function update(): void {
    const { isOn, stats } = broadcast;
    settings.update(isOn);
    setText(label, t(isOn ? 'studio.end' : 'studio.go-live'));
    button.classList.toggle('button-primary', !isOn);
    button.classList.toggle('button-danger', isOn);
    setProp(button, 'data-state', broadcast.state);
    button.disabled = !isOn && media.video === null && !media.hasSound;
    const found = problemsOf(media, broadcast, live);
    const key = JSON.stringify(found.map((each) => (typeof each === 'string' ? each : String(each)))) + String(httpsUrl);
    if (key !== shownProblems) {
      shownProblems = key;
      replace(problems, ...found.map((each) => (typeof each === 'string' ? faultLine(each, httpsUrl) : note(each))));
    }
    showHealth(health, broadcast);
    tiles.hidden = !isOn || stats === null;
    if (!tiles.hidden) replace(tiles, ...tilesOf(broadcast).map(([key, value]) => h('div', { class: 'tile' }, h('dt', {}, t(key)), h('dd', {}, value))));
  }
  void server.then((facts) => {
    httpsUrl = facts?.https_url ?? null;
    update();
  });
  media.listen(update);
  const root = h('main', { class: 'studio' }, head.root,
    h('div', { class: 'studio-grid' },
      h('div', { class: 'studio-out' }, preview.root, health, tiles),
      h('section', { class: 'card studio-choices' }, settings.root, problems, button)));
  update();
  return {
    root,
    update,
    showRoom(state) {
      live = state;
      head.show(state);
      update();
    },
    dispose() {
      preview.dispose();
      settings.dispose();
    },
  };
}

function buildHead(room: Pick<Room, 'name' | 'title'>, hasHome: boolean) {
  const title = h('h1', { tabindex: -1 }, room.title);
  const badge = h('span', { class: 'badge' }, t('state.connecting'));
  const viewers = h('span', { class: 'studio-viewers' });
  const uptime = h('span', {});
  let startedAt: string | null = null;
  everySecond(uptime, () => {
    uptime.hidden = startedAt === null;
    if (startedAt !== null) setText(uptime, t('room.uptime', { time: formatUptime((Date.now() - Date.parse(startedAt)) / 1000) }));
  });
  const watch = `/watch/${room.name}`;
  const root = h('div', {},
    hasHome ? h('a', { class: 'back', href: `/#/rooms/${room.name}` }, icon('back'), h('span', {}, t('studio.to-room'))) : null,
    h('div', { class: 'studio-head' },
      h('div', { class: 'room-heading' }, title, h('p', { class: 'watch-facts' }, badge, viewers, uptime)),
      h('div', { class: 'room-actions' },
        h('a', { class: 'button button-quiet', href: watch, target: '_blank' }, icon('external'), h('span', {}, t('room.open-watch'))),
        copyButton(() => new URL(watch, location.href).href, 'watch.copy-link'))));
  return {
    root,
    show(state: RoomTopicState): void {
      setText(title, state.title);
      document.title = `${state.title} · Telstar`;
      setText(badge, t(`state.${state.state}`));
      setProp(badge, 'data-state', state.state);
      startedAt = state.state === 'offline' ? null : state.started_at;
      viewers.hidden = state.state === 'offline';
      setText(viewers, t('room.viewers', { count: state.viewers }));
    },
  };
}

/** Faults of devices by their name, everything else in words. */
function problemsOf(media: StudioMedia, broadcast: Broadcast, live: RoomTopicState | null): (Fault | Message)[] {
  const { devices } = media;
  if (!devices.isSecure) return ['insecure'];
  const found = new Set<Fault>();
  if (typeof RTCPeerConnection === 'undefined') found.add('no-webrtc');
  if (media.source !== 'screen' && devices.faults.video !== null) found.add(devices.faults.video);
  if (media.isMicrophoneOn && devices.faults.audio !== null) found.add(devices.faults.audio);
  const words: Message[] = [];
  // Of a call the words for it would speak.
  if (found.delete('no-device')) words.push(t('studio.no-device'));
  if (broadcast.error !== null) words.push(refusalInWords(broadcast.error));
  else if (!broadcast.isOn && live !== null && live.state !== 'offline' && broadcast.state !== 'closed') words.push(t('studio.is-live'));
  return [...found, ...words];
}

function refusalInWords(error: TelstarError): Message {
  switch (refusalOf(error)) {
    case 'in-use':
      return t('studio.refused-in-use');
    case 'p2p':
      return t('studio.refused-p2p');
    case 'not-allowed':
      return t('studio.refused-not-allowed');
    case 'gone':
      return t('studio.refused-gone');
    case 'unsupported':
      return t('studio.refused-unsupported');
    case 'unreachable':
      return t('fault.unreachable');
    case 'network':
      return t('problem.network');
    case 'no-webrtc':
      return t('fault.no-webrtc');
    case null: {
      const words = inWords(error);
      return typeof words === 'string' ? t('studio.refused-other', { reason: words }) : words;
    }
  }
}

function note(text: Message): HTMLElement {
  return h('li', { class: 'check-line is-fault', role: 'alert' }, icon('warning'), h('span', {}, text));
}

function showHealth(line: HTMLElement, { isOn, state, health, startedAt, stats }: Broadcast): void {
  line.hidden = !isOn;
  if (!isOn) return;
  const isStarting = startedAt === null;
  setProp(line, 'data-level', isStarting ? 'starting' : (health?.level ?? 'good'));
  if (isStarting) setText(line, t('studio.connecting'));
  else if (health === null) setText(line, t('studio.health-good'));
  else setText(line, healthInWords(health, state, stats?.loss ?? 0));
}

function healthInWords({ reason, level }: Health, state: string, loss: number): Message {
  switch (reason) {
    case 'none':
      return t('studio.health-good');
    case 'lost':
      return t(state === 'connected' ? 'studio.health-good' : 'studio.health-lost');
    case 'loss':
      return t('studio.health-loss', { percent: Math.round(loss * 100) });
    case 'bandwidth':
      return t(level === 'poor' ? 'studio.health-bandwidth-poor' : 'studio.health-bandwidth');
    case 'cpu':
      return t('studio.health-cpu');
    case 'frames':
      return t('studio.health-frames');
    case 'delay':
      return t('studio.health-delay');
  }
}

type Tile = [key: MessageKey, value: string | Message];

function tilesOf({ stats }: Broadcast): Tile[] {
  if (stats === null) return [];
  const tiles: Tile[] = [['tile.video-bitrate', formatBitrate(stats.videoBps)]];
  if (stats.frameRate !== null) tiles.push(['tile.frame-rate', t('tile.frames-per-second', { rate: formatFrameRate(stats.frameRate) })]);
  if (stats.width !== null && stats.height !== null) tiles.push(['tile.size', `${stats.width} × ${stats.height}`]);
  if (stats.videoCodec !== null) tiles.push(['tile.video', stats.videoCodec]);
  if (stats.layers > 1) tiles.push(['studio.sizes', String(stats.layers)]);
  tiles.push(['tile.audio-bitrate', formatBitrate(stats.audioBps)]);
  if (stats.loss !== null) tiles.push(['stats.loss', `${(stats.loss * 100).toFixed(1)} %`]);
  if (stats.roundTripMs !== null) tiles.push(['studio.round-trip', `${Math.round(stats.roundTripMs)} ms`]);
  return tiles;
}
