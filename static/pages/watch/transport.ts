/** Which way the picture comes, and when WebRTC will not do here. Knows no connection and no element. Tested in Node. */

import type { MediaState } from '../../client/index.js';

/** `webrtc` is what viewers read as low latency, `hls` as compatible. */
export type Transport = 'webrtc' | 'hls';

/**
 * WebRTC unless something speaks against it. What has once failed is not tried again by itself: a picture that changes its
 * way back and forth is worse than one that is two seconds older.
 */
export class TransportChoice {
  current: Transport;
  /** Why it is not WebRTC although it might be; null where it was chosen so. */
  fallback: string | null = null;

  constructor(
    wish: Transport | null,
    readonly canWebRtc: boolean,
  ) {
    this.current = canWebRtc ? (wish ?? 'webrtc') : 'hls';
  }

  /** The viewer's choice. */
  choose(transport: Transport): void {
    this.current = this.canWebRtc ? transport : 'hls';
    this.fallback = null;
  }

  fallBack(reason: string): void {
    this.current = 'hls';
    this.fallback = reason;
  }
}

/** Lower: a slow handshake costs the low latency. Higher: a blocked path keeps the picture away. A guess; ICE and DTLS take well under one second. */
const START_MS = 6_000;
/** Media comes and no picture is decoded. A keyframe is asked for at once, so more than this is a codec that cannot be read. A guess. */
const UNDECODED_MS = 5_000;
/** Live by the room's state, and not by WHEP's answer: a conversion that the server cannot make. A guess. */
const WAITING_MS = 10_000;
/** Connections that broke one after the other. */
const LOST_MAX = 2;

export interface WebRtcSample {
  state: MediaState;
  /** Of what has ended it. */
  error: string | null;
  videoPackets: number;
  /** Null without a picture. */
  frames: number | null;
}

/** Says when to give WebRTC up. One for each engine. */
export class WebRtcJudge {
  private startedAt: number | null = null;
  private connectedAt: number | null = null;
  private waitingSince: number | null = null;
  private lost = 0;
  private hasPlayed = false;

  /** A connection was lost, or did not come about, without a refusal. */
  noteLost(): void {
    this.lost += 1;
  }

  /** The reason, or null while there is hope. */
  verdict(now: number, { state, error, videoPackets, frames }: WebRtcSample): string | null {
    if (state === 'closed') return error ?? 'closed';
    if ((frames ?? 0) > 0) {
      this.hasPlayed = true;
      this.lost = 0;
    }
    if (state === 'waiting') {
      this.waitingSince ??= now;
      this.startedAt = this.connectedAt = null;
      return now - this.waitingSince > WAITING_MS ? 'not offered' : null;
    }
    this.waitingSince = null;
    if (state !== 'connected') {
      this.connectedAt = null;
      this.startedAt ??= now;
      if (this.lost > LOST_MAX) return 'unreachable';
      return !this.hasPlayed && now - this.startedAt > START_MS ? 'unreachable' : null;
    }
    this.startedAt = null;
    this.connectedAt ??= now;
    return videoPackets > 0 && !(frames !== null && frames > 0) && now - this.connectedAt > UNDECODED_MS ? 'codec' : null;
  }
}

/** Whether the browser has what WHEP needs. */
export function hasWebRtc(globals: { RTCPeerConnection?: unknown }): boolean {
  return typeof globals.RTCPeerConnection === 'function';
}

/** What is written in an address or was stored. */
export function transportOf(text: string | null): Transport | null {
  return text === 'webrtc' || text === 'hls' ? text : null;
}
