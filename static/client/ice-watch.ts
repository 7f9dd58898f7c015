/** When to restart ICE: a connection that stays disconnected, a failed one, a network that changed. Knows no connection. */

import type { Platform, TimerHandle } from './platform.js';

/** Lower: restarts for gaps that heal by themselves. Higher: a longer silence after a change of network. A guess. */
const DISCONNECTED_MS = 2_000;
/** The next try when the last one has not helped. Lower: more offers on a path that is down. Higher: a longer silence. A guess. */
const AGAIN_MS = 5_000;

export class IceWatch {
  private timer: TimerHandle | null = null;
  private wasConnected = false;
  private state = 'new';

  constructor(
    private readonly platform: Platform,
    private readonly restart: () => void,
  ) {}

  /** Takes each `connectionState` (W3C webrtc-pc §4.3.3). */
  update(state: string): void {
    this.state = state;
    if (state === 'connected' || state === 'closed') {
      this.wasConnected ||= state === 'connected';
      this.stop();
    } else if (state === 'disconnected') {
      this.timer ??= this.platform.setTimer(() => this.fire(), DISCONNECTED_MS);
    } else if (state === 'failed') {
      this.stop();
      this.fire();
    }
  }

  /** The old path is probably gone, so nothing is gained by waiting. Before the first connection there is nothing to mend. */
  networkChanged(): void {
    if (!this.wasConnected) return;
    this.stop();
    this.fire();
  }

  stop(): void {
    if (this.timer !== null) this.platform.clearTimer(this.timer);
    this.timer = null;
  }

  private fire(): void {
    this.timer = this.platform.setTimer(() => {
      // A path that outlived the restart (the network had not changed after all) says nothing anew.
      if (this.state === 'connected') this.stop();
      else this.fire();
    }, AGAIN_MS);
    this.restart();
  }
}
