/** One connection between two browsers, both of which may offer: perfect negotiation (W3C webrtc-pc §10.7). */

import type { Signal } from './call-wire.js';
import { encodingsFor, layersFor, sizeOf } from './encodings.js';
import type { LocalTrack } from './local-track.js';
import { LOSSY_INIT, LOSSY_LABEL } from './lossy.js';
import type { DataChannelLike, IceServer, PeerLike, Rtc, TransceiverLike } from './rtc.js';

export interface MeshPeerHost {
  readonly rtc: Rtc;
  signal(signal: Signal): void;
  /** Our tracks by section have changed; told before the description that brings them. */
  tracksChanged(tracks: { mid: string; local: LocalTrack }[]): void;
  mediaChanged(): void;
  peerChanged(state: string): void;
  lossyReceived(payload: Uint8Array): void;
}

export class MeshPeer {
  readonly pc: PeerLike;
  private readonly sections = new Map<LocalTrack, TransceiverLike>();
  private isMakingOffer = false;
  private isClosed = false;
  /** Signals are worked off one after another. */
  private work: Promise<void> = Promise.resolve();
  private channel: DataChannelLike | null = null;
  /**
   * What the impolite side adds once it has been offered the connection. Both offering at the very start would be legal,
   * but Chromium 156 sometimes gathers no candidates after the rollback that follows.
   */
  private waiting: LocalTrack[] | null;

  constructor(
    private readonly host: MeshPeerHost,
    /** The polite side begins, and gives its own offer up when both offer at once later. Exactly one of the two is. */
    private readonly isPolite: boolean,
    iceServers: IceServer[],
  ) {
    this.pc = host.rtc.createPeer({ iceServers, bundlePolicy: 'max-bundle' });
    this.pc.onconnectionstatechange = () => host.peerChanged(this.pc.connectionState);
    this.pc.onicecandidate = ({ candidate }) => {
      if (candidate !== null) host.signal({ candidate: { candidate: candidate.candidate, sdpMid: candidate.sdpMid ?? null, sdpMLineIndex: candidate.sdpMLineIndex ?? null } });
    };
    this.pc.onnegotiationneeded = () => void this.offer();
    this.pc.ondatachannel = ({ channel }) => this.listen(channel);
    this.waiting = isPolite ? null : [];
    // Only one side opens the channel, else there would be two; with it there is something to offer in any case.
    if (isPolite) this.listen(this.pc.createDataChannel(LOSSY_LABEL, LOSSY_INIT));
  }

  add(local: LocalTrack): void {
    if (this.waiting !== null) {
      this.waiting.push(local);
      return;
    }
    const sendEncodings = local.kind === 'audio' ? [] : encodingsFor(layersFor(sizeOf(local.mediaTrack), { ...local.options, source: local.source, simulcast: false }));
    this.sections.set(local, this.pc.addTransceiver(local.sent ?? local.kind, { direction: 'sendonly', ...(sendEncodings.length > 0 ? { sendEncodings } : {}) }));
  }

  remove(local: LocalTrack): void {
    if (this.waiting !== null) this.waiting = this.waiting.filter((other) => other !== local);
    const section = this.sections.get(local);
    this.sections.delete(local);
    section?.stop();
    this.tellTracks();
  }

  async refresh(local: LocalTrack): Promise<void> {
    await this.sections.get(local)?.sender.replaceTrack(local.sent);
    this.tellTracks();
  }

  handle(signal: Signal): void {
    this.work = this.work.then(() => this.take(signal)).catch(() => {
      if (!this.isClosed) this.host.peerChanged('failed');
    });
  }

  send(frame: Uint8Array): boolean {
    if (this.channel?.readyState !== 'open') return false;
    this.channel.send(frame);
    return true;
  }

  restartIce(): void {
    this.pc.restartIce();
  }

  close(): void {
    this.isClosed = true;
    this.pc.onicecandidate = this.pc.onconnectionstatechange = this.pc.onnegotiationneeded = this.pc.ondatachannel = null;
    this.pc.close();
  }

  private async offer(): Promise<void> {
    try {
      this.isMakingOffer = true;
      await this.pc.setLocalDescription();
      this.sendDescription();
    } catch {
      // The state changed under way; `negotiationneeded` comes again.
    } finally {
      this.isMakingOffer = false;
    }
  }

  private async take({ description, candidate }: Signal): Promise<void> {
    if (this.isClosed) return;
    if (description) {
      const isCollision = description.type === 'offer' && (this.isMakingOffer || this.pc.signalingState !== 'stable');
      if (!this.isPolite && isCollision) return;
      await this.pc.setRemoteDescription(description);
      if (description.type === 'offer') {
        await this.pc.setLocalDescription();
        this.sendDescription();
        this.addWaiting();
      }
      this.host.mediaChanged();
    } else if (candidate) {
      // Of an offer that was ignored, of an earlier generation, or of a kind that this browser does not know: one way less.
      await this.pc.addIceCandidate(candidate).catch(() => {});
    }
  }

  private addWaiting(): void {
    const waiting = this.waiting ?? [];
    this.waiting = null;
    for (const local of waiting) this.add(local);
  }

  private sendDescription(): void {
    const description = this.pc.localDescription;
    if (description === null || this.isClosed) return;
    this.tellTracks();
    this.host.signal({ description: { type: description.type as 'offer' | 'answer', sdp: description.sdp } });
  }

  private tellTracks(): void {
    this.host.tracksChanged([...this.sections].flatMap(([local, { mid }]) => (mid === null ? [] : [{ mid, local }])));
  }

  private listen(channel: DataChannelLike): void {
    if (channel.label !== LOSSY_LABEL) return;
    this.channel = channel;
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.host.lossyReceived(new Uint8Array(data));
    };
  }
}
