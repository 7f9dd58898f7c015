/** Sends one picture and one sound into a room over WebRTC (WHIP, RFC 9725), as an encoder does. */

import { codecOrder, encodingsFor, layersFor, sizeOf, withStartBitrate, type VideoCodec } from './encodings.js';
import type { TelstarError } from './errors.js';
import { HttpMedia, type MediaOptions } from './http-media.js';
import { PublishStatsReducer, type PublishStats } from './media-stats.js';
import type { CodecLike, EncodingLike, MediaTrack, PeerLike, SendParametersLike, SenderLike, TransceiverInit } from './rtc.js';

export interface VideoOptions {
  /** `auto`: H.264 where this browser can send it, which reaches every player unchanged; else VP8. */
  codec?: 'auto' | 'H264' | 'VP8';
  maxBitrateBps?: number;
  maxFrameRate?: number;
  /** Several sizes, for viewers behind narrow connections. */
  simulcast?: boolean;
  /** A screen keeps its size and loses pictures when the path is narrow; a camera does as the browser likes. */
  isScreen?: boolean;
}

export interface SendOptions extends MediaOptions {
  video?: MediaTrack | null;
  audio?: MediaTrack | null;
  videoOptions?: VideoOptions;
  maxAudioBitrateBps?: number;
}

interface Sending {
  video: SenderLike | null;
  audio: SenderLike | null;
}

export class WhipPublisher extends HttpMedia {
  private video: MediaTrack | null;
  private audio: MediaTrack | null;
  private videoOptions: VideoOptions;
  private readonly maxAudioBitrateBps: number | undefined;
  private sending: Sending = { video: null, audio: null };
  private reducer = new PublishStatsReducer();
  /** Changes of a sender's parameters follow one another: each needs what the last one left (W3C webrtc-pc §5.2). */
  private changes: Promise<void> = Promise.resolve();

  constructor(options: SendOptions) {
    super(options);
    this.video = options.video ?? null;
    this.audio = options.audio ?? null;
    this.videoOptions = options.videoOptions ?? {};
    this.maxAudioBitrateBps = options.maxAudioBitrateBps;
  }

  /**
   * Sends another camera, screen or microphone from now on. No negotiation: a kind that was absent at `start` stays absent.
   * With options, what is sent is held to them; codec and sizes stay those of the start.
   */
  async replace(track: MediaTrack, options?: VideoOptions): Promise<void> {
    if (track.kind === 'audio') {
      this.audio = track;
      await this.sending.audio?.replaceTrack(track);
      return;
    }
    this.video = track;
    if (options !== undefined) this.videoOptions = { ...this.videoOptions, ...options };
    await this.sending.video?.replaceTrack(track);
    await this.limit();
  }

  /** Rates are those since the last call, so ask about once a second. Null while there is no connection. */
  async stats(): Promise<PublishStats | null> {
    const { reducer } = this;
    const report = await this.report();
    return report === null ? null : reducer.reduce(report);
  }

  protected override prepare(pc: PeerLike): void {
    this.reducer = new PublishStatsReducer();
    // One MediaStream, as RFC 9725 §4.2 wants it.
    const stream = this.rtc.createStream?.() ?? null;
    const streams = stream === null ? {} : { streams: [stream] };
    this.sending = { video: null, audio: null };
    if (this.video !== null) {
      const codec = this.codec();
      const transceiver = pc.addTransceiver(this.video, { direction: 'sendonly', ...streams, sendEncodings: this.encodings(codec) });
      const codecs = codecOrder(this.rtc.sendCodecs('video'), 'video', codec);
      if (codecs.length > 0) transceiver.setCodecPreferences?.(codecs);
      this.sending.video = transceiver.sender;
    }
    if (this.audio !== null) {
      const init: TransceiverInit = { direction: 'sendonly', ...streams };
      if (this.maxAudioBitrateBps !== undefined) init.sendEncodings = [{ maxBitrate: this.maxAudioBitrateBps }];
      this.sending.audio = pc.addTransceiver(this.audio, init).sender;
    }
  }

  /** A room that somebody else sends to does not become free by waiting. */
  protected override isWaiting(_error: TelstarError): boolean {
    return false;
  }

  protected override opened(): void {
    void this.limit();
  }

  protected override readAnswer(sdp: string): string {
    return withStartBitrate(sdp);
  }

  private codec(): VideoCodec {
    const wanted = this.videoOptions.codec ?? 'auto';
    if (wanted !== 'auto') return wanted;
    const canH264 = (codec: CodecLike): boolean => codec.mimeType.toLowerCase() === 'video/h264';
    return this.rtc.sendCodecs('video').some(canH264) ? 'H264' : 'VP8';
  }

  private encodings(codec: VideoCodec): EncodingLike[] {
    const { maxFrameRate } = this.videoOptions;
    const encodings = encodingsFor(layersFor(sizeOf(this.video), this.layering(codec)), codec);
    if (maxFrameRate !== undefined) for (const encoding of encodings) encoding.maxFramerate = maxFrameRate;
    return encodings;
  }

  private layering(codec: VideoCodec) {
    const { maxBitrateBps, simulcast = true, isScreen = false } = this.videoOptions;
    return {
      source: isScreen ? 'screen' as const : 'camera' as const,
      codec,
      // Smaller sizes of a screen would be text that nobody can read.
      simulcast: simulcast && !isScreen,
      ...(maxBitrateBps === undefined ? {} : { maxBitrateBps }),
    };
  }

  private limit(): Promise<void> {
    const { video: sender } = this.sending;
    if (sender === null) return Promise.resolve();
    this.changes = this.changes.then(async () => {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        // Refused when a negotiation came in between; read anew, it is taken.
        const isTaken = await sender.setParameters(limited(sender.getParameters(), this.videoOptions)).then(() => true, () => false);
        if (isTaken) return;
      }
    });
    return this.changes;
  }
}

/** The parameters under these options. Of several sizes a screen is sent in the largest only. */
export function limited(parameters: SendParametersLike, options: VideoOptions): SendParametersLike {
  const { maxBitrateBps, maxFrameRate, isScreen = false, simulcast = true } = options;
  const last = parameters.encodings.length - 1;
  const encodings = parameters.encodings.map((encoding, index) => {
    const next: EncodingLike = { ...encoding, active: index === last || (simulcast && !isScreen) };
    if (maxFrameRate !== undefined) next.maxFramerate = maxFrameRate;
    const top = parameters.encodings[last]?.maxBitrate;
    if (maxBitrateBps !== undefined && index === last) next.maxBitrate = maxBitrateBps;
    else if (maxBitrateBps !== undefined && encoding.maxBitrate !== undefined && top !== undefined && top > 0) {
      next.maxBitrate = Math.round((encoding.maxBitrate * maxBitrateBps) / top);
    }
    return next;
  });
  return { ...parameters, encodings, degradationPreference: isScreen ? 'maintain-resolution' : 'balanced' };
}
