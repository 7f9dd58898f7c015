// A low-latency HLS client that keeps every byte: it follows one media playlist with blocking reloads
// (RFC 8216bis §6.2.5.2), fetches each part and each segment, and hands samples on in order.

import { boxes, readFragments, readInit } from './mp4.mjs';
import { sleep } from './process.mjs';

/** Attribute list of a tag (RFC 8216bis §4.2). */
export function attributes(text) {
  const map = {};
  for (const [, name, quoted, bare] of text.matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,]*))/g)) map[name] = quoted ?? bare;
  return map;
}

/** The variants and renditions of a multivariant playlist. */
export function parseMultivariant(text, url) {
  const variants = [];
  const media = [];
  const iFrames = [];
  const lines = text.split(/\r?\n/);
  lines.forEach((line, i) => {
    if (line.startsWith('#EXT-X-STREAM-INF:')) variants.push({ ...attributes(line.slice(18)), url: new URL(lines[i + 1], url).href });
    if (line.startsWith('#EXT-X-MEDIA:')) {
      const a = attributes(line.slice(13));
      media.push({ ...a, url: a.URI && new URL(a.URI, url).href });
    }
    if (line.startsWith('#EXT-X-I-FRAME-STREAM-INF:')) {
      const a = attributes(line.slice(26));
      iFrames.push({ ...a, url: new URL(a.URI, url).href });
    }
  });
  return { variants, media, iFrames };
}

/** A media playlist: segments with their parts, the unfinished tail as a segment without `uri`. */
export function parseMedia(text, url) {
  const list = { segments: [], endlist: false, msn: 0, discontinuitySequence: 0, hint: null, reports: [] };
  let map = null;
  let next = { parts: [] };
  let msn = 0;
  let dsn = 0;
  const absolute = (uri) => new URL(uri, url).href;
  for (const line of text.split(/\r?\n/)) {
    const [, tag, value] = line.match(/^#(EXT[^:]*):?(.*)$/) ?? [];
    if (tag === 'EXT-X-MEDIA-SEQUENCE') { list.msn = Number(value); msn = list.msn; }
    else if (tag === 'EXT-X-DISCONTINUITY-SEQUENCE') { list.discontinuitySequence = Number(value); dsn = list.discontinuitySequence; }
    else if (tag === 'EXT-X-TARGETDURATION') list.targetDuration = Number(value);
    else if (tag === 'EXT-X-PART-INF') list.partTarget = Number(attributes(value)['PART-TARGET']);
    else if (tag === 'EXT-X-SERVER-CONTROL') list.control = attributes(value);
    else if (tag === 'EXT-X-MAP') { map = absolute(attributes(value).URI); }
    else if (tag === 'EXT-X-DISCONTINUITY') { next.discontinuity = true; dsn += 1; }
    else if (tag === 'EXT-X-PROGRAM-DATE-TIME') next.wall = Date.parse(value);
    else if (tag === 'EXT-X-PART') {
      const a = attributes(value);
      next.parts.push({ url: absolute(a.URI), duration: Number(a.DURATION), independent: a.INDEPENDENT === 'YES', gap: a.GAP === 'YES' });
    } else if (tag === 'EXTINF') next.duration = Number.parseFloat(value);
    else if (tag === 'EXT-X-PRELOAD-HINT') { const a = attributes(value); if (a.TYPE === 'PART') list.hint = absolute(a.URI); }
    else if (tag === 'EXT-X-RENDITION-REPORT') list.reports.push(attributes(value));
    else if (tag === 'EXT-X-ENDLIST') list.endlist = true;
    else if (line && !line.startsWith('#')) {
      list.segments.push({ ...next, msn, dsn, map, url: absolute(line) });
      msn += 1;
      next = { parts: [] };
    }
  }
  list.tail = { ...next, msn, dsn, map };
  return list;
}

/** Follows a media playlist until it ends, `stopped()` says so, or nothing new comes for `idleMs`. */
export class Follower {
  constructor(url, { onSample, onPart, idleMs = 30_000 } = {}) {
    Object.assign(this, { url, onSample, onPart, idleMs });
    this.inits = new Map();
    this.seen = new Map(); // msn -> { parts: [Buffer], done }
    this.problems = [];
    this.counts = { playlists: 0, parts: 0, segments: 0, discontinuities: 0 };
    this.stopped = false;
  }

  async follow() {
    let list = parseMedia(await this.text(this.url), this.url);
    let lastNews = performance.now();
    this.first = list;
    for (;;) {
      if (await this.take(list)) lastNews = performance.now();
      if (list.endlist) { this.ended = true; return; }
      if (this.stopped || performance.now() - lastNews > this.idleMs) return;
      const url = new URL(this.url);
      url.searchParams.set('_HLS_msn', list.tail.msn);
      if (list.partTarget) url.searchParams.set('_HLS_part', list.tail.parts.length);
      try {
        list = parseMedia(await this.text(url.href), this.url);
      } catch (error) {
        if (this.stopped) return;
        this.problems.push(error.message);
        await sleep(300);
        list = parseMedia(await this.text(this.url), this.url);
      }
    }
  }

  async text(url) {
    this.counts.playlists += 1;
    const response = await fetch(url, { signal: AbortSignal.timeout(60_000) });
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    return response.text();
  }

  async bytes(url) {
    const response = await fetch(url, { signal: AbortSignal.timeout(30_000) });
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    return Buffer.from(await response.arrayBuffer());
  }

  /** Takes what is new in a playlist, in order. Returns whether anything was. */
  async take(list) {
    let news = false;
    for (const segment of [...list.segments, list.tail]) {
      const state = this.seen.get(segment.msn) ?? { parts: [], done: false };
      if (state.done || (!segment.url && !segment.parts.length)) continue;
      if (!this.seen.has(segment.msn)) {
        const previous = Math.max(...this.seen.keys());
        if (this.seen.size && segment.msn !== previous + 1) this.problems.push(`media sequence went from ${previous} to ${segment.msn}`);
        if (segment.discontinuity && this.seen.size) this.counts.discontinuities += 1;
        this.seen.set(segment.msn, state);
      }
      for (const part of segment.parts.slice(state.parts.length)) {
        news = true;
        const bytes = await this.bytes(part.url);
        state.parts.push(bytes);
        this.counts.parts += 1;
        await this.samples(bytes, segment, part);
      }
      if (segment.url) {
        news = true;
        await this.whole(segment, state);
      }
    }
    return news;
  }

  /** RFC 8216bis §4.4.4.9: a segment has the same media as its parts; here it has to have the same boxes. */
  async whole(segment, state) {
    const bytes = await this.bytes(segment.url);
    this.counts.segments += 1;
    state.done = true;
    if (!state.parts.length) await this.samples(bytes, segment, null);
    else if (!mediaOf(Buffer.concat(state.parts)).equals(mediaOf(bytes))) this.problems.push(`segment ${segment.msn} differs from its ${state.parts.length} parts`);
    state.parts = [];
  }

  async samples(bytes, segment, part) {
    if (!this.inits.has(segment.map)) this.inits.set(segment.map, readInit(await this.bytes(segment.map)));
    const tracks = this.inits.get(segment.map);
    const samples = readFragments(bytes, tracks);
    this.onPart?.({ segment, part, samples, tracks, bytes: bytes.length });
    for (const sample of samples) this.onSample?.({ ...sample, ...seconds(sample, tracks.get(sample.track)), kind: tracks.get(sample.track).kind, msn: segment.msn, dsn: segment.dsn, map: segment.map });
  }
}

/** Follows a media playlist beside whatever else happens: `samples` as they come, `done` when it is over. */
export function following(url, options = {}) {
  const samples = [];
  const follower = new Follower(url, { ...options, onSample: (sample) => samples.push(sample) });
  return { follower, samples, done: follower.follow().catch((error) => follower.problems.push(error.message)) };
}

function seconds(sample, track) {
  return { dtsSeconds: sample.dts / track.timescale, ptsSeconds: (sample.dts + sample.cts) / track.timescale + track.shiftSeconds };
}

/** The moof and mdat boxes alone: `styp` or `prft` may stand before the parts and not before the segment. */
function mediaOf(bytes) {
  return Buffer.concat(boxes(bytes).filter((b) => b.type === 'moof' || b.type === 'mdat').map((b) => bytes.subarray(b.start, b.end)));
}
