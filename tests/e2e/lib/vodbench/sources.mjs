// Sources that are uploaded to be timed: the real clip at 1080 lines, with grain, so that it has detail of that size.

import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { encoderArgs, prepared, realClip } from '../clips.mjs';

/** What is made once; longer sources are copies of it, one behind the other. */
const SECONDS = 60;
const KBPS = 4000;
const GRAIN = 'fps=30,scale=1920:1080:flags=lanczos,noise=c0s=6:c0f=t';

/** H.264 and AAC, so many seconds of it or minutes. */
export async function h264(minutes = 1) {
  const base = await prepared(`vod-1080p-${SECONDS}s-${KBPS}k.mp4`, ['-stream_loop', '-1', '-i', await realClip(), '-t', String(SECONDS), '-map', '0:v:0', '-map', '0:a:0', '-vf', GRAIN, ...encoderArgs({ videoKbps: KBPS })]);
  return minutes === 1 ? base : repeated(base, minutes);
}

/** HEVC and AAC. */
export async function hevc(seconds = 30) {
  return prepared(`vod-1080p-${seconds}s-hevc.mp4`, ['-i', await h264(), '-t', String(seconds), '-c:v', 'libx265', '-preset', 'veryfast', '-b:v', '3000k', '-x265-params', 'keyint=60:log-level=error', '-tag:v', 'hvc1', '-c:a', 'copy']);
}

/** VP9 and Opus. */
export async function vp9(minutes = 5) {
  const base = await prepared(`vod-1080p-${SECONDS}s-vp9.webm`, ['-i', await h264(), '-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-row-mt', '1', '-g', '60', '-b:v', '3000k', '-c:a', 'libopus', '-b:a', '128k']);
  return minutes === 1 ? base : repeated(base, minutes);
}

/** Two seconds without sound: what a queue does with it is mostly the queue. */
export function tiny() {
  return prepared('vod-tiny.mp4', ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=30:duration=2', '-c:v', 'libx264', '-preset', 'veryfast', '-g', '60', '-bf', '2', '-pix_fmt', 'yuv420p']);
}

function repeated(base, times) {
  const [, stem, ending] = base.match(/([^/]+)\.(\w+)$/);
  return prepared(`${stem}-times-${times}.${ending}`, ['-stream_loop', String(times - 1), '-i', base, '-map', '0', '-c', 'copy']);
}

export const mibOf = (file) => Math.round(statSync(file).size / 2 ** 20);

/** Seconds that a file lasts. */
export const secsOf = (file) => Number(execFileSync('ffprobe', ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', file], { encoding: 'utf8' }));
