// What people do without us: the ffmpeg command that makes the same of a source, with the same libraries and settings, and what it
// costs. The settings are those of telstar-worker (transcode/src/ladder.rs, transcode/worker/src/file/make), read there by hand; whether
// they are the same shows in how large the renditions become.

import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runDir } from '../paths.mjs';
import { start } from '../process.mjs';

/** `[vod]`'s own: preset, threads, sound. */
const PRESET = 'fast';
const THREADS = String(Math.min(os.cpus().length, 16));
const AUDIO_KBPS = 128;
/** Seconds between pictures that stand alone. */
const KEY_SECS = 2;
/** What sound is brought to, and its loudest sample of one: 2 dB below full scale. */
const LUFS = -16;
const LOUDEST = 0.794;
const SHORT_SIDES = [2160, 1440, 1080, 720, 480, 360, 240];
const LOOK_MS = 2;
let runs = 0;

/** The rungs of a source of 16:9 at 30 pictures a second, the best first. */
export function rungs(height) {
  return SHORT_SIDES.filter((side) => side <= height).map((side) => {
    const width = Math.round((side * 16) / 9 / 2) * 2;
    const bps = Math.max(Math.trunc(2.57 * (width * side * 30) ** 0.815), 200_000);
    return { name: `v${side}`, width, height: side, bps, crf: side >= 1080 ? 23 : 22 };
  });
}

const hls = (file, secs = 4) => ['-f', 'hls', '-hls_time', String(secs), '-hls_playlist_type', 'event', '-hls_segment_type', 'fmp4', '-hls_flags', 'single_file', file];
const x264 = ({ bps, crf }) => ['-c:v', 'libx264', '-threads', THREADS, '-preset', PRESET, '-profile:v', 'high', '-pix_fmt', 'yuv420p', '-crf', String(crf), '-maxrate', String(bps), '-bufsize', String(2 * bps),
  '-g', '1000000', '-sc_threshold', '0', '-forced-idr', '1', '-flags', '+cgop', '-force_key_frames', `expr:gte(t,n_forced*${KEY_SECS})`];
const aac = ['-c:a', 'aac', '-b:a', `${AUDIO_KBPS}k`, '-ar', '48000', '-ac', '2'];
const scale = ({ width, height }) => `scale=${width}:${height}:flags=bicubic`;

/** Arguments that pass pictures and sound on as they are, each into a playlist of its own. */
export const copied = (input, folder) => ['-i', input, '-map', '0:v:0', '-c', 'copy', ...hls(`${folder}/copy.m3u8`), '-map', '0:a:0', '-c', 'copy', ...hls(`${folder}/sound.m3u8`)];

/** Arguments that encode one rung, and pass AAC on or encode it. */
export const encoded = (input, folder, rung, { copiesSound }) => ['-threads', THREADS, '-i', input, '-map', '0:v:0', '-vf', scale(rung), ...x264(rung), ...hls(`${folder}/${rung.name}.m3u8`, KEY_SECS),
  '-map', '0:a:0', ...(copiesSound ? ['-c:a', 'copy'] : aac), ...hls(`${folder}/sound.m3u8`, KEY_SECS)];

/** Runs ffmpeg in a folder that is gone afterwards: CPU seconds, wall, peak of its memory, bytes of each output by name. */
async function cost(of) {
  const folder = path.join(runDir(), `ffmpeg-${runs += 1}`);
  mkdirSync(folder, { recursive: true });
  const found = { cpu_secs: null, wall_secs: null, peak_mib: null, lufs: null };
  const onLine = (line) => {
    const time = /bench: utime=([\d.]+)s stime=([\d.]+)s rtime=([\d.]+)s/.exec(line);
    if (time) Object.assign(found, { cpu_secs: Number(time[1]) + Number(time[2]), wall_secs: Number(time[3]) });
    found.peak_mib = Number(/bench: maxrss=(\d+)kB/.exec(line)?.[1] ?? found.peak_mib * 1024) / 1024;
    found.lufs = Number(/^\s+I:\s+(-?[\d.]+) LUFS/.exec(line)?.[1] ?? found.lufs);
  };
  const args = ['-nostdin', '-hide_banner', '-nostats', '-benchmark', ...of(folder)];
  const proc = start('ffmpeg', 'ffmpeg', args, { onLine });
  const { code } = await proc.exited;
  if (code !== 0 || found.cpu_secs === null) throw new Error(`ffmpeg ${args.join(' ')}: ${proc.tail.slice(-3).join(' | ')}`);
  const made = readdirSync(folder).filter((name) => !name.endsWith('.m3u8'));
  const bytes = Object.fromEntries(made.map((name) => [path.parse(name).name, statSync(path.join(folder, name)).size]));
  rmSync(folder, { recursive: true });
  return { ...found, bytes };
}

/** Repackaging. */
export const costOfCopy = (input) => cost((folder) => copied(input, folder));

/**
 * The whole ladder in one command, the source decoded once; before it, the command that measures how loud the sound is, since
 * the factor must be known (`loudnorm` does both at once, at several times the cost).
 */
export async function costOfLadder(input, made, { copiesVideo }) {
  const loudness = await cost(() => ['-i', input, '-vn', '-af', 'ebur128', '-f', 'null', '-']);
  const split = `[0:v]split=${made.length}${made.map(({ name }) => `[${name}s]`).join('')}`;
  const graph = [split, ...made.map((rung) => `[${rung.name}s]${scale(rung)}[${rung.name}]`), `[0:a]volume=${LUFS - loudness.lufs}dB,alimiter=limit=${LOUDEST}:level=false[a1]`].join(';');
  const ladder = await cost((folder) => ['-threads', THREADS, '-i', input, '-filter_complex', graph,
    ...made.flatMap((rung) => ['-map', `[${rung.name}]`, ...x264(rung), ...hls(`${folder}/${rung.name}.m3u8`, copiesVideo ? 4 : KEY_SECS)]),
    '-map', '[a1]', ...aac, ...hls(`${folder}/a1.m3u8`), '-map', '0:a:0', '-c', 'copy', ...hls(`${folder}/a1-first.m3u8`),
    ...(copiesVideo ? ['-map', '0:v:0', '-c', 'copy', ...hls(`${folder}/v-copy.m3u8`)] : [])]);
  return { ...ladder, cpu_secs: ladder.cpu_secs + loudness.cpu_secs, wall_secs: ladder.wall_secs + loudness.wall_secs, lufs: loudness.lufs };
}

/** Milliseconds from the start of ffmpeg to its first finished segment, which is when the playlist lists one. */
export async function firstSegmentMs(of) {
  const folder = path.join(runDir(), `ffmpeg-${runs += 1}`);
  mkdirSync(folder, { recursive: true });
  const from = performance.now();
  const proc = start('ffmpeg', 'ffmpeg', ['-nostdin', '-hide_banner', '-loglevel', 'error', ...of(folder)]);
  const listed = () => readdirSync(folder).filter((name) => name.endsWith('.m3u8')).length === 2;
  while (!proc.ended && !listed()) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  const ms = performance.now() - from;
  const isThere = listed();
  await proc.stop('SIGKILL');
  rmSync(folder, { recursive: true });
  if (!isThere) throw new Error(`ffmpeg made no segment: ${proc.tail.slice(-3).join(' | ')}`);
  return ms;
}
