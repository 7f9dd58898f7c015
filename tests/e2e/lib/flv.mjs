// A reader of FLV (Adobe FLV specification 10.1, annex E), fed in chunks of any size: what an encoder sent, access
// unit by access unit, with the time at which each arrived here.

import { hashOf } from './mp4.mjs';

export class FlvReader {
  /** Each H.264 unit is hashed as `clean` leaves it. */
  constructor(onUnit, { clean = (bytes) => bytes } = {}) {
    this.onUnit = onUnit;
    this.clean = clean;
    this.pending = Buffer.alloc(0);
    this.headerSeen = false;
  }

  push(chunk) {
    this.pending = this.pending.length ? Buffer.concat([this.pending, chunk]) : chunk;
    let at = 0;
    if (!this.headerSeen) {
      if (this.pending.length < 13) return;
      if (this.pending.toString('latin1', 0, 3) !== 'FLV') throw new Error('not an FLV stream');
      at = this.pending.readUInt32BE(5) + 4;
      this.headerSeen = true;
    }
    while (at + 11 <= this.pending.length) {
      const size = this.pending.readUIntBE(at + 1, 3);
      if (at + 11 + size + 4 > this.pending.length) break;
      const time = this.pending.readUIntBE(at + 4, 3) + this.pending[at + 7] * 2 ** 24;
      this.tag(this.pending[at] & 0x1f, time, this.pending.subarray(at + 11, at + 11 + size));
      at += 11 + size + 4;
    }
    this.pending = this.pending.subarray(at);
  }

  tag(type, dtsMs, body) {
    // A sequence header (packet type 0) is configuration and an end of sequence (2) is a mark: neither is an access unit.
    if (type === 9 && (body[0] & 0xf) === 7 && body[1] === 1) {
      const cts = body.readIntBE(2, 3);
      this.onUnit({ kind: 'video', dtsMs, ptsMs: dtsMs + cts, key: body[0] >> 4 === 1, size: body.length - 5, hash: hashOf(this.clean(body.subarray(5))), wall: Date.now() });
    } else if (type === 8 && body[0] >> 4 === 10 && body[1] === 1) {
      this.onUnit({ kind: 'audio', dtsMs, ptsMs: dtsMs, key: true, size: body.length - 2, hash: hashOf(body.subarray(2)), wall: Date.now() });
    }
  }
}

/** An H.264 access unit, with NAL unit lengths of four bytes, without sequence and picture parameter sets (types 7 and 8). */
export function withoutParameterSets(bytes) {
  const kept = [];
  for (let at = 0, end; at + 4 < bytes.length; at = end) {
    end = at + 4 + bytes.readUInt32BE(at);
    const type = bytes[at + 4] & 0x1f;
    if (type !== 7 && type !== 8) kept.push(bytes.subarray(at, end));
  }
  return Buffer.concat(kept);
}

/**
 * ffmpeg's `-f framehash` of the same packets: their times in the encoder's own time base, exact where FLV rounds to
 * a millisecond. Returns { video: [{dts, pts}], audio: [...] } in seconds.
 */
export function readFrameHash(text) {
  const bases = new Map();
  const kinds = new Map();
  const units = { video: [], audio: [] };
  for (const line of text.split('\n')) {
    const base = line.match(/^#tb (\d+): (\d+)\/(\d+)/);
    if (base) { bases.set(base[1], Number(base[2]) / Number(base[3])); continue; }
    const media = line.match(/^#media_type (\d+): (\w+)/);
    if (media) { kinds.set(media[1], media[2]); continue; }
    if (!line || line.startsWith('#')) continue;
    const [stream, dts, pts] = line.split(',').map((field) => field.trim());
    units[kinds.get(stream)]?.push({ dts: Number(dts) * bases.get(stream), pts: Number(pts) * bases.get(stream) });
  }
  return units;
}
