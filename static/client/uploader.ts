/**
 * Uploads files as tus 1.0 does: several at once, each of which pauses, goes on, survives a reload of the page and a restart of the
 * server. What was begun is remembered by the file's fingerprint; the file itself has to be chosen again after a reload.
 */

import { Emitter } from './emitter.js';
import { defaultPlatform, type Platform } from './platform.js';
import { Upload } from './upload.js';
import type { UploadPath, UploadSource } from './upload-part.js';
import { memoryStorage, UploadRecords, type RecordedPart, type UploadRecord, type UploadStorage } from './upload-records.js';
import { defaultTransport, type UploadTransport } from './upload-transport.js';

/** Files at once. More share the same line; one more hides the pause between two files. */
const AT_ONCE = 2;
/** Bytes of one request. Lower: a proxy with a limit for bodies lets it pass. Higher: fewer pauses for the server's disk. */
const CHUNK_BYTES = 64 * 1024 * 1024;
/** A part is no smaller: joining costs the server as much as copying. */
const PART_BYTES_MIN = 32 * 1024 * 1024;

export interface UploaderOptions {
  /** Empty for the page's own origin. */
  baseUrl?: string;
  /** An API token; a page with a session cookie needs none. */
  token?: string;
  /** Where uploads are remembered; without one, as long as the object lives. */
  storage?: UploadStorage;
  /** Files at once. */
  atOnce?: number;
  /** Bytes of one request. */
  chunkBytes?: number;
  /** Parts of one file that are sent side by side and joined. Helps where one connection does not fill the line. */
  parts?: number;
  platform?: Platform;
  transport?: UploadTransport;
  /** Milliseconds, for rates. */
  now?: () => number;
}

export interface UploaderEvents {
  /** One was added, or removed, or is another than it was. */
  change: Upload | null;
  /** One has become an asset. */
  done: Upload;
}

export class Uploader extends Emitter<UploaderEvents> {
  readonly uploads: Upload[] = [];
  private readonly records: UploadRecords;
  private readonly path: UploadPath;
  private readonly running = new Set<Upload>();
  private readonly stopListening: (() => void) | undefined;

  constructor(private readonly options: UploaderOptions = {}) {
    super();
    const platform = options.platform ?? defaultPlatform();
    this.records = new UploadRecords(options.storage ?? memoryStorage());
    this.path = {
      baseUrl: options.baseUrl ?? '',
      token: options.token,
      platform,
      transport: options.transport ?? defaultTransport(),
      chunkBytes: options.chunkBytes ?? CHUNK_BYTES,
    };
    this.stopListening = platform.onNetworkChange?.(() => this.retryNow());
  }

  /** Goes on with the file if it was begun before. The title is the file's name unless another is given. */
  add(source: UploadSource, title?: string): Upload {
    const fingerprint = fingerprintOf(source);
    const known = this.uploads.find((upload) => upload.fingerprint === fingerprint && !upload.isOver);
    if (known !== undefined) return known;
    const record = this.records.read(fingerprint);
    const plans = record !== null && covers(record.parts, source.size) ? record.parts : this.plan(source.size);
    const upload = new Upload(source, title ?? record?.title ?? titleOf(source.name), fingerprint, this.path, plans, this.records, this.options.now ?? Date.now);
    upload.on('change', () => {
      this.emit('change', upload);
      this.startNext();
    });
    this.uploads.push(upload);
    this.emit('change', upload);
    this.startNext();
    return upload;
  }

  /** Those that were begun, and whose file is to be chosen again. */
  unfinished(): UploadRecord[] {
    return this.records.all().filter(({ fingerprint }) => !this.uploads.some((upload) => upload.fingerprint === fingerprint && upload.state !== 'cancelled'));
  }

  /** Nobody goes on with it. What the server has of it expires. */
  forget(fingerprint: string): void {
    this.records.remove(fingerprint);
    this.emit('change', null);
  }

  /** Takes one that is over from the list. */
  dismiss(upload: Upload): void {
    const at = this.uploads.indexOf(upload);
    if (at < 0 || !upload.isOver) return;
    if (upload.state === 'failed') this.records.remove(upload.fingerprint);
    this.uploads.splice(at, 1);
    this.emit('change', null);
  }

  retryNow(): void {
    this.uploads.forEach((upload) => upload.retryNow());
  }

  /** Pauses all of them; what was begun stays remembered. */
  close(): void {
    this.stopListening?.();
    this.uploads.forEach((upload) => upload.pause());
  }

  private startNext(): void {
    const atOnce = this.options.atOnce ?? AT_ONCE;
    for (const upload of this.uploads) {
      if (this.running.size >= atOnce) return;
      if (upload.state !== 'waiting' || this.running.has(upload)) continue;
      this.running.add(upload);
      void upload.run().finally(() => {
        this.running.delete(upload);
        if (upload.state === 'done') this.emit('done', upload);
        this.startNext();
      });
    }
  }

  private plan(size: number): RecordedPart[] {
    const count = Math.max(1, Math.min(this.options.parts ?? 1, Math.floor(size / PART_BYTES_MIN)));
    const bounds = Array.from({ length: count + 1 }, (_, index) => Math.round((size * index) / count));
    return bounds.slice(1).map((end, index) => ({ start: bounds[index] ?? 0, end, url: null }));
  }
}

/** The same file after a reload has the same; another one has not, short of somebody's intent. */
export function fingerprintOf({ name, size, type, lastModified }: UploadSource): string {
  return [name, size, type ?? '', lastModified ?? ''].join('|');
}

/** The parts are the whole file, one behind the other. */
function covers(parts: readonly RecordedPart[], size: number): boolean {
  let end = 0;
  for (const part of parts) {
    if (part.start !== end || !(part.end >= part.start)) return false;
    ({ end } = part);
  }
  return end === size;
}

/** `film.final.mp4` is called `film.final`. */
function titleOf(name: string): string {
  const title = name.replace(/\.[A-Za-z0-9]{1,8}$/, '').trim();
  return title === '' ? name : title;
}
