/**
 * What happens to the account's assets and jobs, as it happens (`/api/v1/events`).
 * It keeps itself connected and goes on behind the last event that it had; `stale` says that some may have been missed for good.
 */

import type { Asset, Job } from './asset-wire.js';
import { Backoff, RECONNECT_BACKOFF } from './backoff.js';
import { Emitter } from './emitter.js';
import { TelstarError } from './errors.js';
import { retryAfterMs } from './http-resource.js';
import { defaultPlatform, type BodyReader, type Platform, type RequestLike, type TimerHandle } from './platform.js';
import { problem } from './rest.js';
import { SseParser, type ServerEvent } from './sse.js';

/** The server sends a comment every 15 s; three of them may be lost. */
const SILENCE_MS = 50_000;

interface Globals {
  TextDecoder: new () => { decode(bytes: Uint8Array, options: { stream: boolean }): string };
}

export interface AssetEventsMap {
  asset: Asset;
  job: Job;
  deleted: { asset: string };
  /** What is shown has to be read again: at the beginning, and where the server has forgotten what was missed. */
  stale: null;
  connection: 'connecting' | 'open' | 'lost' | 'closed';
  /** The server refuses this credential; nothing more comes. */
  refused: TelstarError;
}

export interface AssetEventsOptions {
  /** Empty for the page's own origin. */
  baseUrl?: string;
  /** An API token; a page with a session cookie needs none. */
  token?: string;
  platform?: Platform;
}

export class AssetEvents extends Emitter<AssetEventsMap> {
  state: AssetEventsMap['connection'] = 'connecting';
  private readonly platform: Platform;
  private readonly parser = new SseParser();
  private readonly backoff: Backoff;
  private reader: BodyReader | null = null;
  private timer: TimerHandle | null = null;
  /** Counts the connections: what comes from an older one is not heard. */
  private run = 0;
  private isWaiting = false;
  private isClosed = false;
  private stopListening: (() => void) | undefined;

  constructor(private readonly options: AssetEventsOptions = {}) {
    super();
    this.platform = options.platform ?? defaultPlatform();
    this.backoff = new Backoff(RECONNECT_BACKOFF, () => this.platform.random());
  }

  open(): void {
    this.stopListening = this.platform.onNetworkChange?.(() => this.retryNow());
    void this.listen();
  }

  /** The network is back, or the page is looked at again. */
  retryNow(): void {
    if (this.isClosed || !this.isWaiting) return;
    this.clearTimer();
    this.backoff.reset();
    void this.listen();
  }

  close(): void {
    this.isClosed = true;
    this.run += 1;
    this.clearTimer();
    this.stopListening?.();
    this.drop();
    this.become('closed');
  }

  private async listen(): Promise<void> {
    this.run += 1;
    this.isWaiting = false;
    const { run } = this;
    try {
      await this.stream(run);
      if (run === this.run) this.lost();
    } catch (error) {
      if (run !== this.run) return;
      if (error instanceof TelstarError && (error.status === 401 || error.status === 403)) {
        this.close();
        this.emit('refused', error);
        return;
      }
      this.lost(error instanceof TelstarError ? error.retryAfterMs : null);
    }
  }

  private async stream(run: number): Promise<void> {
    const isFirst = this.parser.lastId === '';
    const request: RequestLike = { method: 'GET', headers: { accept: 'text/event-stream' }, credentials: 'same-origin' };
    if (this.options.token !== undefined) request.headers['authorization'] = `Bearer ${this.options.token}`;
    if (!isFirst) request.headers['last-event-id'] = this.parser.lastId;
    this.watchSilence();
    const response = await this.platform.fetch(`${this.options.baseUrl ?? ''}/api/v1/events`, request);
    if (!response.ok) throw problem(response.status, await response.text(), retryAfterMs(response.headers?.get('retry-after') ?? null));
    const reader = response.body?.getReader();
    if (reader === undefined) throw new TelstarError('bad_reply', 'the answer cannot be read as it comes');
    if (run !== this.run) {
      void reader.cancel().catch(() => {});
      return;
    }
    this.reader = reader;
    this.parser.restart();
    const decoder = new (globalThis as unknown as Globals).TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || value === undefined || run !== this.run) return;
      this.watchSilence();
      this.backoff.reset();
      const events = this.parser.push(decoder.decode(value, { stream: true }));
      if (this.state !== 'open') {
        this.become('open');
        // Only now: what was read before could be older than the beginning of the stream.
        if (isFirst) this.emit('stale', null);
      }
      for (const event of events) this.take(event);
    }
  }

  private take(event: ServerEvent): void {
    let body: unknown;
    try {
      body = JSON.parse(event.data);
    } catch {
      return;
    }
    if (event.type === 'asset') this.emit('asset', body as Asset);
    else if (event.type === 'job') this.emit('job', body as Job);
    else if (event.type === 'asset-deleted') this.emit('deleted', body as { asset: string });
    else if (event.type === 'missed') this.emit('stale', null);
  }

  private lost(askedMs: number | null = null): void {
    this.drop();
    this.become('lost');
    this.clearTimer();
    this.isWaiting = true;
    this.timer = this.platform.setTimer(() => void this.listen(), askedMs ?? this.backoff.nextDelayMs());
  }

  /** A path that is gone may not say so. */
  private watchSilence(): void {
    this.clearTimer();
    this.timer = this.platform.setTimer(() => {
      this.run += 1;
      this.lost();
    }, SILENCE_MS);
  }

  /** Whoever reads is told that it is over. */
  private drop(): void {
    const { reader } = this;
    this.reader = null;
    if (reader !== null) void reader.cancel().catch(() => {});
  }

  private clearTimer(): void {
    if (this.timer !== null) this.platform.clearTimer(this.timer);
    this.timer = null;
  }

  private become(state: AssetEventsMap['connection']): void {
    if (this.state === state) return;
    this.state = state;
    this.emit('connection', state);
  }
}
