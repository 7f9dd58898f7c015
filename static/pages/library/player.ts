/**
 * Keeps one video element playing one asset: from the moment that anything of it can be played, and anew from the same place after
 * a failure or when more qualities are there. It knows nothing of the page around it.
 */

import { Backoff } from '../../client/index.js';
import { startPlaying } from '../shared/player-parts.js';
import { newEngine, type MenuName, type VodEngine } from './player-engine.js';

const RETRY_BACKOFF = { firstMs: 800, maxMs: 15_000 };
/** Playing for this long makes the next failure a first failure again. */
const HEALTHY_MS = 10_000;

/** `data-playback` of the player. `blocked`: the browser wants a click first. `refused`: the server says no. */
export type Playback = 'idle' | 'loading' | 'playing' | 'buffering' | 'paused' | 'blocked' | 'refused' | 'unsupported' | 'ended';

export class VodPlayer {
  playback: Playback = 'idle';
  /** The last few reasons, newest last. */
  readonly failures: string[] = [];
  /** Muted by us because the browser plays nothing aloud without a click. */
  isMutedByBrowser = false;
  engine: VodEngine | null = null;
  /** Those there are, whether the playlist had them when it was read or not. */
  qualities: readonly string[] = [];
  private url: string | null = null;
  /** What the playlist named when it was read. */
  private loadedNames = '';
  private wantedNames = '';
  /** What was chosen, by its name; empty is automatic quality, or no subtitles. It stays so when the playlist is read again. */
  private readonly chosen = new Map<MenuName, string>();
  /** Of them those that are not on yet: a playlist's tracks come one after the other. */
  private readonly pending = new Set<MenuName>();
  private shouldPlay = false;
  private startSecs = 0;
  private playsSince: number | null = null;
  private retryTimer: number | undefined;
  private readonly backoff = new Backoff(RETRY_BACKOFF, Math.random);

  constructor(
    readonly video: HTMLVideoElement,
    private readonly onChange: () => void,
  ) {
    for (const name of ['play', 'pause', 'playing', 'waiting', 'seeking', 'seeked', 'ended', 'volumechange', 'durationchange', 'progress', 'timeupdate'] as const) {
      video.addEventListener(name, () => this.mediaEvent(name));
    }
    addEventListener('online', () => this.retryNow());
  }

  get isLoaded(): boolean {
    return this.url !== null;
  }

  /** More can be chosen than the playlist had when it was read. */
  get hasMoreQualities(): boolean {
    return this.isLoaded && this.loadedNames !== this.wantedNames;
  }

  /**
   * `names` says what the playlist has; where it has more than it had, it is read again unless somebody watches.
   * `qualities` are those that it has now, the best first.
   */
  load(url: string, names: string, qualities: string[], startSecs: number): void {
    this.wantedNames = names;
    this.qualities = qualities;
    if (this.url !== url) {
      this.url = url;
      this.startSecs = startSecs;
      this.build();
    } else if (this.hasMoreQualities && this.playsSince === null && !this.shouldPlay && this.engine !== null) {
      this.reload();
    }
  }

  /** A quality that the playlist did not have when it was read is there when it is read again. */
  choose(menu: MenuName, name: string): void {
    this.chosen.set(menu, name);
    if (!this.apply(menu) && this.hasMoreQualities) this.reload();
  }

  private apply(menu: MenuName): boolean {
    const name = this.chosen.get(menu);
    const id = name === '' ? -1 : this.engine?.menu(menu).choices.find((choice) => choice.name === name)?.id;
    if (id === undefined) return false;
    this.pending.delete(menu);
    this.engine?.choose(menu, id);
    return true;
  }

  /** Reads the playlist again and goes on where it is. */
  reload(): void {
    if (this.url === null) return;
    this.startSecs = this.video.currentTime || this.startSecs;
    this.build();
  }

  unload(): void {
    this.chosen.clear();
    clearTimeout(this.retryTimer);
    this.engine?.destroy();
    this.engine = null;
    this.url = null;
    this.setPlayback('idle');
  }

  async play(): Promise<void> {
    this.shouldPlay = true;
    if (this.video.ended) this.video.currentTime = 0;
    if (this.engine === null) this.retryNow();
    else await this.start();
  }

  pause(): void {
    this.shouldPlay = false;
    this.video.pause();
  }

  unmute(): void {
    this.isMutedByBrowser = false;
    this.video.muted = false;
    if (this.video.volume === 0) this.video.volume = 1;
  }

  seek(secs: number): void {
    this.video.currentTime = Math.max(0, Math.min(this.durationSecs, secs));
  }

  /** Of what is there: while the asset is being made it grows. */
  get durationSecs(): number {
    const { duration, seekable } = this.video;
    if (Number.isFinite(duration)) return duration;
    return seekable.length === 0 ? 0 : seekable.end(seekable.length - 1);
  }

  private build(): void {
    clearTimeout(this.retryTimer);
    this.engine?.destroy();
    this.loadedNames = this.wantedNames;
    this.playsSince = null;
    this.chosen.forEach((_name, menu) => this.pending.add(menu));
    this.engine = newEngine(this.video, {
      onReady: () => {
        this.pending.forEach((menu) => this.apply(menu));
        if (this.shouldPlay) void this.start();
        else this.setPlayback('paused');
      },
      onMenus: () => {
        this.pending.forEach((menu) => this.apply(menu));
        this.onChange();
      },
      onFatal: (reason, status) => this.failed(reason, status),
    });
    if (this.engine === null) {
      this.setPlayback('unsupported');
      return;
    }
    this.setPlayback('loading');
    this.engine.load(this.url ?? '', this.startSecs);
  }

  private failed(reason: string, status: number): void {
    this.failures.push(reason);
    if (this.failures.length > 10) this.failures.shift();
    // Not from within the engine that calls.
    const engine = this.engine;
    this.engine = null;
    this.startSecs = this.video.currentTime || this.startSecs;
    setTimeout(() => engine?.destroy());
    if ([401, 403, 404, 410].includes(status)) {
      this.setPlayback('refused');
      return;
    }
    this.setPlayback('loading');
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.build(), this.backoff.nextDelayMs());
  }

  private retryNow(): void {
    if (this.url === null || this.engine !== null) return;
    this.backoff.reset();
    this.build();
  }

  private async start(): Promise<void> {
    if (!(await startPlaying(this))) this.setPlayback('blocked');
  }

  private mediaEvent(name: string): void {
    const { video } = this;
    if (this.engine !== null) {
      if (name === 'playing') this.setPlayback('playing');
      if (name === 'waiting' && !video.paused) {
        this.setPlayback('buffering');
        // It stands anyway, and a smaller picture may be what it needs.
        if (this.hasMoreQualities && this.playsSince !== null && !this.chosen.get('quality')) this.reload();
      }
      if (name === 'ended') this.setPlayback('ended');
      if (name === 'pause' && !video.ended) this.setPlayback('paused');
      // A pause may come from the system (headphones pulled, picture-in-picture) as well as from our button.
      if (name === 'play') this.shouldPlay = true;
      if (name === 'pause') this.shouldPlay = false;
      if (name === 'playing') this.playsSince ??= performance.now();
      if (this.playsSince !== null && performance.now() - this.playsSince > HEALTHY_MS) this.backoff.reset();
    }
    if (name === 'volumechange' && !video.muted) this.isMutedByBrowser = false;
    this.onChange();
  }

  private setPlayback(playback: Playback): void {
    if (this.playback === playback) return;
    this.playback = playback;
    this.onChange();
  }
}
