/** What a call needs of its media, whichever way it goes: through the server (`SfuMedia`) or between browsers (`MeshMedia`). */

import type { CallEvent } from './call-wire.js';
import type { PeerState } from './call-state.js';
import type { LocalTrack } from './local-track.js';
import type { Platform } from './platform.js';
import type { RemoteTrack, Roster } from './remote.js';
import type { IceServer, Rtc } from './rtc.js';
import type { ConnectionStats } from './stats.js';
import type { Reply } from './wire.js';

export interface MediaHost {
  readonly platform: Platform;
  readonly rtc: Rtc;
  readonly roster: Roster;
  request(type: string, fields: Record<string, unknown>): Promise<Reply>;
  /** A peer connection has changed its state. */
  peersChanged(): void;
  /** A track has another `mediaTrack`. */
  mediaChanged(track: RemoteTrack): void;
  /** A track comes, or does not, in another way: its `flow` or `layer`. */
  flowChanged(track: RemoteTrack): void;
  /** The server has a new subscribing connection, which knows no wishes yet. */
  subscribeAgain(): void;
  lossyReceived(from: string, payload: Uint8Array): void;
}

export interface CallMedia {
  add(local: LocalTrack): void;
  remove(local: LocalTrack): void;
  /** The track is muted, unmuted, or another device's. */
  refresh(local: LocalTrack): Promise<void>;
  setIceServers(iceServers: IceServer[]): void;
  /** True when the event was one of the media's. */
  handle(event: CallEvent): boolean;
  /** What one may do has changed: what is no longer allowed ends, what is allowed again begins anew. */
  grantsChanged(gained: readonly string[], lost: readonly string[]): void;
  /** Somebody or something came or went. */
  rosterChanged(): void;
  networkChanged(): void;
  peers(): PeerState[];
  /** The addresses that the server has told for media, as `address:port`; none without a server in between. */
  serverAddresses(): string[];
  /** Whether the frame was handed to a channel; lossy data has no other promise. */
  sendLossy(payload: Uint8Array, to: readonly string[]): boolean;
  stats(): Promise<ConnectionStats[]>;
  close(): void;
}
