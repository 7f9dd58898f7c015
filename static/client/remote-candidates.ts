/** Candidates of the other side. They may come before the description that they belong to, and wait for it then. */

import type { PeerLike } from './rtc.js';

/** More than this before any description is nonsense; the rest is dropped. */
const WAITING_MAX = 64;

export class RemoteCandidates {
  private waiting: string[] = [];

  constructor(private readonly pc: PeerLike) {}

  add(candidate: string): void {
    if (this.pc.remoteDescription !== null) void this.give(candidate);
    else if (this.waiting.length < WAITING_MAX) this.waiting.push(candidate);
  }

  /** The description is set. */
  async ready(): Promise<void> {
    const waiting = this.waiting;
    this.waiting = [];
    for (const candidate of waiting) await this.give(candidate);
  }

  private async give(candidate: string): Promise<void> {
    try {
      // Everything is bundled, so the first section stands for all (RFC 8843 §10.1).
      await this.pc.addIceCandidate({ candidate, sdpMLineIndex: 0 });
    } catch {
      // One of an earlier generation, or of a kind that this browser does not know: one way less.
    }
  }
}
