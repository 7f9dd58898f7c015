/** What the player needs from an HLS implementation. */

export interface Quality {
  width: number | null;
  height: number | null;
  videoCodec: string | null;
  audioCodec: string | null;
  bandwidthBps: number | null;
  targetLatencySecs: number | null;
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
}

export interface Engine {
  readonly name: 'hls.js' | 'native';
  load(url: string): void;
  destroy(): void;
  jumpToLive(): void;
  /** Wall clock minus the programme date time of the shown picture. */
  latencyByClockSecs(): number | null;
  /** Distance from the playlist's edge. */
  latencyByEdgeSecs(): number | null;
  /** EXT-X-TARGETDURATION, once it is known. */
  targetDurationSecs(): number | null;
  quality(): Quality;
}
