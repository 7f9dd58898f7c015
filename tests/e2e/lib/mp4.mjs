// A reader of fragmented MP4 (ISO/IEC 14496-12, CMAF ISO/IEC 23000-19), written from the standard and not from the
// server: it is the judge of what the server writes. Bytes in, tracks and samples out; it fetches nothing.

import { createHash } from 'node:crypto';

const CONTAINERS = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl', 'mvex', 'moof', 'traf', 'edts', 'dinf']);

/** The boxes of a buffer, nested where the box is a container. Throws when a size does not fit. */
export function boxes(buffer, from = 0, to = buffer.length) {
  const list = [];
  let at = from;
  while (at < to) {
    if (at + 8 > to) throw new Error(`box header cut off at ${at}`);
    let size = buffer.readUInt32BE(at);
    const type = buffer.toString('latin1', at + 4, at + 8);
    let header = 8;
    if (size === 1) { size = Number(buffer.readBigUInt64BE(at + 8)); header = 16; }
    if (size === 0) size = to - at;
    if (size < header || at + size > to) throw new Error(`box ${type} at ${at} says ${size} bytes, ${to - at} left`);
    const box = { type, start: at, body: at + header, end: at + size };
    if (CONTAINERS.has(type)) box.children = boxes(buffer, box.body, box.end);
    list.push(box);
    at += size;
  }
  return list;
}

const child = (box, type) => box.children.find((b) => b.type === type);
const children = (box, type) => box.children.filter((b) => b.type === type);
const need = (box, type) => child(box, type) ?? fail(`${box.type} has no ${type}`);
const fail = (message) => { throw new Error(message); };

/** Init segment -> Map of track id to { id, kind, timescale, codec, entry, shiftSeconds, defaults }. */
export function readInit(buffer) {
  const moov = boxes(buffer).find((b) => b.type === 'moov') ?? fail('init segment has no moov');
  const movieTimescale = timescaleOf(buffer, need(moov, 'mvhd'));
  const trex = new Map();
  for (const box of children(need(moov, 'mvex'), 'trex')) {
    const at = box.body + 4;
    trex.set(buffer.readUInt32BE(at), { duration: buffer.readUInt32BE(at + 8), size: buffer.readUInt32BE(at + 12), flags: buffer.readUInt32BE(at + 16) });
  }
  const tracks = new Map();
  for (const trak of children(moov, 'trak')) {
    const tkhd = need(trak, 'tkhd');
    const id = buffer.readUInt32BE(tkhd.body + (buffer[tkhd.body] === 1 ? 20 : 12));
    const mdia = need(trak, 'mdia');
    const mdhd = need(mdia, 'mdhd');
    const hdlr = need(mdia, 'hdlr');
    const stsd = need(need(need(mdia, 'minf'), 'stbl'), 'stsd');
    const entry = stsd.body + 8;
    const elst = child(trak, 'edts') && child(child(trak, 'edts'), 'elst');
    const timescale = timescaleOf(buffer, mdhd);
    tracks.set(id, {
      id, timescale,
      kind: { vide: 'video', soun: 'audio' }[buffer.toString('latin1', hdlr.body + 8, hdlr.body + 12)] ?? 'other',
      codec: buffer.toString('latin1', entry + 4, entry + 8),
      entry: createHash('sha256').update(buffer.subarray(entry, stsd.end)).digest('hex').slice(0, 16),
      shiftSeconds: elst ? readEdit(buffer, elst, movieTimescale, timescale) : 0,
      defaults: trex.get(id) ?? fail(`track ${id} has no trex`),
    });
  }
  return tracks;
}

/** mvhd and mdhd keep it at the same place. */
const timescaleOf = (buffer, box) => buffer.readUInt32BE(box.body + (buffer[box.body] === 1 ? 20 : 12));

/**
 * What an edit list (ISO/IEC 14496-12 §8.6.6) does to presentation times, in seconds: an empty edit delays, the media
 * edit begins inside the media. More than one media edit would need a judgement that nobody made.
 */
function readEdit(buffer, elst, movieTimescale, timescale) {
  const wide = buffer[elst.body] === 1;
  let shift = 0;
  let mediaEdits = 0;
  for (let i = 0, at = elst.body + 8; i < buffer.readUInt32BE(elst.body + 4); i += 1, at += wide ? 20 : 12) {
    const duration = wide ? Number(buffer.readBigUInt64BE(at)) : buffer.readUInt32BE(at);
    const time = wide ? Number(buffer.readBigInt64BE(at + 8)) : buffer.readInt32BE(at + 4);
    if (time === -1) shift += duration / movieTimescale;
    else { shift -= time / timescale; mediaEdits += 1; }
  }
  if (mediaEdits > 1) fail(`edit list with ${mediaEdits} media edits`);
  return shift;
}

/** Media segment or part -> samples in file order: { track, dts, cts, duration, key, size, hash }. Times in ticks. */
export function readFragments(buffer, tracks) {
  const top = boxes(buffer);
  const samples = [];
  for (const moof of top.filter((b) => b.type === 'moof')) {
    for (const traf of children(moof, 'traf')) samples.push(...readTraf(buffer, moof, traf, tracks, top));
  }
  return samples;
}

function readTraf(buffer, moof, traf, tracks, top) {
  const tfhd = need(traf, 'tfhd');
  const flags = buffer.readUIntBE(tfhd.body + 1, 3);
  let at = tfhd.body + 4;
  const id = buffer.readUInt32BE(at); at += 4;
  const track = tracks.get(id) ?? fail(`fragment of unknown track ${id}`);
  const defaults = { ...track.defaults };
  let base = moof.start;
  if (flags & 0x1) { base = Number(buffer.readBigUInt64BE(at)); at += 8; }
  if (flags & 0x2) at += 4;
  if (flags & 0x8) { defaults.duration = buffer.readUInt32BE(at); at += 4; }
  if (flags & 0x10) { defaults.size = buffer.readUInt32BE(at); at += 4; }
  if (flags & 0x20) { defaults.flags = buffer.readUInt32BE(at); at += 4; }
  const tfdt = need(traf, 'tfdt');
  let dts = buffer[tfdt.body] === 1 ? Number(buffer.readBigUInt64BE(tfdt.body + 4)) : buffer.readUInt32BE(tfdt.body + 4);
  const samples = [];
  for (const trun of children(traf, 'trun')) {
    const run = readTrun(buffer, trun, defaults);
    let offset = base + run.offset;
    for (const sample of run.samples) {
      const end = offset + sample.size;
      if (!top.some((b) => b.type === 'mdat' && offset >= b.body && end <= b.end)) fail(`sample at ${offset} of ${sample.size} bytes is outside every mdat`);
      samples.push({
        track: id, dts, cts: sample.cts, duration: sample.duration, size: sample.size,
        // ISO/IEC 14496-12 §8.8.3.1: bit 16 is sample_is_non_sync_sample.
        key: (sample.flags & 0x10000) === 0,
        hash: hashOf(buffer.subarray(offset, end)),
      });
      dts += sample.duration;
      offset = end;
    }
    base = offset - run.offset;
  }
  return samples;
}

function readTrun(buffer, trun, defaults) {
  const version = buffer[trun.body];
  const flags = buffer.readUIntBE(trun.body + 1, 3);
  const count = buffer.readUInt32BE(trun.body + 4);
  let at = trun.body + 8;
  let offset = 0;
  let first = null;
  if (flags & 0x1) { offset = buffer.readInt32BE(at); at += 4; }
  if (flags & 0x4) { first = buffer.readUInt32BE(at); at += 4; }
  const samples = [];
  for (let i = 0; i < count; i += 1) {
    const sample = { duration: defaults.duration, size: defaults.size, flags: i === 0 && first !== null ? first : defaults.flags, cts: 0 };
    if (flags & 0x100) { sample.duration = buffer.readUInt32BE(at); at += 4; }
    if (flags & 0x200) { sample.size = buffer.readUInt32BE(at); at += 4; }
    if (flags & 0x400) { sample.flags = buffer.readUInt32BE(at); at += 4; }
    if (flags & 0x800) { sample.cts = version === 0 ? buffer.readUInt32BE(at) : buffer.readInt32BE(at); at += 4; }
    samples.push(sample);
  }
  if (at > trun.end) fail('trun runs past its box');
  return { offset, samples };
}

/** A short hash of one access unit: enough to tell a lost, doubled or changed one. */
export const hashOf = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 20);
