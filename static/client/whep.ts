/** Plays a room over WebRTC (WHEP, draft-ietf-wish-whep): what its viewers see, well under a second old. */

import type { TelstarError } from './errors.js';
import { HttpMedia, type MediaOptions } from './http-media.js';
import { PlayStatsReducer, type PlayStats } from './media-stats.js';
import type { MediaTrack, PeerLike } from './rtc.js';

export interface PlayOptions extends MediaOptions {
  /** Both unless said otherwise. */
  kinds?: ('audio' | 'video')[];
}

export class WhepPlayer extends HttpMedia {
  private readonly kinds: readonly ('audio' | 'video')[];
  private reducer = new PlayStatsReducer();

  constructor(options: PlayOptions) {
    super(options);
    this.kinds = options.kinds ?? ['video', 'audio'];
  }

  /** What to play now: none before the first `media`. */
  get tracks(): MediaTrack[] {
    return this.pc === null ? [] : tracksOf(this.pc);
  }

  /** Rates are those since the last call, so ask about once a second. Null while there is no connection. */
  async stats(): Promise<PlayStats | null> {
    const { reducer } = this;
    const report = await this.report();
    return report === null ? null : reducer.reduce(report);
  }

  protected override prepare(pc: PeerLike): void {
    this.reducer = new PlayStatsReducer();
    for (const kind of this.kinds) pc.addTransceiver(kind, { direction: 'recvonly' });
  }

  /** Nothing is live yet, or no longer. Where browsers send to each other, nothing ever is. */
  protected override isWaiting(error: TelstarError): boolean {
    return error.status === 409 && error.code !== 'wrong_mode';
  }

  protected override opened(pc: PeerLike): void {
    this.emit('media', { tracks: tracksOf(pc) });
  }
}

function tracksOf(pc: PeerLike): MediaTrack[] {
  return pc.getTransceivers().map(({ receiver }) => receiver.track as MediaTrack);
}
