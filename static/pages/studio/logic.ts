/** What the studio decides, without the DOM: its address, presets, where pictures go, how well it goes. Tested in Node. */

import type { Limit, MediaState, PublishStats } from '../../client/index.js';

export interface StudioAddress {
  room: string;
  token: string | null;
}

/** `/studio/{room}`, with `#token=…` for somebody of an app. Null where the path names no room. */
export function parseStudioAddress(path: string, hash: string): StudioAddress | null {
  const room = /^\/studio\/([a-z0-9][a-z0-9-]{0,62})\/?$/.exec(path)?.[1];
  if (room === undefined) return null;
  return { room, token: new URLSearchParams(hash.replace(/^#/, '')).get('token') || null };
}

export type Source = 'camera' | 'screen' | 'both';

export interface Preset {
  name: string;
  width: number;
  height: number;
  frameRate: number;
  bitrateBps: number;
}

/** Bitrates between what streaming sites ask of encoders and what home uplinks carry. Guesses. */
export const PRESETS: readonly Preset[] = [
  { name: '1080p60', width: 1920, height: 1080, frameRate: 60, bitrateBps: 6_500_000 },
  { name: '1080p', width: 1920, height: 1080, frameRate: 30, bitrateBps: 4_500_000 },
  { name: '720p', width: 1280, height: 720, frameRate: 30, bitrateBps: 2_500_000 },
  { name: '480p', width: 854, height: 480, frameRate: 30, bitrateBps: 1_200_000 },
  { name: '360p', width: 640, height: 360, frameRate: 30, bitrateBps: 700_000 },
];

const USUAL = '720p';

export function presetOf(name: string | null): Preset {
  const found = PRESETS.find((preset) => preset.name === name) ?? PRESETS.find((preset) => preset.name === USUAL);
  if (found === undefined) throw new Error('the usual preset is one of the list');
  return found;
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The whole picture inside the frame, with edges where the shapes differ. */
export function fitInside(picture: { width: number; height: number }, frame: { width: number; height: number }): Box {
  if (picture.width <= 0 || picture.height <= 0) return { x: 0, y: 0, width: 0, height: 0 };
  const scale = Math.min(frame.width / picture.width, frame.height / picture.height);
  const width = Math.round(picture.width * scale);
  const height = Math.round(picture.height * scale);
  return { x: Math.round((frame.width - width) / 2), y: Math.round((frame.height - height) / 2), width, height };
}

/** Of the frame's width. Smaller: no face to read. Larger: it hides what is shown. */
const INSET_SHARE = 0.24;
const INSET_MARGIN_SHARE = 0.02;

/** The camera in the lower right corner of the screen's picture, in its own shape. */
export function insetBox(camera: { width: number; height: number }, frame: { width: number; height: number }): Box {
  if (camera.width <= 0 || camera.height <= 0) return { x: 0, y: 0, width: 0, height: 0 };
  const margin = Math.round(frame.width * INSET_MARGIN_SHARE);
  const widest = frame.width * INSET_SHARE;
  // A phone's upright camera would otherwise be as high as the frame.
  const scale = Math.min(widest / camera.width, (frame.height * 0.4) / camera.height);
  const width = Math.round(camera.width * scale);
  const height = Math.round(camera.height * scale);
  return { x: frame.width - width - margin, y: frame.height - height - margin, width, height };
}

export type HealthLevel = 'good' | 'strained' | 'poor';

export type HealthReason = 'none' | 'lost' | 'loss' | 'bandwidth' | 'cpu' | 'frames' | 'delay';

export interface Health {
  level: HealthLevel;
  reason: HealthReason;
}

export interface HealthFacts {
  state: MediaState;
  stats: Pick<PublishStats, 'loss' | 'limitedBy' | 'frameRate' | 'videoBps' | 'roundTripMs' | 'availableBps'> | null;
  hasVideo: boolean;
  target: Pick<Preset, 'frameRate' | 'bitrateBps'>;
  /** A screen that stands still is sent with few pictures and few bits; drawn together with the camera it is not. */
  source: Source;
}

/** Resends hide less loss than this from viewers; more is seen. Guesses from what libwebrtc takes for loss that matters (2 and 10 %). */
const LOSS = { strained: 0.02, poor: 0.1 };
/** Of what was chosen. Below it viewers see that something is wrong. Guesses. */
const BITRATE_POOR_SHARE = 0.3;
const FRAME_RATE = { strained: 0.8, poor: 0.5 };
/** Resends come too late for a buffer of half a second. */
const ROUND_TRIP_STRAINED_MS = 400;

/** How well it goes, and the one reason that most needs saying. */
export function healthOf({ state, stats, hasVideo, target, source }: HealthFacts): Health {
  if (state !== 'connected' || stats === null) return { level: 'poor', reason: 'lost' };
  const loss = stats.loss ?? 0;
  if (loss > LOSS.poor) return { level: 'poor', reason: 'loss' };
  const frameShare = hasVideo && source !== 'screen' && stats.frameRate !== null ? stats.frameRate / target.frameRate : 1;
  const held = heldBack(stats.limitedBy);
  if (held === 'bandwidth' && stats.videoBps < target.bitrateBps * BITRATE_POOR_SHARE) return { level: 'poor', reason: 'bandwidth' };
  // A screen keeps its size and loses pictures instead, which browsers do not call a limitation.
  const isNarrow = source !== 'camera' && stats.availableBps !== null && stats.availableBps < target.bitrateBps * BITRATE_POOR_SHARE;
  if (held === null && isNarrow) return { level: 'strained', reason: 'bandwidth' };
  if (frameShare < FRAME_RATE.poor) return { level: 'poor', reason: held ?? 'frames' };
  if (held !== null) return { level: 'strained', reason: held };
  if (loss > LOSS.strained) return { level: 'strained', reason: 'loss' };
  if (frameShare < FRAME_RATE.strained) return { level: 'strained', reason: 'frames' };
  if ((stats.roundTripMs ?? 0) > ROUND_TRIP_STRAINED_MS) return { level: 'strained', reason: 'delay' };
  return { level: 'good', reason: 'none' };
}

function heldBack(limit: Limit): 'bandwidth' | 'cpu' | null {
  return limit === 'bandwidth' || limit === 'cpu' ? limit : null;
}

/** How many samples in a row must say so before the words change. One: they flicker. More: they are late. */
const STEADY_SAMPLES = 3;

/** Says what has been so for some samples, so that nobody reads of a trouble that is over. */
export class SteadyHealth {
  shown: Health = { level: 'good', reason: 'none' };
  private next: Health = this.shown;
  private samples = 0;

  add(health: Health): Health {
    const isSame = health.level === this.next.level && health.reason === this.next.reason;
    this.samples = isSame ? this.samples + 1 : 1;
    this.next = health;
    // A connection that is gone, or back, is no matter of opinion.
    if (this.samples >= STEADY_SAMPLES || health.reason === 'lost' || this.shown.reason === 'lost') this.shown = health;
    return this.shown;
  }
}

/** What a refusal means for who wants to go live, as the end of a message's key. Null: the server's own words say it. */
export function refusalOf(error: { code: string; status: number }): 'in-use' | 'p2p' | 'not-allowed' | 'gone' | 'unsupported' | 'unreachable' | 'network' | 'no-webrtc' | null {
  if (error.code === 'wrong_mode') return 'p2p';
  if (error.code === 'unreachable') return 'unreachable';
  if (error.code === 'no_webrtc') return 'no-webrtc';
  if (error.code === 'network' || error.code === 'timeout') return 'network';
  switch (error.status) {
    case 401:
    case 403:
      return 'not-allowed';
    case 404:
      return 'gone';
    case 409:
      return 'in-use';
    case 406:
    case 415:
    case 422:
      return 'unsupported';
    default:
      return error.code === 'bad_sdp' ? 'unsupported' : null;
  }
}
