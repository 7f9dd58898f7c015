/**
 * The HTTP side of one WHIP or WHEP connection (RFC 9725, draft-ietf-wish-whep): made by an offer, changed by fragments, deleted.
 * Knows no peer connection.
 */

import { TelstarError } from './errors.js';
import { readFragment, type IceFragment } from './ice-fragment.js';
import type { Platform, RequestLike, ResponseLike } from './platform.js';
import { problem } from './rest.js';
import type { IceServer } from './rtc.js';

/** Lower: a busy server is given up while it answers. Higher: a dead one is noticed late. */
const REQUEST_TIMEOUT_MS = 10_000;
const FRAGMENT = 'application/trickle-ice-sdpfrag';
/** Statuses of a server that knows no trickle: it has all that it gets with the offer. */
const NO_TRICKLE = new Set([404, 405, 415, 422, 428, 501]);

export interface Created {
  answer: string;
  /** TURN and STUN servers that the server names for us (RFC 9725 §4.6). */
  iceServers: IceServer[];
}

/** Asked before each offer, so that a token may be short-lived. */
export type TokenSource = string | null | (() => Promise<string | null>);

export class HttpResource {
  private location: string | null = null;
  private etag: string | null = null;
  private token: string | null = null;
  private takesFragments = false;
  private isOver = false;

  constructor(
    private readonly platform: Platform,
    private readonly url: string,
    private readonly tokens: TokenSource,
  ) {}

  async create(offer: string): Promise<Created> {
    this.token = typeof this.tokens === 'function' ? await this.tokens() : this.tokens;
    const asked = this.fetch('POST', this.url, { 'content-type': 'application/sdp', accept: 'application/sdp' }, offer).then((response) => {
      if (response.ok) this.take(response);
      // An answer that comes when nobody waits for it any more has made something that must not stay.
      if (this.isOver) void this.remove(false);
      return response;
    });
    const response = await this.inTime(asked);
    const answer = await this.text(response);
    if (!response.ok) throw failure(response, answer);
    if (this.isOver) throw new TelstarError('closed', 'ended while the offer was under way');
    if (this.location === null || answer.trim() === '') {
      throw new TelstarError('bad_reply', 'the server made no session of the offer', response.status);
    }
    return { answer, iceServers: iceServersOf(response.headers?.get('link') ?? null) };
  }

  /** Candidates are a courtesy: a server that does not take them has seen our address in the checks. */
  async trickle(fragment: string): Promise<void> {
    if (!this.takesFragments || this.location === null) return;
    const headers: Record<string, string> = { 'content-type': FRAGMENT };
    if (this.etag !== null) headers['if-match'] = this.etag;
    const response = await this.inTime(this.fetch('PATCH', this.location, headers, fragment));
    if (NO_TRICKLE.has(response.status)) this.takesFragments = false;
  }

  /** Rejects where the server cannot: then only another offer helps. */
  async restart(fragment: string): Promise<IceFragment> {
    if (!this.takesFragments || this.location === null) throw new TelstarError('gone', 'the server takes no ICE restart');
    const response = await this.inTime(this.fetch('PATCH', this.location, { 'content-type': FRAGMENT, 'if-match': '"*"' }, fragment));
    const text = await this.text(response);
    // Nothing is left to delete.
    if (response.status === 404 || response.status === 410) this.location = null;
    if (!response.ok) throw failure(response, text);
    const answer = readFragment(text);
    // 204 is the answer to a trickle: this server has not understood that it was a restart.
    if (answer === null) throw new TelstarError('bad_reply', 'the server did not restart ICE', response.status);
    this.etag = response.headers?.get('etag') ?? this.etag;
    return answer;
  }

  /** Ends it at the server, also when the offer is still under way. Whoever goes does not wait. */
  remove(isLeaving: boolean): Promise<void> {
    this.isOver = true;
    const { location } = this;
    if (location === null) return Promise.resolve();
    this.location = null;
    return this.inTime(this.fetch('DELETE', location, {}, undefined, isLeaving)).then(() => {}, () => {});
  }

  private take(response: ResponseLike): void {
    const location = response.headers?.get('location') ?? null;
    if (location === null) return;
    this.location = resolve(location, response.url || this.url);
    this.etag = response.headers?.get('etag') ?? null;
    const accepts = response.headers?.get('accept-patch')?.toLowerCase() ?? '';
    this.takesFragments = this.etag !== null || accepts.includes(FRAGMENT);
  }

  private fetch(method: string, url: string, headers: Record<string, string>, body?: string, keepalive = false): Promise<ResponseLike> {
    const request: RequestLike = { method, headers, credentials: 'same-origin' };
    if (this.token !== null) headers['authorization'] = `Bearer ${this.token}`;
    if (body !== undefined) request.body = body;
    if (keepalive) request.keepalive = true;
    return this.platform.fetch(url, request);
  }

  private text(response: ResponseLike): Promise<string> {
    return this.inTime(response.text());
  }

  private inTime<T>(asked: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.platform.setTimer(() => {
        reject(new TelstarError('timeout', `no answer within ${REQUEST_TIMEOUT_MS} ms`));
      }, REQUEST_TIMEOUT_MS);
      asked.then(
        (value) => {
          this.platform.clearTimer(timer);
          resolve(value);
        },
        () => {
          this.platform.clearTimer(timer);
          reject(new TelstarError('network', 'the server could not be reached'));
        },
      );
    });
  }
}

function failure(response: ResponseLike, text: string): TelstarError {
  return problem(response.status, text, retryAfterMs(response.headers?.get('retry-after') ?? null));
}

/** Seconds, or a date (RFC 9110 §10.2.3). A date is as good as our clock, so it counts only when it is ahead. */
export function retryAfterMs(value: string | null, wallMs = Date.now()): number | null {
  if (value === null) return null;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000;
  const until = Date.parse(value) - wallMs;
  return Number.isFinite(until) && until > 0 ? until : null;
}

/** `<turn:host?transport=udp>; rel="ice-server"; username="u"; credential="p"` (RFC 9725 §4.6). */
export function iceServersOf(link: string | null): IceServer[] {
  if (link === null) return [];
  return Array.from(link.matchAll(/<([^>]+)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]+))*)/g), ([, url = '', rest = '']) => ({ url, parameters: parametersOf(rest) }))
    .filter(({ parameters }) => parameters.get('rel')?.split(/\s+/).includes('ice-server'))
    .map(({ url, parameters }) => {
      const server: IceServer = { urls: url };
      const username = parameters.get('username');
      const credential = parameters.get('credential');
      if (username !== undefined) server.username = username;
      if (credential !== undefined) server.credential = credential;
      return server;
    });
}

function parametersOf(text: string): Map<string, string> {
  const found = text.matchAll(/;\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))/g);
  return new Map(Array.from(found, ([, name = '', quoted, plain]) => [name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '']));
}

/** An address relative to another one, which may itself be relative to the page (RFC 3986 §5.2, without dot segments). */
export function resolve(location: string, base: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(location)) return location;
  const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(base)?.[0] ?? '';
  if (location.startsWith('//')) return `${origin.split('//')[0] ?? ''}${location}`;
  if (location.startsWith('/')) return origin + location;
  const path = base.slice(origin.length).replace(/[?#].*$/, '');
  return `${origin}${path.slice(0, path.lastIndexOf('/') + 1) || '/'}${location}`;
}
