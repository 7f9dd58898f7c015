/** What arrives from the encoder: waiting, then codec, bitrate, frame rate, keyframe interval and warnings. */

import type { AudioTrack, RoomState, VideoTrack, Warning } from '../../client/index.js';
import { h, replace, setProp, setText } from '../shared/dom.js';
import { t, type Message } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { formatBitrate, formatFrameRate, formatSampleRate } from '../shared/format.js';
import { isMessageKey, type MessageKey, type Params } from '../shared/messages.js';

export interface StatusPanel {
  root: HTMLElement;
  show(state: RoomState): void;
}

type Tile = [label: MessageKey, value: string | Message, name: string];

export function buildStatusPanel(first: RoomState): StatusPanel {
  const title = h('h2', {});
  const text = h('p', { class: 'soft' });
  const signal = h('span', { class: 'signal', 'aria-hidden': 'true' });
  const warnings = h('ul', { class: 'warnings', 'aria-live': 'polite' });
  const tiles = h('dl', { class: 'tiles' });
  const root = h('section', { class: 'card status' },
    h('div', { class: 'status-head', role: 'status' }, signal, h('div', {}, title, text)), warnings, tiles);
  let shownTiles = '';
  let shownWarnings = '';

  function show(state: RoomState): void {
    setProp(root, 'data-state', state.state);
    setText(title, t(statusKey(state.state)));
    setText(text, t(`${statusKey(state.state)}-text`));
    const nextWarnings = JSON.stringify(state.warnings);
    if (nextWarnings !== shownWarnings) {
      shownWarnings = nextWarnings;
      replace(warnings, ...state.warnings.map(warningItem));
    }
    const nextTiles = JSON.stringify(state.ingest);
    if (nextTiles !== shownTiles) {
      shownTiles = nextTiles;
      replace(tiles, ...tilesOf(state).map(([label, value, name]) =>
        h('div', { class: 'tile', 'data-name': name }, h('dt', {}, t(label)), h('dd', {}, value))));
    }
    warnings.hidden = state.warnings.length === 0;
    tiles.hidden = tiles.childElementCount === 0;
  }
  show(first);
  return { root, show };
}

type StatusKey = 'status.offline' | 'status.waiting' | 'status.live' | 'status.reconnecting';

function statusKey(state: RoomState['state']): StatusKey {
  return `status.${state}`;
}

function tilesOf({ ingest }: RoomState): Tile[] {
  if (ingest === null) return [];
  const tiles: Tile[] = [];
  for (const track of ingest.tracks) tiles.push(...(track.kind === 'video' ? videoTiles(track) : audioTiles(track)));
  if (ingest.encoder !== null) tiles.push(['tile.encoder', ingest.encoder, 'encoder']);
  tiles.push(['tile.protocol', ingest.protocol.toUpperCase(), 'protocol']);
  tiles.push(['tile.dropped', t('tile.frames', { count: ingest.dropped_frames }), 'dropped-frames']);
  return tiles;
}

function videoTiles(track: VideoTrack): Tile[] {
  const tiles: Tile[] = [['tile.video', track.codec, 'video-codec']];
  if (track.width !== null && track.height !== null) tiles.push(['tile.size', `${track.width} × ${track.height}`, 'video-size']);
  if (track.frame_rate !== null) tiles.push(['tile.frame-rate', t('tile.frames-per-second', { rate: formatFrameRate(track.frame_rate) }), 'frame-rate']);
  if (track.bitrate_bps !== null) tiles.push(['tile.video-bitrate', formatBitrate(track.bitrate_bps), 'video-bitrate']);
  if (track.keyframe_interval_secs !== null) {
    tiles.push(['tile.keyframes', t('tile.every-seconds', { seconds: oneDecimal(track.keyframe_interval_secs) }), 'keyframe-interval']);
  }
  return tiles;
}

function audioTiles(track: AudioTrack): Tile[] {
  const layout = track.channels === 1 ? t('tile.mono') : track.channels === 2 ? t('tile.stereo') : t('tile.channels', { count: track.channels });
  const tiles: Tile[] = [
    ['tile.audio', track.codec, 'audio-codec'],
    ['tile.sound', `${formatSampleRate(track.sample_rate)}, ${String(layout)}`, 'audio-format'],
  ];
  if (track.bitrate_bps !== null) tiles.push(['tile.audio-bitrate', formatBitrate(track.bitrate_bps), 'audio-bitrate']);
  return tiles;
}

function warningItem(warning: Warning): HTMLElement {
  const key = `warning.${warning.code}`;
  const text = isMessageKey(key) ? t(key, roundParams(warning.params ?? {})) : warning.code;
  return h('li', { class: 'warning', 'data-code': warning.code }, icon('warning'), h('span', {}, text));
}

function roundParams(params: Params): Params {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, typeof value === 'number' ? oneDecimal(value) : value]));
}

function oneDecimal(value: number): number {
  return Math.round(value * 10) / 10;
}
