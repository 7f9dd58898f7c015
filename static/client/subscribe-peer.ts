/** The connection that receives: the server offers, we answer, one offer after another. */

import { decodeLossy, LOSSY_LABEL } from './lossy.js';
import type { PeerHost } from './publish-peer.js';
import { RemoteCandidates } from './remote-candidates.js';
import type { IceServer, MediaTrack, PeerLike } from './rtc.js';

export interface SubscribeHost extends PeerHost {
  mediaChanged(media: Map<string, MediaTrack>): void;
  lossyReceived(from: string, payload: Uint8Array): void;
}

export class SubscribePeer {
  readonly pc: PeerLike;
  private readonly candidates: RemoteCandidates;
  private offers: { version: number; sdp: string }[] = [];
  private isWorking = false;
  private isClosed = false;
  private isRestartAsked = false;

  constructor(private readonly host: SubscribeHost, iceServers: IceServer[]) {
    this.pc = host.rtc.createPeer({ iceServers, bundlePolicy: 'max-bundle' });
    this.candidates = new RemoteCandidates(this.pc);
    this.pc.onconnectionstatechange = () => host.peerChanged(this.pc.connectionState);
    this.pc.onicecandidate = ({ candidate }) => {
      host.request('candidate', { connection: 'subscribe', candidate: candidate?.candidate ?? '' }).catch(() => {});
    };
    this.pc.ondatachannel = ({ channel }) => {
      if (channel.label !== LOSSY_LABEL) return;
      channel.binaryType = 'arraybuffer';
      channel.onmessage = ({ data }) => {
        const message = data instanceof ArrayBuffer ? decodeLossy(data) : null;
        if (message !== null) host.lossyReceived(message.from, message.payload);
      };
    };
  }

  handleOffer(version: number, sdp: string): void {
    this.offers.push({ version, sdp });
    if (this.isWorking) return;
    this.isWorking = true;
    void this.work();
  }

  handleCandidate(candidate: string): void {
    this.candidates.add(candidate);
  }

  /** One request at a time: while the socket is away they would pile up, and each would bring an offer. */
  restartIce(): void {
    if (this.isRestartAsked) return;
    this.isRestartAsked = true;
    const answered = (): void => {
      this.isRestartAsked = false;
    };
    this.host.request('restart-ice', {}).then(answered, answered);
  }

  close(): void {
    this.isClosed = true;
    this.pc.onicecandidate = this.pc.onconnectionstatechange = this.pc.ondatachannel = null;
    this.pc.close();
  }

  private async work(): Promise<void> {
    for (let offer = this.offers.shift(); offer !== undefined && !this.isClosed; offer = this.offers.shift()) {
      try {
        await this.answer(offer.version, offer.sdp);
      } catch {
        // A description that this browser cannot read: the call hears of it as a failed connection.
        if (!this.isClosed) this.host.peerChanged('failed');
      }
    }
    this.isWorking = false;
  }

  private async answer(version: number, sdp: string): Promise<void> {
    await this.pc.setRemoteDescription({ type: 'offer', sdp });
    await this.candidates.ready();
    await this.pc.setLocalDescription(await this.pc.createAnswer());
    if (this.isClosed) return;
    // A refusal comes back as `media-failed`, which says more.
    this.host.request('answer', { version, sdp: this.pc.localDescription?.sdp ?? '' }).catch(() => {});
    const media = new Map<string, MediaTrack>();
    for (const { mid, receiver } of this.pc.getTransceivers()) {
      if (mid !== null) media.set(mid, receiver.track as MediaTrack);
    }
    this.host.mediaChanged(media);
  }
}
