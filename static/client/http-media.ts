/**
 * Media over WHIP or WHEP that stays: one connection after the other until it is stopped or trying again is useless.
 * What is sent or received is said by `WhipPublisher` and `WhepPlayer`.
 */

import { Backoff, type BackoffOptions } from './backoff.js';
import { Emitter } from './emitter.js';
import { TelstarError } from './errors.js';
import { HttpPeer, type HttpPeerHost } from './http-peer.js';
import { HttpResource, type TokenSource } from './http-resource.js';
import { defaultPlatform, type Platform, type TimerHandle } from './platform.js';
import { defaultRtc, type IceServer, type MediaTrack, type PeerLike, type Rtc, type StatsReportLike } from './rtc.js';

/** `waiting`: there is nothing to play yet. `closed`: after `stop()`, or with the error that ended it. */
export type MediaState = 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'waiting' | 'closed';

export interface MediaEvents {
  state: { state: MediaState; error: TelstarError | null };
  /** A try has failed and another one follows. */
  retry: { error: TelstarError; delayMs: number };
  /** What to play from now on; other tracks than before. */
  media: { tracks: MediaTrack[] };
}

export interface MediaOptions {
  /** `https://host/whip/demo`, or relative to the page. */
  url: string;
  /** Sent as bearer. A page with a session cookie needs none. */
  token?: TokenSource;
  iceServers?: IceServer[];
  /** How long an answered offer may take to become a connection; 10 s unless said otherwise. */
  connectTimeoutMs?: number;
  backoff?: BackoffOptions;
  platform?: Platform;
  rtc?: Rtc;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Lower: a short outage is noticed less. Higher: less load on a server that is just coming back. A guess. */
const MEDIA_BACKOFF: BackoffOptions = { firstMs: 500, maxMs: 8_000 };
/** A connection that lasted this long makes the next failure a first failure again. */
const HEALTHY_MS = 10_000;
/** Where the server says that nothing is live and not for how long. Lower: more requests of those who wait. Higher: a later picture. */
const WAIT_MS = 3_000;
/** No server may keep us away for longer. */
const RETRY_AFTER_MAX_MS = 60_000;
/** Who waits for the same moment must not come in the same moment: up to this share is added. */
const WAIT_SPREAD = 0.25;

/** The client is asked to come again by these, although they are among the 4xx. */
const COME_AGAIN = new Set([408, 425, 429]);

export abstract class HttpMedia extends Emitter<MediaEvents> {
  protected readonly platform: Platform;
  protected readonly rtc: Rtc;
  private current: MediaState = 'idle';
  private peer: HttpPeer | null = null;
  private wasConnected = false;
  private retryTimer: TimerHandle | null = null;
  private healthyTimer: TimerHandle | null = null;
  private readonly backoff: Backoff;
  private readonly stops: (() => void)[] = [];

  constructor(protected readonly options: MediaOptions) {
    super();
    this.platform = options.platform ?? defaultPlatform();
    this.rtc = options.rtc ?? defaultRtc();
    this.backoff = new Backoff(options.backoff ?? MEDIA_BACKOFF, () => this.platform.random());
  }

  get state(): MediaState {
    return this.current;
  }

  /** Begins, and goes on until `stop`. A second call changes nothing. */
  start(): void {
    if (this.current !== 'idle' && this.current !== 'closed') return;
    this.wasConnected = false;
    this.backoff.reset();
    this.stops.push(
      this.platform.onNetworkChange?.(() => this.networkChanged()) ?? (() => {}),
      // The server would wait for our media until its patience ends.
      this.platform.onPageHide?.(() => void this.end(null, true)) ?? (() => {}),
    );
    this.setState('connecting', null);
    this.connect();
  }

  /** Resolves when the server has heard of it, or could not be reached. */
  stop(): Promise<void> {
    return this.end(null, false);
  }

  /** Skips the rest of a delay: there is something to play, or the network came back. */
  retryNow(): void {
    if (this.retryTimer === null) return;
    this.cancelRetry();
    this.connect();
  }

  /** Adds what is sent or received to a new connection. */
  protected abstract prepare(pc: PeerLike): void;
  /** Whether the refusal means that nothing is live yet. */
  protected abstract isWaiting(error: TelstarError): boolean;
  /** Called with each connection that has come about. */
  protected abstract opened(pc: PeerLike): void;

  protected readAnswer(sdp: string): string {
    return sdp;
  }

  protected get pc(): PeerLike | null {
    return this.peer?.pc ?? null;
  }

  protected async report(): Promise<StatsReportLike | null> {
    const { pc } = this;
    if (pc === null || this.current === 'closed') return null;
    return pc.getStats().catch(() => null);
  }

  private connect(): void {
    const resource = new HttpResource(this.platform, this.options.url, this.options.token ?? null);
    const host: HttpPeerHost = {
      platform: this.platform,
      rtc: this.rtc,
      connectTimeoutMs: this.options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
      prepare: (pc) => this.prepare(pc),
      readAnswer: (sdp) => this.readAnswer(sdp),
      connected: () => this.connected(),
      interrupted: () => this.setState('reconnecting', null),
      lost: (error) => this.lost(error),
    };
    try {
      this.peer = new HttpPeer(host, resource, this.options.iceServers ?? []);
    } catch (error) {
      void this.end(new TelstarError('no_webrtc', String(error)), false);
      return;
    }
    void this.peer.open();
  }

  private connected(): void {
    const isNew = this.current !== 'reconnecting' || this.healthyTimer === null;
    this.wasConnected = true;
    if (isNew) {
      this.stopHealthyTimer();
      this.healthyTimer = this.platform.setTimer(() => this.backoff.reset(), HEALTHY_MS);
      const { pc } = this;
      if (pc !== null) this.opened(pc);
    }
    this.setState('connected', null);
  }

  private lost(error: TelstarError): void {
    this.peer = null;
    this.stopHealthyTimer();
    if (this.current === 'closed') return;
    if (this.isFinal(error)) {
      void this.end(error, false);
      return;
    }
    const isWaiting = this.isWaiting(error);
    const delayMs = this.delayMs(error, isWaiting);
    this.retryTimer = this.platform.setTimer(() => {
      this.retryTimer = null;
      this.connect();
    }, delayMs);
    this.setState(isWaiting ? 'waiting' : this.wasConnected ? 'reconnecting' : 'connecting', error);
    this.emit('retry', { error, delayMs });
  }

  private isFinal(error: TelstarError): boolean {
    if (this.isWaiting(error) || COME_AGAIN.has(error.status)) return false;
    // Somebody else may hold the room for as long as the server waits for what it takes for another one: ourselves before.
    if (error.status === 409) return !this.wasConnected;
    return error.code === 'bad_sdp' || (error.status >= 400 && error.status < 500);
  }

  private delayMs(error: TelstarError, isWaiting: boolean): number {
    const asked = error.retryAfterMs ?? (isWaiting ? WAIT_MS : null);
    if (asked !== null) return Math.min(asked, RETRY_AFTER_MAX_MS) * (1 + WAIT_SPREAD * this.platform.random());
    // What was there a moment ago is worth a try at once.
    if (error.code === 'gone' && this.backoff.attempts === 0) {
      this.backoff.nextDelayMs();
      return 0;
    }
    return this.backoff.nextDelayMs();
  }

  private networkChanged(): void {
    this.retryNow();
    this.peer?.networkChanged();
  }

  private end(error: TelstarError | null, isLeaving: boolean): Promise<void> {
    if (this.current === 'closed' || this.current === 'idle') return Promise.resolve();
    this.cancelRetry();
    this.stopHealthyTimer();
    for (const stop of this.stops.splice(0)) stop();
    const { peer } = this;
    this.peer = null;
    this.setState('closed', error);
    return peer?.close(isLeaving) ?? Promise.resolve();
  }

  private cancelRetry(): void {
    if (this.retryTimer !== null) this.platform.clearTimer(this.retryTimer);
    this.retryTimer = null;
  }

  private stopHealthyTimer(): void {
    if (this.healthyTimer !== null) this.platform.clearTimer(this.healthyTimer);
    this.healthyTimer = null;
  }

  private setState(state: MediaState, error: TelstarError | null): void {
    if (this.current === state) return;
    this.current = state;
    this.emit('state', { state, error });
  }
}
