/**
 * Subscriptions on top of a connection. Each holds the topic's last full state; after a reconnect it is subscribed
 * again and its state replaced, so that a subscriber never has to know that the connection was lost.
 */

import type { BackoffOptions } from './backoff.js';
import { Connection, type ConnectionState } from './connection.js';
import { TelstarError } from './errors.js';
import { defaultPlatform, type Platform } from './platform.js';
import type { Reply, SubscribeReply, TopicEvent } from './wire.js';

export interface ClientOptions {
  /** `ws:` or `wss:`, ending in `/ws`; see `socketUrl`. */
  url: string;
  token?: string;
  platform?: Platform;
  backoff?: BackoffOptions;
}

export interface SubscribeOptions<S> {
  /** Counts this connection among the room's viewers. */
  watch?: boolean;
  /** The topic's full state: after subscribing, after each resume, and with every `state` event. */
  onState?(state: S, change: StateChange): void;
  /** Every other event of the topic. */
  onEvent?(event: TopicEvent): void;
  /** The server refused the topic. It is tried again after the next reconnect. */
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
};

export class Client {
  private readonly connection: Connection;
  private readonly entries = new Map<string, Entry>();
  private readonly listeners = new Set<(state: ConnectionState, reason: string | null) => void>();

  constructor(options: ClientOptions) {
    const { platform = defaultPlatform(), ...rest } = options;
    this.connection = new Connection({ ...rest, platform }, {
      onState: (state, reason) => this.stateChanged(state, reason),
      onEvent: (event) => this.dispatch(event),
    });
  }

  get state(): ConnectionState {
    return this.connection.state;
  }

  connect(): void {
    this.connection.open();
  }

  close(): void {
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

  private unsubscribe(entry: Entry): void {
    if (this.entries.get(entry.topic) !== entry) return;
    this.entries.delete(entry.topic);
    if (this.connection.state === 'open') {
      // A refusal changes nothing here: the entry is gone and its events are ignored.
      this.connection.request('unsubscribe', { topic: entry.topic }).catch(() => {});
    }
  }

  private stateChanged(state: ConnectionState, reason: string | null): void {
    for (const listener of [...this.listeners]) listener(state, reason);
    if (state === 'open') {
      for (const entry of this.entries.values()) void this.send(entry);
    }
  }

  private async send(entry: Entry): Promise<void> {
    let reply: SubscribeReply;
    try {
      const fields = { topic: entry.topic, ...(entry.options.watch === true ? { watch: true } : {}) };
      reply = (await this.connection.request('subscribe', fields)) as SubscribeReply;
    } catch (error) {
      // A lost connection subscribes again by itself once it is back.
      if (!(error instanceof TelstarError) || error.code === 'closed') return;
      if (this.entries.get(entry.topic) === entry) entry.options.onError?.(error);
      return;
    }
    if (this.entries.get(entry.topic) !== entry) return;
    const newEpoch = entry.epoch !== undefined && entry.epoch !== reply.epoch;
    entry.epoch = reply.epoch;
    entry.offset = reply.offset;
    entry.state = reply.state;
    entry.options.onState?.(reply.state, { cause: 'subscribed', newEpoch });
  }

  private dispatch(event: TopicEvent): void {
    const entry = this.entries.get(event.topic);
    if (entry === undefined) return;
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

/** `https://host/x` becomes `wss://host/ws`. */
export function socketUrl(origin: string): string {
  const match = /^(http|ws)(s?):\/\/([^/?#]+)/.exec(origin);
  if (match === null) throw new TelstarError('bad_url', `not an http origin: ${origin}`);
  return `ws${match[2] ?? ''}://${match[3] ?? ''}/ws`;
}
