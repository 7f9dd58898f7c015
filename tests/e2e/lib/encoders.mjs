// Independent encoders that publish over RTMP: ffmpeg in the forms that people use, and GStreamer's rtmp2sink.

import { encoderArgs, prepared, preparedClip, realClip } from './clips.mjs';
import { FlvReader } from './flv.mjs';
import { CODE_BITS as BARCODE_BITS, CODE_CELL as BARCODE_CELL, SOURCE, soundForFfmpeg } from './inpage/timecode.mjs';
import { start } from './process.mjs';

export { BARCODE_BITS, BARCODE_CELL };

const QUIET = ['-hide_banner', '-loglevel', 'warning', '-nostdin'];

/** Publishes a file as it is. The cheapest publisher: no codec runs. */
export function publishCopy(url, file, { name = 'encoder', options = [], loop = true } = {}) {
  return start(name, 'ffmpeg', [...QUIET, '-re', ...(loop ? ['-stream_loop', '-1'] : []), '-i', file, ...options, '-c', 'copy', '-f', 'flv', url]);
}

/** The real clip with a parameter set, encoded beforehand. */
export async function publishPrepared(url, options = {}) {
  return publishCopy(url, await preparedClip(options), options);
}

/**
 * A filter that draws the frame number into the picture: a row of its bits above a row of their complements, so that
 * a reader knows when it has misread.
 */
export function barcode() {
  const cells = [`drawbox=x=0:y=0:w=${BARCODE_BITS * BARCODE_CELL}:h=${2 * BARCODE_CELL}:color=black:t=fill`];
  for (let bit = 0; bit < BARCODE_BITS; bit += 1) {
    const box = (row, test) => `drawbox=x=${bit * BARCODE_CELL}:y=${row * BARCODE_CELL}:w=${BARCODE_CELL}:h=${BARCODE_CELL}:color=white:t=fill:enable='${test}(mod(n,${2 ** (bit + 1)}),${2 ** bit})'`;
    cells.push(box(0, 'gte'), box(1, 'lt'));
  }
  return cells.join(',');
}

/**
 * Encodes live with the frame number in the picture, and tells when each frame left the encoder:
 * `sentAt[n]` is the wall time in milliseconds at which frame n was handed to the network, `sent[n]` its access unit.
 */
export async function publishClocked(url, { name = 'encoder', ...options } = {}) {
  const o = { size: '854x480', fps: 30, tune: 'zerolatency', bframes: 0, preset: 'ultrafast', ...options };
  const [width, height] = o.size.split('x');
  const sentAt = [];
  const sent = [];
  const reader = new FlvReader((unit) => { if (unit.kind === 'video') { sentAt.push(unit.wall); sent.push(unit); } });
  const proc = start(name, 'ffmpeg', [...QUIET, '-re', '-stream_loop', '-1', '-i', await realClip(), '-map', '0:v:0', '-map', '0:a:0',
    '-vf', `fps=${o.fps},scale=${width}:${height},${barcode()}`, ...encoderArgs(o), '-flags', '+global_header', '-flush_packets', '1',
    '-f', 'tee', `[f=flv:flvflags=no_duration_filesize:onfail=abort]${url}|[f=flv:flvflags=no_duration_filesize]pipe:1`], { onStdout: (chunk) => reader.push(chunk) });
  return Object.assign(proc, { sentAt, sent, fps: o.fps });
}

/**
 * A clip whose picture n is at n / fps with its number in it and whose sound beeps at whole seconds (lib/inpage/timecode.mjs),
 * encoded once per parameter set. Its times in the file are exact, so that an encoder's live timing is not in what is measured.
 */
export async function codedClip({ seconds = 120, fps = 30, toneHz = 440, bframes = 2, gopFrames = 60, videoKbps = 800, size = `${SOURCE.width}x${SOURCE.height}` } = {}) {
  const video = encoderArgs({ fps, bframes, gopFrames, videoKbps, preset: 'veryfast' });
  const sound = ['-f', 'lavfi', '-i', `aevalsrc='${soundForFfmpeg(toneHz)}':s=48000`];
  return prepared(`coded-${seconds}s-${size}-${fps}-bf${bframes}-g${gopFrames}-${videoKbps}k-${toneHz}hz.mp4`, ['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${fps}`, ...sound,
    '-t', String(seconds), '-vf', barcode(), ...video]);
}

/**
 * Publishes that clip once and in real time. `sentAt[n]` is the wall time in milliseconds at which picture n was handed to
 * the network.
 */
export async function publishCoded(url, { name = 'encoder', fps = 30, ...options } = {}) {
  const sentAt = [];
  let first = null;
  const reader = new FlvReader((unit) => {
    if (unit.kind !== 'video') return;
    // FLV begins at the first decode time; the picture with the least presentation time is the first keyframe.
    first ??= unit.ptsMs;
    sentAt[Math.round(((unit.ptsMs - first) * fps) / 1000)] = unit.wall;
  });
  const proc = start(name, 'ffmpeg', [...QUIET, '-re', '-i', await codedClip({ fps, ...options }), '-map', '0', '-c', 'copy', '-tag:v', '7', '-tag:a', '10', '-flush_packets', '1',
    '-f', 'tee', `[f=flv:flvflags=no_duration_filesize:onfail=abort]${url}|[f=flv:flvflags=no_duration_filesize]pipe:1`], { onStdout: (chunk) => reader.push(chunk) });
  return Object.assign(proc, { sentAt, fps });
}

/** GStreamer's own RTMP client, which speaks the protocol differently from ffmpeg's. */
export function publishGstreamer(url, { name = 'gstreamer' } = {}) {
  return start(name, 'gst-launch-1.0', ['-q',
    'videotestsrc', 'is-live=true', 'pattern=ball', '!', 'video/x-raw,width=640,height=360,framerate=30/1', '!', 'videoconvert', '!',
    'x264enc', 'speed-preset=ultrafast', 'tune=zerolatency', 'key-int-max=60', 'bitrate=800', '!', 'h264parse', '!', 'queue', '!', 'mux.',
    'audiotestsrc', 'is-live=true', 'wave=ticks', '!', 'audio/x-raw,rate=44100,channels=2', '!', 'avenc_aac', '!', 'aacparse', '!', 'queue', '!', 'mux.',
    'flvmux', 'name=mux', 'streamable=true', '!', 'rtmp2sink', `location=${url}`]);
}

/** The same client with an FLV of H.264 and AAC as it is, once and in real time. */
export function publishGstreamerCopy(url, file, { name = 'gstreamer' } = {}) {
  return start(name, 'gst-launch-1.0', ['-q', 'filesrc', `location=${file}`, '!', 'flvdemux', 'name=clip',
    'flvmux', 'name=mux', 'streamable=true', '!', 'rtmp2sink', 'sync=true', `location=${url}`,
    'clip.video', '!', 'queue', '!', 'h264parse', '!', 'mux.', 'clip.audio', '!', 'queue', '!', 'aacparse', '!', 'mux.']);
}
