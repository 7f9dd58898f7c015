/** One file on its way to an asset: its parts, how far they are, pausing, going on, giving up. Made by `Uploader`. */

import { Emitter } from './emitter.js';
import { TelstarError } from './errors.js';
import { PartUpload, type UploadPath, type UploadSource } from './upload-part.js';
import type { RecordedPart, UploadRecord, UploadRecords } from './upload-records.js';

/** `waiting` for its turn; `retrying` after something broke; `joining` its parts. */
export type UploadState = 'waiting' | 'uploading' | 'retrying' | 'joining' | 'paused' | 'done' | 'failed' | 'cancelled';

export interface UploadEvents {
  /** Its state or its progress is another. */
  change: Upload;
}

/** The rate is that of the latest ten seconds: shorter jumps, longer does not notice. */
const RATE_WINDOW_MS = 10_000;
/** Until then a rate says nothing. */
const RATE_MIN_MS = 1_500;
/** The record is written no more often: what is acknowledged is asked of the server anyway. */
const RECORD_EVERY_MS = 1_000;

export class Upload extends Emitter<UploadEvents> {
  state: UploadState = 'waiting';
  /** Why it failed, or what it waits for while it is `retrying`. */
  error: TelstarError | null = null;
  /** What it has become. */
  asset: string | null = null;
  private readonly parts: PartUpload[];
  private readonly plans: RecordedPart[];
  private readonly waitsFor = new Map<PartUpload, TelstarError>();
  private samples: { at: number; bytes: number }[] = [];
  private recordedAt = 0;

  constructor(
    readonly source: UploadSource,
    readonly title: string,
    readonly fingerprint: string,
    path: UploadPath,
    plans: readonly RecordedPart[],
    private readonly records: UploadRecords,
    private readonly now: () => number,
  ) {
    super();
    const metadata = metadataOf(source, title);
    this.plans = plans.map((plan) => ({ ...plan }));
    this.parts = this.plans.map((plan) => {
      const part: PartUpload = new PartUpload(path, { ...plan, source, metadata, isPart: plans.length > 1 }, {
        onUrl: (url) => {
          plan.url = url;
          this.record();
        },
        onProgress: () => this.progressed(),
        onWaiting: (reason) => this.waited(part, reason),
      });
      return part;
    });
  }

  get size(): number {
    return this.source.size;
  }

  /** Bytes that have gone out, those included that are not acknowledged yet. */
  get sentBytes(): number {
    return this.parts.reduce((sum, part) => sum + part.acknowledged + part.inFlight, 0);
  }

  /** 0 to 1. */
  get progress(): number {
    return this.size === 0 ? (this.state === 'done' ? 1 : 0) : this.sentBytes / this.size;
  }

  /** Bytes a second, or null until that can be said. */
  get rate(): number | null {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    if (this.state !== 'uploading' || first === undefined || last === undefined || last.at - first.at < RATE_MIN_MS) return null;
    return Math.max(0, (last.bytes - first.bytes) / ((last.at - first.at) / 1000));
  }

  get etaSecs(): number | null {
    const { rate } = this;
    return rate === null || rate === 0 ? null : (this.size - this.sentBytes) / rate;
  }

  get isRunning(): boolean {
    return this.state === 'uploading' || this.state === 'retrying' || this.state === 'joining';
  }

  /** It has come to its end, or has none without somebody's doing. */
  get isOver(): boolean {
    return this.state === 'done' || this.state === 'failed' || this.state === 'cancelled';
  }

  /** Called by `Uploader` when its turn has come. Resolves when it is over or paused. */
  async run(): Promise<void> {
    this.samples = [];
    this.become('uploading');
    try {
      await Promise.all(this.parts.map((part) => part.run()));
      if (this.isOver) return;
      const [first] = this.parts;
      if (this.parts.length > 1) {
        this.become('joining');
        this.asset = (await first?.join(this.parts.map((part) => part.url ?? ''))) ?? null;
      } else {
        this.asset = first?.asset ?? null;
      }
      this.records.remove(this.fingerprint);
      this.become('done');
    } catch (error) {
      this.parts.forEach((part) => part.stop());
      // `pause` and `cancel` have said what it is now.
      if (!this.isRunning) return;
      this.become('failed', error instanceof TelstarError ? error : new TelstarError('unexpected', String(error)));
    }
  }

  /** What the server has stays there until it expires. */
  pause(): void {
    if (!this.isRunning && this.state !== 'waiting') return;
    this.become('paused');
    this.parts.forEach((part) => part.stop());
    this.record();
  }

  /** Its turn comes again. */
  resume(): void {
    if (this.state === 'paused' || this.state === 'failed') this.become('waiting');
  }

  retryNow(): void {
    this.parts.forEach((part) => part.retryNow());
  }

  /** Gives it up, here and at the server. */
  async cancel(): Promise<void> {
    if (this.state === 'done' || this.state === 'cancelled') return;
    this.become('cancelled');
    this.records.remove(this.fingerprint);
    this.parts.forEach((part) => part.stop());
    // What cannot be given up now expires.
    await Promise.all(this.parts.map((part) => part.remove().catch(() => {})));
  }

  private waited(part: PartUpload, reason: TelstarError | null): void {
    if (reason === null) this.waitsFor.delete(part);
    else this.waitsFor.set(part, reason);
    if (this.state !== 'uploading' && this.state !== 'retrying') return;
    // While another part goes on, so does the upload.
    const isStuck = this.waitsFor.size === this.parts.length;
    if (isStuck !== (this.state === 'retrying')) this.become(isStuck ? 'retrying' : 'uploading', isStuck ? reason : null);
  }

  private progressed(): void {
    const now = this.now();
    this.samples.push({ at: now, bytes: this.sentBytes });
    while (this.samples.length > 2 && (this.samples[1]?.at ?? now) < now - RATE_WINDOW_MS) this.samples.shift();
    if (now - this.recordedAt >= RECORD_EVERY_MS) this.record();
    this.emit('change', this);
  }

  private record(): void {
    if (this.isOver) return;
    this.recordedAt = this.now();
    const { fingerprint, title, size, sentBytes } = this;
    const record: UploadRecord = { fingerprint, title, size, name: this.source.name, sentBytes, parts: this.plans };
    if (this.plans.some(({ url }) => url !== null)) this.records.write(record);
  }

  private become(state: UploadState, error: TelstarError | null = null): void {
    this.state = state;
    this.error = error;
    if (state !== 'uploading') this.samples = [];
    this.emit('change', this);
  }
}

/** `title` names the asset; the others are for whoever reads the upload. */
function metadataOf({ name, type }: UploadSource, title: string): string {
  const pairs = [['title', title], ['filename', name], ['filetype', type ?? '']] as const;
  return pairs.filter(([, value]) => value !== '').map(([key, value]) => `${key} ${base64(value)}`).join(',');
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** The text's UTF-8 in base64 (RFC 4648 §4). */
export function base64(text: string): string {
  // Half of a surrogate pair is no text; it becomes U+FFFD.
  const whole = text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, '\uFFFD');
  const bytes = Array.from(encodeURIComponent(whole).matchAll(/%([0-9A-F]{2})|[^%]/g), ([one = '', hex]) => (hex === undefined ? one.charCodeAt(0) : parseInt(hex, 16)));
  let encoded = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const [first = 0, second = 0, third = 0] = bytes.slice(at, at + 3);
    const bits = (first << 16) | (second << 8) | third;
    const digits = [18, 12, 6, 0].map((shift) => ALPHABET[(bits >> shift) & 63]).join('');
    const left = bytes.length - at;
    encoded += left >= 3 ? digits : digits.slice(0, left + 1).padEnd(4, '=');
  }
  return encoded;
}
