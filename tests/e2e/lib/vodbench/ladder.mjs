// What a whole asset costs: CPU, wall and memory of everything from the last byte to the last rendition, beside the ffmpeg command that
// makes the same.

import { table } from '../page.mjs';
import { median, round } from '../results.mjs';
import { costOfLadder, rungs } from './ffmpeg.mjs';
import { h264, hevc, secsOf } from './sources.mjs';
import { ROUNDS, attemptsOf, drop, stage, untilOver } from './stage.mjs';
import { Tree, peakMib } from './tree.mjs';

export const name = 'ladder';
export const claim = 'CPU, wall and memory of every rendition, beside one ffmpeg command that makes the same.';
/** Acceptance of issue 6. */
const LADDER_MAX = 1.05;
/** Renditions of the same settings are as large as ffmpeg's; keyframes stand a few pictures elsewhere. */
const SIZE_ROOM = 0.03;

export async function measure(results) {
  const sources = [
    { what: 'H.264, 60 s: passed on, four rungs, sound', file: await h264(), made: rungs(720), copiesVideo: true },
    { what: 'HEVC, 30 s: five rungs, sound', file: await hevc(), made: rungs(1080), copiesVideo: false },
  ];
  const rows = [];
  for (const source of sources) {
    const rounds = [];
    for (let i = 0; i < ROUNDS; i += 1) {
      const [ours, ffmpeg] = [await whole(source.file), await costOfLadder(source.file, source.made, source)];
      rounds.push({ ours, ffmpeg });
      console.log(JSON.stringify(rounds.at(-1)));
    }
    const of = (which) => median(rounds.map(which));
    const row = { what: source.what, secs: round(secsOf(source.file)),
      cpu_ratio: round(of((one) => one.ours.cpu_secs / one.ffmpeg.cpu_secs), 3), wall_ratio: round(of((one) => one.ours.wall_secs / one.ffmpeg.wall_secs), 3), rounds };
    rows.push(row);
    results.check(`${source.what}: CPU at most ${LADDER_MAX} times that of ffmpeg`, row.cpu_ratio <= LADDER_MAX, { ratio: row.cpu_ratio, ours_secs: round(of((one) => one.ours.cpu_secs), 2), ffmpeg_secs: round(of((one) => one.ffmpeg.cpu_secs), 2) });
    const sizes = Object.fromEntries(Object.entries(rounds[0].ours.bytes).map(([rendition, bytes]) => [rendition, round(bytes / rounds[0].ffmpeg.bytes[rendition], 3)]));
    results.check(`${source.what}: renditions as large as those of ffmpeg, so that the same was made`, Object.values(sizes).every((ratio) => Math.abs(ratio - 1) <= SIZE_ROOM), sizes);
  }
  results.figure('ladder', rows);
}

/** Uploads, and waits until everything is made. The CPU of what makes the poster and the storyboard is told apart; the wall has it beside the rungs. */
async function whole(file) {
  const theatre = await stage('ladder');
  const { server, library } = theatre;
  const { asset } = await library.upload(file);
  const tree = new Tree(server.pid);
  await untilOver(theatre, asset);
  const { server_secs: serverSecs, tree_secs: treeSecs, ended: workers } = tree.stop();
  // What makes the poster begins beside what makes the rungs, and ends long before it.
  const spans = (await attemptsOf(theatre, asset)).sort((a, b) => a.ended - b.ended);
  if (spans.length !== workers.length) throw new Error(`${spans.length} attempts and ${workers.length} workers`);
  const of = Object.fromEntries(spans.map(({ kind, began, ended }, i) => [kind, { cpu_secs: round(workers[i].cpu_secs, 2), wall_secs: (ended - began) / 1000, peak_mib: round(workers[i].peak_mib, 1) }]));
  const { renditions } = await library.get(asset);
  const bytes = Object.fromEntries(renditions.map((one) => [one.name, one.bytes]));
  const all = (spans.at(-1).ended - Math.min(...spans.map((span) => span.began))) / 1000;
  const figures = { cpu_secs: round(treeSecs - of.images.cpu_secs, 2), wall_secs: round(all, 2), server_cpu_secs: round(serverSecs, 2), workers: of, server_peak_mib: round(peakMib(server.pid), 1), bytes };
  await drop(theatre, asset);
  await server.stop();
  return figures;
}

export function page({ ladder }) {
  const of = (row, which, digits = 2) => round(median(row.rounds.map(which)), digits);
  const all = (row, which) => row.rounds.map((one) => round(which(one), 3)).join(', ');
  const worker = (kind) => (one) => one.ours.workers[kind].cpu_secs;
  const costs = table(['source of 1080 lines', 'CPU of ffmpeg’s', 'wall of ffmpeg’s', 'CPU', 'ffmpeg', 'wall', 'ffmpeg', 'all ratios of CPU'],
    ladder.map((row) => [row.what, row.cpu_ratio, row.wall_ratio, `${of(row, (one) => one.ours.cpu_secs)} s`, `${of(row, (one) => one.ffmpeg.cpu_secs)} s`, `${of(row, (one) => one.ours.wall_secs)} s`, `${of(row, (one) => one.ffmpeg.wall_secs)} s`, all(row, (one) => one.ours.cpu_secs / one.ffmpeg.cpu_secs)]));
  const jobs = table(['CPU of', 'server', 'probe', 'first', 'images', 'more'],
    ladder.map((row) => [row.what, `${of(row, (one) => one.ours.server_cpu_secs)} s`, ...['probe', 'first', 'images', 'more'].map((kind) => `${of(row, worker(kind))} s`)]));
  const memory = table(['most memory of', 'server', 'probe', 'first', 'images', 'more', 'ffmpeg'],
    ladder.map((row) => [row.what, `${of(row, (one) => one.ours.server_peak_mib, 1)} MiB`, ...['probe', 'first', 'images', 'more'].map((kind) => `${of(row, (one) => one.ours.workers[kind].peak_mib, 1)} MiB`), `${of(row, (one) => one.ffmpeg.peak_mib, 1)} MiB`]));
  return [costs, jobs, memory].join('\n\n');
}
