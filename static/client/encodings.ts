/** Which layers a track is sent in, and which codecs are offered in which order. Pure: numbers in, values out. */

import type { Layer, TrackKind, TrackSource } from './call-wire.js';
import type { CodecLike, EncodingLike, MediaTrackLike, SendParametersLike } from './rtc.js';

export type VideoCodec = 'VP8' | 'H264' | 'VP9' | 'AV1';

export interface VideoSize {
  width: number;
  height: number;
  frameRate: number;
}

export interface EncodingOptions {
  source: TrackSource;
  codec?: VideoCodec;
  simulcast?: boolean;
  /** Of the top layer; the others follow by their size. */
  maxBitrateBps?: number;
}

/** What a track without settings is taken for: the size that pages ask cameras for. */
const USUAL: VideoSize = { width: 1280, height: 720, frameRate: 30 };
/** Bits per second of 1280 by 720 in VP8. Lower: soft pictures. Higher: more loss on home uplinks. A guess between the usual presets. */
const HD_BPS = 1_700_000;
const HD_PIXELS = 1280 * 720;
/** Small pictures need more bits per pixel than large ones. A guess that gives 360 lines 490 kb/s and 180 lines 140 kb/s. */
const BITRATE_EXPONENT = 0.9;
/** VP9 and AV1 need about this share of VP8's bits for the same picture. */
const MODERN_SHARE = 0.7;
/** A screen has fine text and long still times: a high cap costs nothing while nothing moves. */
const SCREEN_BPS = 2_500_000;
/** Below this many pixels a third layer is a stamp that nobody shows. */
const THREE_LAYERS_PIXELS_MIN = 960 * 540;
const TWO_LAYERS_PIXELS_MIN = 480 * 270;
const RIDS = ['l', 'm', 'h'] as const;
/**
 * Kilobits per second that Chromium and Safari believe in before they have measured anything; their own 300 keeps the
 * top layer away for seconds, because they look for more only as far as the last look got. Too much for a narrow uplink
 * costs it one queue of a second.
 */
const START_KBPS = 1_000;

export function sizeOf(track: MediaTrackLike | null): VideoSize {
  const settings = track?.getSettings?.() ?? {};
  const isKnown = (settings.width ?? 0) > 0 && (settings.height ?? 0) > 0;
  return {
    width: isKnown ? (settings.width ?? 0) : USUAL.width,
    height: isKnown ? (settings.height ?? 0) : USUAL.height,
    frameRate: Math.round(settings.frameRate ?? 0) || USUAL.frameRate,
  };
}

/** The layers of a video track from the lowest to the highest; one layer has no rid on the wire and is sent without simulcast. */
export function layersFor(size: VideoSize, options: EncodingOptions): Layer[] {
  const isScreen = options.source === 'screen';
  const pixels = size.width * size.height;
  const top = options.maxBitrateBps ?? (isScreen ? SCREEN_BPS : bitrateOf(pixels, options.codec));
  const isSimulcast = options.simulcast ?? !isScreen;
  const count = !isSimulcast || pixels < TWO_LAYERS_PIXELS_MIN ? 1 : pixels < THREE_LAYERS_PIXELS_MIN ? 2 : 3;
  return Array.from({ length: count }, (_, index) => {
    const scale = 2 ** (count - 1 - index);
    return {
      rid: RIDS[index] ?? 'l',
      width: Math.floor(size.width / scale),
      height: Math.floor(size.height / scale),
      frame_rate: Math.min(size.frameRate, 60),
      bitrate_bps: Math.round(top * scale ** (-2 * BITRATE_EXPONENT)),
    };
  });
}

function bitrateOf(pixels: number, codec: VideoCodec = 'VP8'): number {
  const share = codec === 'VP9' || codec === 'AV1' ? MODERN_SHARE : 1;
  return Math.round(HD_BPS * share * (pixels / HD_PIXELS) ** BITRATE_EXPONENT);
}

/** What `addTransceiver` takes. The rids rise with the size, as `a=simulcast` announces them (RFC 8853 §5.1). */
export function encodingsFor(layers: Layer[], codec: VideoCodec = 'VP8'): EncodingLike[] {
  const count = layers.length;
  return layers.map((layer, index) => {
    const encoding: EncodingLike = { maxBitrate: layer.bitrate_bps };
    if (count > 1) {
      encoding.rid = layer.rid;
      encoding.scaleResolutionDownBy = 2 ** (count - 1 - index);
    }
    // Without a mode Chromium 156 sends several VP9 or AV1 encodings as spatial layers of one stream.
    if (codec === 'VP9' || codec === 'AV1') encoding.scalabilityMode = 'L1T1';
    return encoding;
  });
}

/** Everything that can be sent, the chosen codec first; the server takes the first that it knows. */
export function codecOrder(available: CodecLike[], kind: TrackKind, codec: VideoCodec = 'VP8'): CodecLike[] {
  if (kind === 'audio') return available;
  const wanted = `video/${codec}`.toLowerCase();
  const isWanted = (item: CodecLike): boolean => item.mimeType.toLowerCase() === wanted;
  return [...available.filter(isWanted), ...available.filter((item) => !isWanted(item))];
}

/**
 * The parameters with what nobody wants switched off. Null where nothing changes. `rids` counts only for simulcast;
 * a muted sender has no track and needs no change.
 */
export function withDemand(parameters: SendParametersLike, wanted: boolean, rids: readonly string[]): SendParametersLike | null {
  let isChanged = false;
  const encodings = parameters.encodings.map((encoding) => {
    const isSimulcast = parameters.encodings.length > 1 && encoding.rid !== undefined;
    const active = wanted && (!isSimulcast || rids.includes(encoding.rid ?? ''));
    isChanged ||= (encoding.active ?? true) !== active;
    return { ...encoding, active };
  });
  return isChanged ? { ...parameters, encodings } : null;
}

/** The answer with a first guess at the bandwidth (`x-google-start-bitrate`, libwebrtc's; others ignore it), once for each codec of pictures. */
export function withStartBitrate(sdp: string): string {
  const lines = sdp.split('\r\n');
  const codecs = new Set(Array.from(sdp.matchAll(/^a=rtpmap:(\d+) (?:VP8|VP9|H264|AV1)\//gim), ([, payloadType]) => payloadType));
  const start = `x-google-start-bitrate=${START_KBPS}`;
  const hasFormat = new Set(Array.from(sdp.matchAll(/^a=fmtp:(\d+) /gm), ([, payloadType]) => payloadType));
  return lines.flatMap((line) => {
    const [, attribute, payloadType] = /^a=(rtpmap|fmtp):(\d+) /.exec(line) ?? [];
    if (payloadType === undefined || !codecs.has(payloadType)) return [line];
    if (attribute === 'fmtp') return [`${line};${start}`];
    return hasFormat.has(payloadType) ? [line] : [line, `a=fmtp:${payloadType} ${start}`];
  }).join('\r\n');
}
