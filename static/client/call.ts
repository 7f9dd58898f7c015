/**
 * A call: who is in it, what is published, one's own tracks. It survives a lost socket by resuming, and a lost session
 * by joining anew with the same tracks. Media is left to `SfuMedia` or `MeshMedia`.
 */

import { Backoff, RECONNECT_BACKOFF } from './backoff.js';
import type { CallMedia, MediaHost } from './call-media.js';
import { callState, isFinal, isWorthAnotherTry, type CallState, type PeerState } from './call-state.js';
import type { CallConnection, CallEvents, JoinOptions } from './call-events.js';
import { asCallEvent, iceServersOf, type CallEvent, type CallMode, type JoinReply, type ParticipantInfo } from './call-wire.js';
import type { ConnectionState } from './connection.js';
import { Emitter } from './emitter.js';
import { TelstarError } from './errors.js';
import type { LocalTrack, PublishOptions } from './local-track.js';
import { LocalTracks } from './local-tracks.js';
import { MeshMedia } from './mesh-media.js';
import type { Platform, TimerHandle } from './platform.js';
import { RemoteParticipant, Roster, type RemoteTrack, type RosterChange } from './remote.js';
import type { MediaTrack, Rtc } from './rtc.js';
import { SfuMedia } from './sfu-media.js';
import type { ConnectionStats } from './stats.js';
import { Wishes } from './wishes.js';
import type { Reply, TopicEvent } from './wire.js';

interface Early {
  type: string;
  fields: Record<string, unknown>;
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

export class Call extends Emitter<CallEvents> {
  /** Oneself, as the others see it; without an id until joined. */
  self = new RemoteParticipant('');
  title = '';
  mode: CallMode = 'sfu';
  /** Settles with the first answer to `join`. */
  readonly ready: Promise<Call>;
  private readonly roster: Roster;
  private readonly locals: LocalTracks;
  private media: CallMedia;
  /** Requests of the media that follow `join`; null once it is on its way. */
  private early: Early[] | null = [];
  private readonly wishes: Wishes;
  /** One's own grants as the connections know them. */
  private grants: readonly string[] = [];
  private attempt = 0;
  private isJoined = false;
  private wasJoined = false;
  private isLeft = false;
  private isReporting = false;
  private shownState: CallState = 'connecting';
  private retryTimer: TimerHandle | null = null;
  private readonly backoff: Backoff;
  private settle: { resolve(call: Call): void; reject(error: TelstarError): void } = { resolve: () => {}, reject: () => {} };

  constructor(
    readonly room: string,
    private readonly options: JoinOptions,
    private readonly connection: CallConnection,
    private readonly platform: Platform,
    private readonly rtc: Rtc,
  ) {
    super();
    this.backoff = new Backoff(RECONNECT_BACKOFF, () => platform.random());
    const autoSubscribe = options.autoSubscribe ?? true;
    this.wishes = new Wishes({
      connection,
      autoSubscribe,
      roster: () => this.roster,
      isListening: () => this.isJoined && this.mode === 'sfu',
      request: (type, fields) => this.request(type, fields),
    });
    this.roster = new Roster({ updateSubscription: (track) => this.wishes.say(track) }, autoSubscribe, (change) => this.rosterChanged(change));
    this.media = new SfuMedia(this.mediaHost());
    this.locals = new LocalTracks({
      media: () => this.media,
      request: (type, fields) => this.request(type, fields),
      changed: (local) => this.emit('localTrack', local),
      platform,
    });
    this.ready = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.ready.catch(() => {});
  }

  get state(): CallState {
    return this.shownState;
  }

  get participants(): ReadonlyMap<string, RemoteParticipant> {
    return this.roster.participants;
  }

  get localTracks(): ReadonlySet<LocalTrack> {
    return this.locals.all;
  }

  get peers(): PeerState[] {
    return this.media.peers();
  }

  /** Where the server says that its media port is: for whoever looks for the reason why nothing connects. */
  get serverAddresses(): string[] {
    return this.media.serverAddresses();
  }

  track(id: string): RemoteTrack | null {
    return this.roster.track(id);
  }

  /** Sends a track. It may be called right after `join`, without waiting for anything; throws `closed` once the call is over. */
  publish(mediaTrack: MediaTrack, options: PublishOptions = {}): LocalTrack {
    if (this.isLeft) throw new TelstarError('closed', 'the call is over');
    return this.locals.publish(mediaTrack, options);
  }

  unpublish(local: LocalTrack): void {
    this.locals.unpublish(local);
  }

  /** Reliable and in order, through the server: to some, or to everybody. */
  async sendData(data: unknown, options: { to?: string[]; label?: string } = {}): Promise<void> {
    const { to, label } = options;
    await this.request('send-data', { data, ...(to === undefined ? {} : { to }), ...(label === undefined ? {} : { label }) });
  }

  /** Unordered and never repeated. False when nothing could take it now; the channel opens with the first call. */
  sendLossy(payload: Uint8Array, options: { to?: string[] } = {}): boolean {
    return !this.isLeft && this.media.sendLossy(payload, options.to ?? []);
  }

  async updateSelf(change: { name?: string; metadata?: string }): Promise<void> {
    Object.assign(this.options, change);
    await this.request('update-participant', change);
  }

  /** For who may administer the room. */
  async updateParticipant(participant: string, change: { name?: string; metadata?: string; grants?: string[] }): Promise<void> {
    await this.request('update-participant', { participant, ...change });
  }

  /** For who may administer the room. Only the owner of a track can make it heard again. */
  async muteTrack(track: RemoteTrack): Promise<void> {
    await this.request('mute', { track: track.id, muted: true });
  }

  /** For who may administer the room. */
  async remove(participant: string): Promise<void> {
    await this.request('remove', { participant });
  }

  /** Whether `bandwidth` comes each second. */
  async report(enabled: boolean): Promise<void> {
    this.isReporting = enabled;
    if (this.isJoined) await this.request('report', { enabled });
  }

  stats(): Promise<ConnectionStats[]> {
    return this.media.stats();
  }

  /** Makes the sending connection although nothing is sent, so that a blocked path is known early. */
  probe(): void {
    if (!this.isLeft && this.media instanceof SfuMedia) this.media.openLossy();
  }

  leave(): void {
    if (this.isLeft) return;
    if (this.isJoined) this.request('leave', {}).catch(() => {});
    this.end('left');
  }

  /** For `Client`: a socket without a past takes requests. */
  begin(): void {
    if (this.isLeft) return;
    this.cancelRetry();
    this.isJoined = false;
    this.locals.forgetEnded();
    if (this.attempt > 0) this.renewMedia(new SfuMedia(this.mediaHost()));
    this.attempt += 1;
    const { attempt } = this;
    const { name, metadata, kind = 'browser', autoSubscribe = true } = this.options;
    const fields: Record<string, unknown> = { room: this.room, kind, auto_subscribe: autoSubscribe };
    if (name !== undefined) fields['name'] = name;
    if (metadata !== undefined) fields['metadata'] = metadata;
    this.connection.request('join', fields).then(
      (reply) => {
        if (attempt === this.attempt && !this.isLeft) this.joined(reply as JoinReply);
      },
      (error: unknown) => {
        if (attempt === this.attempt && !this.isLeft) this.refused(error as TelstarError);
      },
    );
    const waiting = this.early ?? [];
    this.early = null;
    for (const { type, fields: rest, resolve, reject } of waiting) this.connection.request(type, rest).then(resolve, reject);
    this.stateChanged();
  }

  /** For `Client`. */
  connectionChanged(state: ConnectionState, reason: string | null): void {
    if (this.isLeft) return;
    if (state === 'closed') {
      this.end(reason ?? 'left');
      return;
    }
    this.stateChanged();
    if (state === 'open') this.wishes.sayLate();
  }

  /** For `Client`. */
  networkChanged(): void {
    this.media.networkChanged();
  }

  /** For `Client`. What comes before the answer to `join` belongs to an earlier life of the call. */
  dispatch(raw: TopicEvent): void {
    if (!this.isJoined) return;
    const event = asCallEvent(raw);
    if (this.handleOwn(event) || this.media.handle(event) || this.roster.handle(event)) return;
    this.pass(event);
  }

  private joined(reply: JoinReply): void {
    this.backoff.reset();
    this.isJoined = this.wasJoined = true;
    this.connection.keepSession(reply.session);
    const { state } = reply;
    this.title = state.title;
    this.mode = state.mode;
    const own = state.participants.find(({ id }) => id === reply.participant);
    this.self = new RemoteParticipant(reply.participant);
    if (own !== undefined) this.self.update(own);
    this.grants = this.self.grants;
    if (state.mode === 'p2p') this.renewMedia(new MeshMedia(this.mediaHost(), reply.participant));
    this.media.setIceServers(iceServersOf(reply.ice_servers));
    this.roster.replace(state.participants, reply.participant);
    this.media.rosterChanged();
    this.wishes.sayAgain();
    if (this.isReporting) this.report(true).catch(() => {});
    this.settle.resolve(this);
    this.emit('joined', { mode: state.mode, title: state.title });
    this.stateChanged();
  }

  private refused(error: TelstarError): void {
    if (!isWorthAnotherTry(error.code)) {
      this.settle.reject(error);
      this.end(error.code);
    } else if (this.connection.state === 'open') {
      this.beginLater();
    }
    // Else the next fresh socket begins anew.
  }

  private beginLater(): void {
    this.cancelRetry();
    this.retryTimer = this.platform.setTimer(() => {
      this.retryTimer = null;
      if (this.connection.state === 'open') this.begin();
    }, this.backoff.nextDelayMs());
  }

  private cancelRetry(): void {
    if (this.retryTimer !== null) this.platform.clearTimer(this.retryTimer);
    this.retryTimer = null;
  }

  private renewMedia(media: CallMedia): void {
    this.media.close();
    this.media = media;
    this.locals.moveTo(media);
  }

  private handleOwn(event: CallEvent): boolean {
    switch (event.type) {
      case 'left':
        this.dismissed(event.reason);
        return true;
      case 'grants':
        this.locals.handle(event, this.self.id);
        this.grantsChanged(event.grants);
        return true;
      case 'participant-updated':
        return event.participant.id === this.self.id && this.selfChanged(event.participant);
      case 'participant-left':
        return event.participant === this.self.id;
      case 'media-failed':
        this.locals.handle(event, this.self.id);
        this.emit('mediaFailed', event);
        return false;
      default:
        return this.locals.handle(event, this.self.id);
    }
  }

  /** What only the application wants to know. */
  private pass(event: CallEvent): void {
    if (event.type === 'speakers') this.emit('speakers', event.speakers);
    else if (event.type === 'quality') this.emit('quality', event.participants);
    else if (event.type === 'data') this.emit('data', { from: event.from, label: event.label ?? null, data: event.data });
    else if (event.type === 'bandwidth') this.emit('bandwidth', event);
  }

  private grantsChanged(grants: string[]): void {
    const gained = grants.filter((grant) => !this.grants.includes(grant));
    const lost = this.grants.filter((grant) => !grants.includes(grant));
    this.grants = this.self.grants = grants;
    this.media.grantsChanged(gained, lost);
    this.emit('grants', { grants, gained, lost });
    this.emit('selfUpdated', this.self);
    this.stateChanged();
  }

  private selfChanged(participant: ParticipantInfo): boolean {
    this.self.update(participant);
    this.emit('selfUpdated', this.self);
    return true;
  }

  private dismissed(reason: string): void {
    if (isFinal(reason)) {
      this.end(reason);
      return;
    }
    this.isJoined = false;
    this.connection.forgetSession();
    this.stateChanged();
    this.beginLater();
  }

  private end(reason: string): void {
    if (this.isLeft) return;
    this.isLeft = true;
    this.isJoined = false;
    this.cancelRetry();
    this.locals.forgetEnded();
    this.connection.forgetSession();
    this.media.close();
    this.wishes.forget();
    const over = new TelstarError(reason, `the call is over: ${reason}`);
    this.settle.reject(over);
    this.locals.giveUp(over);
    for (const { reject } of this.early ?? []) reject(new TelstarError('closed', 'the call is over'));
    this.early = null;
    this.stateChanged();
    this.emit('left', { reason });
  }

  private rosterChanged(change: RosterChange): void {
    if (change.type === 'participantLeft') this.emit('participantLeft', change);
    else if ('participant' in change) this.emit(change.type, change.participant);
    else this.emit(change.type, change.track);
    if (this.isJoined) this.media.rosterChanged();
  }

  private stateChanged(): void {
    const next = callState({ socket: this.connection.state, isJoined: this.isJoined, wasJoined: this.wasJoined, isLeft: this.isLeft, peers: this.media.peers() });
    if (next === this.shownState) return;
    this.shownState = next;
    this.emit('state', next);
  }

  private request(type: string, fields: Record<string, unknown>): Promise<Reply> {
    if (this.early !== null) return new Promise((resolve, reject) => this.early?.push({ type, fields, resolve, reject }));
    return this.connection.request(type, fields);
  }

  private mediaHost(): MediaHost {
    return {
      platform: this.platform,
      rtc: this.rtc,
      roster: this.roster,
      request: (type, fields) => this.request(type, fields),
      peersChanged: () => {
        const peers = this.media.peers();
        this.emit('peers', peers);
        this.stateChanged();
      },
      // Who listens to a track that has ended would make it anew.
      mediaChanged: (track) => this.roster.track(track.id) === track && this.emit('trackMedia', track),
      flowChanged: (track) => this.roster.track(track.id) === track && this.emit('trackFlow', track),
      subscribeAgain: () => this.wishes.sayAgain(),
      lossyReceived: (from, payload) => this.emit('lossy', { from, payload }),
    };
  }
}
