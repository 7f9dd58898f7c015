/** The wire types of calls by the names that the library uses. They are made from the server's; docs/protocol.md is their manual. */

import type {
  CallRequest, CallState as Snapshot, EventOfCallEventKind, IceServer as WireIceServer, LayerRequest, MediaConnection, Mode, Publish, Reply as WireReply, Session,
} from './wire.generated.js';
import type { IceServer } from './rtc.js';
import type { Reply, TopicEvent } from './wire.js';

export type {
  Bandwidth, CallGrant, CallRequest, Demand, Flow, IceCandidateRequest, Layer, LeaveReason, MediaFault, Participant, ParticipantInfo, ParticipantKind, Quality, Slot, Speaker, Track,
  TrackKind, TrackSource,
} from './wire.generated.js';

export type CallMode = Mode;
export type CallSnapshot = Snapshot;
/** Which of a participant's two connections. */
export type PeerName = MediaConnection;
export type SessionSecret = Pick<Session, 'id' | 'secret'>;
export type NewTrack = NonNullable<Publish['tracks']>[number];
export type NewLayers = LayerRequest[];

export type JoinReply = Reply & Extract<WireReply, { participant: string }>;
export type PublishReply = Reply & Extract<WireReply, { tracks: unknown[] }>;
export type ResumeReply = Reply & Extract<WireReply, { unknown: unknown[] }>;

/** What one browser tells another in a p2p call. */
export type Signal = Pick<Extract<CallRequest, { type: 'signal' }>, 'description' | 'candidate'>;

/** One event of a call, told apart by `type`. Events of other types are skipped. */
export type CallEvent = EventOfCallEventKind & { seq: number };

/** The server's events are trusted to have the shape that their type promises; the golden file holds it to that. */
export function asCallEvent(event: TopicEvent): CallEvent {
  return event as unknown as CallEvent;
}

/** As `RTCPeerConnection` takes them: it would read a null as the text "null". */
export function iceServersOf(servers: WireIceServer[]): IceServer[] {
  return servers.map(({ urls, username, credential }) => ({
    urls,
    ...(typeof username === 'string' ? { username } : {}),
    ...(typeof credential === 'string' ? { credential } : {}),
  }));
}
