// hls.js is held at 1.6: while it loads parts, 1.7 uses no tolerance when it looks for the next segment, and stops for good
// where media ends a millisecond before the playlist's sum, which B-frames with stamps in milliseconds do now and then.
// A tolerance of our own instead of its quarter of a second made it stop behind a discontinuity.

/** hls.js in low-latency mode. Its own retries cover short failures; what it calls fatal goes to the player. */

import Hls, { type ErrorData, type HlsConfig } from 'hls.js';
import type { Engine, EngineHandlers, Quality } from './engine.js';
import { lacksRendition, placeBack } from './logic.js';

/** Set by the build: the worker's file of our own origin, since a page with our policy runs no worker from elsewhere. */
declare const __HLS_WORKER_PATH__: string;

/** A media error is first answered by rebuilding the buffers in place, but not twice within this time. */
const MEDIA_RECOVERY_EVERY_MS = 10_000;
/** Lower: what a stall has opened closes unnoticed but slowly. Higher: sooner, and the pitch correction is heard. A guess. */
const CATCH_UP_RATE = 1.06;
/** Further behind than this, playing faster would take minutes, so hls.js seeks to the live edge. A guess. */
const LATENCY_MAX_TARGET_DURATIONS = 8;

/**
 * Tries of a playlist before hls.js calls it fatal. While an encoder is away nothing new comes, and hls.js takes the
 * larger of three part targets and 0.8 target durations (1.6 s of 2) for the limit of a blocking reload whatever the
 * policy says, so each reload of both playlists times out and counts. Lower: an outage within the time in which the
 * encoder may come back costs a new engine. Higher: a server that never answers is noticed later. A guess.
 */
const PLAYLIST_TRIES_MAX = 60;

/** The times hold for reloads that do not block; see above for those that do (RFC 8216bis §6.2.5.2). */
const PLAYLIST_POLICY: HlsConfig['playlistLoadPolicy'] = {
  default: {
    maxTimeToFirstByteMs: 15_000,
    maxLoadTimeMs: 20_000,
    timeoutRetry: { maxNumRetry: PLAYLIST_TRIES_MAX, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: PLAYLIST_TRIES_MAX, retryDelayMs: 400, maxRetryDelayMs: 4_000 },
  },
};

export class HlsEngine implements Engine {
  readonly name = 'hls.js';
  private readonly hls: Hls;
  private lastMediaRecovery = -Infinity;
  /** From then on the place is the viewer's, and what it needs may still have to come. */
  private hasGoneBack = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly handlers: EngineHandlers,
  ) {
    this.hls = new Hls({
      lowLatencyMode: true,
      enableWorker: true,
      workerPath: __HLS_WORKER_PATH__,
      liveDurationInfinity: true,
      // The server's PART-HOLD-BACK sets the distance from the edge; this only closes what a stall has opened.
      maxLiveSyncPlaybackRate: CATCH_UP_RATE,
      // Lower saves memory; higher lets a viewer pause briefly without losing the place.
      backBufferLength: 30,
      maxBufferLength: 20,
      playlistLoadPolicy: PLAYLIST_POLICY,
    });
    // Set afterwards: as a constructor option hls.js takes it only together with a distance from the edge in
    // target durations, which would replace the server's.
    this.hls.config.liveMaxLatencyDurationCount = LATENCY_MAX_TARGET_DURATIONS;
    this.hls.on(Hls.Events.MANIFEST_PARSED, () => handlers.onReady());
    this.hls.on(Hls.Events.LEVEL_UPDATED, (_event, data) => {
      if (!data.details.live) handlers.onEnded();
      const reported = data.details.renditionReports?.flatMap((report) => report['URI'] ?? []) ?? [];
      const known = [...this.hls.levels.map((level) => level.uri), ...this.hls.audioTracks.map((track) => track.url)];
      if (lacksRendition(reported, known)) handlers.onNewRendition();
    });
    this.hls.once(Hls.Events.FRAG_LOADING, () => this.startWhereItPlays());
    this.hls.on(Hls.Events.BUFFER_APPENDED, () => this.startWhereThereIsSomething());
    this.hls.on(Hls.Events.ERROR, (_event, data) => this.failed(data));
  }

  static isSupported(): boolean {
    return Hls.isSupported();
  }

  load(url: string): void {
    this.hls.attachMedia(this.video);
    this.hls.loadSource(url);
  }

  destroy(): void {
    this.hls.destroy();
  }

  jumpToLive(): void {
    this.hls.config.liveMaxLatencyDurationCount = LATENCY_MAX_TARGET_DURATIONS;
    const edge = this.hls.liveSyncPosition;
    if (edge !== null && edge > this.video.currentTime) this.video.currentTime = edge;
  }

  /** Whoever goes back wants to stay there, and hls.js would return to the live edge from that far behind. */
  seekBack(secs: number): void {
    this.hasGoneBack = true;
    this.hls.config.liveMaxLatencyDurationCount = Infinity;
    this.video.currentTime = placeBack(this.video, secs);
  }

  latencyByClockSecs(): number | null {
    const shown = this.hls.playingDate;
    return shown === null ? null : (Date.now() - shown.getTime()) / 1000;
  }

  latencyByEdgeSecs(): number | null {
    return this.hls.latestLevelDetails === null ? null : this.hls.latency;
  }

  targetDurationSecs(): number | null {
    return this.hls.latestLevelDetails?.targetduration ?? null;
  }

  quality(): Quality {
    const level = this.hls.levels[Math.max(0, this.hls.currentLevel)];
    return {
      width: this.video.videoWidth || level?.width || null,
      height: this.video.videoHeight || level?.height || null,
      videoCodec: level?.videoCodec ?? null,
      audioCodec: level?.audioCodec ?? null,
      bandwidthBps: Number.isFinite(this.hls.bandwidthEstimate) ? this.hls.bandwidthEstimate : null,
      targetLatencySecs: this.hls.targetLatency,
      bitrateBps: null,
      loss: null,
    };
  }

  /**
   * hls.js loads the group of pictures before its starting place and seeks once something is there; with a long group a
   * picture from its beginning would be shown for a moment. An element without data takes the place as where to begin.
   */
  private startWhereItPlays(): void {
    const start = this.hls.startPosition;
    if (start > 0 && this.video.readyState === HTMLMediaElement.HAVE_NOTHING) this.video.currentTime = start;
  }

  /** The place is hls.js's estimate; what was loaded for it may begin some milliseconds behind it. */
  private startWhereThereIsSomething(): void {
    const { buffered, currentTime, readyState } = this.video;
    const waits = readyState < HTMLMediaElement.HAVE_CURRENT_DATA && buffered.length > 0;
    if (waits && !this.hasGoneBack && currentTime > 0 && currentTime < buffered.start(0)) this.video.currentTime = buffered.start(0);
  }

  private failed(data: ErrorData): void {
    if (!data.fatal) return;
    const now = performance.now();
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && now - this.lastMediaRecovery > MEDIA_RECOVERY_EVERY_MS) {
      this.lastMediaRecovery = now;
      this.hls.recoverMediaError();
      return;
    }
    this.handlers.onFatal(data.details, data.type === Hls.ErrorTypes.NETWORK_ERROR);
  }
}
