/** One peer connection that is negotiated over HTTP: an offer, an answer, candidates, restarts of ICE. When it ends it is not used again. */

import { TelstarError } from './errors.js';
import type { HttpResource } from './http-resource.js';
import { restartedAnswer, writeFragment } from './ice-fragment.js';
import { IceWatch } from './ice-watch.js';
import type { Platform, TimerHandle } from './platform.js';
import type { IceServer, PeerLike, Rtc } from './rtc.js';

/**
 * How long an offer waits for candidates. Lower: a quicker start, and a server that takes no fragments hears of fewer ways
 * to us. Higher: a slow interface holds everything up. A guess; addresses of the own machine come within 100 ms.
 */
const GATHER_MS = 250;
/** Restarts in a row that have not helped. Lower: media is cut off where one more would have done. Higher: a longer silence. A guess. */
const RESTARTS_MAX = 2;

export interface HttpPeerHost {
  readonly platform: Platform;
  readonly rtc: Rtc;
  /** From the answer to the first connection. Lower: a slow handshake is given up. Higher: a blocked path is noticed late. */
  readonly connectTimeoutMs: number;
  /** Adds what is sent or received. */
  prepare(pc: PeerLike): void;
  /** The answer as the browser is to read it. */
  readAnswer(sdp: string): string;
  connected(): void;
  /** The path is gone; a restart of ICE is tried. */
  interrupted(): void;
  /** Nothing comes of this connection any more. */
  lost(error: TelstarError): void;
}

export class HttpPeer {
  readonly pc: PeerLike;
  private readonly ice: IceWatch;
  private connectTimer: TimerHandle | null = null;
  private wasConnected = false;
  private isClosed = false;
  private isRestarting = false;
  private restarts = 0;
  private unsent: string[] = [];
  private isGathered = false;
  private onGathered: (() => void) | null = null;
  /** Candidates of an offer that the server has not answered yet would belong to nothing. */
  private canTrickle = false;

  constructor(
    private readonly host: HttpPeerHost,
    private readonly resource: HttpResource,
    private readonly iceServers: IceServer[],
  ) {
    this.pc = host.rtc.createPeer({ iceServers, bundlePolicy: 'max-bundle' });
    this.ice = new IceWatch(host.platform, () => void this.restart());
    this.pc.onconnectionstatechange = () => this.stateChanged(this.pc.connectionState);
    this.pc.onicecandidate = ({ candidate }) => this.gathered(candidate?.candidate ?? '');
  }

  async open(): Promise<void> {
    try {
      this.host.prepare(this.pc);
      const offer = await this.offer();
      if (this.isClosed) return;
      const { answer, iceServers } = await this.resource.create(offer);
      if (this.isClosed) return;
      if (iceServers.length > 0) this.pc.setConfiguration({ iceServers: [...this.iceServers, ...iceServers], bundlePolicy: 'max-bundle' });
      await this.pc.setRemoteDescription({ type: 'answer', sdp: this.host.readAnswer(answer) });
      if (this.isClosed || this.wasConnected) return;
      this.connectTimer = this.host.platform.setTimer(() => this.lost(unreachable()), this.host.connectTimeoutMs);
      this.trickle();
    } catch (error) {
      this.lost(error instanceof TelstarError ? error : new TelstarError('bad_sdp', `negotiation failed: ${String(error)}`));
    }
  }

  networkChanged(): void {
    this.ice.networkChanged();
  }

  /** Resolves when the server has heard of it. */
  close(isLeaving = false): Promise<void> {
    this.isClosed = true;
    this.ice.stop();
    this.stopConnectTimer();
    this.onGathered?.();
    this.pc.onicecandidate = this.pc.onconnectionstatechange = null;
    this.pc.close();
    return this.resource.remove(isLeaving);
  }

  private async offer(): Promise<string> {
    this.isGathered = this.canTrickle = false;
    this.unsent = [];
    await this.pc.setLocalDescription(await this.pc.createOffer());
    await this.gathering();
    // What is in the description need not be told again.
    this.unsent = [];
    return this.pc.localDescription?.sdp ?? '';
  }

  private gathering(): Promise<void> {
    if (this.isGathered) return Promise.resolve();
    return new Promise((resolve) => {
      const { platform } = this.host;
      const timer = platform.setTimer(() => this.onGathered?.(), GATHER_MS);
      this.onGathered = () => {
        this.onGathered = null;
        platform.clearTimer(timer);
        resolve();
      };
    });
  }

  private gathered(candidate: string): void {
    if (candidate !== '') this.unsent.push(candidate);
    else this.isGathered = true;
    if (!this.isGathered) return;
    this.onGathered?.();
    this.trickle();
  }

  /** All late candidates in one request, once they are known: each would be a request of its own otherwise. */
  private trickle(): void {
    this.canTrickle ||= !this.isRestarting && this.pc.remoteDescription !== null;
    if (!this.canTrickle || !this.isGathered || this.unsent.length === 0) return;
    const fragment = writeFragment(this.pc.localDescription?.sdp ?? '', this.unsent, true);
    this.unsent = [];
    if (fragment !== null) this.resource.trickle(fragment).catch(() => {});
  }

  private async restart(): Promise<void> {
    if (this.isClosed || this.isRestarting) return;
    this.restarts += 1;
    if (this.restarts > RESTARTS_MAX) {
      this.lost(unreachable());
      return;
    }
    this.isRestarting = true;
    try {
      await this.exchangeCredentials();
    } catch (error) {
      if (this.isClosed) return;
      // Unanswered: the next round of the watch tries again. Refused: the server no longer has this connection.
      if (error instanceof TelstarError && error.isTransient) await this.pc.setLocalDescription({ type: 'rollback' }).catch(() => {});
      else this.lost(new TelstarError('gone', `the connection could not be restarted: ${String(error)}`));
    } finally {
      this.isRestarting = false;
    }
    if (!this.isClosed) this.trickle();
  }

  private async exchangeCredentials(): Promise<void> {
    const before = this.pc.remoteDescription?.sdp ?? '';
    this.pc.restartIce();
    const offer = await this.offer();
    const candidates = Array.from(offer.matchAll(/^a=(candidate:[^\r\n]+)/gm), ([, candidate]) => candidate ?? '');
    const fragment = writeFragment(offer, [...new Set(candidates)], this.isGathered);
    if (this.isClosed || fragment === null) return;
    const answer = await this.resource.restart(fragment);
    if (!this.isClosed) await this.pc.setRemoteDescription({ type: 'answer', sdp: restartedAnswer(before, answer) });
  }

  private stateChanged(state: string): void {
    if (this.isClosed) return;
    if (state === 'connected') {
      this.wasConnected = true;
      this.restarts = 0;
      this.stopConnectTimer();
      this.host.connected();
    } else if (state === 'failed' && !this.wasConnected) {
      this.lost(unreachable());
      return;
    } else if (state === 'closed') {
      this.lost(new TelstarError('gone', 'the connection was closed'));
      return;
    } else if (this.wasConnected && (state === 'disconnected' || state === 'failed')) {
      this.host.interrupted();
    }
    if (this.wasConnected) this.ice.update(state);
  }

  private lost(error: TelstarError): void {
    if (this.isClosed) return;
    void this.close();
    this.host.lost(error);
  }

  private stopConnectTimer(): void {
    if (this.connectTimer !== null) this.host.platform.clearTimer(this.connectTimer);
    this.connectTimer = null;
  }
}

function unreachable(): TelstarError {
  return new TelstarError('unreachable', 'no media path to the server was found');
}
