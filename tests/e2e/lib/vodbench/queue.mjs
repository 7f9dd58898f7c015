// What the queue adds: assets so small that their jobs are mostly the queue, the start of a worker and the disk, beside a shell loop that
// runs ffprobe and ffmpeg for each.

import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { table } from '../page.mjs';
import { runDir } from '../paths.mjs';
import { run, until } from '../process.mjs';
import { median, round } from '../results.mjs';
import { tiny } from './sources.mjs';
import { ROUNDS, attemptsOf, stage, untilOver } from './stage.mjs';

export const name = 'queue';
export const claim = 'What the queue adds to each job.';
const ASSETS = Number(process.env.BENCH_ASSETS ?? 50);
/** Probe, first and images: there is nothing smaller to make of it. */
const JOBS = 3;
const WITHIN_MS = 600_000;

export async function measure(results) {
  const file = await tiny();
  const rounds = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    rounds.push({ one_by_one: await oneByOne(file), together: await together(file), shell: await shell(file) });
    console.log(JSON.stringify({ ...rounds.at(-1), gaps: undefined }));
  }
  const secs = (which) => median(rounds.map((round) => round[which].secs));
  const figures = { assets: ASSETS, jobs_of_each: JOBS, one_by_one_of_shell: round(secs('one_by_one') / secs('shell'), 2), together_of_shell: round(secs('together') / secs('shell'), 2), rounds };
  results.figure('queue', figures);
  const jobs = rounds.flatMap((one) => [one.one_by_one.jobs, one.together.jobs]);
  results.check('every job was done once', jobs.every((count) => count === ASSETS * JOBS), { jobs });
}

/** The next is uploaded when all of the one before is made: between its jobs there is nothing but the queue. */
async function oneByOne(file) {
  const theatre = await stage('queue-one-by-one');
  const spans = [];
  let secs = 0;
  for (let i = 0; i < ASSETS; i += 1) {
    const { asset, acknowledgedAt } = await theatre.library.upload(file);
    await untilOver(theatre, asset);
    const of = await attemptsOf(theatre, asset);
    // Until the last job ended, not until somebody looked.
    secs += (of.at(-1).ended - (performance.timeOrigin + acknowledgedAt)) / 1000;
    spans.push(of);
  }
  await theatre.server.stop();
  return { secs: round(secs, 2), jobs: spans.flat().length, gaps: gaps(spans.map((of) => of.slice(1).map((span, i) => span.began - of[i].ended)).flat()), lasts: lasts(spans.flat()) };
}

/** All are uploaded at once, and wait for each other. */
async function together(file) {
  const theatre = await stage('queue-together');
  const from = performance.timeOrigin + performance.now();
  const uploads = await Promise.all(Array.from({ length: ASSETS }, () => theatre.library.upload(file)));
  await until('the queue to be empty', WITHIN_MS, async () => (await theatre.server.api('GET', '/api/v1/jobs')).jobs.length === 0, 250);
  const spans = (await Promise.all(uploads.map(({ asset }) => attemptsOf(theatre, asset)))).flat().sort((a, b) => a.began - b.began);
  await theatre.server.stop();
  // Two may be under way, if one of them is somebody's first: each begins behind the last that ended before it.
  const ends = spans.map((span) => span.ended).sort((a, b) => a - b);
  const waited = spans.map((span) => span.began - (ends.findLast((end) => end <= span.began) ?? span.began));
  return { secs: round((ends.at(-1) - from) / 1000, 2), jobs: spans.length, gaps: gaps(waited), lasts: lasts(spans) };
}

/** What a script does that has no queue. */
async function shell(file) {
  const folder = path.join(runDir(), 'shell');
  mkdirSync(folder, { recursive: true });
  const quiet = 'ffmpeg -nostdin -v error -y -i "$0"';
  const each = ['ffprobe -v error -show_format -show_streams -of json "$0" > "$1/$n.json"', `${quiet} -c copy -f hls -hls_playlist_type vod -hls_segment_type fmp4 -hls_flags single_file -hls_fmp4_init_filename $n-init.mp4 "$1/$n.m3u8"`,
    `${quiet} -frames:v 1 "$1/$n-poster.jpg" -vf fps=1/2,scale=160:-2,tile=5x5 -frames:v 1 "$1/$n-storyboard.jpg"`];
  const from = performance.now();
  await run('shell', 'sh', ['-ec', `for n in $(seq ${ASSETS}); do ${each.join('; ')}; done`, file, folder]);
  const secs = (performance.now() - from) / 1000;
  rmSync(folder, { recursive: true });
  return { secs: round(secs, 2) };
}

function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
}

const gaps = (values) => ({ count: values.length, p50_ms: percentile(values, 0.5), p95_ms: percentile(values, 0.95), max_ms: Math.max(...values) });
const lasts = (spans) => Object.fromEntries(['probe', 'first', 'images'].map((kind) => [kind, median(spans.filter((span) => span.kind === kind).map(({ began, ended }) => ended - began))]));

export function page({ queue }) {
  const { assets, jobs_of_each: jobsOfEach, rounds } = queue;
  const row = (words, which) => {
    const of = (read) => median(rounds.map((one) => read(one[which])));
    const secs = of((one) => one.secs);
    const span = (kind) => `${of((one) => one.lasts[kind])} ms`;
    return [words, queue[`${which}_of_shell`], `${round((secs * 1000) / assets)} ms`, `${round((secs * 1000) / assets / jobsOfEach)} ms`, `${of((one) => one.gaps.p50_ms)} ms`, `${of((one) => one.gaps.p95_ms)} ms`, span('probe'), span('first'), span('images'), rounds.map((one) => one[which].secs).join(', ')];
  };
  const shellSecs = median(rounds.map((one) => one.shell.secs));
  return table([`${assets} assets of 2 s, ${jobsOfEach} jobs each`, 'of the shell’s', 'an asset', 'a job', 'between two jobs, p50', 'p95', 'probe', 'first', 'images', 'all rounds, s'], [
    row('one by one', 'one_by_one'), row('all at once', 'together'),
    ['`ffprobe`, `ffmpeg -c copy`, `ffmpeg` for images', 1, `${round((shellSecs * 1000) / assets)} ms`, `${round((shellSecs * 1000) / assets / jobsOfEach)} ms`, '', '', '', '', '', rounds.map((one) => one.shell.secs).join(', ')]]);
}
