/** What a call tells its application, and what it needs of the client that holds it. */

import type { CallState, PeerState } from './call-state.js';
import type { Bandwidth, CallMode, MediaFault, PeerName, Quality, SessionSecret, Speaker } from './call-wire.js';
import type { ConnectionState } from './connection.js';
import type { LocalTrack } from './local-track.js';
import type { RemoteParticipant, RemoteTrack } from './remote.js';
import type { Reply } from './wire.js';

export interface JoinOptions {
  name?: string;
  /** The application's own, seen by everybody. */
  metadata?: string;
  kind?: 'browser' | 'device';
  /** Whether every track comes without asking. Default true. */
  autoSubscribe?: boolean;
}

export interface CallEvents {
  state: CallState;
  /** Counted in, for the first time or anew. */
  joined: { mode: CallMode; title: string };
  participantJoined: RemoteParticipant;
  participantUpdated: RemoteParticipant;
  participantLeft: { participant: RemoteParticipant; reason: string };
  trackPublished: RemoteTrack;
  trackUpdated: RemoteTrack;
  trackUnpublished: RemoteTrack;
  /** A track has another `mediaTrack` to play, or none any more. Not told of a track that has ended. */
  trackMedia: RemoteTrack;
  /** A track's `flow` or `layer` has changed; what plays stays the same. */
  trackFlow: RemoteTrack;
  /** A track of one's own was muted, unmuted, taken or refused. */
  localTrack: LocalTrack;
  /** One's own name, metadata or grants have changed. */
  selfUpdated: RemoteParticipant;
  /** One's own grants have changed, and the connections with them. */
  grants: { grants: readonly string[]; gained: readonly string[]; lost: readonly string[] };
  speakers: Speaker[];
  quality: { participant: string; quality: Quality }[];
  data: { from: string | null; label: string | null; data: unknown };
  lossy: { from: string; payload: Uint8Array };
  bandwidth: Bandwidth;
  /** The state of each peer connection, `publish` and `subscribe` in a call through the server. */
  peers: PeerState[];
  mediaFailed: { connection: PeerName; reason: MediaFault };
  /** The end. The reason is the server's, or the code of the error that refused the join. */
  left: { reason: string };
}

/** What a call needs of the client's connection. */
export interface CallConnection {
  readonly state: ConnectionState;
  request(type: string, fields: Record<string, unknown>): Promise<Reply>;
  keepSession(session: SessionSecret): void;
  forgetSession(): void;
}
