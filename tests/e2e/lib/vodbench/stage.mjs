// What every part of the benchmark does with a server: start it, upload, wait for what becomes of it, clear up.

import { parseMedia, parseMultivariant } from '../hls.mjs';
import { sleep, until } from '../process.mjs';
import { Telstar } from '../server.mjs';
import { Library } from '../vod.mjs';

/** Rounds of whatever is judged by its median. */
export const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
/** How often an asset is asked for while somebody waits for it. */
const ASK_MS = 5;
/** How often while the work itself is timed: asking costs the server, too. */
const GLANCE_MS = 500;
const PLAYABLE_WITHIN_MS = 120_000;
const DONE_WITHIN_MS = 3_600_000;
const REST_MS = 500;
const OVER = new Set(['done', 'failed', 'cancelled']);

export async function stage(name, env = {}) {
  const server = await Telstar.launch({ name, env });
  return { server, library: new Library(server) };
}

/** From the last acknowledged byte until the asset says that it plays, and until its first segment of pictures was there. */
export async function untilSeen({ library }, { asset, acknowledgedAt }) {
  const found = await library.untilPlayable(asset, PLAYABLE_WITHIN_MS, ASK_MS);
  const playableMs = performance.now() - acknowledgedAt;
  if (!found.playable) throw new Error(`${asset} cannot be played: ${found.problem}`);
  const playlist = await library.watchable(asset);
  const { variants } = parseMultivariant(await text(playlist), playlist);
  const [video] = variants;
  const { segments } = parseMedia(await text(video.url), video.url);
  const response = await fetch(segments[0].url);
  const bytes = (await response.arrayBuffer()).byteLength;
  if (response.status !== 200 || !bytes) throw new Error(`${segments[0].url}: ${response.status}`);
  return { playable_ms: playableMs, segment_ms: performance.now() - acknowledgedAt, because: found.source?.encoded_because ?? null };
}

async function text(url) {
  const response = await fetch(url);
  if (response.status !== 200) throw new Error(`${url}: ${response.status}`);
  return response.text();
}

/** Waits until the jobs of these kinds are over; any of them, if none is named. */
export function untilOver({ library }, asset, kinds = null) {
  return until(`the jobs of ${asset}`, DONE_WITHIN_MS, async () => {
    const jobs = await library.jobs(asset);
    const wanted = jobs.filter((job) => !kinds || kinds.includes(job.kind));
    const failed = jobs.find((job) => job.state === 'failed');
    if (failed) throw new Error(`${failed.kind} failed: ${failed.problem}`);
    // What follows a job is there with its end.
    return wanted.length >= (kinds?.length ?? 1) && wanted.every((job) => OVER.has(job.state)) && jobs.some((job) => job.kind !== 'probe') && jobs;
  }, GLANCE_MS);
}

/** The jobs of an asset with their attempts, in the order in which they began. */
export async function attemptsOf({ server, library }, asset) {
  const jobs = await library.jobs(asset);
  const all = await Promise.all(jobs.map(({ job }) => server.api('GET', `/api/v1/jobs/${job}`)));
  const spans = all.flatMap((job) => job.attempts.map((one) => ({ job: job.job, asset, kind: job.kind, began: Date.parse(one.began_at), ended: Date.parse(one.ended_at) })));
  return spans.sort((a, b) => a.began - b.began || a.job - b.job);
}

/** Deletes an asset, and waits until nothing is done for it any more. */
export async function drop({ server, library }, asset) {
  await server.api('DELETE', `/api/v1/assets/${asset}`);
  await until('the queue to be empty', PLAYABLE_WITHIN_MS, async () => (await server.api('GET', '/api/v1/jobs?state=leased')).jobs.length === 0);
  await sleep(REST_MS);
}
