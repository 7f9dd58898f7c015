/**
 * Subscriptions and a call on top of a connection. Each subscription holds the topic's last full state; after a reconnect
 * it is subscribed again and its state replaced, so that a subscriber never has to know that the connection was lost.
 */

import { Backoff, RECONNECT_BACKOFF, type BackoffOptions } from './backoff.js';
import { Call } from './call.js';
import type { JoinOptions } from './call-events.js';
import { Connection, type ConnectionState } from './connection.js';
import { TelstarError } from './errors.js';
import { defaultPlatform, type Platform, type TimerHandle } from './platform.js';
import { defaultRtc, type Rtc } from './rtc.js';
import type { Reply, SubscribeReply, TopicEvent } from './wire.js';

export interface ClientOptions {
  /** `ws:` or `wss:`, ending in `/ws`; see `socketUrl`. */
  url: string;
  token?: string;
  platform?: Platform;
  /** Peer connections; the browser's unless said otherwise. */
  rtc?: Rtc;
  backoff?: BackoffOptions;
}

export interface SubscribeOptions<S> {
  /** Counts this connection among the room's viewers. */
  watch?: boolean;
  /** The topic's full state: after subscribing, after each resume, and with every `state` event. */
  onState?(state: S, change: StateChange): void;
  /** Every other event of the topic. */
  onEvent?(event: TopicEvent): void;
  /**
   * The server refused the topic, or has ended it and refused it then: it is gone or not for us.
   * It is tried again after the next reconnect.
   */
  onError?(error: TelstarError): void;
}

export interface StateChange {
  /** `subscribed` covers the first subscription and each resume; `event` is an update. */
  cause: 'subscribed' | 'event';
  /** The topic's log began anew since the last state: the server was restarted or the room made again. */
  newEpoch: boolean;
}

export interface Subscription<S> {
  readonly topic: string;
  readonly state: S | null;
  close(): void;
}

type Entry = {
  topic: string;
  options: SubscribeOptions<unknown>;
  state: unknown;
  epoch: number | string | undefined;
  offset: number | undefined;
  retry: Backoff;
  retryTimer: TimerHandle | null;
};

/** Refusals that say nothing about the topic; asking again later is right. */
const TRY_AGAIN = new Set(['timeout', 'unavailable', 'rate_limited', 'busy', 'too_many_subscriptions']);

export class Client {
  private readonly connection: Connection;
  private readonly platform: Platform;
  private readonly entries = new Map<string, Entry>();
  private readonly listeners = new Set<(state: ConnectionState, reason: string | null) => void>();
  private readonly rtc: Rtc;
  private call: Call | null = null;
  private stopWatchingNetwork: (() => void) | null = null;

  constructor(options: ClientOptions) {
    const { platform = defaultPlatform(), rtc = defaultRtc(), ...rest } = options;
    this.platform = platform;
    this.rtc = rtc;
    this.connection = new Connection({ ...rest, platform }, {
      onState: (state, reason) => this.stateChanged(state, reason),
      onEvent: (event) => this.dispatch(event),
      onFresh: () => this.call?.begin(),
    });
  }

  get state(): ConnectionState {
    return this.connection.state;
  }

  connect(): void {
    this.connection.open();
  }

  close(): void {
    this.call?.leave();
    this.stopWatchingNetwork?.();
    this.stopWatchingNetwork = null;
    this.connection.close();
  }

  retryNow(): void {
    this.connection.retryNow();
  }

  /** Sends one request; rejects with a `TelstarError`. Requests are not repeated after a reconnect. */
  request(type: string, fields: Record<string, unknown> = {}): Promise<Reply> {
    return this.connection.request(type, fields);
  }

  /** Returns a function that removes the listener. */
  onConnection(listener: (state: ConnectionState, reason: string | null) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** One subscription per topic and client; a second one is a mistake of the caller and throws. */
  subscribe<S>(topic: string, options: SubscribeOptions<S>): Subscription<S> {
    if (this.entries.has(topic)) throw new TelstarError('already_subscribed', `already subscribed to ${topic}`);
    const entry: Entry = {
      topic,
      options: options as SubscribeOptions<unknown>,
      state: null,
      epoch: undefined,
      offset: undefined,
      retry: new Backoff(RECONNECT_BACKOFF, () => this.platform.random()),
      retryTimer: null,
    };
    this.entries.set(topic, entry);
    if (this.connection.state === 'open') void this.send(entry);
    return {
      topic,
      get state() {
        return entry.state as S | null;
      },
      close: () => this.unsubscribe(entry),
    };
  }

  /**
   * Joins a call; one at a time. Returns at once: `publish` may follow without waiting, and reaches the server right
   * behind the join.
   */
  join(room: string, options: JoinOptions = {}): Call {
    if (this.call !== null && this.call.state !== 'left') throw new TelstarError('already_joined', 'there is a call already');
    const call = new Call(room, { ...options }, this.connection, this.platform, this.rtc);
    this.call = call;
    this.stopWatchingNetwork ??= this.platform.onNetworkChange?.(() => this.networkChanged()) ?? null;
    if (this.connection.isReady) call.begin();
    return call;
  }

  private networkChanged(): void {
    this.connection.retryNow();
    this.call?.networkChanged();
  }

  private unsubscribe(entry: Entry): void {
    if (this.entries.get(entry.topic) !== entry) return;
    this.entries.delete(entry.topic);
    this.cancelRetry(entry);
    if (this.connection.state === 'open') {
      // A refusal changes nothing here: the entry is gone and its events are ignored.
      this.connection.request('unsubscribe', { topic: entry.topic }).catch(() => {});
    }
  }

  private stateChanged(state: ConnectionState, reason: string | null): void {
    for (const listener of [...this.listeners]) listener(state, reason);
    this.call?.connectionChanged(state, reason);
    // A resumed session still has its subscriptions.
    if (reason === 'resumed') return;
    for (const entry of this.entries.values()) {
      this.cancelRetry(entry);
      if (state === 'open') void this.send(entry);
    }
  }

  private async send(entry: Entry): Promise<void> {
    let reply: SubscribeReply;
    try {
      const fields = { topic: entry.topic, ...(entry.options.watch === true ? { watch: true } : {}) };
      reply = (await this.connection.request('subscribe', fields)) as SubscribeReply;
    } catch (error) {
      // A lost connection subscribes again by itself once it is back; a cancelled request was overtaken by our own.
      if (!(error instanceof TelstarError) || error.code === 'closed' || error.code === 'cancelled') return;
      if (this.entries.get(entry.topic) !== entry) return;
      if (TRY_AGAIN.has(error.code)) this.sendLater(entry);
      else entry.options.onError?.(error);
      return;
    }
    if (this.entries.get(entry.topic) !== entry) return;
    entry.retry.reset();
    const newEpoch = entry.epoch !== undefined && entry.epoch !== reply.epoch;
    entry.epoch = reply.epoch;
    entry.offset = reply.offset;
    entry.state = reply.state;
    entry.options.onState?.(reply.state, { cause: 'subscribed', newEpoch });
  }

  private sendLater(entry: Entry): void {
    this.cancelRetry(entry);
    entry.retryTimer = this.platform.setTimer(() => {
      entry.retryTimer = null;
      if (this.connection.state === 'open') void this.send(entry);
    }, entry.retry.nextDelayMs());
  }

  private cancelRetry(entry: Entry): void {
    if (entry.retryTimer !== null) this.platform.clearTimer(entry.retryTimer);
    entry.retryTimer = null;
  }

  private dispatch(event: TopicEvent): void {
    if (event.topic === `call:${this.call?.room ?? ''}`) {
      this.call?.dispatch(event);
      return;
    }
    const entry = this.entries.get(event.topic);
    if (entry === undefined) return;
    if (event.type === 'ended') {
      // The server has dropped the subscription; asking again tells a topic that is gone from one that has changed hands.
      void this.send(entry);
      return;
    }
    const newEpoch = event.epoch !== undefined && entry.epoch !== undefined && event.epoch !== entry.epoch;
    if (!newEpoch && isOld(event.offset, entry.offset)) return;
    const isGap = newEpoch || hasGap(event.offset, entry.offset);
    if (event.epoch !== undefined) entry.epoch = event.epoch;
    if (event.offset !== undefined) entry.offset = event.offset;
    if (event.type === 'state') {
      // A state event is complete in itself, so a gap before it loses nothing.
      entry.state = event['state'];
      entry.options.onState?.(entry.state, { cause: 'event', newEpoch });
      return;
    }
    if (isGap) {
      void this.send(entry);
      return;
    }
    entry.options.onEvent?.(event);
  }
}

function isOld(offset: number | undefined, last: number | undefined): boolean {
  return offset !== undefined && last !== undefined && offset <= last;
}

function hasGap(offset: number | undefined, last: number | undefined): boolean {
  return offset !== undefined && last !== undefined && offset > last + 1;
}

/** A connected client: `const call = connect({ url, token }).join('demo')`. */
export function connect(options: ClientOptions): Client {
  const client = new Client(options);
  client.connect();
  return client;
}

/** `https://host/x` becomes `wss://host/ws`. */
export function socketUrl(origin: string): string {
  const match = /^(http|ws)(s?):\/\/([^/?#]+)/.exec(origin);
  if (match === null) throw new TelstarError('bad_url', `not an http origin: ${origin}`);
  return `ws${match[2] ?? ''}://${match[3] ?? ''}/ws`;
}
