/** WebRTC by WHEP: a picture well under a second old, and nothing to go back to. The client keeps the connection; this says when it will not do. */

import { WhepPlayer, type PlayStats } from '../../client/index.js';
import type { Engine, EngineHandlers, Quality } from './engine.js';
import { WebRtcJudge } from './transport.js';

const SAMPLE_EVERY_MS = 1_000;

export class WebRtcEngine implements Engine {
  readonly name = 'webrtc';
  private player: WhepPlayer | null = null;
  private stats: PlayStats | null = null;
  private error: string | null = null;
  private timer: number | undefined;
  private readonly judge = new WebRtcJudge();

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly handlers: EngineHandlers,
    private readonly token: string | null,
  ) {}

  load(url: string): void {
    const player = new WhepPlayer({ url, token: this.token });
    this.player = player;
    player.on('media', ({ tracks }) => {
      this.video.srcObject = new MediaStream(tracks);
      this.handlers.onReady();
    });
    player.on('retry', ({ error }) => {
      if (player.state !== 'waiting' && error.code !== 'gone') this.judge.noteLost();
    });
    player.on('state', ({ state, error }) => {
      this.error = error?.code ?? null;
      if (state === 'closed') this.decide();
    });
    this.timer = setInterval(() => void this.sample(), SAMPLE_EVERY_MS);
    player.start();
  }

  destroy(): void {
    clearInterval(this.timer);
    const { player } = this;
    this.player = null;
    this.stats = null;
    void player?.stop();
    this.video.srcObject = null;
  }

  retryNow(): void {
    this.player?.retryNow();
  }

  jumpToLive(): void {
    // It is never anywhere else.
  }

  seekBack(): void {
    // The player goes over to HLS for that.
  }

  latencyByClockSecs(): number | null {
    return this.stats?.latencyMs == null ? null : this.stats.latencyMs / 1000;
  }

  latencyByEdgeSecs(): number | null {
    return null;
  }

  targetDurationSecs(): number | null {
    return null;
  }

  quality(): Quality {
    const { stats, video } = this;
    return {
      width: video.videoWidth || stats?.width || null,
      height: video.videoHeight || stats?.height || null,
      videoCodec: stats?.videoCodec ?? null,
      audioCodec: stats?.audioCodec ?? null,
      bandwidthBps: null,
      targetLatencySecs: null,
      bitrateBps: stats?.bitrateBps ?? null,
      loss: stats?.loss ?? null,
    };
  }

  private async sample(): Promise<void> {
    const { player } = this;
    const stats = (await player?.stats()) ?? null;
    if (player === null || this.player !== player) return;
    this.stats = stats;
    this.decide();
  }

  private decide(): void {
    const { player, stats } = this;
    if (player === null) return;
    const facts = { state: player.state, error: this.error, videoPackets: stats?.videoPackets ?? 0, frames: stats?.frames ?? null };
    const reason = this.judge.verdict(performance.now(), facts);
    if (reason !== null) this.handlers.onUnplayable(reason);
  }
}
