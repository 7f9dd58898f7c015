// Viewers: open a page, wait for the picture, keep watching, sum up. Every figure comes from the probe.

import { median, round } from './results.mjs';
import { sleep, until } from './process.mjs';

/** How long a viewer waits for a first frame before the run is called broken; the figure is judged elsewhere. */
const FIRST_FRAME_TIMEOUT_MS = 30_000;

/** Opens `url` in a new page and waits for the first frame. */
export async function open(browser, url) {
  const page = await browser.page();
  await page.goto(url);
  try {
    await until(`a first frame of ${url} in ${browser.name}`, FIRST_FRAME_TIMEOUT_MS, async () => (await page.snapshot()).playingMs !== null, 100);
  } catch (error) {
    await page.screenshot(`no-picture-${browser.name}-${Date.now()}`).catch(() => {});
    throw new Error(`${error.message}; console: ${page.said.slice(-8).join(' | ')}; ${JSON.stringify(await page.snapshot().catch(() => null))}`);
  }
  return page;
}

/**
 * Watches for `seconds` after the first frame and returns the figures. With `clock` (a clocked encoder) the latency is
 * also read from the picture itself.
 */
export async function watch(page, seconds, { clock } = {}) {
  const latencies = [];
  const pictures = [];
  const from = performance.now();
  while (performance.now() - from < seconds * 1000) {
    await sleep(1000);
    const { said, read } = await page.evaluate(() => ({ said: window.__probe.readLatency(), read: window.__probe.readPicture() }));
    if (said !== null) latencies.push(said);
    const sent = clock && read && clock.sentAt[read.number];
    if (sent) pictures.push((read.wall - sent) / 1000);
  }
  return summary(await page.snapshot(), { latencies, pictures, seconds });
}

function summary(snapshot, { latencies, pictures, seconds }) {
  const spread = (values) => (values.length ? { median: round(median(values), 2), min: round(Math.min(...values), 2), max: round(Math.max(...values), 2), readings: values.length } : null);
  return {
    first_frame_ms: round(snapshot.firstFrameMs), playing_ms: round(snapshot.playingMs), watched_seconds: seconds,
    stalls: snapshot.stalls, jumps: snapshot.jumps, waiting_events: snapshot.waiting, errors: snapshot.errors,
    played_seconds: round(snapshot.playedMs / 1000, 1), frames: snapshot.frames, dropped_frames: snapshot.dropped,
    latency_seconds_by_player: spread(latencies), latency_seconds_by_picture: spread(pictures),
    size: `${snapshot.width}x${snapshot.height}`, page: snapshot.page,
  };
}

/** One line for a check: nothing stood still, nothing was skipped, nothing failed. */
export const smooth = (figures) => figures.stalls.length === 0 && figures.jumps.length === 0 && figures.errors.length === 0;

/**
 * Waits until the picture comes from `clock`, a freshly started clocked encoder: its frame numbers are small again.
 * Returns the wall time, or null.
 */
export async function untilMoving(page, clock, timeoutMs) {
  const deadline = performance.now() + timeoutMs;
  let previous = null;
  while (performance.now() < deadline) {
    const read = await page.evaluate(() => window.__probe.readPicture());
    const isNew = read && clock.sentAt[read.number] !== undefined && read.wall - clock.sentAt[read.number] < 20_000;
    if (isNew && previous !== null && read.number > previous) return read.wall;
    previous = isNew ? read.number : null;
    await sleep(150);
  }
  return null;
}

/** Seconds of picture that a page shows in `seconds` of wall time. */
export async function moved(page, seconds) {
  const before = await page.snapshot();
  await sleep(seconds * 1000);
  const after = await page.snapshot();
  return (after.playedMs - before.playedMs) / 1000;
}

/** A reload begins a new document with a new time origin. */
export const sameDocument = (a, b) => a.timeOrigin === b.timeOrigin && a.href === b.href;
