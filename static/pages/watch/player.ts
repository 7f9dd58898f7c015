/**
 * Keeps one video element playing one stream, over WebRTC or HLS and never both: autoplay within the browser's rules, a new
 * engine after a fatal error or a freeze, measurements. It knows nothing of rooms and of the page around it.
 */

import { Backoff } from '../../client/index.js';
import { startPlaying } from '../shared/player-parts.js';
import type { Engine, Sources } from './engine.js';
import { HlsEngine } from './engine-hls.js';
import { NativeEngine } from './engine-native.js';
import { WebRtcEngine } from './engine-webrtc.js';
import { onFirstFrame } from './first-frame.js';
import { isFrozen, liveLatencySecs, StallMeter, type Playback } from './logic.js';
import type { Transport, TransportChoice } from './transport.js';

/** Lower: measurements follow closer. Higher: less work. Four a second is what `timeupdate` gives as well. */
const SAMPLE_EVERY_MS = 250;
const REBUILD_BACKOFF = { firstMs: 400, maxMs: 6_000 };
/** Playing for this long makes the next failure a first failure again. */
const HEALTHY_MS = 10_000;
/** A track that appears gets a new engine, but not one after the other. A guess. */
const NEW_RENDITION_EVERY_MS = 30_000;
/** Coming back from a pause further behind than this goes to the live edge. A guess. */
const RESUME_BEHIND_SECS = 6;

/** What one step back goes back by. */
const SEEK_BACK_SECS = 10;
/** hls.js 1.6 seeks once more to its starting place after the first picture, over whatever was sought before. A guess. */
const SETTLE_MS = 800;

export interface PlayerHandlers {
  onChange(): void;
}

export class Player {
  readonly meter = new StallMeter();
  playback: Playback = 'idle';
  firstFrameMs: number | null = null;
  rebuilds = 0;
  /** The last few reasons, newest last. */
  readonly failures: string[] = [];
  /** Muted by us because the browser plays nothing aloud without a click. */
  isMutedByBrowser = false;
  private engine: Engine | null = null;
  private sources: Sources | null = null;
  /** Held until the engine that can go back has played for a moment. */
  private seekBackSecs = 0;
  /** The viewer went back and has not returned to the live edge. */
  private isTimeShifted = false;
  private hasEnded = false;
  private isPausedByViewer = false;
  private lastMediaTime = -1;
  /** Since when the engine plays; null before its first picture. */
  private playsSince: number | null = null;
  private lastMoveAt = 0;
  private lastBufferedEnd = 0;
  private lastGrowthAt = 0;
  private lastNewRenditionAt = -Infinity;
  private startedMovingAt = 0;
  private rebuildTimer: number | undefined;
  /** False while the encoder is away: then a freeze is expected and a new engine would not help. */
  private isDataExpected = true;
  /** What the engine gave up on while no data was expected. */
  private putOffFailure: string | null = null;
  private readonly backoff = new Backoff(REBUILD_BACKOFF, Math.random);

  constructor(
    readonly video: HTMLVideoElement,
    private readonly forceNative: boolean,
    private readonly choice: TransportChoice,
    private readonly handlers: PlayerHandlers,
  ) {
    for (const name of ['play', 'pause', 'playing', 'waiting', 'seeking', 'seeked', 'ended', 'volumechange'] as const) {
      video.addEventListener(name, () => this.mediaEvent(name));
    }
    onFirstFrame(video, () => {
      this.firstFrameMs ??= performance.now();
    });
    setInterval(() => this.sample(), SAMPLE_EVERY_MS);
  }

  get engineName(): string {
    return this.engine?.name ?? 'none';
  }

  get isLoaded(): boolean {
    return this.sources !== null && !this.hasEnded;
  }

  /** The picture moved within the last second. */
  get isMoving(): boolean {
    return this.lastMediaTime > 0 && performance.now() - this.lastMoveAt < 1_000 && !this.video.paused;
  }

  get transport(): Transport {
    return this.choice.current;
  }

  /** The viewer's choice. */
  chooseTransport(transport: Transport): void {
    const before = this.transport;
    this.choice.choose(transport);
    this.isTimeShifted = false;
    if (this.transport !== before) this.changeEngine();
  }

  /** Only HLS has a past, so this leaves WebRTC. */
  seekBack(): void {
    if (this.engine === null) return;
    this.isTimeShifted = true;
    if (this.transport === 'hls') {
      this.meter.soughtByViewer(performance.now());
      this.engine.seekBack(SEEK_BACK_SECS);
      return;
    }
    this.seekBackSecs = SEEK_BACK_SECS;
    this.choice.choose('hls');
    this.changeEngine();
  }

  load(sources: Sources): void {
    this.backoff.reset();
    this.sources = sources;
    this.isDataExpected = true;
    this.putOffFailure = null;
    this.build();
  }

  /** Off air: lets what is buffered play out and starts nothing anew. */
  finish(): void {
    this.isDataExpected = false;
    clearTimeout(this.rebuildTimer);
    if (!this.isMoving) this.unload();
    else this.hasEnded = true;
  }

  unload(): void {
    clearTimeout(this.rebuildTimer);
    this.engine?.destroy();
    this.engine = null;
    this.sources = null;
    this.isTimeShifted = false;
    this.seekBackSecs = 0;
    this.putOffFailure = null;
    this.hasEnded = false;
    this.lastMediaTime = -1;
    this.meter.stop(performance.now());
    this.setPlayback('idle');
  }

  setDataExpected(isExpected: boolean): void {
    if (isExpected && !this.isDataExpected) this.lastMoveAt = performance.now();
    this.isDataExpected = isExpected;
    if (!isExpected || this.putOffFailure === null) return;
    this.dropEngine(this.putOffFailure);
    this.retryNow();
  }

  rebuild(reason: string): void {
    if (this.sources === null) return;
    this.dropEngine(reason);
    this.setPlayback('loading');
    clearTimeout(this.rebuildTimer);
    this.rebuildTimer = setTimeout(() => this.build(), this.backoff.nextDelayMs());
  }

  /** The server is back: an engine that waits for its turn need not wait any longer. */
  retryNow(): void {
    this.engine?.retryNow?.();
    if (this.sources === null || this.engine !== null) return;
    clearTimeout(this.rebuildTimer);
    this.backoff.reset();
    this.build();
  }

  async play(): Promise<void> {
    if (!this.isTimeShifted && (this.latencySecs() ?? 0) > RESUME_BEHIND_SECS) this.jumpToLive();
    this.isPausedByViewer = false;
    await this.start();
  }

  pause(): void {
    this.isPausedByViewer = true;
    this.video.pause();
  }

  jumpToLive(): void {
    this.isTimeShifted = false;
    this.meter.soughtByViewer(performance.now());
    this.engine?.jumpToLive();
    if (this.isPausedByViewer) void this.start();
  }

  unmute(): void {
    this.isMutedByBrowser = false;
    this.video.muted = false;
    if (this.video.volume === 0) this.video.volume = 1;
    if (!this.isPausedByViewer) void this.start();
  }

  latencySecs(): number | null {
    if (this.engine === null || this.lastMediaTime < 0) return null;
    return liveLatencySecs(this.engine.latencyByClockSecs(), this.engine.latencyByEdgeSecs());
  }

  /** Behind enough for "jump to live" to make a difference. */
  isBehind(): boolean {
    const byEdge = this.engine?.latencyByEdgeSecs() ?? null;
    if (byEdge === null) return false;
    const target = this.engine?.quality().targetLatencySecs ?? 2;
    return byEdge > target + 3;
  }

  bufferSecs(): number {
    const { buffered, currentTime } = this.video;
    for (let index = 0; index < buffered.length; index += 1) {
      if (buffered.start(index) <= currentTime + 0.1 && currentTime < buffered.end(index)) return buffered.end(index) - currentTime;
    }
    return 0;
  }

  quality(): ReturnType<Engine['quality']> | null {
    return this.engine?.quality() ?? null;
  }

  /** While the encoder is away a new engine would find no more than this one did, and the last picture would be lost. */
  private failed(reason: string, isNetwork: boolean): void {
    if (isNetwork && !this.isDataExpected) this.putOffFailure = reason;
    else this.rebuild(reason);
  }

  /** Another way to the same stream: a start and no failure, so nothing is waited for. */
  private changeEngine(): void {
    if (this.sources === null) {
      this.handlers.onChange();
      return;
    }
    clearTimeout(this.rebuildTimer);
    this.backoff.reset();
    this.meter.soughtByViewer(performance.now());
    this.build();
  }

  /** WebRTC will not do here. While nothing is expected, that says nothing. */
  private unplayable(reason: string): void {
    if (!this.isDataExpected || this.transport !== 'webrtc') return;
    this.failures.push(`webrtc: ${reason}`);
    this.choice.fallBack(reason);
    clearTimeout(this.rebuildTimer);
    // Not at once: the engine is still telling its own parts what made it call.
    this.rebuildTimer = setTimeout(() => this.changeEngine());
  }

  private takeUpRendition(): void {
    const now = performance.now();
    if (this.engine === null || now - this.lastNewRenditionAt < NEW_RENDITION_EVERY_MS) return;
    this.lastNewRenditionAt = now;
    clearTimeout(this.rebuildTimer);
    // Not at once: the engine is still telling its own parts what made it call.
    this.rebuildTimer = setTimeout(() => this.rebuild('new rendition'));
  }

  private dropEngine(reason: string): void {
    this.putOffFailure = null;
    this.failures.push(reason);
    if (this.failures.length > 10) this.failures.shift();
    this.rebuilds += 1;
    this.engine?.destroy();
    this.engine = null;
  }

  private build(): void {
    const { sources } = this;
    if (sources === null) return;
    this.engine?.destroy();
    this.engine = null;
    this.hasEnded = false;
    this.lastMediaTime = -1;
    this.playsSince = null;
    this.lastMoveAt = performance.now();
    this.setPlayback(this.isPausedByViewer ? 'paused' : 'loading');
    const handlers = {
      onReady: () => {
        if (!this.isPausedByViewer) void this.start();
      },
      onFatal: (reason: string, isNetwork: boolean) => this.failed(reason, isNetwork),
      onNewRendition: () => this.takeUpRendition(),
      onEnded: () => {
        this.hasEnded = true;
        this.handlers.onChange();
      },
      onUnplayable: (reason: string) => this.unplayable(reason),
    };
    if (this.transport === 'webrtc') {
      this.engine = new WebRtcEngine(this.video, handlers, sources.token);
      this.engine.load(sources.whep);
      return;
    }
    const useNative = this.forceNative || !HlsEngine.isSupported();
    if (useNative && !NativeEngine.isSupported(this.video)) {
      this.failures.push('no HLS support');
      this.handlers.onChange();
      return;
    }
    this.engine = useNative ? new NativeEngine(this.video, handlers) : new HlsEngine(this.video, handlers);
    this.engine.load(sources.hls);
  }

  private async start(): Promise<void> {
    if (!(await startPlaying(this))) this.setPlayback('blocked');
  }

  private mediaEvent(name: string): void {
    const now = performance.now();
    if (name === 'waiting' && !this.video.seeking && this.isDataExpected) this.meter.waiting(now);
    if (name === 'waiting' && this.sources !== null && !this.video.paused) this.setPlayback('buffering');
    if (name === 'playing') this.setPlayback('playing');
    // A pause may come from the system (headphones pulled, picture-in-picture) as well as from our button.
    if (name === 'pause' && this.engine !== null && !this.video.ended && this.sources !== null) {
      if (this.playback === 'playing') this.isPausedByViewer = true;
      if (this.isPausedByViewer) this.setPlayback('paused');
    }
    if (name === 'play') this.isPausedByViewer = false;
    if (name === 'volumechange' && !this.video.muted) this.isMutedByBrowser = false;
    if (name === 'ended' && this.hasEnded) this.unload();
    this.handlers.onChange();
  }

  private sample(): void {
    const now = performance.now();
    const { video } = this;
    const isWanted = this.sources !== null && !this.isPausedByViewer && this.playback !== 'blocked';
    const isExpected = isWanted && this.isDataExpected && !this.hasEnded;
    this.noteGrowth(now);
    if (!video.seeking) this.meter.sample(now, video.currentTime, isExpected);
    if (video.currentTime !== this.lastMediaTime && !video.seeking) {
      if (now - this.lastMoveAt > 1_500) this.startedMovingAt = now;
      this.lastMediaTime = video.currentTime;
      this.lastMoveAt = now;
      if (!video.paused && video.currentTime > 0 && video.readyState >= 3) this.setPlayback('playing');
      if (now - this.startedMovingAt > HEALTHY_MS) this.backoff.reset();
      this.noteMove(now);
    } else {
      this.checkFreeze(now);
    }
    this.handlers.onChange();
  }

  private noteMove(now: number): void {
    if (this.video.currentTime > 0) this.playsSince ??= now;
    if (this.seekBackSecs === 0 || this.playsSince === null || now - this.playsSince < SETTLE_MS) return;
    this.engine?.seekBack(this.seekBackSecs);
    this.seekBackSecs = 0;
  }

  private checkFreeze(now: number): void {
    if (this.sources === null || this.isPausedByViewer || this.playback === 'blocked') return;
    const frozenMs = now - this.lastMoveAt;
    if (this.hasEnded) {
      if (frozenMs > 1_500) this.unload();
      return;
    }
    if (frozenMs > 1_000 && this.playback === 'playing') this.setPlayback('buffering');
    if (!this.isDataExpected || this.engine === null) return;
    // Over WebRTC the engine itself judges its beginning.
    if (this.transport === 'webrtc' && this.playsSince === null) return;
    const standstill = {
      stillMs: frozenMs,
      sinceGrowthMs: now - this.lastGrowthAt,
      targetDurationSecs: this.engine.targetDurationSecs(),
    };
    if (isFrozen(standstill)) this.rebuild('frozen');
  }

  private noteGrowth(now: number): void {
    const { buffered } = this.video;
    const end = buffered.length === 0 ? 0 : buffered.end(buffered.length - 1);
    if (end > this.lastBufferedEnd) this.lastGrowthAt = now;
    this.lastBufferedEnd = end;
  }

  private setPlayback(playback: Playback): void {
    if (this.playback === playback) return;
    this.playback = playback;
    this.handlers.onChange();
  }
}
