/** The player as it looks: picture, what lies over it, controls. Used by the watch page and the embedded one. */

import { h, replace, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { formatBitrate, formatLatency, formatSecs } from '../shared/format.js';
import type { MessageKey } from '../shared/messages.js';
import { buildControls } from './controls.js';
import type { PageAddress, Playback, ViewState } from './logic.js';
import { WatchSession } from './session.js';
import { publishStats } from './stats.js';

export interface PlayerView {
  root: HTMLElement;
  session: WatchSession;
}

/** What covers the picture. `none` leaves it free. */
type Cover = 'none' | 'spinner' | 'offline' | 'waiting' | 'reconnecting' | 'denied' | 'connecting' | 'blocked' | 'unsupported';

export function buildPlayer(address: PageAddress, onChange: (session: WatchSession) => void): PlayerView {
  const video = h('video', { class: 'picture', playsinline: true, muted: address.startMuted, 'aria-label': t('player.video') });
  // The attribute sets only the default; the property is what counts after creation.
  video.muted = address.startMuted;
  const cover = h('div', { class: 'cover' });
  const spokenState = h('div', { class: 'visually-hidden', 'aria-live': 'polite' });
  const unmute = h('button', { type: 'button', class: 'unmute', hidden: true }, icon('muted'), h('span', {}, t('player.tap-to-unmute')));
  const infoList = h('dl', { class: 'info-list' });
  const infoPanel = h('div', { class: 'info-panel', hidden: true }, infoList);
  const root = h('div', { class: 'player', id: 'player', tabindex: -1 }, video, cover, infoPanel, unmute, spokenState);

  let isReady = false;
  const session = new WatchSession(address, video, () => {
    if (isReady) update();
  });
  const { player } = session;
  const stats = publishStats(session);
  const controls = buildControls(root, player, session.transports, () => {
    infoPanel.hidden = !infoPanel.hidden;
    update();
  });
  root.insertBefore(controls.bar, spokenState);
  unmute.addEventListener('click', () => player.unmute());

  let shownCover: Cover | null = null;
  let spoken: ViewState | null = null;
  function update(): void {
    const state = session.state;
    const next = chooseCover(state, player.playback, player.isMoving, player.failures.includes('no HLS support'));
    if (next !== shownCover) {
      shownCover = next;
      cover.dataset['cover'] = next;
      replace(cover, ...coverContent(next, () => void player.play()));
    }
    if (state !== spoken) {
      spoken = state;
      setText(spokenState, t(`state.${state}`));
    }
    controls.update(state === 'live', session.room?.viewers ?? null);
    unmute.hidden = !(player.isMutedByBrowser && video.muted && player.playback === 'playing');
    root.classList.toggle('has-picture', next === 'none' || next === 'spinner');
    writeAttributes();
    if (!infoPanel.hidden) showInfo();
    onChange(session);
  }

  function writeAttributes(): void {
    const { latencySecs, viewers, firstFrameMs } = stats;
    const data: Record<string, string | null> = {
      state: stats.state,
      playback: stats.playback,
      engine: stats.engine,
      transport: stats.transport,
      latency: latencySecs === null ? null : latencySecs.toFixed(2),
      stalls: String(stats.stalls),
      muted: String(stats.isMuted),
      viewers: viewers === null ? null : String(viewers),
      'first-frame-ms': firstFrameMs === null ? null : String(Math.round(firstFrameMs)),
    };
    for (const [name, value] of Object.entries(data)) {
      if (root.getAttribute(`data-${name}`) !== value) setProp(root, `data-${name}`, value);
    }
  }

  function showInfo(): void {
    const quality = player.quality();
    const rows: [MessageKey, string | null][] = [
      ['info.size', quality?.width && quality.height ? `${quality.width} × ${quality.height}` : null],
      ['info.codecs', [quality?.videoCodec, quality?.audioCodec].filter(Boolean).join(', ') || null],
      ['info.bandwidth', quality?.bandwidthBps ? formatBitrate(quality.bandwidthBps) : null],
      ['stats.bitrate', quality?.bitrateBps ? formatBitrate(quality.bitrateBps) : null],
      ['stats.loss', quality?.loss == null ? null : `${(quality.loss * 100).toFixed(1)} %`],
      ['info.latency', stats.latencySecs === null ? null : `${formatLatency(stats.latencySecs)} s`],
      ['info.buffer', stats.transport === 'webrtc' ? null : `${formatSecs(stats.bufferSecs)} s`],
      ['info.frames', `${stats.totalFrames} / ${stats.droppedFrames}`],
      ['info.stalls', `${stats.stalls} (${formatSecs(stats.stalledMs / 1000)} s)`],
      ['info.first-frame', stats.firstFrameMs === null ? null : `${formatSecs(stats.firstFrameMs / 1000)} s`],
      ['info.engine', stats.engine === 'webrtc' ? 'WebRTC' : stats.engine],
    ];
    replace(infoList, ...rows.flatMap(([key, value]) => (value === null ? [] : [h('dt', {}, t(key)), h('dd', {}, value)])));
  }

  isReady = true;
  update();
  return { root, session };
}

function chooseCover(state: ViewState, playback: Playback, isMoving: boolean, isUnsupported: boolean): Cover {
  if (isUnsupported) return 'unsupported';
  if (state === 'denied') return 'denied';
  if (playback === 'blocked') return 'blocked';
  // What is buffered plays out before the picture is covered.
  if (isMoving) return 'none';
  if (state === 'live') return playback === 'paused' || playback === 'playing' ? 'none' : 'spinner';
  return state;
}

function coverContent(cover: Cover, play: () => void): Node[] {
  const spinner = (): HTMLElement => h('span', { class: 'spinner', 'aria-hidden': 'true' });
  const words = (title: MessageKey, text: MessageKey): Node[] => [
    h('p', { class: 'cover-title' }, t(title)),
    h('p', { class: 'cover-text' }, t(text)),
  ];
  switch (cover) {
    case 'none':
      return [];
    case 'spinner':
    case 'connecting':
      return [spinner()];
    case 'blocked':
      return [h('button', { type: 'button', class: 'big-play', 'aria-label': t('player.play'), onclick: play }, icon('play'))];
    case 'offline':
      return [icon('broadcast'), ...words('cover.offline', 'cover.offline-text')];
    case 'waiting':
      return [spinner(), ...words('cover.waiting', 'cover.waiting-text')];
    case 'reconnecting':
      return [spinner(), ...words('cover.reconnecting', 'cover.reconnecting-text')];
    case 'denied':
      return [icon('lock'), ...words('cover.denied', 'cover.denied-text')];
    case 'unsupported':
      return [icon('warning'), ...words('cover.unsupported', 'cover.unsupported-text')];
  }
}
