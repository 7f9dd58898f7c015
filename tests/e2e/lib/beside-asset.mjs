// An asset that somebody watches while something happens to its server: every segment of every rendition is fetched over and over, and
// each must be what it was.

import { createHash } from 'node:crypto';
import { parseMedia, parseMultivariant } from './hls.mjs';
import { sleep } from './process.mjs';

/** Between two requests: it is a player, not a load. */
const PAUSE_MS = 20;
/** A segment that takes longer counts as lost. */
const PATIENCE_MS = 10_000;

export class BesideAsset {
  /** `playlist` is an address that needs nothing else. */
  static async start(playlist) {
    const beside = new BesideAsset();
    Object.assign(beside, { playlist, fetched: 0, wrong: [], slowestMs: 0, isOver: false });
    const { variants, media } = parseMultivariant(await beside.text(playlist), playlist);
    const lists = [...new Set([...variants, ...media].map(({ url }) => url).filter(Boolean))];
    beside.sums = new Map();
    for (const list of lists) {
      const { segments } = parseMedia(await beside.text(list), list);
      for (const url of new Set(segments.flatMap((one) => [one.map, one.url]).filter(Boolean))) beside.sums.set(url, await beside.sum(url));
    }
    if (beside.sums.size < 10) throw new Error(`${beside.sums.size} segments are too few to watch`);
    beside.running = beside.watch();
    return beside;
  }

  async get(url) {
    const from = performance.now();
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const body = Buffer.from(await response.arrayBuffer());
    this.slowestMs = Math.max(this.slowestMs, performance.now() - from);
    if (response.status !== 200) throw new Error(`${response.status}`);
    return body;
  }

  async text(url) { return (await this.get(url)).toString(); }

  async sum(url) { return createHash('sha256').update(await this.get(url)).digest('hex'); }

  async watch() {
    while (!this.isOver) {
      for (const [url, sum] of this.sums) {
        if (this.isOver) break;
        const found = await this.sum(url).catch((error) => `no answer: ${error.message}`);
        this.fetched += 1;
        if (found !== sum) this.wrong.push({ url: new URL(url).pathname, found });
        await sleep(PAUSE_MS);
      }
    }
  }

  /** Ends it; what was seen. */
  async stop() {
    this.isOver = true;
    await this.running;
    return { segments: this.sums.size, fetched: this.fetched, wrong: this.wrong.slice(0, 10), wrong_count: this.wrong.length, slowest_ms: Math.round(this.slowestMs) };
  }
}
