/** Media through the server: one connection that sends, one that receives. Each is made when it is first needed. */

import type { CallEvent, PeerName } from './call-wire.js';
import type { CallMedia, MediaHost } from './call-media.js';
import type { PeerState } from './call-state.js';
import { IceWatch } from './ice-watch.js';
import { TelstarError } from './errors.js';
import { encodeLossy } from './lossy.js';
import type { LocalTrack } from './local-track.js';
import { PublishPeer, type PeerHost } from './publish-peer.js';
import type { IceServer, PeerLike } from './rtc.js';
import { SlotMap } from './slots.js';
import { StatsReducer, type ConnectionStats } from './stats.js';
import { SubscribePeer } from './subscribe-peer.js';

/** Lossy data above this waiting amount is dropped here: late is worse than lost. A guess of a tenth of a second at 5 Mb/s. */
const LOSSY_BUFFERED_MAX = 64 * 1024;

/** Address and port of a candidate (RFC 8839 section 5.1). */
const CANDIDATE = /^a=candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) typ /gm;

export class SfuMedia implements CallMedia {
  private publisher: PublishPeer | null = null;
  private subscriber: SubscribePeer | null = null;
  private iceServers: IceServer[] = [];
  private readonly locals = new Set<LocalTrack>();
  /** Connections that have worked: one that fails later is made anew, one that never did would fail again. */
  private readonly worked = new Set<PeerName>();
  private readonly failed = new Set<PeerName>();
  /** Directions that this participant may not use at present. */
  private readonly forbidden = new Set<PeerName>();
  private readonly slots: SlotMap;
  private readonly watches: Record<'publish' | 'subscribe', IceWatch>;
  private readonly reducers = { publish: new StatsReducer('publish'), subscribe: new StatsReducer('subscribe') };

  constructor(private readonly host: MediaHost) {
    this.watches = { publish: this.watch('publish'), subscribe: this.watch('subscribe') };
    this.slots = new SlotMap((id) => host.roster.track(id), (track) => host.mediaChanged(track), (track) => host.flowChanged(track));
  }

  add(local: LocalTrack): void {
    if (this.forbidden.has('publish')) {
      local.refused(new TelstarError('forbidden', 'the right to publish was taken away'));
      return;
    }
    this.locals.add(local);
    this.publishing().add(local);
  }

  remove(local: LocalTrack): void {
    this.locals.delete(local);
    this.publisher?.remove(local);
  }

  refresh(local: LocalTrack): Promise<void> {
    return this.publisher?.refresh(local) ?? Promise.resolve();
  }

  setIceServers(iceServers: IceServer[]): void {
    this.iceServers = iceServers;
    this.publisher?.setIceServers(iceServers);
  }

  handle(event: CallEvent): boolean {
    switch (event.type) {
      case 'offer':
        this.subscribing().handleOffer(event.version, event.sdp);
        return true;
      case 'candidate':
        if (event.connection === 'publish') this.publisher?.handleCandidate(event.candidate);
        else if (!this.forbidden.has('subscribe')) this.subscribing().handleCandidate(event.candidate);
        return true;
      case 'slots':
        this.slots.setSlots(event.version, event.slots);
        return true;
      case 'demand':
        this.publisher?.handleDemand(event.tracks);
        return true;
      case 'media-failed':
        this.failed.add(event.connection);
        if (this.worked.delete(event.connection)) this.renew(event.connection);
        return false;
      default:
        return false;
    }
  }

  /** The server has ended what is not allowed any more; what is allowed again begins on another connection. */
  grantsChanged(gained: readonly string[], lost: readonly string[]): void {
    for (const name of ['publish', 'subscribe'] as const) {
      if (lost.includes(name)) {
        this.forbidden.add(name);
        this.failed.delete(name);
        this.worked.delete(name);
        this.drop(name);
      } else if (gained.includes(name)) {
        const wasTaken = this.forbidden.delete(name);
        // The server offers by itself, to a connection that knows no wishes yet.
        if (name === 'subscribe') this.host.subscribeAgain();
        else if (wasTaken) this.publishAgain();
      }
    }
    this.host.peersChanged();
  }

  rosterChanged(): void {
    this.slots.apply();
  }

  networkChanged(): void {
    // Another network may have the way that the last one had not.
    for (const name of [...this.failed]) this.renew(name);
    this.watches.publish.networkChanged();
    this.watches.subscribe.networkChanged();
  }

  peers(): PeerState[] {
    return [stateOf(this.publisher?.pc), stateOf(this.subscriber?.pc)];
  }

  serverAddresses(): string[] {
    const told = [this.publisher, this.subscriber].map((peer) => peer?.pc.remoteDescription?.sdp ?? '').join('\n');
    return [...new Set(Array.from(told.matchAll(CANDIDATE), ([, address = '', port]) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`)))];
  }

  sendLossy(payload: Uint8Array, to: readonly string[]): boolean {
    if (this.forbidden.has('publish')) return false;
    const channel = this.publishing().lossy();
    const frame = encodeLossy(payload, to);
    if (channel.readyState !== 'open' || channel.bufferedAmount > LOSSY_BUFFERED_MAX) return false;
    channel.send(frame);
    return true;
  }

  async stats(): Promise<ConnectionStats[]> {
    const { publisher, subscriber, reducers } = this;
    return Promise.all([
      ...(publisher === null ? [] : [publisher.pc.getStats().then((report) => reducers.publish.reduce(report))]),
      ...(subscriber === null ? [] : [subscriber.pc.getStats().then((report) => reducers.subscribe.reduce(report))]),
    ]);
  }

  /** Makes the sending connection without a track, so that what it finds out is known early. */
  openLossy(): void {
    if (!this.forbidden.has('publish')) this.publishing().lossy();
  }

  close(): void {
    this.watches.publish.stop();
    this.watches.subscribe.stop();
    this.publisher?.close();
    this.subscriber?.close();
    this.slots.clear();
  }

  /** The server has forgotten the connection: everything on it begins again on another. */
  private renew(name: PeerName): void {
    this.failed.delete(name);
    this.drop(name);
    if (name === 'publish') {
      this.publishAgain();
      return;
    }
    this.host.request('restart-ice', {}).catch(() => {});
    this.host.subscribeAgain();
  }

  private drop(name: PeerName): void {
    this.watches[name].stop();
    if (name === 'subscribe') {
      this.subscriber?.close();
      this.subscriber = null;
      this.slots.clear();
      return;
    }
    this.publisher?.close();
    this.publisher = null;
    for (const local of this.locals) local.id = null;
  }

  private publishAgain(): void {
    for (const local of this.locals) this.publishing().add(local);
  }

  private publishing(): PublishPeer {
    this.publisher ??= new PublishPeer(this.peerHost('publish'), this.iceServers);
    return this.publisher;
  }

  private subscribing(): SubscribePeer {
    this.subscriber ??= new SubscribePeer({
      ...this.peerHost('subscribe'),
      mediaChanged: (media) => this.slots.setMedia(media),
      lossyReceived: (from, payload) => this.host.lossyReceived(from, payload),
    }, this.iceServers);
    return this.subscriber;
  }

  private peerHost(name: 'publish' | 'subscribe'): PeerHost {
    return {
      rtc: this.host.rtc,
      request: (type, fields) => this.host.request(type, fields),
      peerChanged: (state) => {
        if (state === 'connected') this.worked.add(name);
        this.watches[name].update(state);
        this.host.peersChanged();
      },
    };
  }

  private watch(name: 'publish' | 'subscribe'): IceWatch {
    return new IceWatch(this.host.platform, () => (name === 'publish' ? this.publisher : this.subscriber)?.restartIce());
  }
}

function stateOf(pc: PeerLike | undefined): PeerState {
  return pc === undefined ? 'none' : (pc.connectionState as PeerState);
}
