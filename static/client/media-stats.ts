/** `getStats()` of a connection that only sends or only plays (W3C webrtc-stats), reduced to what its page shows. Pure. */

import type { StatsEntry, StatsReportLike } from './rtc.js';
import { StatsReducer, type ConnectionStats, type StreamStats } from './stats.js';

/** What keeps the picture below what was asked for (W3C webrtc-stats, `qualityLimitationReason`). */
export type Limit = 'none' | 'cpu' | 'bandwidth' | 'other';

interface PathStats {
  roundTripMs: number | null;
  transport: 'udp' | 'tcp' | null;
  isRelayed: boolean;
}

export interface PublishStats extends PathStats {
  bitrateBps: number;
  videoBps: number;
  audioBps: number;
  /** Of the largest picture that is sent. */
  width: number | null;
  height: number | null;
  frameRate: number | null;
  videoCodec: string | null;
  /** How many sizes of the picture are sent. */
  layers: number;
  /** The worst of all streams, 0 to 1, as the server reports it. */
  loss: number | null;
  limitedBy: Limit;
  availableBps: number | null;
}

export interface PlayStats extends PathStats {
  bitrateBps: number;
  width: number | null;
  height: number | null;
  frameRate: number | null;
  videoCodec: string | null;
  audioCodec: string | null;
  /** The worst of picture and sound since the last sample, 0 to 1. */
  loss: number | null;
  freezes: number | null;
  videoPackets: number;
  /** How many pictures were decoded; null without a picture. */
  frames: number | null;
  /** From leaving the sender, or the server where that is not known, to being shown. */
  latencyMs: number | null;
  /** `clock`: by the sender's clock, which agrees with ours. `path`: half a round trip, the jitter buffer and decoding. */
  latencyBy: 'clock' | 'path' | null;
}

export class PublishStatsReducer {
  private readonly base = new StatsReducer('publish');

  reduce(report: StatsReportLike): PublishStats {
    const all = this.base.reduce(report);
    const video = all.streams.filter(({ kind }) => kind === 'video');
    const top = video.reduce<StreamStats | null>((best, each) => ((each.width ?? 0) > (best?.width ?? -1) ? each : best), null);
    const videoBps = sum(video.map(({ bitrateBps }) => bitrateBps));
    return {
      ...pathOf(all),
      // What the other side reports of our media is nearer to it than the checks of the path.
      roundTripMs: most(all.streams.map(({ roundTripMs }) => roundTripMs)) ?? all.roundTripMs,
      bitrateBps: all.sentBps,
      videoBps,
      audioBps: all.sentBps - videoBps,
      width: top?.width ?? null,
      height: top?.height ?? null,
      frameRate: top?.frameRate ?? null,
      videoCodec: top?.codec ?? null,
      layers: video.filter(({ bitrateBps, width }) => bitrateBps > 0 && width !== null).length,
      loss: most(all.streams.map(({ loss }) => loss)),
      limitedBy: limitOf(entriesOf(report)),
      availableBps: all.availableSendBps,
    };
  }
}

/** Seconds from 1900, where `estimatedPlayoutTimestamp` begins, to 1970 (RFC 5905 §6). */
const NTP_TO_UNIX_MS = 2_208_988_800_000;
/** A clock that says less than the path takes, or this much more, is not ours. A guess: senders rarely buffer longer. */
const CLOCK_TRUST_MS = 2_000;
const CLOCK_SLACK_MS = 100;

/** Sums since the beginning of what the jitter buffer and the decoder took. */
interface Delays {
  bufferedSecs: number;
  emitted: number;
  decodeSecs: number;
  decoded: number;
}

export class PlayStatsReducer {
  private readonly base = new StatsReducer('play');
  private last = new Map<string, Delays>();

  reduce(report: StatsReportLike): PlayStats {
    const all = this.base.reduce(report);
    const entries = entriesOf(report).filter(({ type }) => type === 'inbound-rtp');
    const of = (kind: string): StreamStats | undefined => all.streams.find((stream) => stream.kind === kind);
    const [video, audio] = [of('video'), of('audio')];
    const shown = entries.find((entry) => entry['kind'] === 'video') ?? entries.find((entry) => entry['kind'] === 'audio');
    const latency = this.latency(shown, all.roundTripMs);
    this.last = new Map(entries.map((entry) => [entry.id, delaysOf(entry)]));
    return {
      ...pathOf(all),
      bitrateBps: all.receivedBps,
      width: video?.width ?? null,
      height: video?.height ?? null,
      frameRate: video?.frameRate ?? null,
      videoCodec: video?.codec ?? null,
      audioCodec: audio?.codec ?? null,
      loss: most(all.streams.map(({ loss }) => loss)),
      freezes: video?.freezes ?? null,
      videoPackets: video?.packets ?? 0,
      frames: video?.frames ?? null,
      ...latency,
    };
  }

  private latency(entry: StatsEntry | undefined, roundTripMs: number | null): Pick<PlayStats, 'latencyMs' | 'latencyBy'> {
    if (entry === undefined) return { latencyMs: null, latencyBy: null };
    const now = delaysOf(entry);
    const last = this.last.get(entry.id) ?? { bufferedSecs: 0, emitted: 0, decodeSecs: 0, decoded: 0 };
    const buffered = ratio(now.bufferedSecs - last.bufferedSecs, now.emitted - last.emitted) ?? ratio(now.bufferedSecs, now.emitted);
    if (buffered === null) return { latencyMs: null, latencyBy: null };
    const decode = ratio(now.decodeSecs - last.decodeSecs, now.decoded - last.decoded) ?? 0;
    const byPath = (buffered + decode) * 1000 + (roundTripMs ?? 0) / 2;
    const byClock = clockLatencyMs(entry);
    const isTrusted = byClock !== null && byClock >= byPath - CLOCK_SLACK_MS && byClock <= byPath + CLOCK_TRUST_MS;
    return isTrusted ? { latencyMs: byClock, latencyBy: 'clock' } : { latencyMs: byPath, latencyBy: 'path' };
  }
}

/** Our clock minus the sender's for what is shown just now. Browsers count from 1900 or from 1970. */
function clockLatencyMs(entry: StatsEntry): number | null {
  const shown = num(entry, 'estimatedPlayoutTimestamp');
  if (shown === null || shown <= 0) return null;
  return entry.timestamp - (shown > NTP_TO_UNIX_MS ? shown - NTP_TO_UNIX_MS : shown);
}

function delaysOf(entry: StatsEntry): Delays {
  return {
    bufferedSecs: num(entry, 'jitterBufferDelay') ?? 0,
    emitted: num(entry, 'jitterBufferEmittedCount') ?? 0,
    decodeSecs: num(entry, 'totalDecodeTime') ?? 0,
    decoded: num(entry, 'framesDecoded') ?? 0,
  };
}

/** One stream that is held back holds the whole back; the computer is named first, because it can be helped. */
function limitOf(entries: StatsEntry[]): Limit {
  const reasons = new Set(entries.filter(({ type }) => type === 'outbound-rtp').map((entry) => entry['qualityLimitationReason']));
  return (['cpu', 'bandwidth', 'other'] as const).find((reason) => reasons.has(reason)) ?? 'none';
}

function entriesOf(report: StatsReportLike): StatsEntry[] {
  const entries: StatsEntry[] = [];
  report.forEach((entry) => entries.push(entry));
  return entries;
}

function pathOf({ roundTripMs, transport, isRelayed }: ConnectionStats): PathStats {
  return { roundTripMs, transport, isRelayed };
}

function most(values: (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function ratio(amount: number, count: number): number | null {
  return count > 0 && amount >= 0 ? amount / count : null;
}

function num(entry: StatsEntry, field: string): number | null {
  const value = entry[field];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
