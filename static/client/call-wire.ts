/** The wire types of calls: what `join` answers, and the events of a call. docs/protocol.md is their manual. */

import type { IceServer } from './rtc.js';
import type { Reply, TopicEvent } from './wire.js';

export type TrackKind = 'audio' | 'video';
export type TrackSource = 'camera' | 'microphone' | 'screen' | 'screen-audio' | 'other';
export type ParticipantKind = 'browser' | 'ingest' | 'device';
export type CallMode = 'sfu' | 'p2p';
export type PeerName = 'publish' | 'subscribe';
export type Grant = 'join' | 'publish' | 'subscribe' | 'chat' | 'upload' | 'ingest' | 'admin';

export interface Layer {
  rid: string;
  width: number;
  height: number;
  frame_rate: number;
  bitrate_bps: number;
}

export interface Track {
  id: string;
  kind: TrackKind;
  source: TrackSource;
  name: string;
  muted: boolean;
  muted_by: 'self' | 'moderator' | null;
  codec: string | null;
  layers: Layer[];
}

export interface Participant {
  id: string;
  identity: string;
  name: string;
  kind: ParticipantKind;
  metadata: unknown;
  grants: string[];
  /** `away`: its socket is gone; its media may go on. */
  state: 'active' | 'away';
  joined_at: string;
  tracks: Track[];
}

export interface SessionSecret {
  id: string;
  secret: string;
  resume_secs?: number;
}

export interface CallSnapshot {
  name: string;
  title: string;
  mode: CallMode;
  participants: Participant[];
}

export interface JoinReply extends Reply {
  topic: string;
  participant: string;
  session: SessionSecret;
  ice_servers: IceServer[];
  state: CallSnapshot;
}

export interface NewTrack {
  mid: string;
  kind: TrackKind;
  source: TrackSource;
  name?: string;
  muted?: boolean;
  layers?: Layer[];
}

export interface PublishReply extends Reply {
  sdp: string;
  tracks: { mid: string; track: string }[];
}

export interface ResumeReply extends Reply {
  session: SessionSecret;
  unknown: (number | string)[];
}

/** Why nothing flows, or that it does. `codec`: this browser cannot decode it. `silent`: the sender sends nothing. */
export type Flow = 'active' | 'paused' | 'bandwidth' | 'silent' | 'codec';

export interface Slot {
  mid: string;
  track: string | null;
  participant: string | null;
  flow: Flow;
  layer: number | null;
}

export interface Demand {
  track: string;
  wanted: boolean;
  rids: string[];
}

export type Quality = 'lost' | 'poor' | 'good' | 'excellent';

export interface Speaker {
  participant: string;
  /** 0 is the loudest, 127 silence (RFC 6464 §3). */
  level: number;
}

export interface Bandwidth {
  estimate_bps: number;
  allocated_bps: number;
  sent_bps: number;
  round_trip_ms: number | null;
  loss: number | null;
}

export type LeaveReason = 'left' | 'removed' | 'duplicate-identity' | 'room-deleted' | 'credential-ended' | 'timeout' | 'shutdown' | 'slow';

export type MediaFault = 'no_path' | 'handshake' | 'bad_sdp' | 'no_codec' | 'too_many' | 'internal';

export interface Signal {
  description?: { type: 'offer' | 'answer' | 'pranswer' | 'rollback'; sdp?: string };
  candidate?: { candidate: string; sdpMid?: string | null; sdpMLineIndex?: number | null; usernameFragment?: string | null };
}

/** What the events of a call carry beside the envelope. */
interface CallEventFields {
  'participant-joined': { participant: Participant };
  'participant-updated': { participant: Omit<Participant, 'tracks'> };
  'participant-left': { participant: string; reason: LeaveReason };
  'track-published': { participant: string; track: Track };
  'track-updated': { participant: string; track: Track };
  'track-unpublished': { participant: string; track: string };
  offer: { version: number; sdp: string };
  candidate: { connection: PeerName; candidate: string };
  slots: { version: number; slots: Slot[] };
  demand: { tracks: Demand[] };
  speakers: { speakers: Speaker[] };
  quality: { participants: { participant: string; quality: Quality }[] };
  data: { from: string | null; label?: string; data: unknown };
  bandwidth: Bandwidth;
  'media-failed': { connection: PeerName; reason: MediaFault };
  signal: { from: string } & Signal;
  grants: { grants: string[] };
  left: { reason: LeaveReason };
}

/** One event of a call, told apart by `type`. Events of other types are skipped. */
export type CallEvent = { [T in keyof CallEventFields]: { seq: number; topic: string; type: T } & CallEventFields[T] }[keyof CallEventFields];

/** The server's events are trusted to have the shape that their type promises; the schema test holds it to that. */
export function asCallEvent(event: TopicEvent): CallEvent {
  return event as unknown as CallEvent;
}
