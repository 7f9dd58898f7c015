// How long a server holds a picture: from the moment at which the last byte of it came by RTMP to the moment at which the
// last RTP packet of it left, both by the kernel's clock on the loopback interface (tcpdump). Written from RTMP 1.0 §5.3 and
// RFC 3550 §5.1, whose header SRTP leaves readable. Pictures are paired by their sizes, which encryption leaves alone but
// for a constant. Needs root and tcpdump.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { RtmpMessages } from './chunks.mjs';
import { runDir } from './paths.mjs';
import { sleep, start, until } from './process.mjs';

/** A picture's size in RTP may differ from its share of the best pairing by this part. */
const SIZES_DIFFER_MAX = 0.1;

/** Begins to record; `stop()` ends it and gives the pictures of both sides. */
export async function tap({ rtmp, media, name = 'tap' }) {
  const file = path.join(runDir(), `${name}.pcap`);
  const proc = start(name, 'tcpdump', ['-i', 'lo', '-U', '--immediate-mode', '-B', '16384', '-s', '0', '-w', file, `(tcp and dst port ${rtmp}) or (udp and src port ${media})`]);
  await until('tcpdump to listen', 10_000, () => {
    if (proc.ended) throw new Error(proc.tail.join(' '));
    return proc.tail.some((line) => /listening on/.test(line));
  });
  return {
    async stop() {
      await sleep(500);
      await proc.stop('SIGINT');
      return readTap(readFileSync(file), { rtmp, media });
    },
  };
}

/** The pictures of one pushed stream, and of each video SSRC that left. */
export function readTap(pcap, { rtmp, media }) {
  const streams = new Map();
  const tracks = new Map();
  for (const { at, ip } of packets(pcap)) {
    const isSix = ip[0] >> 4 === 6;
    const protocol = isSix ? ip[6] : ip[9];
    const body = ip.subarray(isSix ? 40 : (ip[0] & 15) * 4);
    if (protocol === 6 && body.readUInt16BE(2) === rtmp) {
      const port = body.readUInt16BE(0);
      if (!streams.has(port)) streams.set(port, new RtmpStream());
      streams.get(port).segment(at, body.readUInt32BE(4), (body[13] & 2) !== 0, body.subarray((body[12] >> 4) * 4));
    } else if (protocol === 17 && body.readUInt16BE(0) === media) rtp(tracks, at, body.subarray(8));
  }
  const pushed = [...streams.values()].sort((a, b) => b.pictures.length - a.pictures.length)[0]?.pictures ?? [];
  return { pushed, left: [...tracks.values()].filter(({ pictures }) => pictures.length > 10).sort((a, b) => b.bytes - a.bytes).map(({ pictures }) => pictures) };
}

/** Milliseconds for which each picture was held, of those that came after `since` (milliseconds of the calendar). */
export function held({ pushed, left }, since) {
  const out = left[0] ?? [];
  const inside = pushed.filter(({ at }) => at > since);
  if (inside.length < 30 || out.length < 30) return { held: [], pushed: inside.length, left: out.length };
  // What leaves is in the order in which it came: only where the two begin together is to be found.
  let best = { cost: Infinity };
  for (let shift = 0; shift + 30 <= out.length; shift += 1) {
    const pairs = inside.slice(0, Math.min(inside.length, out.length - shift)).map((one, i) => [one, out[shift + i]]);
    const cost = pairs.reduce((sum, [a, b]) => sum + Math.abs(a.bytes - b.bytes) / Math.max(a.bytes, b.bytes), 0) / pairs.length;
    if (cost < best.cost) best = { cost, pairs };
  }
  if (best.cost > SIZES_DIFFER_MAX) throw new Error(`the pictures that came and those that left cannot be paired: their sizes differ by ${Math.round(best.cost * 100)} %`);
  return { held: best.pairs.map(([came, went]) => went.at - came.at), pushed: inside.length, left: out.length, sizes_differ: best.cost };
}

/** The packets of a pcap file with microseconds, link type Ethernet. */
function* packets(pcap) {
  for (let at = 24; at + 16 <= pcap.length;) {
    const length = pcap.readUInt32LE(at + 8);
    const bytes = pcap.subarray(at + 16, at + 16 + length);
    const kind = bytes.readUInt16BE(12);
    if (kind === 0x0800 || kind === 0x86dd) yield { at: pcap.readUInt32LE(at) * 1000 + pcap.readUInt32LE(at + 4) / 1000, ip: bytes.subarray(14) };
    at += 16 + length;
  }
}

function rtp(tracks, at, bytes) {
  // RFC 5761 §4: RTP and RTCP share the port; RFC 7983: so do STUN and DTLS.
  if (bytes.length < 12 || bytes[0] >> 6 !== 2 || (bytes[1] >= 192 && bytes[1] < 224)) return;
  const ssrc = bytes.readUInt32BE(8);
  if (!tracks.has(ssrc)) tracks.set(ssrc, { bytes: 0, pictures: [] });
  const track = tracks.get(ssrc);
  const time = bytes.readUInt32BE(4);
  const extension = bytes[0] & 16 ? 4 + 4 * bytes.readUInt16BE(14 + 4 * (bytes[0] & 15)) : 0;
  const payload = bytes.length - 12 - 4 * (bytes[0] & 15) - extension;
  track.bytes += payload;
  const last = track.pictures.at(-1);
  if (last?.time === time) {
    last.at = at;
    last.bytes += payload;
  } else track.pictures.push({ time, at, bytes: payload });
}

/** The publisher's half of an RTMP connection: when each coded picture was there whole. */
class RtmpStream {
  constructor() {
    Object.assign(this, { pictures: [], next: null, waiting: new Map(), messages: new RtmpMessages((message) => this.message(message)) });
  }

  segment(at, sequence, isSyn, data) {
    if (isSyn) { this.next = (sequence + 1) >>> 0; return; }
    if (!data.length) return;
    // Recording may begin after the connection: it is of no use then.
    if (this.next === null) return;
    this.waiting.set(sequence, { at, data });
    for (let one = this.waiting.get(this.next); one; one = this.waiting.get(this.next)) {
      this.waiting.delete(this.next);
      this.next = (this.next + one.data.length) >>> 0;
      this.messages.push(one.data, one.at);
    }
  }

  message({ at, type, body }) {
    // H.264 by the original FLV: an access unit, not a configuration. 5 bytes stand before it.
    if (type === 9 && (body[0] & 15) === 7 && body[1] === 1) this.pictures.push({ at, bytes: body.length - 5, key: body[0] >> 4 === 1 });
  }
}
