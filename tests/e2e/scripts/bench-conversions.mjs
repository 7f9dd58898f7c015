// What conversions cost: processor time of a worker, one thread, beside the ffmpeg command that does the same with the same
// libraries and settings (TELSTAR_COST names the example `cost` of telstar-worker). Writes docs/results/bench-conversions.json
// and its table in docs/performance.md.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { prepared, preparedClip } from '../lib/clips.mjs';
import { fillPage, table } from '../lib/page.mjs';
import { telstarBinary } from '../lib/paths.mjs';
import { run, start } from '../lib/process.mjs';
import { Results, median, round } from '../lib/results.mjs';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const SECONDS = 20;
const SOUND_SECONDS = 60;
const FPS = 30;
/** As the worker's settings are in `cost`: its defaults, but for one thread. */
const H264 = ['-an', '-threads', '1', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-profile:v', 'baseline', '-sc_threshold', '0', '-g', String(2 * FPS), '-crf', '23', '-maxrate', '4000k', '-bufsize', '4000k'];
const VP8 = (kbps) => ['-an', '-threads', '1', '-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-error-resilient', 'default', '-lag-in-frames', '0', '-auto-alt-ref', '0', '-g', String(2 * FPS), '-b:v', `${kbps}k`, '-maxrate', `${kbps}k`, '-bufsize', `${kbps}k`];
const OPUS = ['-vn', '-ac', '2', '-ar', '48000', '-c:a', 'libopus', '-b:a', '128k'];
const AAC = ['-vn', '-ac', '2', '-ar', '48000', '-c:a', 'aac', '-b:a', '128k'];

const results = new Results('bench-conversions', 'What conversions cost, beside the ffmpeg command that does the same.');
await results.during(async () => {
  const worker = path.join(path.dirname(telstarBinary()), 'telstar-worker');
  const cost = process.env.TELSTAR_COST ?? path.join(path.dirname(telstarBinary()), 'examples/cost');
  if (!existsSync(cost)) throw new Error(`${cost} is not there: cargo build --release -p telstar-worker --example cost`);
  const clip = await preparedClip({ seconds: SOUND_SECONDS, fps: FPS, videoKbps: 2500 });
  const of = (name, ...encoder) => prepared(`cost-${name}`, ['-i', clip, '-t', String(SECONDS), ...encoder]);
  const sound = (name, ...encoder) => prepared(`cost-${name}`, ['-i', clip, '-vn', ...encoder]);
  const aac = await sound('aac.flv', '-c:a', 'copy');
  const h264 = await of('h264.flv', '-an', '-c:v', 'copy');
  const kbps = '-b:v 1500k -maxrate 2000k -bufsize 2000k'.split(' ');
  const conversions = [
    { name: 'AAC to Opus', input: aac, target: 'opus', ffmpeg: OPUS },
    { name: 'MP3 to Opus', input: await sound('mp3.flv', '-ar', '44100', '-c:a', 'libmp3lame', '-b:a', '128k'), target: 'opus', ffmpeg: OPUS },
    { name: 'Opus to AAC', input: aac, target: 'opus-aac', ffmpeg: AAC, ffmpegInput: await sound('opus.ogg', '-c:a', 'libopus', '-b:a', '128k') },
    { name: 'H.264 to H.264 without B-frames', input: h264, target: 'h264', ffmpeg: H264 },
    { name: 'HEVC to H.264', input: await of('h265.hevc', '-an', '-c:v', 'libx265', '-preset', 'veryfast', '-x265-params', 'bframes=0:aud=1:log-level=error', ...kbps), target: 'h264', ffmpeg: H264, rate: FPS },
    { name: 'VP8 to H.264', input: await of('vp8.ivf', '-an', '-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-auto-alt-ref', '0', ...kbps), target: 'h264', ffmpeg: H264 },
    { name: 'VP9 to H.264', input: await of('vp9.ivf', '-an', '-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', ...kbps), target: 'h264', ffmpeg: H264 },
    { name: 'AV1 to H.264', input: await of('av1.ivf', '-an', '-c:v', 'libaom-av1', '-usage', 'realtime', '-cpu-used', '8', ...kbps), target: 'h264', ffmpeg: H264 },
    { name: 'H.264 to VP8', input: h264, target: 'vp8', ffmpeg: null },
  ];

  const rows = [];
  for (const conversion of conversions) {
    const { name, input, target, ffmpegInput = input, rate } = conversion;
    const row = { name, ours: [], ffmpeg: [], media_secs: null, kbps: null, ffmpeg_kbps: null };
    for (let i = 0; i < ROUNDS; i += 1) {
      const ours = JSON.parse(await run('cost', 'sh', ['-c', 'exec "$0" "$1" "$2" < "$3"', cost, worker, target, input]));
      Object.assign(row, { media_secs: ours.media_secs, frames_in: ours.frames_in, frames_out: ours.frames_out, kbps: round((ours.bytes_out * 8) / 1000 / ours.media_secs) });
      row.ours.push(ours.cpu_secs);
      // VP8 is told a rate, so ffmpeg is told the one that came out.
      const peer = await ffmpegCost([...(rate ? ['-r', String(rate)] : []), '-threads', '1', '-i', ffmpegInput, ...(conversion.ffmpeg ?? VP8(row.kbps))]);
      row.ffmpeg.push(peer.secs);
      row.ffmpeg_kbps = round((peer.kib * 8.192) / ours.media_secs);
    }
    const [own, peer] = [median(row.ours), median(row.ffmpeg)];
    Object.assign(row, { ratio: round(own / peer, 2), of_a_core_percent: round((own * 100) / row.media_secs, 1) });
    results.check(`${name}: everything came out`, row.frames_out >= row.frames_in * 0.9 || target === 'opus-aac' || target === 'opus', { ratio: row.ratio, ours_secs: own, ffmpeg_secs: peer, kbps: row.kbps, ffmpeg_kbps: row.ffmpeg_kbps });
    rows.push(row);
  }
  results.figure('conversions', rows);
});
writePage(results);
process.exit();

/** Processor time of ffmpeg, its start included, and how much it made. */
async function ffmpegCost(args) {
  let [secs, kib] = [null, null];
  const proc = start('ffmpeg-cost', 'ffmpeg', ['-nostdin', '-hide_banner', '-benchmark', ...args, '-f', 'null', '-'], {
    onLine: (line) => {
      const time = /bench: utime=([\d.]+)s stime=([\d.]+)s/.exec(line);
      if (time) secs = round(Number(time[1]) + Number(time[2]), 2);
      const made = /video:(\d+)kB audio:(\d+)kB/.exec(line);
      if (made) kib = Number(made[1]) + Number(made[2]);
    },
  });
  const { code } = await proc.exited;
  if (code !== 0 || secs === null) throw new Error(`ffmpeg ${args.join(' ')}: ${proc.tail.slice(-3).join(' | ')}`);
  return { secs, kib };
}

function writePage({ figures: { conversions } }) {
  // The page is made from the results that are committed, not from a trial's.
  if (process.env.TELSTAR_RESULTS || !conversions) return;
  const row = ({ name, media_secs: secs, ours, ffmpeg, ratio, of_a_core_percent: percent }) => [`${name}, ${Math.round(secs)} s`, ratio, `${median(ours)} s`, `${median(ffmpeg)} s`, `${percent} %`, ours.join(', ')];
  fillPage('conversions', 'bench-conversions', `
${table(['conversion', 'of ffmpeg', '`telstar-worker`', '`ffmpeg`', 'of a core', 'all rounds'], conversions.map(row))}
`);
}
