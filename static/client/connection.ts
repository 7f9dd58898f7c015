/**
 * One `/ws` connection that keeps itself up: opens, authenticates, sends requests, matches replies, hands events on,
 * and after a loss comes back with back-off. With a session it goes on where it was: unanswered requests are kept, and
 * the server repeats what was missed. It knows requests and events, and nothing of topics or calls.
 */

import { Backoff, RECONNECT_BACKOFF, type BackoffOptions } from './backoff.js';
import { TelstarError } from './errors.js';
import { SOCKET_OPEN, type Platform, type SocketLike, type TimerHandle } from './platform.js';
import type { ResumeReply, SessionSecret } from './call-wire.js';
import { CLOSE, parseIncoming, type Reply, type TopicEvent } from './wire.js';

export const SUBPROTOCOL = 'telstar.v1';

/** Lower: a dead server is noticed sooner. Higher: a slow one is not mistaken for dead. A guess. */
const REQUEST_TIMEOUT_MS = 10_000;
/** Lower: a silently dead path (sleep, changed network) is noticed sooner. Higher: fewer wake-ups on phones. A guess. */
const PING_EVERY_MS = 20_000;
/** With a session, which the server keeps for 40 s: a dead path must be noticed while there is time to come back. */
const SESSION_PING_EVERY_MS = 5_000;
const SESSION_PING_TIMEOUT_MS = 5_000;
/**
 * For any other request with a session. More than the two above together: a dead path is noticed before a request is given
 * up, which then goes on with the session and is answered late or sent again. A publish that is given up ends its track.
 */
const SESSION_REQUEST_TIMEOUT_MS = 15_000;
/** A request past this many unanswered ones is refused with `busy`: the caller is in a loop. */
const PENDING_MAX = 256;

/** What means nothing on another socket. */
const ONE_SOCKET_ONLY = new Set(['authenticate', 'resume', 'ping']);

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
  /** The reason of `open` is `resumed` where a session went on. */
  onState(state: ConnectionState, reason: string | null): void;
  onEvent(event: TopicEvent): void;
  /** A socket without a past takes requests: the credential is on its way, and what is sent now follows it at once. */
  onFresh?(): void;
}

interface Pending {
  readonly type: string;
  readonly text: string;
  /** False while it waits for a socket. */
  isSent: boolean;
  timer: TimerHandle | null;
  timeoutMs: number;
  resolve(reply: Reply): void;
  reject(error: TelstarError): void;
}

export class Connection {
  private socket: SocketLike | null = null;
  private current: ConnectionState = 'idle';
  private nextId = 1;
  private readonly pending = new Map<number | string, Pending>();
  private readonly backoff: Backoff;
  private retryTimer: TimerHandle | null = null;
  private pingTimer: TimerHandle | null = null;
  private session: SessionSecret | null = null;
  private lastSeq = 0;
  /** The first message of the socket is out, so that others may follow. */
  private isGreeted = false;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly handlers: ConnectionHandlers,
  ) {
    this.backoff = new Backoff(options.backoff ?? RECONNECT_BACKOFF, () => options.platform.random());
  }

  get state(): ConnectionState {
    return this.current;
  }

  /** Requests go out at once. */
  get isReady(): boolean {
    return this.isGreeted;
  }

  /** From now on a lost socket is resumed. */
  keepSession(session: SessionSecret): void {
    this.session = session;
    if (this.socket !== null && this.current === 'open') this.schedulePing(this.socket);
  }

  forgetSession(): void {
    this.session = null;
    // Nothing will send what waits for the next socket.
    if (!this.isGreeted) this.failPending('closed', 'the session was given up');
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
    this.session = null;
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

  /** With a session a request also waits for the next socket; without one it fails with `closed`. */
  request(type: string, fields: Record<string, unknown> = {}, timeoutMs = this.requestTimeoutMs()): Promise<Reply> {
    const isReady = this.isGreeted && this.socket?.readyState === SOCKET_OPEN;
    if (!isReady && this.session === null) {
      return Promise.reject(new TelstarError('closed', 'the connection is not open'));
    }
    if (this.pending.size >= PENDING_MAX) {
      return Promise.reject(new TelstarError('busy', `more than ${PENDING_MAX} requests are unanswered`));
    }
    return this.enqueue(isReady ? this.socket : null, type, fields, timeoutMs);
  }

  private requestTimeoutMs(): number {
    return this.session === null ? REQUEST_TIMEOUT_MS : SESSION_REQUEST_TIMEOUT_MS;
  }

  private enqueue(socket: SocketLike | null, type: string, fields: Record<string, unknown>, timeoutMs = REQUEST_TIMEOUT_MS): Promise<Reply> {
    const id = this.nextId++;
    return new Promise<Reply>((resolve, reject) => {
      const pending: Pending = { type, text: JSON.stringify({ ...fields, id, type }), isSent: false, timer: null, timeoutMs, resolve, reject };
      this.pending.set(id, pending);
      if (socket !== null) this.transmit(socket, id, pending);
    });
  }

  private transmit(socket: SocketLike, id: number | string, pending: Pending): void {
    pending.isSent = true;
    this.startTimer(id, pending);
    socket.send(pending.text);
  }

  private startTimer(id: number | string, pending: Pending): void {
    pending.timer = this.options.platform.setTimer(() => {
      this.pending.delete(id);
      pending.reject(new TelstarError('timeout', `no reply to ${pending.type} within ${pending.timeoutMs} ms`));
    }, pending.timeoutMs);
  }

  private async greet(socket: SocketLike): Promise<void> {
    if (this.socket !== socket) return;
    if (this.session !== null) await this.resume(socket, this.session);
    else await this.beginFresh(socket);
  }

  private async beginFresh(socket: SocketLike): Promise<void> {
    const { token } = this.options;
    this.lastSeq = 0;
    const authenticated = token === undefined ? null : this.enqueue(socket, 'authenticate', { token });
    this.isGreeted = true;
    this.handlers.onFresh?.();
    try {
      await authenticated;
    } catch (error) {
      if (this.socket !== socket) return;
      // The same token would be refused again, so no retry.
      if (error instanceof TelstarError && !error.isTransient) this.end(socket, error.code);
      else this.drop(socket);
      return;
    }
    if (this.socket === socket) this.opened(socket, null);
  }

  /** Goes on with the session: what was asked and never reached the server is sent again, the rest is answered late. */
  private async resume(socket: SocketLike, session: SessionSecret): Promise<void> {
    const kept = [...this.pending];
    const asked = kept.filter(([, pending]) => pending.isSent).map(([id]) => id);
    let reply: ResumeReply;
    try {
      reply = (await this.enqueue(socket, 'resume', { session: session.id, secret: session.secret, seq: this.lastSeq, pending: asked })) as ResumeReply;
    } catch (error) {
      if (this.socket !== socket) return;
      if (error instanceof TelstarError && error.isTransient) {
        // Somebody who has left meanwhile is not to be waited for: the server may have the session on this socket by now.
        this.drop(socket, this.session === null ? CLOSE.normal : CLOSE.abandoned);
        return;
      }
      this.session = null;
      this.failPending('gone', 'the session is gone');
      await this.beginFresh(socket);
      return;
    }
    if (this.socket !== socket) return;
    // `leave` may have ended the session meanwhile.
    if (this.session !== null) this.session = reply.session;
    const unknown = new Set(reply.unknown);
    this.isGreeted = true;
    for (const [id, pending] of [...this.pending]) {
      if (!pending.isSent || unknown.has(id)) this.transmit(socket, id, pending);
      else if (pending.timer === null) this.startTimer(id, pending);
    }
    this.opened(socket, 'resumed');
  }

  private opened(socket: SocketLike, reason: string | null): void {
    this.backoff.reset();
    this.setState('open', reason);
    if (this.socket === socket) this.schedulePing(socket);
  }

  private receive(socket: SocketLike, data: unknown): void {
    if (this.socket !== socket) return;
    const incoming = parseIncoming(data);
    if (incoming.kind === 'event') {
      const { seq } = incoming.event;
      // A resumed session may repeat what had come already.
      if (this.session !== null && seq <= this.lastSeq) return;
      this.lastSeq = seq;
      this.handlers.onEvent(incoming.event);
    } else if (incoming.kind === 'reply') {
      this.settle(incoming.reply);
    }
  }

  private settle(reply: Reply): void {
    const pending = this.pending.get(reply.re);
    if (pending === undefined) return;
    this.pending.delete(reply.re);
    if (pending.timer !== null) this.options.platform.clearTimer(pending.timer);
    if (reply.ok) {
      pending.resolve(reply);
    } else {
      const code = reply.error?.code ?? 'bad_reply';
      pending.reject(new TelstarError(code, reply.error?.detail ?? code));
    }
  }

  private lost(socket: SocketLike, code: number, reason: string): void {
    if (this.socket !== socket) return;
    // Neither a bad credential nor a message that the server cannot read gets better by repeating it.
    if (code === CLOSE.unauthorised || code === CLOSE.badMessage) {
      this.session = null;
      this.detach();
      this.setState('closed', code === CLOSE.unauthorised ? 'unauthorised' : 'bad_message');
      return;
    }
    this.detach();
    this.retryLater(reason === '' ? `close ${code}` : reason);
  }

  /**
   * Gives a socket up without waiting for its close event, which a dead path may delay by minutes.
   * 1000 would end the call that is to be resumed, and so would a close without a code.
   */
  private drop(socket: SocketLike, code: number = CLOSE.abandoned): void {
    if (this.socket !== socket) return;
    this.detach();
    socket.close(code);
    this.retryLater('timeout');
  }

  private end(socket: SocketLike, reason: string): void {
    this.session = null;
    this.detach();
    this.setState('closed', reason);
    socket.close(1000);
  }

  private detach(): SocketLike | null {
    const socket = this.socket;
    this.socket = null;
    this.isGreeted = false;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
    }
    if (this.pingTimer !== null) this.options.platform.clearTimer(this.pingTimer);
    this.pingTimer = null;
    if (this.session === null) this.failPending('closed', 'the connection was lost');
    else this.holdPending();
    return socket;
  }

  private failPending(code: string, message: string): void {
    const waiting = [...this.pending.values()];
    this.pending.clear();
    for (const pending of waiting) {
      if (pending.timer !== null) this.options.platform.clearTimer(pending.timer);
      pending.reject(new TelstarError(code, message));
    }
  }

  /** Stops the clocks of what waits for the next socket. What only the lost socket was asked fails. */
  private holdPending(): void {
    for (const [id, pending] of [...this.pending]) {
      if (pending.timer !== null) this.options.platform.clearTimer(pending.timer);
      pending.timer = null;
      if (!ONE_SOCKET_ONLY.has(pending.type)) continue;
      this.pending.delete(id);
      pending.reject(new TelstarError('closed', 'the connection was lost'));
    }
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
    if (this.pingTimer !== null) this.options.platform.clearTimer(this.pingTimer);
    const hasSession = this.session !== null;
    this.pingTimer = this.options.platform.setTimer(() => {
      this.request('ping', {}, hasSession ? SESSION_PING_TIMEOUT_MS : REQUEST_TIMEOUT_MS).then(
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
    }, hasSession ? SESSION_PING_EVERY_MS : PING_EVERY_MS);
  }

  private setState(state: ConnectionState, reason: string | null): void {
    if (this.current === state) return;
    this.current = state;
    this.handlers.onState(state, reason);
  }
}
