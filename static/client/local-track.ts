/** A track of one's own. It outlives connections: a call that is joined anew publishes it again. */

import type { TrackKind, TrackSource } from './call-wire.js';
import type { VideoCodec } from './encodings.js';
import type { TelstarError } from './errors.js';
import type { MediaTrack } from './rtc.js';

export interface PublishOptions {
  source?: TrackSource;
  name?: string;
  /** VP8 unless said otherwise: every browser decodes it. */
  codec?: VideoCodec;
  /** Several sizes at once. Default: for everything but screens. */
  simulcast?: boolean;
  /** Of the largest layer. Default: by its size. */
  maxBitrateBps?: number;
  /** Begin muted. */
  muted?: boolean;
}

/** What a local track needs of its call. */
export interface LocalTrackOwner {
  changeMuted(track: LocalTrack, muted: boolean): Promise<void>;
  changeMedia(track: LocalTrack): Promise<void>;
  unpublish(track: LocalTrack): Promise<void>;
  taken(track: LocalTrack): void;
  refused(track: LocalTrack): void;
}

export class LocalTrack {
  /** Null until the server has taken it, and while the call is joined anew. */
  id: string | null = null;
  readonly kind: TrackKind;
  readonly source: TrackSource;
  readonly name: string;
  isMuted: boolean;
  mutedBy: 'self' | 'moderator' | null;
  /** Settled by the first answer of the server. */
  readonly ready: Promise<LocalTrack>;
  private settle: { resolve(track: LocalTrack): void; reject(error: TelstarError): void };

  constructor(
    public mediaTrack: MediaTrack,
    readonly options: PublishOptions,
    private readonly owner: LocalTrackOwner,
  ) {
    this.kind = mediaTrack.kind === 'audio' ? 'audio' : 'video';
    this.source = options.source ?? (this.kind === 'audio' ? 'microphone' : 'camera');
    this.name = options.name ?? '';
    this.isMuted = options.muted ?? false;
    this.mutedBy = this.isMuted ? 'self' : null;
    this.settle = { resolve: () => {}, reject: () => {} };
    this.ready = new Promise<LocalTrack>((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    // Whoever does not wait for it hears of a refusal by the call's event.
    this.ready.catch(() => {});
  }

  /** Stops sending at once; the server is told. */
  mute(): Promise<void> {
    return this.owner.changeMuted(this, true);
  }

  unmute(): Promise<void> {
    return this.owner.changeMuted(this, false);
  }

  /** Sends another camera or microphone in its place, without a new negotiation. */
  async replace(mediaTrack: MediaTrack): Promise<void> {
    this.mediaTrack = mediaTrack;
    await this.owner.changeMedia(this);
  }

  unpublish(): Promise<void> {
    return this.owner.unpublish(this);
  }

  /** For the connection that carries it. */
  taken(id: string | null): void {
    if (id !== null) this.id = id;
    this.settle.resolve(this);
    this.owner.taken(this);
  }

  /** For the connection that was to carry it. It may have been taken before, on a connection that was lost. */
  refused(error: TelstarError): void {
    this.settle.reject(error);
    this.owner.refused(this);
  }

  /** The call is over. Nothing happens to one that was taken. */
  givenUp(error: TelstarError): void {
    this.settle.reject(error);
  }

  /** What a sender is given: nothing while muted. */
  get sent(): MediaTrack | null {
    return this.isMuted ? null : this.mediaTrack;
  }
}
