/**
 * One `/ws` connection that keeps itself up: opens, authenticates, sends requests, matches replies, hands events on,
 * and after a loss comes back with back-off. It knows requests and events, and nothing of topics.
 */

import { Backoff, RECONNECT_BACKOFF, type BackoffOptions } from './backoff.js';
import { TelstarError } from './errors.js';
import { SOCKET_OPEN, type Platform, type SocketLike, type TimerHandle } from './platform.js';
import { CLOSE, parseIncoming, type Reply, type TopicEvent } from './wire.js';

export const SUBPROTOCOL = 'telstar.v1';

/** Lower: a dead server is noticed sooner. Higher: a slow one is not mistaken for dead. A guess. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Lower: a silently dead path (sleep, changed network) is noticed sooner. Higher: fewer wake-ups on phones. A guess. */
const PING_EVERY_MS = 20_000;
/** A request past this many unanswered ones is refused with `busy`: the caller is in a loop. */
const PENDING_MAX = 256;

/** `idle` before `open()`; `closed` after `close()`, or when the server said that trying again is useless. */
export type ConnectionState = 'idle' | 'connecting' | 'open' | 'lost' | 'closed';

export interface ConnectionOptions {
  url: string;
  platform: Platform;
  /** Sent as the first message. A page with a session cookie needs none. */
  token?: string;
  backoff?: BackoffOptions;
}

export interface ConnectionHandlers {
  onState(state: ConnectionState, reason: string | null): void;
  onEvent(event: TopicEvent): void;
}

interface Pending {
  resolve(reply: Reply): void;
  reject(error: TelstarError): void;
  timer: TimerHandle;
}

export class Connection {
  private socket: SocketLike | null = null;
  private current: ConnectionState = 'idle';
  private nextId = 1;
  private readonly pending = new Map<number | string, Pending>();
  private readonly backoff: Backoff;
  private retryTimer: TimerHandle | null = null;
  private pingTimer: TimerHandle | null = null;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly handlers: ConnectionHandlers,
  ) {
    this.backoff = new Backoff(options.backoff ?? RECONNECT_BACKOFF, () => options.platform.random());
  }

  get state(): ConnectionState {
    return this.current;
  }

  open(): void {
    if (this.socket !== null || this.current === 'closed') return;
    this.cancelRetry();
    this.setState('connecting', null);
    let socket: SocketLike;
    try {
      socket = this.options.platform.openSocket(this.options.url, SUBPROTOCOL);
    } catch {
      this.retryLater('network');
      return;
    }
    this.socket = socket;
    socket.onopen = () => void this.greet(socket);
    socket.onmessage = (message) => this.receive(socket, message.data);
    socket.onclose = (close) => this.lost(socket, close.code, close.reason);
    // A close event always follows an error (HTML, "fail the WebSocket connection"), and says more.
    socket.onerror = () => {};
  }

  /** Ends for good; pending requests fail with `closed`. */
  close(): void {
    this.cancelRetry();
    const socket = this.detach();
    this.setState('closed', null);
    socket?.close(1000);
  }

  /** Skips the rest of a back-off delay: the page became visible or the network came back. */
  retryNow(): void {
    if (this.current !== 'lost') return;
    this.backoff.reset();
    this.open();
  }

  request(type: string, fields: Record<string, unknown> = {}): Promise<Reply> {
    const socket = this.socket;
    if (socket === null || socket.readyState !== SOCKET_OPEN) {
      return Promise.reject(new TelstarError('closed', 'the connection is not open'));
    }
    if (this.pending.size >= PENDING_MAX) {
      return Promise.reject(new TelstarError('busy', `more than ${PENDING_MAX} requests are unanswered`));
    }
    const id = this.nextId++;
    return new Promise<Reply>((resolve, reject) => {
      const timer = this.options.platform.setTimer(() => {
        this.pending.delete(id);
        reject(new TelstarError('timeout', `no reply to ${type} within ${REQUEST_TIMEOUT_MS} ms`));
      }, REQUEST_TIMEOUT_MS);
      this.pending.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ ...fields, id, type }));
    });
  }

  private async greet(socket: SocketLike): Promise<void> {
    if (this.socket !== socket) return;
    if (this.options.token !== undefined) {
      try {
        await this.request('authenticate', { token: this.options.token });
      } catch (error) {
        if (this.socket !== socket) return;
        if (error instanceof TelstarError && !error.isTransient) {
          // The same token would be refused again, so no retry.
          this.end(socket, error.code);
        } else {
          this.drop(socket);
        }
        return;
      }
      if (this.socket !== socket) return;
    }
    this.backoff.reset();
    this.setState('open', null);
    this.schedulePing(socket);
  }

  private receive(socket: SocketLike, data: unknown): void {
    if (this.socket !== socket) return;
    const incoming = parseIncoming(data);
    if (incoming.kind === 'event') {
      this.handlers.onEvent(incoming.event);
    } else if (incoming.kind === 'reply') {
      this.settle(incoming.reply);
    }
  }

  private settle(reply: Reply): void {
    const pending = this.pending.get(reply.re);
    if (pending === undefined) return;
    this.pending.delete(reply.re);
    this.options.platform.clearTimer(pending.timer);
    if (reply.ok) {
      pending.resolve(reply);
    } else {
      const code = reply.error?.code ?? 'bad_reply';
      pending.reject(new TelstarError(code, reply.error?.detail ?? code));
    }
  }

  private lost(socket: SocketLike, code: number, reason: string): void {
    if (this.socket !== socket) return;
    this.detach();
    // Neither a bad credential nor a message that the server cannot read gets better by repeating it.
    if (code === CLOSE.unauthorised || code === CLOSE.badMessage) {
      this.setState('closed', code === CLOSE.unauthorised ? 'unauthorised' : 'bad_message');
      return;
    }
    this.retryLater(reason === '' ? `close ${code}` : reason);
  }

  /** Gives a socket up without waiting for its close event, which a dead path may delay by minutes. */
  private drop(socket: SocketLike): void {
    if (this.socket !== socket) return;
    this.detach();
    socket.close();
    this.retryLater('timeout');
  }

  private end(socket: SocketLike, reason: string): void {
    this.detach();
    this.setState('closed', reason);
    socket.close(1000);
  }

  private detach(): SocketLike | null {
    const socket = this.socket;
    this.socket = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
    }
    if (this.pingTimer !== null) this.options.platform.clearTimer(this.pingTimer);
    this.pingTimer = null;
    const waiting = [...this.pending.values()];
    this.pending.clear();
    for (const pending of waiting) {
      this.options.platform.clearTimer(pending.timer);
      pending.reject(new TelstarError('closed', 'the connection was lost'));
    }
    return socket;
  }

  private retryLater(reason: string): void {
    const delayMs = this.backoff.nextDelayMs();
    this.retryTimer = this.options.platform.setTimer(() => {
      this.retryTimer = null;
      this.open();
    }, delayMs);
    this.setState('lost', reason);
  }

  private cancelRetry(): void {
    if (this.retryTimer !== null) this.options.platform.clearTimer(this.retryTimer);
    this.retryTimer = null;
  }

  private schedulePing(socket: SocketLike): void {
    this.pingTimer = this.options.platform.setTimer(() => {
      this.request('ping').then(
        () => {
          if (this.socket === socket) this.schedulePing(socket);
        },
        // An error reply is still an answer: the path is alive.
        (error: TelstarError) => {
          if (this.socket !== socket) return;
          if (error.code === 'timeout') this.drop(socket);
          else this.schedulePing(socket);
        },
      );
    }, PING_EVERY_MS);
  }

  private setState(state: ConnectionState, reason: string | null): void {
    if (this.current === state) return;
    this.current = state;
    this.handlers.onState(state, reason);
  }
}
