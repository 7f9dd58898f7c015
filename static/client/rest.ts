/** The REST API, typed. Every failure is a `TelstarError` with the problem's `code` (RFC 9457 §3.2 extension member). */

import { TelstarError } from './errors.js';
import { defaultPlatform, type Platform, type RequestLike } from './platform.js';
import type { Asset, AssetPage, AssetPatch, Job, JobState, JobWithAttempts } from './asset-wire.js';
import type { CallMode, Participant } from './call-wire.js';
import { parseStoryboard, type Thumbnail } from './storyboard.js';
import type { Account, Invite, NewInvite, NewStreamKey, PlaybackToken, Room, RoomToken, ServerFacts, StreamKey } from './wire.js';

export interface RestOptions {
  /** Empty for the page's own origin. */
  baseUrl?: string;
  /** An API token; a page with a session cookie needs none. */
  token?: string;
  platform?: Platform;
}

export interface NewRoom {
  title: string;
  name?: string;
  open?: boolean;
  /** Fixed once the room exists; through the server unless said otherwise. */
  mode?: CallMode;
}

export interface RoomTokenRequest {
  room: string;
  identity: string;
  name?: string;
  metadata?: string;
  grants?: string[];
  expires_in_secs?: number;
}

export interface InviteRequest {
  label?: string;
  grants?: string[];
  expires_in_secs?: number;
  uses?: number;
}

export interface RoomPatch {
  title?: string;
  open?: boolean;
  embed_origins?: string[];
}

export class Rest {
  private readonly baseUrl: string;
  private readonly token: string | undefined;
  private readonly platform: Platform;

  constructor(options: RestOptions = {}) {
    this.baseUrl = options.baseUrl ?? '';
    this.token = options.token;
    this.platform = options.platform ?? defaultPlatform();
  }

  server(): Promise<ServerFacts> {
    return this.send('GET', '/server');
  }

  signIn(code: string): Promise<Account> {
    return this.send<{ account: Account }>('POST', '/sessions', { code }).then((body) => body.account);
  }

  /** Null when nobody is signed in. */
  async currentAccount(): Promise<Account | null> {
    try {
      return (await this.send<{ account: Account }>('GET', '/sessions/current')).account;
    } catch (error) {
      if (error instanceof TelstarError && error.status === 401) return null;
      throw error;
    }
  }

  signOut(): Promise<void> {
    return this.send('DELETE', '/sessions/current');
  }

  rooms(): Promise<Room[]> {
    return this.send<{ rooms: Room[] }>('GET', '/rooms').then((body) => body.rooms);
  }

  room(name: string): Promise<Room> {
    return this.send('GET', roomPath(name));
  }

  createRoom(room: NewRoom): Promise<Room> {
    return this.send('POST', '/rooms', room);
  }

  updateRoom(name: string, patch: RoomPatch): Promise<Room> {
    return this.send('PATCH', roomPath(name), patch);
  }

  deleteRoom(name: string): Promise<void> {
    return this.send('DELETE', roomPath(name));
  }

  streamKeys(room: string): Promise<StreamKey[]> {
    return this.send<{ stream_keys: StreamKey[] }>('GET', `${roomPath(room)}/stream-keys`).then((body) => body.stream_keys);
  }

  createStreamKey(room: string, label?: string): Promise<NewStreamKey> {
    return this.send('POST', `${roomPath(room)}/stream-keys`, label === undefined ? {} : { label });
  }

  deleteStreamKey(room: string, id: string | number): Promise<void> {
    return this.send('DELETE', `${roomPath(room)}/stream-keys/${encodeURIComponent(String(id))}`);
  }

  createPlaybackToken(room: string, expiresInSecs?: number): Promise<PlaybackToken> {
    const body = expiresInSecs === undefined ? {} : { expires_in_secs: expiresInSecs };
    return this.send('POST', `${roomPath(room)}/playback-tokens`, body);
  }

  /** For an app's server: a token for one of its users. */
  createRoomToken(request: RoomTokenRequest): Promise<RoomToken> {
    return this.send('POST', '/tokens', request);
  }

  /** For a guest, who needs nothing but the invite. */
  redeemInvite(invite: string, name: string): Promise<RoomToken> {
    return this.send('POST', '/tokens', { invite, name });
  }

  createInvite(room: string, request: InviteRequest = {}): Promise<NewInvite> {
    return this.send('POST', `${roomPath(room)}/invites`, request);
  }

  invites(room: string): Promise<Invite[]> {
    return this.send<{ invites: Invite[] }>('GET', `${roomPath(room)}/invites`).then((body) => body.invites);
  }

  deleteInvite(room: string, id: string | number): Promise<void> {
    return this.send('DELETE', `${roomPath(room)}/invites/${encodeURIComponent(String(id))}`);
  }

  participants(room: string): Promise<Participant[]> {
    return this.send<{ participants: Participant[] }>('GET', `${roomPath(room)}/participants`).then((body) => body.participants);
  }

  /** The account's own, newest first. */
  assets(cursor?: string, limit?: number): Promise<AssetPage> {
    const query = Object.entries({ cursor, limit }).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]));
    return this.send('GET', query.length === 0 ? '/assets' : `/assets?${query.join('&')}`);
  }

  /** With a playback token for `RestOptions.token`, also for those who may only watch. */
  asset(name: string): Promise<Asset> {
    return this.send('GET', assetPath(name));
  }

  updateAsset(name: string, patch: AssetPatch): Promise<Asset> {
    return this.send('PATCH', assetPath(name), patch);
  }

  deleteAsset(name: string): Promise<void> {
    return this.send('DELETE', assetPath(name));
  }

  createAssetPlaybackToken(name: string, expiresInSecs?: number): Promise<PlaybackToken> {
    const body = expiresInSecs === undefined ? {} : { expires_in_secs: expiresInSecs };
    return this.send('POST', `${assetPath(name)}/playback-tokens`, body);
  }

  /** The jobs of one asset, done or not. */
  assetJobs(name: string): Promise<Job[]> {
    return this.send<{ jobs: Job[] }>('GET', `${assetPath(name)}/jobs`).then((body) => body.jobs);
  }

  /** The account's jobs that are not done. */
  jobs(state?: Exclude<JobState, 'done'>): Promise<Job[]> {
    return this.send<{ jobs: Job[] }>('GET', state === undefined ? '/jobs' : `/jobs?state=${state}`).then((body) => body.jobs);
  }

  job(id: number): Promise<JobWithAttempts> {
    return this.send('GET', `/jobs/${id}`);
  }

  /** A job that failed or was cancelled is wanted again. */
  retryJob(id: number): Promise<Job> {
    return this.send('POST', `/jobs/${id}/attempts`);
  }

  cancelJob(id: number): Promise<void> {
    return this.send('DELETE', `/jobs/${id}`);
  }

  /** Makes a rendition anew. */
  makeRendition(asset: string, rendition: string): Promise<Job> {
    return this.send('POST', `${assetPath(asset)}/jobs`, { rendition });
  }

  /** Small pictures of what is shown when. `url` is the asset's link to them, with the playback token if one is needed. */
  async storyboard(url: string): Promise<Thumbnail[]> {
    const request: RequestLike = { method: 'GET', headers: {}, credentials: 'same-origin' };
    const { status, ok, text } = await this.ask(url, request);
    if (!ok) throw problem(status, text);
    return parseStoryboard(text, url);
  }

  private async send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const request: RequestLike = {
      method,
      headers: { accept: 'application/json' },
      credentials: 'same-origin',
    };
    if (this.token !== undefined) request.headers['authorization'] = `Bearer ${this.token}`;
    if (body !== undefined) {
      request.headers['content-type'] = 'application/json';
      request.body = JSON.stringify(body);
    }
    const { status, ok, text } = await this.ask(`${this.baseUrl}/api/v1${path}`, request);
    if (!ok) throw problem(status, text);
    if (text === '') return undefined as T;
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new TelstarError('bad_reply', 'the server answered with something that is not JSON', status);
    }
  }

  private async ask(url: string, request: RequestLike): Promise<{ status: number; ok: boolean; text: string }> {
    try {
      const response = await this.platform.fetch(url, request);
      return { status: response.status, ok: response.ok, text: await response.text() };
    } catch {
      throw new TelstarError('network', 'the server could not be reached');
    }
  }
}

function roomPath(name: string): string {
  return `/rooms/${encodeURIComponent(name)}`;
}

function assetPath(name: string): string {
  return `/assets/${encodeURIComponent(name)}`;
}

/** A proxy in between may answer without a problem document, so a code is made from the status then. */
export function problem(status: number, text: string, retryAfterMs: number | null = null): TelstarError {
  try {
    const body = JSON.parse(text) as { code?: unknown; title?: unknown; detail?: unknown };
    if (typeof body.code === 'string') {
      const message = typeof body.detail === 'string' ? body.detail : typeof body.title === 'string' ? body.title : body.code;
      return new TelstarError(body.code, message, status, retryAfterMs);
    }
  } catch {
    // Falls through to the code made from the status.
  }
  return new TelstarError(`http_${status}`, `the server answered ${status}`, status, retryAfterMs);
}
