/**
 * One resource of tus 1.0 (<https://tus.io/protocols/resumable-upload>): made, appended to, asked where it is, and gone on with
 * after whatever breaks. What the server has acknowledged is on its disk.
 */

import { Backoff } from './backoff.js';
import { TelstarError } from './errors.js';
import { resolve, retryAfterMs } from './http-resource.js';
import type { Platform, TimerHandle } from './platform.js';
import { problem } from './rest.js';
import type { UploadExchange, UploadResponse, UploadTransport } from './upload-transport.js';

/** What is uploaded: a browser's `File` is one. */
export interface UploadSource {
  readonly size: number;
  readonly name: string;
  readonly type?: string;
  readonly lastModified?: number;
  /** The bytes from `start` up to `end`, as `fetch` takes them; nothing is read yet. */
  slice(start: number, end: number): unknown;
}

/** Lower: a server that restarts is found sooner. Higher: less noise while it is away. */
const UPLOAD_BACKOFF = { firstMs: 500, maxMs: 20_000 };
/** No byte has gone out, or no answer come, for this long: the path is gone without saying so. Also bears a slow disk at the end. */
const STALL_MS = 60_000;
/** Answers after which the same may succeed: too slow, another writer, another offset, too many, and a body that was damaged. */
const WORTH_ANOTHER_TRY = new Set([408, 423, 429, 460, 500, 502, 503, 504]);

/** The way to one server. */
export interface UploadPath {
  baseUrl: string;
  token: string | undefined;
  platform: Platform;
  transport: UploadTransport;
  chunkBytes: number;
}

export interface PartPlan {
  source: UploadSource;
  start: number;
  end: number;
  /** `Upload-Metadata`. */
  metadata: string;
  /** It is one of several that are joined. */
  isPart: boolean;
  /** Where it is, if it was begun before. */
  url: string | null;
}

export interface PartHandlers {
  /** It has been made, or is to be made anew. */
  onUrl(url: string | null): void;
  onProgress(): void;
  /** Why it waits for another try; null when it goes on. */
  onWaiting(reason: TelstarError | null): void;
}

export class PartUpload {
  url: string | null;
  /** Bytes that the server has on its disk. */
  acknowledged = 0;
  /** Bytes behind them that have gone out. */
  inFlight = 0;
  /** What it has become. */
  asset: string | null = null;
  private readonly size: number;
  private readonly backoff: Backoff;
  private exchange: UploadExchange | null = null;
  private wake: (() => void) | null = null;
  private isStopped = false;
  private hasBegunAnew = false;

  constructor(
    private readonly path: UploadPath,
    private readonly plan: PartPlan,
    private readonly handlers: PartHandlers,
  ) {
    this.url = plan.url;
    this.size = plan.end - plan.start;
    this.backoff = new Backoff(UPLOAD_BACKOFF, () => path.platform.random());
  }

  /** Resolves when every byte is acknowledged. Rejects with code `aborted` after `stop`, else where no other try would help. */
  async run(): Promise<void> {
    this.isStopped = false;
    let mustAsk = this.url !== null;
    for (;;) {
      if (this.isStopped) throw new TelstarError('aborted', 'the upload was stopped');
      try {
        if (this.url === null) await this.create();
        else if (mustAsk) await this.ask();
        mustAsk = false;
        if (this.acknowledged < this.size) {
          await this.append();
        } else {
          // The answer that named the asset may have been lost.
          if (!this.plan.isPart && this.asset === null) await this.ask();
          return;
        }
      } catch (error) {
        // Of what had gone out most has arrived: the server is asked when it goes on.
        if (this.isStopped) continue;
        this.inFlight = 0;
        const failure = error instanceof TelstarError ? error : new TelstarError('network', String(error));
        mustAsk = true;
        if (this.beginsAnew(failure)) continue;
        if (!isWorthAnotherTry(failure)) throw failure;
        await this.wait(failure);
      }
    }
  }

  /** What is on its way may arrive all the same. */
  stop(): void {
    this.isStopped = true;
    this.exchange?.abort();
    this.wake?.();
  }

  /** The network is back: no need to wait any longer. */
  retryNow(): void {
    this.wake?.();
  }

  /** Gives it up at the server. */
  async remove(): Promise<void> {
    const { url } = this;
    if (url === null) return;
    const { status, text } = await this.send('DELETE', url, {});
    if (status !== 404 && status !== 410 && status >= 400) throw problem(status, text);
  }

  /** Makes one upload of several; returns the asset. */
  async join(urls: readonly string[]): Promise<string | null> {
    const response = await this.send('POST', this.endpoint, {
      'upload-concat': `final;${urls.join(' ')}`,
      'upload-metadata': this.plan.metadata,
    });
    this.expect(response, [201]);
    return this.asset;
  }

  private get endpoint(): string {
    return `${this.path.baseUrl}/api/v1/uploads`;
  }

  private async create(): Promise<void> {
    const headers: Record<string, string> = { 'upload-length': String(this.size) };
    if (this.plan.isPart) headers['upload-concat'] = 'partial';
    else headers['upload-metadata'] = this.plan.metadata;
    const response = await this.send('POST', this.endpoint, headers);
    this.expect(response, [201]);
    const location = response.header('location');
    if (location === null) throw new TelstarError('bad_reply', 'the server did not say where the upload is', response.status);
    this.url = resolve(location, this.endpoint);
    this.acknowledged = 0;
    this.inFlight = 0;
    this.handlers.onUrl(this.url);
  }

  private async ask(): Promise<void> {
    const response = await this.send('HEAD', this.url ?? '', {});
    this.expect(response, [200, 204]);
    this.takeOffset(response);
  }

  private async append(): Promise<void> {
    const from = this.acknowledged;
    const to = Math.min(this.size, from + this.path.chunkBytes);
    const { source, start } = this.plan;
    const headers = { 'content-type': 'application/offset+octet-stream', 'upload-offset': String(from) };
    const response = await this.send('PATCH', this.url ?? '', headers, source.slice(start + from, start + to), (sent) => {
      this.inFlight = Math.min(sent, to - from);
      this.handlers.onWaiting(null);
      this.handlers.onProgress();
    });
    this.inFlight = 0;
    this.expect(response, [200, 204]);
    this.takeOffset(response);
  }

  private takeOffset(response: UploadResponse): void {
    const text = response.header('upload-offset');
    const offset = text === null || !/^\d+$/.test(text) ? NaN : Number(text);
    // Anything else would send bytes to the wrong place.
    if (!(offset >= 0 && offset <= this.size)) throw new TelstarError('bad_reply', 'the server did not say where the upload is');
    if (offset > this.acknowledged) this.backoff.reset();
    this.acknowledged = offset;
    this.inFlight = 0;
    this.handlers.onWaiting(null);
    this.handlers.onProgress();
  }

  private expect(response: UploadResponse, statuses: readonly number[]): void {
    if (!statuses.includes(response.status)) {
      throw problem(response.status, response.text, retryAfterMs(response.header('retry-after')));
    }
    this.asset = response.header('telstar-asset') ?? this.asset;
  }

  /** The server has given it up, or never had it: once, everything is sent again. */
  private beginsAnew({ status }: TelstarError): boolean {
    if ((status !== 404 && status !== 410) || this.url === null || this.hasBegunAnew) return false;
    this.hasBegunAnew = true;
    this.url = null;
    this.acknowledged = 0;
    this.handlers.onUrl(null);
    this.handlers.onProgress();
    return true;
  }

  private async send(method: string, url: string, more: Record<string, string>, body?: unknown, onProgress?: (sent: number) => void): Promise<UploadResponse> {
    const { platform, token, transport } = this.path;
    const headers: Record<string, string> = { 'tus-resumable': '1.0.0', ...more };
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    let timer: TimerHandle = null;
    const watch = (): void => {
      timer = platform.setTimer(() => exchange.abort(), STALL_MS);
    };
    const exchange = transport.send({
      method, url, headers,
      ...(body === undefined ? {} : { body }),
      onProgress: (sent) => {
        platform.clearTimer(timer);
        watch();
        onProgress?.(sent);
      },
    });
    this.exchange = exchange;
    // Without progress nobody knows whether a large body still goes out.
    if (transport.reportsProgress || body === undefined) watch();
    try {
      return await exchange.done;
    } finally {
      platform.clearTimer(timer);
      if (this.exchange === exchange) this.exchange = null;
    }
  }

  private wait(failure: TelstarError): Promise<void> {
    this.handlers.onWaiting(failure);
    return new Promise((goOn) => {
      const { platform } = this.path;
      const timer = platform.setTimer(() => this.wake?.(), failure.retryAfterMs ?? this.backoff.nextDelayMs());
      this.wake = () => {
        platform.clearTimer(timer);
        this.wake = null;
        goOn();
      };
    });
  }
}

function isWorthAnotherTry(failure: TelstarError): boolean {
  // Of the conflicts only this one goes away by asking where the upload is.
  return failure.status === 0 ? failure.code !== 'bad_reply' : WORTH_ANOTHER_TRY.has(failure.status) || failure.code === 'wrong_offset';
}
