// Acceptance line 2 of RTMP and HLS: ffmpeg, GStreamer, OBS and an encoder that speaks Enhanced RTMP publish, and what
// comes out of HLS is what each of them sent, unit by unit and at the same times. Two readers say so: the client of
// lib/hls.mjs, part by part, and ffprobe, segment by segment. Nothing here judges speed.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { relayRtmp } from '../lib/chunks.mjs';
import { encoderArgs, prepared } from '../lib/clips.mjs';
import { publishCopy, publishGstreamerCopy } from '../lib/encoders.mjs';
import { probe } from '../lib/ffprobe.mjs';
import { FlvReader, withoutParameterSets } from '../lib/flv.mjs';
import { following, parseMultivariant } from '../lib/hls.mjs';
import { avOffset, compare, disorder, gaps } from '../lib/integrity.mjs';
import { startObs } from '../lib/obs.mjs';
import { runDir } from '../lib/paths.mjs';
import { sleep } from '../lib/process.mjs';
import { publishEnhanced, pyavVersion } from '../lib/pyav.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

const KINDS = ['video', 'audio'];
const SECONDS = Number(process.env.E2E_ENCODERS_SECONDS ?? 20);
/** Every unit is shown as long after the source's time as every other, but for this: RTMP's stamps are whole milliseconds. */
const TIME_MAX_MS = 1;
/** The same where the source is an FLV, whose own stamps have been rounded before. */
const TIME_FROM_FLV_MAX_MS = 2;
/** The first playlist needs a whole GOP, of 8.3 s when OBS is left to itself. */
const LIVE_MS = 60_000;
/** From the end of the encoder to the end of the playlist; far above the reconnect window below, which both readers wait for. */
const END_MS = 60_000;
const RECONNECT_WINDOW_SECS = 2;

/** No two pictures and no two frames of sound are alike, so that each hash has one place. */
const PICTURE = ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=30'];
const SOUND = (rate) => ['-f', 'lavfi', '-i', `anoisesrc=sample_rate=${rate}:amplitude=0.2:seed=7`];
const clip = (name, inputs, encoder) => prepared(`encoders-${name}-${SECONDS}s.mp4`, [...inputs, '-t', String(SECONDS), '-pix_fmt', 'yuv420p', ...encoder]);
/**
 * B-frames, 44.1 kHz, whose frames fall on no whole millisecond, and sound that begins behind the picture: GStreamer's
 * `flvmux` has no stamps for sound before it.
 */
const h264 = () => clip('h264-aac', [...PICTURE, '-itsoffset', '0.1', ...SOUND(44_100)], encoderArgs({ gopFrames: 60, bframes: 3, videoKbps: 400, audioRate: 44_100 }));
/** GStreamer's MP4 reader cuts at edit lists; an FLV has none. */
const h264Flv = async () => prepared(`encoders-h264-aac-${SECONDS}s.flv`, ['-i', await h264(), '-c', 'copy']);
const hevc = () => clip('hevc-aac', [...PICTURE, ...SOUND(48_000)], ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=error:keyint=60:bframes=3', '-tag:v', 'hvc1', '-c:a', 'aac', '-ac', '2']);
const av1 = () => clip('av1-flac', [...PICTURE, ...SOUND(48_000)], ['-c:v', 'libaom-av1', '-cpu-used', '8', '-usage', 'realtime', '-g', '60', '-strict', '-2', '-c:a', 'flac', '-ac', '2']);

const H264_AAC = { tags: { video: 'avc1', audio: 'mp4a' }, codecs: ['avc1.64', 'mp4a.40.2'] };
const CASES = [
  { name: 'ffmpeg', ...H264_AAC, publish: ({ rtmp }, name) => sendClip(h264, (file) => publishCopy(rtmp, file, { name, loop: false })) },
  { name: 'gstreamer', ...H264_AAC, timeMaxMs: TIME_FROM_FLV_MAX_MS, publish: ({ rtmp }, name) => sendClip(h264Flv, (file) => publishGstreamerCopy(rtmp, file, { name })) },
  { name: 'obs', ...H264_AAC, publish: watchObs },
  { name: 'hevc-aac', tags: { video: 'hvc1', audio: 'mp4a' }, codecs: ['hvc1.1.', 'mp4a.40.2'], publish: ({ rtmp }, name) => sendClip(hevc, (file) => publishEnhanced(rtmp, file, { name })) },
  { name: 'av1-flac', tags: { video: 'av01', audio: 'fLaC' }, codecs: ['av01.0.', 'fLaC'], publish: ({ rtmp }, name) => sendClip(av1, (file) => publishEnhanced(rtmp, file, { name })) },
];

const results = new Results('encoders', 'ffmpeg, GStreamer, OBS and Enhanced RTMP (HEVC with AAC, AV1 with FLAC) come out of HLS with no access unit lost and every time kept; ffprobe reads it.');
await results.during(async () => {
  results.figure('pyav', await pyavVersion());
  // FFmpeg's reader begins with the first segment that all variants have, and H.264 beside a picture begins later: `codecs` is about it.
  const server = await Telstar.launch({ serveArgs: ['--hls-reconnect-window-secs', String(RECONNECT_WINDOW_SECS), '--hls-h264-beside', 'false'] });
  for (const test of CASES) await publishAndRead(server, test);
  await server.stop();
});
process.exit();

/** An encoder that sends a clip as it is, once: the clip says what was sent. */
async function sendClip(make, publish) {
  const file = await make();
  const proc = await publish(file);
  return {
    finish: async () => { await proc.exited; return { ok: proc.ended.code === 0, tail: proc.tail.slice(-3) }; },
    source: () => probe(file),
  };
}

/** OBS encodes by itself: what it says over RTMP is what was sent. It lasts until it is told to stop. */
async function watchObs({ key }, name, { rtmp }) {
  const relay = await relayRtmp(rtmp);
  const obs = await startObs({ server: relay.base, key, name, preset: 'veryfast' });
  return {
    finish: async () => {
      await sleep(SECONDS * 1000);
      const ok = !obs.ended;
      await obs.stop();
      relay.close();
      return { ok, tail: ok ? [] : obs.tail.slice(-3) };
    },
    source: async () => {
      const flv = relay.flv();
      const file = path.join(runDir(), `${name}.flv`);
      writeFileSync(file, flv);
      const units = { video: [], audio: [] };
      // OBS repeats its parameter sets in every keyframe; with `avc1` they stand in the sample entry alone.
      new FlvReader(({ kind, dtsMs, ptsMs, ...unit }) => units[kind].push({ ...unit, dts: dtsMs / 1000, pts: ptsMs / 1000 }), { clean: withoutParameterSets }).push(flv);
      return { streams: (await probe(file)).streams, units };
    },
  };
}

async function publishAndRead(server, test) {
  const room = await server.room(test.name);
  const encoder = await test.publish(room, test.name, server);
  const live = await server.untilLive(room.name, LIVE_MS);
  results.figure(`${test.name}_as_the_server_sees_it`, live.ingest);
  const { variants, media } = parseMultivariant(await (await fetch(room.playlist)).text(), room.playlist);
  const named = variants[0].CODECS.split(',');
  results.check(`${test.name}: CODECS say so`, test.codecs.every((begin, i) => named[i]?.startsWith(begin)), { codecs: variants[0].CODECS, resolution: variants[0].RESOLUTION });
  const followers = { video: following(variants[0].url), audio: following(media.find((m) => m.TYPE === 'AUDIO').url) };
  const probing = probe(room.playlist);

  const { ok, tail } = await encoder.finish();
  results.check(`${test.name}: the encoder sent everything`, ok, { tail });
  const late = sleep(END_MS).then(() => { throw new Error(`${test.name}: the playlist has no end`); });
  const [probed] = await Promise.race([Promise.all([probing, followers.video.done, followers.audio.done]), late]);

  const source = await encoder.source();
  judgeStreams(test, source.streams, probed.streams);
  for (const kind of KINDS) judgePlaylist(`${test.name}: ${kind}`, followers[kind]);
  const parts = Object.fromEntries(KINDS.map((kind) => [kind, followers[kind].samples.map((sample) => ({ ...sample, dts: sample.dtsSeconds, pts: sample.ptsSeconds }))]));
  judgeUnits(test, 'parts', source.units, parts);
  judgeUnits(test, 'ffprobe', source.units, probed.units);
}

/** What ffprobe says of the playlist is what it says of the source, and the tags are those of CMAF. */
function judgeStreams({ name, tags }, sent, read) {
  for (const kind of KINDS) {
    const facts = (stream) => ['codec_name', 'profile', 'width', 'height', 'sample_rate', 'channels'].map((field) => stream?.[field]).filter((value) => value !== undefined).join(' ');
    results.check(`${name}: ${kind}: ffprobe finds the codec, the profile and the format that were sent`, facts(read[kind]) !== '' && facts(read[kind]) === facts(sent[kind]) && read[kind].codec_tag_string === tags[kind],
      { sent: facts(sent[kind]), read: facts(read[kind]), tag: read[kind]?.codec_tag_string });
  }
}

function judgePlaylist(what, { follower, samples }) {
  results.check(`${what}: the playlist is unbroken to its end, segments equal their parts`, follower.ended && follower.counts.discontinuities === 0 && follower.problems.length === 0, { problems: follower.problems.slice(0, 5), ...follower.counts });
  results.check(`${what}: each unit lasts until the next one begins`, gaps(samples).length === 0, { gaps: gaps(samples).slice(0, 5) });
}

/** Nothing lost, and every time kept: with one shift for all units, steps and A/V offset are the source's. */
function judgeUnits({ name, timeMaxMs = TIME_MAX_MS }, reader, source, read) {
  const shifts = {};
  for (const kind of KINDS) {
    const what = `${name}: ${kind} by ${reader}`;
    const [sent, got] = [source[kind], read[kind]];
    const { pairs, ...outcome } = compare(sent, got);
    const seconds = sent.length ? sent.at(-1).dts - sent[0].dts : 0;
    results.check(`${what}: no access unit lost, doubled, reordered or changed`, seconds >= SECONDS - 1 && outcome.lost + outcome.doubled + outcome.reordered + outcome.foreign === 0, { seconds: round(seconds, 1), ...outcome });
    results.check(`${what}: keyframes are where the encoder put them`, pairs.every(([i, j]) => sent[i].key === got[j].key), { keyframes: got.filter((unit) => unit.key).length });
    results.check(`${what}: decode times rise, none is later than its presentation`, disorder(read[kind]).length === 0, { disorder: disorder(read[kind]).slice(0, 5) });
    shifts[kind] = pairs.map(([i, j]) => got[j].pts - sent[i].pts);
  }
  const offset = Object.fromEntries(Object.entries(avOffset(shifts)).map(([key, value]) => [key, round(value, 3)]));
  results.check(`${name} by ${reader}: sound and picture start, last and stay together as in the source within ${timeMaxMs} ms`, offset.worst_ms <= timeMaxMs, offset);
}
