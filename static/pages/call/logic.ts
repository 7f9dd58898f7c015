/** What the call page decides, without the DOM: addresses, the shape of the grid, who is shown largest, what is wrong. */

import type { Fault } from '../shared/faults.js';

export interface CallAddress {
  room: string;
  invite: string | null;
  token: string | null;
}

/** `/call/{room}#invite=…` or `#token=…`. Null where the path names no room. */
export function parseCallAddress(path: string, hash: string): CallAddress | null {
  const room = /^\/(?:embed\/)?call\/([a-z0-9][a-z0-9-]{0,62})\/?$/.exec(path)?.[1];
  if (room === undefined) return null;
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  return { room, invite: fields.get('invite') || null, token: fields.get('token') || null };
}

export interface GridShape {
  columns: number;
  rows: number;
  /** Of each tile, in pixels. */
  width: number;
  height: number;
}

/** Cameras give 16 by 9: wider tiles would show more edge than face, and narrower ones than these would cut faces off. */
const TILE_RATIO_MAX = 16 / 9;
const TILE_RATIO_MIN = { wide: 4 / 3, tall: 3 / 4 };

/** The shape that gives the largest tiles; the last row may be shorter, and stands in the middle. */
export function gridShape(tiles: number, width: number, height: number, gap: number): GridShape {
  const ratioMin = width < height ? TILE_RATIO_MIN.tall : TILE_RATIO_MIN.wide;
  let best: GridShape = { columns: 1, rows: Math.max(1, tiles), width: 0, height: 0 };
  for (let columns = 1; columns <= Math.max(1, tiles); columns += 1) {
    const rows = Math.max(1, Math.ceil(tiles / columns));
    const most = { width: Math.max(0, (width - gap * (columns - 1)) / columns), height: Math.max(0, (height - gap * (rows - 1)) / rows) };
    const shape = {
      columns, rows,
      width: Math.floor(Math.min(most.width, most.height * TILE_RATIO_MAX)),
      height: Math.floor(Math.min(most.height, most.width / ratioMin)),
    };
    if (shape.width * shape.height > best.width * best.height) best = shape;
  }
  return best;
}

/** More tiles than this scroll, so that nobody becomes a stamp; what is out of sight is not sent. */
export const GRID_TILES_MAX = 16;

export interface TileFacts {
  key: string;
  participant: string;
  isScreen: boolean;
  isSelf: boolean;
  hasVideo: boolean;
}

/** Screens first, then oneself, then the others as they came. */
export function tileOrder<T extends TileFacts>(tiles: T[]): T[] {
  const rank = (tile: T): number => (tile.isScreen ? (tile.isSelf ? 1 : 0) : tile.isSelf ? 2 : 3);
  return tiles.map((tile, index) => ({ tile, index })).sort((a, b) => rank(a.tile) - rank(b.tile) || a.index - b.index).map(({ tile }) => tile);
}

/** Whom the speaker layout shows large: a screen, who was chosen, who speaks, somebody else, oneself. */
export function mainTile(tiles: TileFacts[], chosen: string | null, speaker: string | null): string | null {
  const others = tiles.filter((tile) => !tile.isSelf);
  const found = tiles.find((tile) => tile.key === chosen)
    ?? others.find((tile) => tile.isScreen)
    ?? others.find((tile) => tile.participant === speaker)
    ?? others.find((tile) => tile.hasVideo)
    ?? others[0]
    ?? tiles[0];
  return found?.key ?? null;
}

/** Quieter than this (RFC 6464: decibels below the loudest) is breathing and keyboards, not speech. A guess. */
const SPEECH_LEVEL_MAX = 50;

export function isSpeaking(level: number | undefined): boolean {
  return level !== undefined && level <= SPEECH_LEVEL_MAX;
}

export interface MediaFacts {
  mode: 'sfu' | 'p2p';
  /** Of each peer connection. */
  peers: readonly string[];
  hasFailed: boolean;
  transports: readonly ('udp' | 'tcp' | null)[];
  /** How long connections have been wanted and none was there. */
  waitedMs: number;
}

/** Lower: a slow handshake looks like a fault. Higher: people wait without a word. ICE with lost packets takes seconds. */
export const UNREACHABLE_AFTER_MS = 8_000;

/** True while a connection is wanted and there is none. Connections that were never needed say nothing. */
export function isWithoutPath(peers: readonly string[]): boolean {
  const needed = peers.filter((peer) => peer !== 'none' && peer !== 'new');
  return needed.length > 0 && !needed.includes('connected');
}

/** What is wrong with the media path, or null. */
export function mediaFault(facts: MediaFacts): Fault | null {
  if (facts.hasFailed || (facts.waitedMs >= UNREACHABLE_AFTER_MS && isWithoutPath(facts.peers))) return facts.mode === 'p2p' ? 'unreachable-direct' : 'unreachable';
  return facts.mode === 'sfu' && facts.transports.includes('tcp') ? 'tcp-only' : null;
}

/** One or two letters for whoever shows no picture. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters.map((word) => [...(word ?? '')][0] ?? '').join('').toUpperCase() || '?';
}

export interface PlotPoint {
  at: number;
  value: number;
}

/** Points of an SVG polyline for the last `spanMs`, newest at the right edge. */
export function polyline(points: PlotPoint[], box: { width: number; height: number; spanMs: number; now: number; max: number }): string {
  const { width, height, spanMs, now, max } = box;
  return points
    .filter(({ at }) => now - at <= spanMs)
    .map(({ at, value }) => `${(width * (1 - (now - at) / spanMs)).toFixed(1)},${(height * (1 - Math.min(1, value / max))).toFixed(1)}`)
    .join(' ');
}

/** The top of the plot: the next round figure above what is shown. */
export function plotMax(values: number[]): number {
  const top = Math.max(100_000, ...values);
  const unit = 10 ** Math.floor(Math.log10(top));
  return [1, 2, 5, 10].map((step) => step * unit).find((step) => step >= top) ?? top;
}
