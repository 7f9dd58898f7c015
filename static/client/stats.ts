/** `getStats()` of a connection (W3C webrtc-stats) reduced to what people ask: how much, how good, by which way. Pure. */

import type { StatsEntry, StatsReportLike } from './rtc.js';

export interface StreamStats {
  direction: 'sent' | 'received';
  kind: 'audio' | 'video';
  mid: string | null;
  /** The id of the MediaStreamTrack, where the browser tells it. */
  mediaTrackId: string | null;
  rid: string | null;
  codec: string | null;
  bitrateBps: number;
  /** Share of packets lost since the last sample, 0 to 1. For what is sent: as the other side reports it. */
  loss: number | null;
  jitterMs: number | null;
  roundTripMs: number | null;
  frameRate: number | null;
  width: number | null;
  height: number | null;
  /** How often the picture stood still, and for how long, since the beginning. */
  freezes: number | null;
  freezeMs: number | null;
  /** 0 to 1, of sound that comes. */
  audioLevel: number | null;
  /** Sum of the squared level over time: grows while there is sound. */
  audioEnergy: number | null;
  frames: number | null;
  bytes: number;
  packets: number;
}

export interface ConnectionStats {
  /** `publish`, `subscribe`, or the participant at the other end of a p2p connection. */
  name: string;
  sentBps: number;
  receivedBps: number;
  roundTripMs: number | null;
  /** What the selected pair of candidates runs over; null while there is none. */
  transport: 'udp' | 'tcp' | null;
  isRelayed: boolean;
  /** What this browser believes it can send, where it says so. */
  availableSendBps: number | null;
  streams: StreamStats[];
}

/** What of the last sample the next one needs. */
interface Counters {
  at: number;
  bytes: number;
  packets: number;
  lost: number;
}

export class StatsReducer {
  private last = new Map<string, Counters>();

  constructor(private readonly name: string) {}

  reduce(report: StatsReportLike): ConnectionStats {
    const entries = new Map<string, StatsEntry>();
    report.forEach((entry) => entries.set(entry.id, entry));
    const next = new Map<string, Counters>();
    const streams: StreamStats[] = [];
    for (const entry of entries.values()) {
      if (entry.type === 'inbound-rtp') streams.push(this.stream(entry, 'received', entries, next));
      if (entry.type === 'outbound-rtp') streams.push(this.stream(entry, 'sent', entries, next));
    }
    this.last = next;
    const sum = (direction: string): number => streams.reduce((total, stream) => total + (stream.direction === direction ? stream.bitrateBps : 0), 0);
    return { name: this.name, sentBps: sum('sent'), receivedBps: sum('received'), ...path(entries), streams };
  }

  private stream(entry: StatsEntry, direction: StreamStats['direction'], entries: Map<string, StatsEntry>, next: Map<string, Counters>): StreamStats {
    const isSent = direction === 'sent';
    const remote = isSent ? [...entries.values()].find((other) => other.type === 'remote-inbound-rtp' && other['localId'] === entry.id) : undefined;
    const bytes = num(entry, isSent ? 'bytesSent' : 'bytesReceived') ?? 0;
    const packets = num(entry, isSent ? 'packetsSent' : 'packetsReceived') ?? 0;
    const lost = num(entry, 'packetsLost') ?? 0;
    const last = this.last.get(entry.id);
    next.set(entry.id, { at: entry.timestamp, bytes, packets, lost });
    const secs = last === undefined ? 0 : (entry.timestamp - last.at) / 1000;
    const source = entries.get(String(entry['mediaSourceId'] ?? ''));
    const codec = text(entries.get(String(entry['codecId'] ?? '')), 'mimeType');
    return {
      direction,
      kind: entry['kind'] === 'audio' ? 'audio' : 'video',
      mid: text(entry, 'mid'),
      mediaTrackId: text(entry, 'trackIdentifier') ?? text(source, 'trackIdentifier'),
      rid: text(entry, 'rid'),
      codec: codec === null ? null : codec.replace(/^\w+\//, ''),
      bitrateBps: last === undefined || secs <= 0 ? 0 : Math.max(0, Math.round(((bytes - last.bytes) * 8) / secs)),
      loss: isSent ? num(remote, 'fractionLost') : lossSince(last, packets, lost),
      jitterMs: inMs(num(isSent ? remote : entry, 'jitter')),
      roundTripMs: inMs(num(remote, 'roundTripTime')),
      frameRate: num(entry, 'framesPerSecond'),
      width: num(entry, 'frameWidth'),
      height: num(entry, 'frameHeight'),
      freezes: num(entry, 'freezeCount'),
      freezeMs: inMs(num(entry, 'totalFreezesDuration')),
      audioLevel: num(entry, 'audioLevel'),
      audioEnergy: num(entry, 'totalAudioEnergy'),
      frames: num(entry, isSent ? 'framesEncoded' : 'framesDecoded'),
      bytes,
      packets,
    };
  }
}

/** Late packets can make the sum of the lost shrink, so the share is held within 0 and 1. */
function lossSince(last: Counters | undefined, packets: number, lost: number): number | null {
  if (last === undefined) return null;
  const lostNow = Math.max(0, lost - last.lost);
  const all = lostNow + Math.max(0, packets - last.packets);
  return all === 0 ? null : lostNow / all;
}

function path(entries: Map<string, StatsEntry>): Pick<ConnectionStats, 'roundTripMs' | 'transport' | 'isRelayed' | 'availableSendBps'> {
  const pair = selectedPair([...entries.values()], entries);
  const local = entries.get(String(pair?.['localCandidateId'] ?? ''));
  const protocol = text(local, 'protocol');
  return {
    roundTripMs: inMs(num(pair, 'currentRoundTripTime')),
    transport: protocol === null ? null : protocol === 'tcp' ? 'tcp' : 'udp',
    isRelayed: text(local, 'candidateType') === 'relay',
    availableSendBps: num(pair, 'availableOutgoingBitrate'),
  };
}

/** Chromium names the pair in the transport; Firefox 153 marks it with `selected`. */
function selectedPair(all: StatsEntry[], entries: Map<string, StatsEntry>): StatsEntry | undefined {
  const transport = all.find((entry) => entry.type === 'transport' && entry['selectedCandidatePairId'] !== undefined);
  const named = entries.get(String(transport?.['selectedCandidatePairId'] ?? ''));
  const pairs = all.filter((entry) => entry.type === 'candidate-pair');
  return named ?? pairs.find((pair) => pair['selected'] === true) ?? pairs.find((pair) => pair['nominated'] === true && pair['state'] === 'succeeded');
}

function num(entry: StatsEntry | undefined, field: string): number | null {
  const value = entry?.[field];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

function text(entry: StatsEntry | undefined, field: string): string | null {
  const value = entry?.[field];
  return typeof value === 'string' && value !== '' ? value : null;
}

function inMs(secs: number | null): number | null {
  return secs === null ? null : secs * 1000;
}
