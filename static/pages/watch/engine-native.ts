/** The browser's own HLS player (Safari; recent Chromium): the fallback where Media Source Extensions are missing. */

import type { Engine, EngineHandlers, Quality } from './engine.js';
import { placeBack } from './logic.js';

/** WebKit's name for the wall clock of time zero, made from EXT-X-PROGRAM-DATE-TIME. */
type WithStartDate = HTMLVideoElement & { getStartDate?: () => Date };

export class NativeEngine implements Engine {
  readonly name = 'native';
  private readonly abort = new AbortController();

  constructor(
    private readonly video: HTMLVideoElement,
    handlers: EngineHandlers,
  ) {
    const options = { signal: this.abort.signal };
    video.addEventListener('loadedmetadata', () => handlers.onReady(), options);
    video.addEventListener('ended', () => handlers.onEnded(), options);
    video.addEventListener('error', () => this.failed(handlers), options);
  }

  static isSupported(video: HTMLVideoElement): boolean {
    return video.canPlayType('application/vnd.apple.mpegurl') !== '';
  }

  load(url: string): void {
    this.video.src = url;
    this.video.load();
  }

  destroy(): void {
    this.abort.abort();
    this.video.removeAttribute('src');
    this.video.load();
  }

  jumpToLive(): void {
    const edge = this.edge();
    // Without PART-HOLD-BACK at hand, a second from the edge is as near as a native player holds.
    if (edge !== null) this.video.currentTime = Math.max(this.video.currentTime, edge - 1);
  }

  seekBack(secs: number): void {
    this.video.currentTime = placeBack(this.video, secs);
  }

  latencyByClockSecs(): number | null {
    const start = (this.video as WithStartDate).getStartDate?.().getTime();
    if (start === undefined || Number.isNaN(start)) return null;
    return (Date.now() - start) / 1000 - this.video.currentTime;
  }

  latencyByEdgeSecs(): number | null {
    const edge = this.edge();
    return edge === null ? null : edge - this.video.currentTime;
  }

  /** The browser keeps it to itself. */
  targetDurationSecs(): number | null {
    return null;
  }

  quality(): Quality {
    return {
      width: this.video.videoWidth || null,
      height: this.video.videoHeight || null,
      videoCodec: null,
      audioCodec: null,
      bandwidthBps: null,
      targetLatencySecs: null,
      bitrateBps: null,
      loss: null,
    };
  }

  private failed(handlers: EngineHandlers): void {
    const code = this.video.error?.code ?? 0;
    handlers.onFatal(`media error ${code}`, code === MediaError.MEDIA_ERR_NETWORK);
  }

  private edge(): number | null {
    const { seekable } = this.video;
    return seekable.length === 0 ? null : seekable.end(seekable.length - 1);
  }
}
