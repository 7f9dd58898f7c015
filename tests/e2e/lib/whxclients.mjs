// WHIP and WHEP clients that are no browsers: aiortc, GStreamer's webrtcbin and the WHIP muxer of FFmpeg 8, each a child
// that says what it did as JSON lines (lib/whx.py).

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { codedClip } from './encoders.mjs';
import { E2E } from './paths.mjs';
import { python } from './pyav.mjs';
import { start, until } from './process.mjs';

const run = promisify(execFile);

/** The Python whose gi knows GStreamer is the system's. */
const GI_PYTHON = process.env.TELSTAR_GI_PYTHON ?? '/usr/bin/python3';

const PROGRAMS = {
  aiortc: async () => [await python(), path.join(E2E, 'lib/whx_aiortc.py')],
  gstreamer: async () => [GI_PYTHON, path.join(E2E, 'lib/whx_gstreamer.py')],
};

/**
 * Starts a client that will `publish` or `view` for `seconds`. `said(event)` resolves with that line, and throws with
 * the client's words when it failed.
 */
export async function startClient(program, what, { url, token, codec = 'VP8', seconds = 10, tone = 440, fps = 15, decode = true, name = `${program}-${what}` }) {
  const [command, script] = await PROGRAMS[program]();
  return talking(name, command, ['-u', script, what, '--url', url, ...(token ? ['--token', token] : []), '--codec', codec, '--seconds', String(seconds), '--tone', String(tone), '--fps', String(fps), ...(decode ? [] : ['--no-decode'])], seconds);
}

/** Publishes the coded clip by FFmpeg's own WHIP muxer. */
export async function startFfmpegWhip({ url, token, seconds = 60, toneHz = 440 }) {
  const folder = await mkdtemp(path.join(tmpdir(), 'telstar-whip-'));
  const [certificate, key] = ['certificate.pem', 'key.pem'].map((name) => path.join(folder, name));
  await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=encoder', '-days', '30', '-keyout', key, '-out', certificate]);
  const muxer = await talking('ffmpeg-whip', await python(), ['-u', path.join(E2E, 'lib/whip_ffmpeg.py'), await codedClip({ seconds, bframes: 0, toneHz }), url, token ?? 'none', certificate, key], seconds);
  muxer.exited.then(() => rm(folder, { recursive: true, force: true }));
  return muxer;
}

function talking(name, command, words, seconds) {
  const events = [];
  const proc = start(name, command, words, {
    onLine(line) {
      try { events.push(JSON.parse(line)); } catch { /* Words of a library, kept in the log. */ }
    },
  });
  proc.events = events;
  proc.said = (event, timeoutMs = (seconds + 30) * 1000) => until(`${name} to say ${event}`, timeoutMs, () => {
    const found = events.find((one) => one.event === event);
    const failure = events.find((one) => one.event === 'failed');
    if (!found && (failure || proc.ended)) return { event: 'failed', error: failure?.error ?? proc.tail.slice(-5).join('\n') };
    return found;
  }, 50).then((found) => { if (found.event === 'failed') throw new Error(`${name}: ${found.error}`); return found; });
  /** Done, and gone: what it says last. */
  proc.outcome = async () => { const done = await proc.said('done'); await proc.exited; return { ...done, ended: events.find(({ event }) => event === 'ended')?.status }; };
  return proc;
}
