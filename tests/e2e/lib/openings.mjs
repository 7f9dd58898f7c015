// The figures of acceptance line 1: five openings, one of them watched for a minute, all five shown and the median judged.

import { sleep } from './process.mjs';
import { median, round } from './results.mjs';
import { open, smooth, watch } from './watching.mjs';

const OPENINGS = 5;
/** The four openings that are not watched for a minute are watched this long, for a steady latency. */
const SHORT_SECONDS = 12;
const PLAYING_MAX_MS = 3000;
const LATENCY_MAX_SECONDS = 2.5;

/** Opens `url()` five times, each in a page of its own. */
export async function watchOften(browser, url, { seconds, clock, screenshot }) {
  const runs = [];
  for (let i = 0; i < OPENINGS; i += 1) {
    const page = await open(browser, url());
    runs.push(await watch(page, i === 0 ? seconds : SHORT_SECONDS, { clock }));
    if (i === 0 && screenshot) await page.screenshot(screenshot);
    await page.close();
    await sleep(500);
  }
  return runs;
}

export function judgeOpenings(results, who, runs) {
  const playing = runs.map((r) => r.playing_ms);
  const picture = runs.map((r) => r.latency_seconds_by_picture?.median ?? null);
  const player = runs.map((r) => r.latency_seconds_by_player?.median ?? null);
  // From the picture where it carries a clock, else what the player derives from the program date time.
  const latency = picture.some((v) => v !== null) ? picture : player;
  results.check(`${who}: plays within ${PLAYING_MAX_MS} ms of opening`, median(playing) !== null && median(playing) <= PLAYING_MAX_MS, { median_ms: round(median(playing)), all_ms: playing, first_frame_ms: runs.map((r) => r.first_frame_ms) });
  results.check(`${who}: live latency below ${LATENCY_MAX_SECONDS} s`, median(latency) !== null && median(latency) < LATENCY_MAX_SECONDS, { median_seconds: round(median(latency), 2), by_picture: picture, by_player: player });
  results.check(`${who}: ${runs[0].watched_seconds} s without a stall`, smooth(runs[0]), runs[0]);
  results.check(`${who}: no stall in the other openings`, runs.slice(1).every(smooth), { runs: runs.slice(1).map(({ stalls, jumps, errors }) => ({ stalls, jumps, errors })) });
}
