/** `window.__telstar`: what the page measures, for tests and for people who ask why a stream stutters. */

import type { WatchSession } from './session.js';

export interface WatchStats {
  readonly state: string;
  readonly playback: string;
  readonly engine: string;
  readonly transport: string;
  /** Why it is not WebRTC although it might be. */
  readonly fallback: string | null;
  readonly viewers: number | null;
  /** From the start of the navigation to the first picture shown. */
  readonly firstFrameMs: number | null;
  readonly stalls: number;
  readonly stalledMs: number;
  readonly latencySecs: number | null;
  readonly bufferSecs: number;
  readonly currentTime: number;
  readonly rebuilds: number;
  readonly failures: readonly string[];
  readonly totalFrames: number;
  readonly droppedFrames: number;
  readonly isMuted: boolean;
}

export function publishStats(session: WatchSession): WatchStats {
  const { player } = session;
  const { video } = player;
  const stats: WatchStats = {
    get state() {
      return session.state;
    },
    get playback() {
      return player.playback;
    },
    get engine() {
      return player.engineName;
    },
    get transport() {
      return player.transport;
    },
    get fallback() {
      return session.transports.fallback;
    },
    get viewers() {
      return session.room?.viewers ?? null;
    },
    get firstFrameMs() {
      return player.firstFrameMs;
    },
    get stalls() {
      return player.meter.count;
    },
    get stalledMs() {
      return player.meter.totalMs(performance.now());
    },
    get latencySecs() {
      return player.latencySecs();
    },
    get bufferSecs() {
      return player.bufferSecs();
    },
    get currentTime() {
      return video.currentTime;
    },
    get rebuilds() {
      return player.rebuilds;
    },
    get failures() {
      return [...player.failures];
    },
    get totalFrames() {
      return video.getVideoPlaybackQuality().totalVideoFrames;
    },
    get droppedFrames() {
      return video.getVideoPlaybackQuality().droppedVideoFrames;
    },
    get isMuted() {
      return video.muted;
    },
  };
  Object.defineProperty(window, '__telstar', { value: stats, configurable: true });
  return stats;
}
