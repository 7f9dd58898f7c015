/** The one word that says how a call is doing, from the facts that decide it. Pure. */

import type { ConnectionState } from './connection.js';

/**
 * `connecting` until the first join is answered; `connected`; `reconnecting` while the socket or a peer connection that
 * had worked is away; `left` for good.
 */
export type CallState = 'connecting' | 'connected' | 'reconnecting' | 'left';

/** `none` where there is no such connection, else its `connectionState` (W3C webrtc-pc §4.3.3). */
export type PeerState = 'none' | 'new' | 'connecting' | 'connected' | 'disconnected' | 'failed' | 'closed';

export interface CallFacts {
  socket: ConnectionState;
  /** The server counts us in now. */
  isJoined: boolean;
  /** It has at least once. */
  wasJoined: boolean;
  isLeft: boolean;
  peers: readonly PeerState[];
}

export function callState(facts: CallFacts): CallState {
  if (facts.isLeft) return 'left';
  if (!facts.wasJoined) return 'connecting';
  if (facts.socket !== 'open' || !facts.isJoined) return 'reconnecting';
  return facts.peers.some((peer) => peer === 'disconnected' || peer === 'failed') ? 'reconnecting' : 'connected';
}

/** The server is sorry and would have us back; every other reason is final. */
const COME_BACK = new Set(['shutdown', 'timeout', 'slow']);

export function isFinal(reason: string): boolean {
  return !COME_BACK.has(reason);
}

/** Refusals of `join` that say nothing about the room or the token: asking again later is right. */
const TRY_AGAIN = new Set(['timeout', 'unavailable', 'rate_limited', 'busy', 'closed', 'gone', 'already_joined']);

export function isWorthAnotherTry(code: string): boolean {
  return TRY_AGAIN.has(code);
}
