/** What the player needs from a way of playing. */

/** The same stream by each way. */
export interface Sources {
  whep: string;
  hls: string;
  /** For WHEP; the playlist's address has it already. */
  token: string | null;
}

export interface Quality {
  width: number | null;
  height: number | null;
  videoCodec: string | null;
  audioCodec: string | null;
  bandwidthBps: number | null;
  targetLatencySecs: number | null;
  /** What comes in, and the share of it that is lost: 0 to 1. HLS knows neither. */
  bitrateBps: number | null;
  loss: number | null;
}

export interface EngineHandlers {
  /** The playlist was read and playing may be tried. */
  onReady(): void;
  /** Playback cannot go on with this engine; the player makes a new one when that may help. */
  onFatal(reason: string, isNetwork: boolean): void;
  /** The stream has a track that the multivariant playlist did not name when this engine read it. */
  onNewRendition(): void;
  /** The playlist says that the stream is over (EXT-X-ENDLIST). */
  onEnded(): void;
  /** This way of playing will not do here; another one may. */
  onUnplayable(reason: string): void;
}

export interface Engine {
  readonly name: 'hls.js' | 'native' | 'webrtc';
  load(url: string): void;
  destroy(): void;
  jumpToLive(): void;
  /** Plays what was shown that long ago, or the oldest that there is. */
  seekBack(secs: number): void;
  /** There is something to play again: an engine that waits by itself need not wait any longer. */
  retryNow?(): void;
  /** Wall clock minus the programme date time of the shown picture. */
  latencyByClockSecs(): number | null;
  /** Distance from the playlist's edge. */
  latencyByEdgeSecs(): number | null;
  /** EXT-X-TARGETDURATION, once it is known. */
  targetDurationSecs(): number | null;
  quality(): Quality;
}
