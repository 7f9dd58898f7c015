// Real files of every kind: each ends as an asset that plays as long as its source does, in its shape and the right way up, with its
// tracks, picture and sound together; or with words that say why not. FFmpeg's command is the other opinion on what can be decoded.
// The server and its other assets are there afterwards.

import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { generated } from '../lib/clips.mjs';
import { parseMedia, parseMultivariant } from '../lib/hls.mjs';
import { readFragments, readInit } from '../lib/mp4.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { Library } from '../lib/vod.mjs';

const command = promisify(execFile);
/** How long one small file may take before it counts as a hang. */
const HANG_MS = 180_000;
/** Sources whose times are broken may be cut or filled; an honest asset is this near to what FFmpeg makes of the file. */
const ROOM_SECS = 1.0;
const ROOM_SHARE = 0.1;

/** Width to height of what is shown may be so far from the source's: sides are even. */
const SHAPE_ROOM = 0.03;
/** Picture and sound may move against each other by so many milliseconds: containers count in them, and a resampler looks ahead. */
const APART_MS_MAX = 15;
/** Sound is compared at this rate, as far as so many seconds reach, and looked for within half a second of where it should be. */
const RATE = 8_000;
const COMPARED_SECS = 3;
const SOUGHT_SECS = 0.5;
/** Of sound that differs more than that nothing can be said: silence, noise. */
const ALIKE_MIN = 0.6;
const ALIKE_ROOM = 0.02;
/** Tracks that are kept. */
const SOUNDS_MAX = 4;

const folder = process.env.TELSTAR_TEST_MEDIA;
const given = folder && existsSync(folder) ? readdirSync(folder).filter((name) => !/^MANIFEST|\.md$/.test(name)).map((name) => path.join(folder, name)) : [];
const only = process.env.E2E_ONLY?.split(',');

/** What FFmpeg decodes of it: seconds of pictures and of sound, and what it complains of. */
async function decoded(input) {
  const counts = { pictures: 0, sound_secs: 0, secs: 0, complaint: '' };
  const probe = async (stream, key) => {
    const args = ['-v', 'error', '-select_streams', stream, '-show_entries', 'frame=pts_time,best_effort_timestamp_time,duration_time,pkt_duration_time,nb_samples,sample_rate', '-of', 'json', input];
    const { stdout } = await command('ffprobe', args, { maxBuffer: 1 << 28, timeout: HANG_MS }).catch((error) => ({ stdout: error.stdout || '{}', complaint: (counts.complaint = String(error.stderr ?? error).slice(0, 200)) }));
    let frames = [];
    try { frames = JSON.parse(stdout || '{}').frames ?? []; } catch { /* cut off in the middle */ }
    const times = frames.map((frame) => Number(frame.best_effort_timestamp_time ?? frame.pts_time)).filter(Number.isFinite);
    if (times.length) counts.secs = Math.max(counts.secs, Math.max(...times) - Math.min(...times));
    counts[key] = frames.length;
  };
  await probe('v:0', 'pictures');
  await probe('a:0', 'sound_frames');
  return counts;
}

/** What FFmpeg says of its streams. */
async function streams(input) {
  const args = ['-v', 'error', '-show_entries', 'stream=index,codec_type,width,height,sample_aspect_ratio,channels:stream_disposition=attached_pic:stream_tags=title:stream_side_data=rotation', '-of', 'json', input];
  const { stdout } = await command('ffprobe', args, { maxBuffer: 1 << 26, timeout: HANG_MS }).catch((error) => ({ stdout: error.stdout || '{}' }));
  return JSON.parse(stdout || '{}').streams ?? [];
}

/** How wide to how high the main picture is shown. */
function shape(found) {
  const videos = found.filter((one) => one.codec_type === 'video' && one.width > 0 && !one.disposition?.attached_pic);
  const video = videos[0];
  if (!video || videos.length > 1) return null;
  const [across, down] = (video.sample_aspect_ratio ?? '1:1').split(':').map(Number);
  // Telephones of HTC say it in the name of the track, which ffprobe does not read.
  const named = Number(/^htc_video_rotA-(\d+)$/.exec(video.tags?.title ?? '')?.[1] ?? 0);
  const rotation = video.side_data_list?.find((one) => one.rotation !== undefined)?.rotation ?? named;
  const [width, height] = [video.width * (across && down ? across / down : 1), video.height];
  return Math.round(Math.abs(rotation) / 90) % 2 ? height / width : width / height;
}

/** The first of its frames, in seconds. */
async function begins(input, stream) {
  const args = ['-v', 'error', '-select_streams', stream, '-show_entries', 'frame=best_effort_timestamp_time', '-read_intervals', '%+#40', '-of', 'csv=p=0', input];
  const { stdout } = await command('ffprobe', args, { timeout: HANG_MS }).catch((error) => ({ stdout: error.stdout || '' }));
  const times = stdout.split('\n').map((line) => Number.parseFloat(line)).filter(Number.isFinite);
  return times.length ? Math.min(...times) : null;
}

/**
 * When the first picture is shown and the first sound is heard of what is played, by its boxes: FFmpeg shows pictures with negative
 * composition offsets later than they are.
 */
async function playedBegins(url) {
  const text = async (from) => (await fetch(from)).text();
  const bytes = async (from) => Buffer.from(await (await fetch(from)).arrayBuffer());
  const first = async (playlist) => {
    const { segments: [segment] } = parseMedia(await text(playlist), playlist);
    const tracks = readInit(await bytes(segment.map));
    const times = readFragments(await bytes(segment.url), tracks).map((one) => (one.dts + one.cts) / tracks.get(one.track).timescale);
    return Math.min(...times);
  };
  const { variants, media } = parseMultivariant(await text(url), url);
  const audio = media.find((one) => one.TYPE === 'AUDIO' && one.DEFAULT === 'YES') ?? media.find((one) => one.TYPE === 'AUDIO');
  return Promise.all([first(variants[0].url), first(audio.url)]);
}

async function sound(input) {
  const args = ['-v', 'error', '-i', input, '-map', '0:a:0', '-af', `aresample=${RATE}:async=1:min_hard_comp=0.01`, '-ac', '1', '-t', String(COMPARED_SECS + 2 * SOUGHT_SECS), '-f', 'f32le', '-'];
  const { stdout } = await command('ffmpeg', args, { encoding: 'buffer', maxBuffer: 1 << 26, timeout: HANG_MS }).catch(() => ({ stdout: Buffer.alloc(0) }));
  return new Float32Array(stdout.buffer.slice(stdout.byteOffset, stdout.byteOffset + (stdout.length & ~3)));
}

/** By how many milliseconds sound is later against its picture than in the source; null where nothing can be said of it. */
async function apart(source, played) {
  const [was, is] = await Promise.all([sound(source), sound(played)]);
  const [wasPicture, wasSound, [isPicture, isSound]] = await Promise.all([begins(source, 'v:0'), begins(source, 'a:0'), playedBegins(played)]);
  const reach = Math.min(was.length, is.length, COMPARED_SECS * RATE);
  if (reach < RATE / 4 || wasPicture === null || wasSound === null) return null;
  // Where it is if nothing has moved.
  const expected = Math.round((isPicture + wasSound - wasPicture - isSound) * RATE);
  const sought = Math.min(SOUGHT_SECS * RATE, Math.floor(reach / 2));
  const alike = (lag) => {
    let [product, one, other] = [0, 0, 0];
    for (let at = Math.max(0, -lag); at < Math.min(was.length, is.length - lag, reach); at += 1) {
      product += was[at] * is[at + lag];
      one += was[at] * was[at];
      other += is[at + lag] * is[at + lag];
    }
    return one && other ? product / Math.sqrt(one * other) : 0;
  };
  const found = Array.from({ length: 2 * sought + 1 }, (_, index) => ({ off: index - sought, alike: alike(expected + index - sought) }));
  const best = Math.max(...found.map((one) => one.alike));
  if (best < ALIKE_MIN) return null;
  // A tone is like itself a period later: of those that are as good, the nearest.
  const good = found.filter((one) => one.alike > best - ALIKE_ROOM).sort((a, b) => Math.abs(a.off) - Math.abs(b.off));
  return round((good[0].off * 1_000) / RATE, 1);
}

const results = new Results('vod-media', 'Every real file ends in an asset that plays as long as its source, or in a clear error; none in a hang, a crash or a lie.');
await results.during(async () => {
  const server = await Telstar.launch();
  const library = new Library(server);
  const clip = await generated({ seconds: 6 });
  const files = [clip, ...given].filter((file) => !only || only.some((name) => file.includes(name)));
  const kept = [];
  for (const file of files) {
    const name = path.basename(file);
    const began = performance.now();
    const made = await library.post(file);
    if (made.status >= 400) {
      const source = await decoded(file);
      results.check(`${name}: refused in words, and FFmpeg decodes nothing of it either`, made.status < 500 && made.detail && source.pictures + source.sound_frames === 0, { status: made.status, code: made.code, detail: made.detail, source });
      continue;
    }
    const asset = await library.untilDone(made.asset, HANG_MS).catch((error) => ({ state: String(error) }));
    const secs = round((performance.now() - began) / 1000, 1);
    const source = await decoded(file);
    if (asset.state === 'ready') {
      kept.push(made.asset);
      const played = await decoded(await library.watchable(made.asset));
      const room = ROOM_SECS + ROOM_SHARE * source.secs;
      const isWhole = Math.abs(played.secs - source.secs) <= room && (played.pictures > 0) === (source.pictures > 0) && (played.sound_frames > 0 || source.sound_frames === 0 || asset.source.left_out.length > 0);
      const found = await streams(file);
      const wanted = shape(found);
      const sides = asset.renditions.filter((one) => one.kind === 'video').map((one) => [one.width, one.height]);
      const isShape = !wanted || sides.every(([width, height]) => Math.abs(width / height / wanted - 1) < SHAPE_ROOM + 2 / Math.min(width, height));
      const sounds = found.filter((one) => one.codec_type === 'audio' && one.channels > 0).length;
      const kept_sounds = asset.renditions.filter((one) => /^a\d+$/.test(one.name)).length;
      const hasTracks = kept_sounds === Math.min(sounds, SOUNDS_MAX) || asset.source.left_out.length > 0;
      const apart_ms = played.pictures && played.sound_frames ? await apart(file, await library.watchable(made.asset)) : null;
      const isTogether = apart_ms === null || Math.abs(apart_ms) < APART_MS_MAX;
      results.check(`${name}: plays as long as its source, in its shape, with its tracks, picture and sound together`, isWhole && asset.playable && isShape && hasTracks && isTogether, { apart_ms, wanted, sides, sounds, kept_sounds, secs, source, played, because: asset.source.encoded_because, left_out: asset.source.left_out, renditions: asset.renditions.map((one) => one.name) });
    } else {
      const says = asset.problem ?? '';
      results.check(`${name}: says why it cannot be played, and FFmpeg decodes nothing of it either`, asset.state === 'failed' && says.length > 10 && !/panick|unwrap|worker died|hung/.test(says) && (source.pictures + source.sound_frames === 0 || /encrypt|no decoder|not known|too /.test(says)), { secs, state: asset.state, says, source });
    }
  }
  const there = await Promise.all(kept.map(async (asset) => (await fetch(await library.watchable(asset))).status));
  results.check('every asset that was made is there at the end, and the server was never started again', there.every((status) => status === 200) && server.starts === 1 && !server.process.ended, { assets: kept.length, files: files.length });
  await server.stop();
});
process.exit();
