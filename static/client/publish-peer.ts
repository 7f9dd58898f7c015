/**
 * The connection that sends: we offer, the server answers. Changes that come while an offer is under way are
 * gathered into the next one, so that there is never more than one.
 */

import type { Demand, Layer, NewTrack, PublishReply } from './call-wire.js';
import { codecOrder, encodingsFor, layersFor, sizeOf, withDemand, withStartBitrate } from './encodings.js';
import { TelstarError } from './errors.js';
import { LOSSY_INIT, LOSSY_LABEL } from './lossy.js';
import type { LocalTrack } from './local-track.js';
import { RemoteCandidates } from './remote-candidates.js';
import type { DataChannelLike, EncodingLike, IceServer, PeerLike, Rtc, TransceiverInit, TransceiverLike } from './rtc.js';
import type { Reply } from './wire.js';

/** Refusals of `publish` after which there is another connection sooner or later, or the call has ended. */
const COMES_AGAIN = new Set(['closed', 'gone', 'not_joined']);

/** What a connection needs of its call. */
export interface PeerHost {
  readonly rtc: Rtc;
  request(type: string, fields: Record<string, unknown>): Promise<Reply>;
  /** Each `connectionState`. */
  peerChanged(state: string): void;
}

interface Sending {
  readonly local: LocalTrack;
  readonly transceiver: TransceiverLike;
  readonly layers: Layer[];
  isOffered: boolean;
  isAnnounced: boolean;
  /** What the server was told with the offer. */
  wasMuted: boolean;
  isRemoved: boolean;
  /** Changes of a sender's parameters follow one another: each needs what the last one left (W3C webrtc-pc §5.2). */
  changes: Promise<void>;
}

export class PublishPeer {
  readonly pc: PeerLike;
  private readonly sendings = new Map<LocalTrack, Sending>();
  /** Sections whose track is gone, by the kind and layers that a new track needs to take one over. */
  private readonly idle: { shape: string; transceiver: TransceiverLike }[] = [];
  private readonly candidates: RemoteCandidates;
  private isNegotiating = false;
  private isDirty = false;
  private isClosed = false;
  /** Candidates of ours wait until the server has heard of the connection. */
  private unsent: string[] | null = [];
  private lossyChannel: DataChannelLike | null = null;

  constructor(private readonly host: PeerHost, iceServers: IceServer[]) {
    this.pc = host.rtc.createPeer({ iceServers, bundlePolicy: 'max-bundle' });
    this.candidates = new RemoteCandidates(this.pc);
    this.pc.onconnectionstatechange = () => host.peerChanged(this.pc.connectionState);
    this.pc.onicecandidate = ({ candidate }) => this.sendCandidate(candidate?.candidate ?? '');
  }

  add(local: LocalTrack): void {
    const layers = local.kind === 'video' ? layersFor(sizeOf(local.mediaTrack), { ...local.options, source: local.source }) : [];
    const sending: Sending = { local, transceiver: this.section(local, layers), layers, isOffered: false, isAnnounced: false, wasMuted: false, isRemoved: false, changes: Promise.resolve() };
    this.sendings.set(local, sending);
    this.negotiate();
  }

  /** Stops sending at once; the section waits for another track. */
  remove(local: LocalTrack): void {
    const sending = this.sendings.get(local);
    if (sending === undefined) return;
    this.sendings.delete(local);
    sending.isRemoved = true;
    const { transceiver } = sending;
    transceiver.sender.replaceTrack(null).catch(() => {});
    transceiver.direction = 'inactive';
    // One that was offered and is not named yet is taken back once it is, see `announced`.
    if (sending.isAnnounced && local.id !== null) this.unpublish(sending, local.id);
    else if (!sending.isOffered) this.idle.push({ shape: shapeOf(local, sending.layers), transceiver });
    this.negotiate();
  }

  /** After muting, unmuting or another device: the sender gets what is to be sent now. */
  async refresh(local: LocalTrack): Promise<void> {
    const sending = this.sendings.get(local);
    if (sending === undefined) return;
    await sending.transceiver.sender.replaceTrack(local.sent);
    if (local.kind !== 'video' || local.id === null) return;
    const layers = layersFor(sizeOf(local.mediaTrack), { ...local.options, source: local.source });
    // The rids are fixed by the first offer; only their sizes can follow the new source.
    const known = wireLayers(sending.layers);
    const next = wireLayers(layers);
    if (known.length !== next.length || JSON.stringify(known) === JSON.stringify(next)) return;
    sending.layers.splice(0, sending.layers.length, ...layers);
    await this.host.request('update-track', { track: local.id, layers: next });
  }

  handleDemand(demands: Demand[]): void {
    for (const demand of demands) {
      const sending = [...this.sendings.values()].find(({ local }) => local.id === demand.track);
      if (sending !== undefined) this.change(sending, demand);
    }
  }

  handleCandidate(candidate: string): void {
    this.candidates.add(candidate);
  }

  restartIce(): void {
    this.pc.restartIce();
    this.negotiate();
  }

  setIceServers(iceServers: IceServer[]): void {
    if (iceServers.length === 0) return;
    this.pc.setConfiguration({ iceServers, bundlePolicy: 'max-bundle' });
    // Servers count for candidates that are gathered after the change (W3C webrtc-pc §4.4.1.6).
    this.restartIce();
  }

  /** Opened at the first use. It also makes a connection of somebody who sends nothing else. */
  lossy(): DataChannelLike {
    if (this.lossyChannel === null) {
      this.lossyChannel = this.pc.createDataChannel(LOSSY_LABEL, LOSSY_INIT);
      this.lossyChannel.binaryType = 'arraybuffer';
      this.negotiate();
    }
    return this.lossyChannel;
  }

  trackOfMid(mid: string): LocalTrack | null {
    return [...this.sendings.values()].find(({ transceiver }) => transceiver.mid === mid)?.local ?? null;
  }

  close(): void {
    this.isClosed = true;
    this.pc.onicecandidate = this.pc.onconnectionstatechange = null;
    this.pc.close();
  }

  private section(local: LocalTrack, layers: Layer[]): TransceiverLike {
    const encodings = encodingsOf(local, layers);
    const shape = shapeOf(local, layers);
    const at = this.idle.findIndex((idle) => idle.shape === shape);
    const reused = at < 0 ? undefined : this.idle.splice(at, 1)[0];
    if (reused !== undefined) {
      const { transceiver } = reused;
      transceiver.direction = 'sendonly';
      transceiver.sender.replaceTrack(local.sent).catch(() => {});
      return transceiver;
    }
    const init: TransceiverInit = { direction: 'sendonly' };
    if (encodings.length > 0) init.sendEncodings = encodings;
    const transceiver = this.pc.addTransceiver(local.sent ?? local.kind, init);
    if (local.kind === 'video') {
      const codecs = codecOrder(this.host.rtc.sendCodecs('video'), 'video', local.options.codec);
      if (codecs.length > 0) transceiver.setCodecPreferences?.(codecs);
    }
    return transceiver;
  }

  private negotiate(): void {
    this.isDirty = true;
    if (this.isNegotiating) return;
    this.isNegotiating = true;
    void this.work();
  }

  private async work(): Promise<void> {
    // What is added in the same turn goes into the same offer.
    await Promise.resolve();
    while (this.isDirty && !this.isClosed) {
      this.isDirty = false;
      const fresh = [...this.sendings.values()].filter(({ isAnnounced }) => !isAnnounced);
      try {
        await this.exchange(fresh);
      } catch (error) {
        if (this.isClosed) break;
        // A description that the browser cannot make or read: the call hears of it as a failed connection.
        this.host.peerChanged('failed');
        this.refuse(fresh, new TelstarError('bad_sdp', `negotiation failed: ${String(error)}`));
      }
    }
    this.isNegotiating = false;
  }

  private async exchange(fresh: Sending[]): Promise<void> {
    for (const sending of fresh) sending.isOffered = true;
    await this.pc.setLocalDescription(await this.pc.createOffer());
    const tracks = fresh.map(announcement);
    for (const sending of fresh) sending.wasMuted = sending.local.isMuted;
    const asked = this.host.request('publish', { sdp: this.pc.localDescription?.sdp ?? '', tracks });
    this.sendCandidates();
    let reply: PublishReply;
    try {
      reply = (await asked) as PublishReply;
    } catch (error) {
      // With the session gone, or a join that is tried again, the call makes another connection for the same tracks.
      if (this.isClosed || !(error instanceof TelstarError) || COMES_AGAIN.has(error.code)) return;
      await this.pc.setLocalDescription({ type: 'rollback' });
      this.refuse(fresh, error);
      return;
    }
    if (this.isClosed) return;
    await this.pc.setRemoteDescription({ type: 'answer', sdp: withStartBitrate(reply.sdp) });
    await this.candidates.ready();
    for (const { mid, track } of reply.tracks) {
      const sending = fresh.find(({ transceiver }) => transceiver.mid === mid);
      if (sending !== undefined) this.announced(sending, track);
    }
  }

  private announced(sending: Sending, track: string): void {
    sending.isAnnounced = true;
    const { local } = sending;
    if (sending.isRemoved) {
      this.unpublish(sending, track);
      return;
    }
    local.taken(track);
    if (local.isMuted !== sending.wasMuted) this.host.request('mute', { track, muted: local.isMuted }).catch(() => {});
  }

  private unpublish(sending: Sending, track: string): void {
    const { local, transceiver, layers } = sending;
    // Where the call has ended meanwhile, the track has as well.
    this.host.request('unpublish', { track }).then(
      () => this.idle.push({ shape: shapeOf(local, layers), transceiver }),
      () => {},
    );
  }

  private refuse(sendings: Sending[], error: TelstarError): void {
    for (const sending of sendings) {
      this.sendings.delete(sending.local);
      sending.transceiver.stop();
      sending.local.refused(error);
    }
  }

  private change(sending: Sending, { wanted, rids }: Demand): void {
    const { sender } = sending.transceiver;
    sending.changes = sending.changes.then(async () => {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        const parameters = withDemand(sender.getParameters(), wanted, rids);
        if (parameters === null) return;
        // Refused when a negotiation came in between; read anew, it is taken.
        const isTaken = await sender.setParameters(parameters).then(() => true, () => false);
        if (isTaken) return;
      }
    });
  }

  private sendCandidate(candidate: string): void {
    if (this.unsent !== null) this.unsent.push(candidate);
    // A lost candidate is one way less; the server also learns the address from what arrives.
    else this.host.request('candidate', { connection: 'publish', candidate }).catch(() => {});
  }

  private sendCandidates(): void {
    const waiting = this.unsent ?? [];
    this.unsent = null;
    for (const candidate of waiting) this.sendCandidate(candidate);
  }
}

function announcement({ local, transceiver, layers }: Sending): NewTrack {
  const track: NewTrack = { mid: transceiver.mid ?? '', kind: local.kind, source: local.source, muted: local.isMuted };
  if (local.name !== '') track.name = local.name;
  const named = wireLayers(layers);
  if (named.length > 0) track.layers = named;
  return track;
}

/** Only simulcast is told: a single encoding has no rid. */
function wireLayers(layers: Layer[]): Layer[] {
  return layers.length > 1 ? layers : [];
}

function encodingsOf(local: LocalTrack, layers: Layer[]): EncodingLike[] {
  if (layers.length > 0) return encodingsFor(layers, local.options.codec);
  return local.options.maxBitrateBps === undefined ? [] : [{ maxBitrate: local.options.maxBitrateBps }];
}

/** A section can be taken over by a track of the same kind, codec and rids: they are fixed by its first offer. */
function shapeOf(local: LocalTrack, layers: Layer[]): string {
  return `${local.kind} ${local.options.codec ?? ''} ${wireLayers(layers).map(({ rid }) => rid).join()}`;
}
