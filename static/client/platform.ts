/**
 * What the library needs from its surroundings: a socket, a timer, fetch.
 * It is described structurally, so that the library compiles without the DOM and runs in pages, workers, Node and tests.
 */

export interface SocketLike {
  readonly readyState: number;
  onopen: ((event: unknown) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface ResponseLike {
  readonly ok: boolean;
  readonly status: number;
  readonly statusText: string;
  /** Where the answer came from, after redirects. Absent or empty: where it was asked for. */
  readonly url?: string;
  /** `Rest` reads none. */
  readonly headers?: { get(name: string): string | null };
  /** Only `AssetEvents` reads an answer while it comes. */
  readonly body?: { getReader(): BodyReader } | null;
  text(): Promise<string>;
}

/** A `ReadableStreamDefaultReader` of bytes. */
export interface BodyReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

export interface RequestLike {
  method: string;
  headers: Record<string, string>;
  body?: string;
  credentials?: 'same-origin' | 'include' | 'omit';
  /** The request outlives the page (Fetch, "keepalive"). */
  keepalive?: boolean;
}

export type TimerHandle = unknown;

export interface Platform {
  openSocket(url: string, protocol: string): SocketLike;
  fetch(url: string, request: RequestLike): Promise<ResponseLike>;
  setTimer(callback: () => void, delayMs: number): TimerHandle;
  clearTimer(handle: TimerHandle): void;
  /** In [0, 1); spreads reconnects so that a restarted server is not met by all clients at once. */
  random(): number;
  /** Calls the listener when the way to the network has probably changed; returns a function that ends it. */
  onNetworkChange?(listener: () => void): () => void;
  /** Calls the listener when the page goes away; returns a function that ends it. */
  onPageHide?(listener: () => void): () => void;
}

/** `WebSocket.OPEN`. */
export const SOCKET_OPEN = 1;

interface Globals {
  WebSocket: new (url: string, protocol: string) => SocketLike;
  fetch: (url: string, request: RequestLike) => Promise<ResponseLike>;
  setTimeout: (callback: () => void, delayMs: number) => TimerHandle;
  clearTimeout: (handle: TimerHandle) => void;
  addEventListener?: (type: 'online' | 'pagehide', listener: () => void) => void;
  removeEventListener?: (type: 'online' | 'pagehide', listener: () => void) => void;
  navigator?: { connection?: NetworkInformation };
}

/** Where there is a `type`, it tells Wi-Fi from mobile data; its changes are the only ones that mean another path. */
interface NetworkInformation {
  type?: string;
  addEventListener(type: 'change', listener: () => void): void;
  removeEventListener(type: 'change', listener: () => void): void;
}

/** The surroundings of a browser, a worker or a recent Node. */
export function defaultPlatform(): Platform {
  const globals = globalThis as unknown as Globals;
  return {
    openSocket: (url, protocol) => new globals.WebSocket(url, protocol),
    fetch: (url, request) => globals.fetch(url, request),
    setTimer: (callback, delayMs) => globals.setTimeout(callback, delayMs),
    clearTimer: (handle) => globals.clearTimeout(handle),
    random: () => Math.random(),
    onNetworkChange: (listener) => watchNetwork(globals, listener),
    onPageHide: (listener) => {
      globals.addEventListener?.('pagehide', listener);
      return () => globals.removeEventListener?.('pagehide', listener);
    },
  };
}

function watchNetwork(globals: Globals, listener: () => void): () => void {
  const connection = globals.navigator?.connection;
  let type = connection?.type;
  const changed = (): void => {
    if (connection?.type === type) return;
    type = connection?.type;
    listener();
  };
  globals.addEventListener?.('online', listener);
  connection?.addEventListener('change', changed);
  return () => {
    globals.removeEventListener?.('online', listener);
    connection?.removeEventListener('change', changed);
  };
}
