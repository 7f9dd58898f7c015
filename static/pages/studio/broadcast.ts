/** The stream that goes out: begun and ended by the person, kept by the client, measured once a second. */

import { WhipPublisher, type MediaState, type PublishStats, type TelstarError } from '../../client/index.js';
import { healthOf, SteadyHealth, type Health } from './logic.js';
import type { StudioMedia } from './media.js';

const SAMPLE_EVERY_MS = 1_000;

export type Codec = 'auto' | 'H264' | 'VP8';

export class Broadcast {
  state: MediaState = 'idle';
  /** What ended it, or what the last try failed of. */
  error: TelstarError | null = null;
  stats: PublishStats | null = null;
  health: Health | null = null;
  startedAt: number | null = null;
  private publisher: WhipPublisher | null = null;
  private steady = new SteadyHealth();
  private timer: number | undefined;
  private sentVideo: MediaStreamTrack | null = null;

  constructor(
    private readonly url: string,
    private readonly token: () => Promise<string | null>,
    private readonly media: StudioMedia,
    private readonly changed: () => void,
  ) {
    media.listen(() => this.mediaChanged());
  }

  /** It was begun, and neither ended nor given up. */
  get isOn(): boolean {
    return this.publisher !== null;
  }

  start(codec: Codec, simulcast: boolean): void {
    if (this.publisher !== null) return;
    const { media } = this;
    media.wake();
    this.error = this.stats = this.health = this.startedAt = null;
    this.steady = new SteadyHealth();
    this.sentVideo = media.video;
    const publisher = new WhipPublisher({
      url: this.url,
      token: this.token,
      video: media.video,
      audio: media.audio,
      videoOptions: { codec, simulcast, ...this.limits() },
    });
    this.publisher = publisher;
    publisher.on('state', ({ state, error }) => this.stateChanged(publisher, state, error));
    publisher.on('retry', ({ error }) => {
      this.error = error;
      this.changed();
    });
    this.timer = setInterval(() => void this.sample(), SAMPLE_EVERY_MS);
    publisher.start();
  }

  async stop(): Promise<void> {
    const { publisher } = this;
    this.publisher = null;
    this.error = null;
    clearInterval(this.timer);
    await publisher?.stop();
  }

  private limits() {
    const { preset, source } = this.media;
    return { maxBitrateBps: preset.bitrateBps, maxFrameRate: preset.frameRate, isScreen: source !== 'camera' };
  }

  private stateChanged(publisher: WhipPublisher, state: MediaState, error: TelstarError | null): void {
    this.state = state;
    if (state === 'connected') {
      this.error = null;
      this.startedAt ??= Date.now();
    }
    if (error !== null) this.error = error;
    if (state === 'closed') {
      this.stats = this.health = null;
      clearInterval(this.timer);
      if (this.publisher === publisher) this.publisher = null;
    }
    this.changed();
  }

  /** Another device or source goes out without a new negotiation. */
  private mediaChanged(): void {
    const { video } = this.media;
    if (this.publisher === null || video === null || video === this.sentVideo) return;
    this.sentVideo = video;
    // A track that ends in the same moment is followed by another change.
    this.publisher.replace(video, this.limits()).catch(() => {});
  }

  private async sample(): Promise<void> {
    const { publisher } = this;
    if (publisher === null) return;
    const stats = await publisher.stats();
    if (this.publisher !== publisher) return;
    this.stats = stats;
    if (this.startedAt !== null) {
      const { source, preset } = this.media;
      const facts = { state: this.state, stats, hasVideo: this.sentVideo !== null, target: preset, source };
      this.health = this.steady.add(healthOf(facts));
    }
    this.changed();
  }
}
