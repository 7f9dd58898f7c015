// How what makes an upload playable grows with its length: the time until it plays, and the CPU of passing it on, beside `ffmpeg -c copy`.

import { table } from '../page.mjs';
import { median, round } from '../results.mjs';
import { costOfCopy } from './ffmpeg.mjs';
import { h264, mibOf } from './sources.mjs';
import { ROUNDS, attemptsOf, drop, stage, untilOver, untilSeen } from './stage.mjs';
import { Tree, peakMib } from './tree.mjs';

export const name = 'growth';
export const claim = 'Repackaging beside ffmpeg -c copy, and how the wait for the first segment grows with the length of the source.';
const MINUTES = (process.env.BENCH_MINUTES ?? '1,10,60').split(',').map(Number);
/** Acceptance of issue 6. */
const COPY_MAX = 1.1;

export async function measure(results) {
  const rows = [];
  for (const minutes of MINUTES) {
    const file = await h264(minutes);
    const rounds = [];
    for (let i = 0; i < ROUNDS; i += 1) {
      const [ours, ffmpeg] = [await repackaged(file), await costOfCopy(file)];
      rounds.push({ ours, ffmpeg: { cpu_secs: ffmpeg.cpu_secs, wall_secs: ffmpeg.wall_secs, peak_mib: round(ffmpeg.peak_mib, 1) } });
      console.log(JSON.stringify(rounds.at(-1)));
    }
    const ratio = round(median(rounds.map((one) => one.ours.first.cpu_secs / one.ffmpeg.cpu_secs)), 2);
    rows.push({ minutes, mib: mibOf(file), ratio, rounds });
    results.check(`${minutes} min: repackaging at most ${COPY_MAX} times the CPU of ffmpeg`, ratio <= COPY_MAX, { ratio });
  }
  results.figure('growth', rows);
}

/** Uploads, and waits until it was passed on; what comes then is not waited for. */
async function repackaged(file) {
  const theatre = await stage('growth');
  const { server, library } = theatre;
  const uploaded = await library.upload(file);
  const tree = new Tree(server.pid);
  const { segment_ms: segmentMs } = await untilSeen(theatre, uploaded);
  await untilOver(theatre, uploaded.asset, ['first']);
  const [probe, first] = tree.stop().workers;
  const spans = await attemptsOf(theatre, uploaded.asset);
  const wall = (kind) => spans.filter((span) => span.kind === kind).map(({ began, ended }) => (ended - began) / 1000)[0];
  const of = (worker, kind) => ({ cpu_secs: round(worker.cpu_secs, 2), wall_secs: wall(kind), peak_mib: round(worker.peak_mib, 1) });
  const figures = { segment_ms: round(segmentMs), probe: of(probe, 'probe'), first: of(first, 'first'), server_peak_mib: round(peakMib(server.pid), 1) };
  await drop(theatre, uploaded.asset);
  await server.stop();
  return figures;
}

export function page({ growth }) {
  const row = ({ minutes, mib, ratio, rounds }) => {
    const of = (which, digits = 2) => round(median(rounds.map(which)), digits);
    return [`${minutes} min`, ratio, `${of((one) => one.ours.first.cpu_secs)} s`, `${of((one) => one.ffmpeg.cpu_secs)} s`, `${of((one) => one.ours.first.wall_secs)} s`, `${of((one) => one.ffmpeg.wall_secs)} s`,
      `${of((one) => one.ours.probe.cpu_secs)} s`, `${of((one) => one.ours.segment_ms, 0)} ms`, `${of((one) => one.ours.first.peak_mib, 1)} MiB`, `${of((one) => one.ours.server_peak_mib, 1)} MiB`, `${mib} MiB`,
      rounds.map((one) => round(one.ours.first.cpu_secs / one.ffmpeg.cpu_secs, 2)).join(', '), rounds.map((one) => one.ours.segment_ms).join(', ')];
  };
  return table(['H.264 and AAC of 1080 lines', 'CPU of ffmpeg’s', 'CPU', 'ffmpeg', 'wall', 'ffmpeg', 'CPU of the probe', 'first segment answered', 'most memory of the worker', 'of the server', 'source', 'all ratios', 'all first segments'], growth.map(row));
}
