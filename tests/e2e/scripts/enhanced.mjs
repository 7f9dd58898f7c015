// Enhanced RTMP from an encoder that speaks it: HEVC with AAC and AV1 with Opus, each access unit hashed where it goes
// into the muxer and again where it comes out of the playlist.

import { Follower, parseMultivariant } from '../lib/hls.mjs';
import { avOffset, compare } from '../lib/integrity.mjs';
import { prepared } from '../lib/clips.mjs';
import { run, sleep, until } from '../lib/process.mjs';
import { publishEnhanced, pyavVersion } from '../lib/pyav.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

const SECONDS = Number(process.env.E2E_ENHANCED_SECONDS ?? 20);
/** Sound and picture may drift apart by this much in the boxes: RTMP's stamps are rounded to a millisecond. */
const AV_OFFSET_MAX_MS = 1;

const CASES = [
  {
    name: 'hevc-aac', codecs: ['hevc', 'aac'], tags: ['hvc1', 'mp4a'], says: ['hvc1.1.', 'mp4a.40.2'],
    arguments: ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=error:keyint=60:bframes=3', '-tag:v', 'hvc1', '-c:a', 'aac', '-ar', '48000', '-ac', '2'],
  },
  {
    name: 'av1-opus', codecs: ['av1', 'opus'], tags: ['av01', 'Opus'], says: ['av01.0.', 'Opus'],
    arguments: ['-c:v', 'libaom-av1', '-cpu-used', '8', '-usage', 'realtime', '-g', '60', '-strict', '-2', '-c:a', 'libopus', '-ar', '48000', '-ac', '2'],
  },
];

const results = new Results('enhanced', 'HEVC with AAC and AV1 with Opus over Enhanced RTMP come out of HLS with no access unit lost.');
await results.during(async () => {
  results.figure('encoder', await pyavVersion());
  const server = await Telstar.launch();
  for (const test of CASES) await publishAndRead(server, test);
  await server.stop();
});
process.exit();

async function publishAndRead(server, { name, codecs, tags, says, arguments: encoder }) {
  const clip = await prepared(`enhanced-${name}-${SECONDS}s.mp4`, ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=30', '-f', 'lavfi', '-i', 'anoisesrc=sample_rate=48000:amplitude=0.2:seed=7',
    '-t', String(SECONDS), '-pix_fmt', 'yuv420p', ...encoder]);
  const room = await server.room(name);
  const proc = await publishEnhanced(room.rtmp, clip, { name: `pyav-${name}` });
  const live = await server.untilLive(room.name);
  results.figure(`${name}_as_the_server_sees_it`, live.ingest);
  const text = await (await fetch(room.playlist)).text();
  const { variants, media } = parseMultivariant(text, room.playlist);
  const named = variants[0].CODECS.split(',');
  results.check(`${name}: CODECS say so`, says.every((begin, i) => named[i]?.startsWith(begin)), { codecs: variants[0].CODECS, resolution: variants[0].RESOLUTION });
  const received = { video: follow(variants[0].url), audio: follow(media.find((m) => m.TYPE === 'AUDIO').url) };

  const probed = JSON.parse(await run('ffprobe', 'ffprobe', ['-v', 'error', '-show_entries', 'stream=codec_name,codec_tag_string,width,height', '-of', 'json', room.playlist]));
  results.check(`${name}: ffprobe reads the playlist`, codecs.every((codec, i) => probed.streams.some((s) => s.codec_name === codec && s.codec_tag_string === tags[i])), { streams: probed.streams });
  results.check(`${name}: ffprobe finds the size that was sent`, probed.streams.some((s) => s.width === 320 && s.height === 180));

  await proc.exited;
  results.check(`${name}: the encoder sent everything`, proc.ended.code === 0, { tail: proc.tail.filter((line) => !line.startsWith('{')).slice(-3) });
  await until('the last access units', 30_000, () => ['video', 'audio'].every((kind) => received[kind].samples.length >= proc.sent[kind].length), 200).catch(() => {});
  for (const kind of ['video', 'audio']) received[kind].follower.stopped = true;
  await Promise.race([Promise.all([received.video.done, received.audio.done]), sleep(15_000)]);
  judge(name, proc.sent, received);
}

function judge(name, sent, received) {
  const shifts = {};
  for (const kind of ['video', 'audio']) {
    const { samples, follower } = received[kind];
    const { pairs, ...outcome } = compare(sent[kind], samples);
    results.check(`${name}: ${kind}: no access unit lost, doubled, reordered or changed`, outcome.sent > 0 && outcome.lost + outcome.doubled + outcome.reordered + outcome.foreign === 0, outcome);
    results.check(`${name}: ${kind}: keyframes are where the encoder put them`, pairs.every(([i, j]) => sent[kind][i].key === samples[j].key));
    results.check(`${name}: ${kind}: the playlist is unbroken, segments equal their parts`, follower.problems.length === 0, { problems: follower.problems.slice(0, 5), ...follower.counts });
    shifts[kind] = pairs.map(([i, j]) => samples[j].ptsSeconds - sent[kind][i].pts);
  }
  const offset = Object.fromEntries(Object.entries(avOffset(shifts)).map(([key, value]) => [key, round(value, 3)]));
  results.check(`${name}: sound and picture stay within ${AV_OFFSET_MAX_MS} ms of the source`, offset.worst_ms <= AV_OFFSET_MAX_MS, offset);
}

function follow(url) {
  const samples = [];
  const follower = new Follower(url, { onSample: (sample) => samples.push(sample) });
  return { follower, samples, done: follower.follow().catch((error) => follower.problems.push(error.message)) };
}
