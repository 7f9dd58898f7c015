/**
 * How bytes of an upload travel. `XMLHttpRequest` where there is one, because only it says how much has gone out; else `fetch`.
 * Described structurally, so that the library compiles without the DOM.
 */

import { TelstarError } from './errors.js';

export interface UploadRequest {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** A `Blob`, or whatever the source's `slice` gives. */
  body?: unknown;
  /** So many bytes of the body have gone out. */
  onProgress?: (sentBytes: number) => void;
}

export interface UploadResponse {
  status: number;
  header(name: string): string | null;
  text: string;
}

export interface UploadExchange {
  /** Rejects with a `TelstarError` of code `network` where nothing was answered. */
  readonly done: Promise<UploadResponse>;
  abort(): void;
}

export interface UploadTransport {
  /** It says how much has gone out while it goes out. */
  readonly reportsProgress: boolean;
  send(request: UploadRequest): UploadExchange;
}

interface Xhr {
  readonly upload: { onprogress: ((event: { loaded: number }) => void) | null };
  readonly status: number;
  readonly responseText: string;
  onload: (() => void) | null;
  onerror: (() => void) | null;
  onabort: (() => void) | null;
  open(method: string, url: string): void;
  setRequestHeader(name: string, value: string): void;
  getResponseHeader(name: string): string | null;
  send(body?: unknown): void;
  abort(): void;
}

interface FetchAnswer {
  status: number;
  headers: { get(name: string): string | null };
  text(): Promise<string>;
}

interface Globals {
  XMLHttpRequest?: new () => Xhr;
  fetch(url: string, init: object): Promise<FetchAnswer>;
  AbortController: new () => { signal: unknown; abort(): void };
}

const unreachable = (): TelstarError => new TelstarError('network', 'the server could not be reached');

export function defaultTransport(): UploadTransport {
  const globals = globalThis as unknown as Globals;
  const { XMLHttpRequest } = globals;
  return XMLHttpRequest === undefined ? overFetch(globals) : overXhr(XMLHttpRequest);
}

function overXhr(Request: new () => Xhr): UploadTransport {
  return {
    reportsProgress: true,
    send({ method, url, headers, body, onProgress }) {
      const xhr = new Request();
      const done = new Promise<UploadResponse>((resolve, reject) => {
        xhr.open(method, url);
        for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
        if (onProgress !== undefined) xhr.upload.onprogress = ({ loaded }) => onProgress(loaded);
        xhr.onload = () => resolve({ status: xhr.status, header: (name) => xhr.getResponseHeader(name), text: xhr.responseText });
        xhr.onerror = xhr.onabort = () => reject(unreachable());
        xhr.send(body);
      });
      return { done, abort: () => xhr.abort() };
    },
  };
}

function overFetch(globals: Globals): UploadTransport {
  return {
    reportsProgress: false,
    send({ method, url, headers, body }) {
      const controller = new globals.AbortController();
      const run = async (): Promise<UploadResponse> => {
        try {
          const response = await globals.fetch(url, { method, headers, body, credentials: 'same-origin', signal: controller.signal });
          return { status: response.status, header: (name) => response.headers.get(name), text: await response.text() };
        } catch {
          throw unreachable();
        }
      };
      return { done: run(), abort: () => controller.abort() };
    },
  };
}
