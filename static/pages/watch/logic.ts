/** What the watch page decides, apart from any element: its state, its stalls, its latency. Tested in Node. */

import type { ConnectionState, RoomTopicState, StateChange } from '../../client/index.js';
import { transportOf, type Transport } from './transport.js';

/** `data-state` of the player. */
export type ViewState = 'connecting' | 'offline' | 'waiting' | 'live' | 'reconnecting' | 'denied';

/** `data-playback` of the player. `blocked`: the browser wants a click first. */
export type Playback = 'idle' | 'loading' | 'playing' | 'buffering' | 'paused' | 'blocked';

export interface ViewInput {
  connection: ConnectionState;
  /** The server refused the room: it does not exist or is not for us. */
  isRefused: boolean;
  room: Pick<RoomTopicState, 'state' | 'has_call'> | null;
  /** The picture moves. */
  isPlaying: boolean;
}

/** The server's word counts while it can be heard; while it cannot, a moving picture is proof enough of being live. */
export function viewState(input: ViewInput): ViewState {
  if (input.isRefused) return 'denied';
  if (input.connection === 'open' && input.room !== null) {
    // Its call is mixed for whoever wants to watch, which takes a moment.
    return input.room.state === 'offline' && input.room.has_call ? 'waiting' : input.room.state;
  }
  if (input.isPlaying) return 'live';
  return input.room === null ? 'connecting' : 'reconnecting';
}

/**
 * Whether a live room's state tells an engine that waits for its turn to wait no longer: the stream has just come back, or
 * the server has. Every change of the viewers' count is a state too and says nothing of the kind.
 */
export function isReasonToRetry(before: RoomTopicState['state'] | null, cause: StateChange['cause']): boolean {
  return cause === 'subscribed' || before !== 'live';
}

/** The playlist's address with the playback token, if there is one. The server copies the token to what the playlist names. */
export function playlistUrl(playlist: string, token: string | null): string {
  if (token === null) return playlist;
  return `${playlist}${playlist.includes('?') ? '&' : '?'}t=${encodeURIComponent(token)}`;
}

export interface PageAddress {
  room: string;
  token: string | null;
  isEmbed: boolean;
  /** `native` leaves the playlist to the browser's own HLS player, where it has one. */
  engine: 'auto' | 'native';
  /** Null leaves it to the viewer's last choice. */
  transport: Transport | null;
  startMuted: boolean;
}

/** Null where the path names no room. */
export function parseAddress(path: string, query: string): PageAddress | null {
  const match = /^\/(embed\/)?watch\/([^/]+)\/?$/.exec(path);
  if (match === null) return null;
  const params = new URLSearchParams(query);
  const muted = params.get('muted');
  let room: string;
  try {
    room = decodeURIComponent(match[2] ?? '');
  } catch {
    return null;
  }
  return {
    room,
    token: params.get('t'),
    isEmbed: match[1] !== undefined,
    engine: params.get('engine') === 'native' ? 'native' : 'auto',
    transport: params.get('engine') === 'native' ? 'hls' : transportOf(params.get('transport')),
    startMuted: muted !== null && muted !== '0' && muted !== 'false',
  };
}

/** What lies nearer to the end of the window is gone before it has been loaded. A guess: two segments. */
const WINDOW_SLACK_SECS = 4;

/** Where an element plays that goes back by so much: not before what the playlist still lists. */
export function placeBack({ currentTime, seekable }: Pick<HTMLVideoElement, 'currentTime' | 'seekable'>, secs: number): number {
  const oldest = seekable.length === 0 ? currentTime : seekable.start(0) + WINDOW_SLACK_SECS;
  return Math.min(currentTime, Math.max(oldest, currentTime - secs));
}

/** Further from the edge of the playlist than this, a wall-clock latency is taken for a wrong clock. */
const CLOCK_TRUST_SECS = 6;

/**
 * Seconds from the server receiving the picture to showing it.
 * EXT-X-PROGRAM-DATE-TIME gives it exactly if the viewer's clock is right, so the figure is believed only while it
 * fits the distance to the playlist's edge, which needs no clock but misses the time a part takes to become listed.
 */
export function liveLatencySecs(byClock: number | null, byEdge: number | null): number | null {
  if (byEdge === null || !Number.isFinite(byEdge)) {
    return byClock !== null && byClock >= 0 && byClock < 3600 ? byClock : null;
  }
  const edge = Math.max(0, byEdge);
  if (byClock === null || byClock < edge - 0.5 || byClock > edge + CLOCK_TRUST_SECS) return edge;
  return byClock;
}

/** The picture, as the source sends it and in H.264 for browsers that do not decode that: one of them is enough. */
const PICTURES = ['video', 'h264'];

/** The directory that a media playlist lies in, which names its rendition. */
export function renditionOf(playlistUrl: string): string {
  return playlistUrl.split('?')[0]!.split('/').at(-2) ?? '';
}

/**
 * A media playlist reports on every other rendition (EXT-X-RENDITION-REPORT), but the multivariant playlist is read only
 * once: sound that begins later is among the first and not among the second, and so is a picture that joins sound alone.
 */
export function lacksRendition(reportedUrls: readonly string[], knownUrls: readonly string[]): boolean {
  const names = (urls: readonly string[]): string[] => urls.map(renditionOf);
  const [reported, known] = [names(reportedUrls), names(knownUrls)];
  const lacks = (alike: readonly string[]): boolean =>
    reported.some((name) => alike.includes(name)) && !known.some((name) => alike.includes(name));
  return lacks(['audio']) || lacks(PICTURES);
}

/** A picture that stands still for this long gets a new engine, whatever the target duration. A guess. */
const FREEZE_REBUILD_MIN_MS = 7_000;
/** Keyframes may be a target duration apart, and the one that playing waits for may be the next but one. */
const FREEZE_REBUILD_TARGET_DURATIONS = 2;
/** Media that arrives puts a new engine off, but only for so many times as long: it may arrive in the wrong place. */
const FREEZE_REBUILD_PUT_OFF_MAX = 3;

export interface Standstill {
  /** Since the picture last moved. */
  stillMs: number;
  /** Since the buffer last grew. */
  sinceGrowthMs: number;
  targetDurationSecs: number | null;
}

/** The picture will not move again by itself, so the player needs a new engine. */
export function isFrozen({ stillMs, sinceGrowthMs, targetDurationSecs }: Standstill): boolean {
  const targetMs = (targetDurationSecs ?? 0) * 1000;
  const limitMs = Math.max(FREEZE_REBUILD_MIN_MS, FREEZE_REBUILD_TARGET_DURATIONS * targetMs);
  if (stillMs > limitMs * FREEZE_REBUILD_PUT_OFF_MAX) return true;
  return Math.min(stillMs, sinceGrowthMs) > limitMs;
}

/** A picture that stands still for longer than this while it should move has stalled, event or not. */
const FREEZE_MS = 700;
/** A stall is over when the picture moves in this many samples on end: a player that nudges its clock does not play yet. */
const MOVES_TO_RECOVER = 2;
/** After a seek that the viewer asked for, waiting for data is expected for this long. */
const SEEK_GRACE_MS = 2_000;

/** Counts stalls from the player's events and from samples of its clock. */
export class StallMeter {
  count = 0;
  private doneMs = 0;
  private since: number | null = null;
  private lastTime = -1;
  private lastMove = 0;
  private isRunning = false;
  private graceUntil = 0;
  private moves = 0;
  private movingSince = 0;

  /** The media element says that it waits for data. */
  waiting(now: number): void {
    if (!this.isRunning || this.since !== null || now < this.graceUntil) return;
    this.since = now;
    this.moves = 0;
    this.count += 1;
  }

  /**
   * Called a few times a second with the element's clock, but not during a seek.
   * `isExpected` is false while paused, ended or off air.
   */
  sample(now: number, mediaTime: number, isExpected: boolean): void {
    if (!isExpected) {
      this.endStall(now);
      this.lastMove = now;
      this.lastTime = mediaTime;
      this.moves = 0;
      return;
    }
    if (mediaTime !== this.lastTime) {
      const isFirst = this.lastTime < 0;
      this.lastTime = mediaTime;
      this.lastMove = now;
      if (!isFirst && mediaTime > 0) this.isRunning = true;
      if (this.moves === 0) this.movingSince = now;
      this.moves += 1;
      if (this.moves >= MOVES_TO_RECOVER) this.endStall(this.movingSince);
      return;
    }
    this.moves = 0;
    if (now - this.lastMove > FREEZE_MS) {
      this.waiting(this.lastMove);
    }
  }

  /** The viewer jumped. */
  soughtByViewer(now: number): void {
    this.graceUntil = now + SEEK_GRACE_MS;
  }

  /** Off air: what comes next is a new start, not the end of a stall. */
  stop(now: number): void {
    this.endStall(now);
    this.isRunning = false;
    this.lastTime = -1;
  }

  isStalled(): boolean {
    return this.since !== null;
  }

  totalMs(now: number): number {
    return this.doneMs + (this.since === null ? 0 : now - this.since);
  }

  private endStall(now: number): void {
    if (this.since === null) return;
    this.doneMs += Math.max(0, now - this.since);
    this.since = null;
  }
}
