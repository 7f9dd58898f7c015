/**
 * The wire types of `/ws` (subprotocol `telstar.v1`) and of the REST API that both sides share.
 * Unknown fields are ignored; an unknown event type reaches the subscriber untouched.
 */

import type { CallMode } from './call-wire.js';

export type RoomLiveState = 'offline' | 'waiting' | 'live' | 'reconnecting';

export interface VideoTrack {
  kind: 'video';
  codec: string;
  rfc6381: string;
  /** Null until the codec's configuration has come. */
  width: number | null;
  height: number | null;
  frame_rate: number | null;
  bitrate_bps: number | null;
  keyframe_interval_secs: number | null;
  b_frames: boolean;
}

export interface AudioTrack {
  kind: 'audio';
  codec: string;
  rfc6381: string;
  sample_rate: number;
  channels: number;
  bitrate_bps: number | null;
}

export type IngestTrack = VideoTrack | AudioTrack;

export interface Ingest {
  protocol: string;
  encoder: string | null;
  tracks: IngestTrack[];
  dropped_frames: number;
}

export interface Warning {
  code: string;
  params?: Record<string, string | number>;
}

/** A track that the server converts, once however many watch it. */
export interface Conversion {
  from: string;
  to: string;
  state: 'starting' | 'running' | 'waiting';
  /** Of one core. */
  cpu_percent: number;
  /** Why it does not run, with the remedy if there is one. */
  error: string | null;
}

export interface RoomState {
  state: RoomLiveState;
  viewers: number;
  started_at: string | null;
  playlist: string | null;
  /** A call goes on that can be watched: while the room is offline, whoever asks for it has it mixed. */
  has_call: boolean;
  /** Present only for those who may administer the room. */
  ingest: Ingest | null;
  warnings: Warning[];
  conversions: Conversion[];
}

/** What the topic `room:{name}` carries. */
export interface RoomTopicState extends RoomState {
  name: string;
  title: string;
  open: boolean;
}

export interface Room {
  name: string;
  title: string;
  open: boolean;
  owner: string;
  embed_origins: string[];
  /** How the media of its calls travels. */
  mode: CallMode;
  created_at: string;
  live: RoomState;
}

export interface StreamKey {
  id: string | number;
  label: string | null;
  hint: string;
  created_at: string;
  last_used_at: string | null;
}

/** The key itself is in the answer to its creation and never again. */
export interface NewStreamKey extends StreamKey {
  key: string;
}

export interface PlaybackToken {
  token: string;
  expires_at: string;
  watch_url: string;
}

/** What somebody joins a call with. */
export interface RoomToken {
  token: string;
  expires_at: string;
  room: string;
  identity: string;
  call_url: string;
}

export interface Invite {
  id: string | number;
  label: string | null;
  grants: string[];
  expires_at: string | null;
  uses_left: number | null;
}

/** The invite itself is in the answer to its creation and never again. */
export interface NewInvite extends Invite {
  invite: string;
  url: string;
}

export interface Account {
  id: string | number;
  name: string;
  role: string;
}

export interface ServerFacts {
  version: string;
  public_url: string;
  rtmp_url: string | null;
  rtmps_url: string | null;
  https_url: string | null;
  /** Origins that others in the network can open; empty for a guest. */
  addresses: string[];
}

export interface Reply {
  re: number | string;
  ok: boolean;
  error?: { code: string; detail?: string };
  [field: string]: unknown;
}

export interface TopicEvent {
  seq: number;
  topic: string;
  type: string;
  offset?: number;
  epoch?: number | string;
  [field: string]: unknown;
}

export interface SubscribeReply extends Reply {
  topic: string;
  offset?: number;
  epoch?: number | string;
  state: unknown;
}

/** Close codes of our subprotocol (RFC 6455 §7.4.2 leaves 4000-4999 to applications). */
export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  badMessage: 4400,
  unauthorised: 4401,
  slowClient: 4408,
  tooMany: 4409,
  /** This client has resumed on another socket. */
  replaced: 4410,
  /** Ours: a socket that does not answer is given up, its session is not. */
  abandoned: 4000,
} as const;

export type Incoming = { kind: 'reply'; reply: Reply } | { kind: 'event'; event: TopicEvent } | { kind: 'unknown' };

/** Sorts one text frame; anything that is neither reply nor event is `unknown` and is skipped by the caller. */
export function parseIncoming(data: unknown): Incoming {
  if (typeof data !== 'string') return { kind: 'unknown' };
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return { kind: 'unknown' };
  }
  if (typeof value !== 'object' || value === null) return { kind: 'unknown' };
  const fields = value as Record<string, unknown>;
  if (fields['re'] !== undefined && typeof fields['ok'] === 'boolean') {
    return { kind: 'reply', reply: fields as Reply };
  }
  if (typeof fields['topic'] === 'string' && typeof fields['type'] === 'string') {
    return { kind: 'event', event: fields as TopicEvent };
  }
  return { kind: 'unknown' };
}
