/** What is remembered of uploads that are under way, so that they go on after a reload. */

/** A place for short texts that outlives the page: `localStorage` can be one. */
export interface UploadStorage {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
  keys(): string[];
}

export interface RecordedPart {
  start: number;
  end: number;
  url: string | null;
}

/** An upload that was begun. */
export interface UploadRecord {
  fingerprint: string;
  name: string;
  size: number;
  title: string;
  /** Bytes that had gone out when it was last heard of. */
  sentBytes: number;
  parts: RecordedPart[];
}

const PREFIX = 'upload:';

export class UploadRecords {
  constructor(private readonly storage: UploadStorage) {}

  read(fingerprint: string): UploadRecord | null {
    const text = this.storage.get(PREFIX + fingerprint);
    return text === null ? null : parse(text);
  }

  write(record: UploadRecord): void {
    // A full storage costs going on after a reload, not the upload.
    try {
      this.storage.set(PREFIX + record.fingerprint, JSON.stringify(record));
    } catch {
      this.remove(record.fingerprint);
    }
  }

  remove(fingerprint: string): void {
    this.storage.remove(PREFIX + fingerprint);
  }

  all(): UploadRecord[] {
    const keys = this.storage.keys().filter((key) => key.startsWith(PREFIX));
    return keys.flatMap((key) => this.read(key.slice(PREFIX.length)) ?? []);
  }
}

/** Null for what an older version wrote, or nobody. */
function parse(text: string): UploadRecord | null {
  try {
    const record = JSON.parse(text) as UploadRecord;
    const isWhole = typeof record.fingerprint === 'string' && typeof record.name === 'string' && typeof record.title === 'string'
      && typeof record.size === 'number' && Array.isArray(record.parts) && record.parts.length > 0;
    return isWhole ? record : null;
  } catch {
    return null;
  }
}

/** Storage that lasts as long as the page. */
export function memoryStorage(): UploadStorage {
  const texts = new Map<string, string>();
  return {
    get: (key) => texts.get(key) ?? null,
    set: (key, value) => void texts.set(key, value),
    remove: (key) => void texts.delete(key),
    keys: () => [...texts.keys()],
  };
}
