// Five minutes with every access unit hashed where it leaves the encoder and again where it comes out of the
// playlist: none lost, doubled or reordered, sound and picture as far apart in the boxes as in the source.
//
// The source is what ffmpeg's muxer wrote, not what our server says it got: the same packets go to the server, to an
// FLV that is read here, and to a framehash file whose times are exact where FLV rounds to a millisecond.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { encoderArgs } from '../e2e/lib/clips.mjs';
import { FlvReader, readFrameHash } from '../e2e/lib/flv.mjs';
import { following, parseMultivariant } from '../e2e/lib/hls.mjs';
import { avOffset, compare, gaps } from '../e2e/lib/integrity.mjs';
import { runDir } from '../e2e/lib/paths.mjs';
import { sleep, start, until } from '../e2e/lib/process.mjs';
import { Results, round } from '../e2e/lib/results.mjs';
import { Telstar } from '../e2e/lib/server.mjs';

const SECONDS = Number(process.env.SOAK_SECONDS ?? 300);
/** Sound and picture may drift apart by this much in the boxes. */
const AV_OFFSET_MAX_MS = 1;

/**
 * B-frames, keyframes at scene cuts, and 44.1 kHz sound, whose frames fall on no whole millisecond of RTMP's clock.
 * The picture counts and the sound is noise, so that no two access units are alike.
 */
function publish(url, times) {
  const sent = { video: [], audio: [] };
  const reader = new FlvReader((unit) => sent[unit.kind].push(unit));
  const tee = `[f=flv:flvflags=no_duration_filesize:onfail=abort]${url}|[f=flv:flvflags=no_duration_filesize]pipe:1|[f=framehash:hash=md5]${times}`;
  const proc = start('encoder', 'ffmpeg', ['-hide_banner', '-loglevel', 'warning', '-nostdin',
    '-re', '-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=30', '-re', '-f', 'lavfi', '-i', 'anoisesrc=sample_rate=44100:amplitude=0.2:seed=7',
    '-t', String(SECONDS), ...encoderArgs({ gopFrames: 60, scenecut: 40, bframes: 2, videoKbps: 800, audioRate: 44100 }),
    '-flags', '+global_header', '-flush_packets', '1', '-map', '0:v', '-map', '1:a', '-f', 'tee', tee], { onStdout: (chunk) => reader.push(chunk) });
  return { proc, sent };
}

function follow(url) {
  const independence = { parts: 0, wrong: 0 };
  const onPart = ({ part, samples }) => {
    if (!part) return;
    independence.parts += 1;
    // RFC 8216bis §4.4.4.9: INDEPENDENT says that the part holds an independent frame.
    if (part.independent !== samples.some((s) => s.key)) independence.wrong += 1;
  };
  return { ...following(url, { onPart }), independence };
}

const results = new Results('soak', `Not one access unit lost, doubled or reordered over ${SECONDS} seconds; sound and picture within ${AV_OFFSET_MAX_MS} ms of the source.`);
await results.during(async () => {
  const server = await Telstar.launch();
  const room = await server.room('soak');
  const times = path.join(runDir(), 'times.framehash');
  const { proc, sent } = publish(room.rtmp, times);
  await server.untilLive(room.name);
  const { variants, media } = parseMultivariant(await (await fetch(room.playlist)).text(), room.playlist);
  const received = { video: follow(variants[0].url), audio: follow(media.find((m) => m.TYPE === 'AUDIO').url) };
  const memoryAtStart = server.memory();
  const cpuAtStart = server.cpuSeconds();
  await proc.exited;
  results.check('the encoder sent everything', proc.ended.code === 0, { tail: proc.tail.slice(-3) });
  results.figure('server_cpu_percent_of_one_core', round(100 * (server.cpuSeconds() - cpuAtStart) / SECONDS, 2));
  results.figure('server_memory_kib', { at_start: memoryAtStart, at_end: server.memory() });

  await until('the last access units', 30_000, () => ['video', 'audio'].every((kind) => received[kind].samples.length >= sent[kind].length), 200).catch(() => {});
  for (const kind of ['video', 'audio']) received[kind].follower.stopped = true;
  await Promise.race([Promise.all([received.video.done, received.audio.done]), sleep(15_000)]);
  await server.stop();
  judge(results, sent, received, readFrameHash(readFileSync(times, 'utf8')));
});
process.exit();

function judge(results, sent, received, exact) {
  const shifts = {};
  for (const kind of ['video', 'audio']) {
    const { samples, follower, independence } = received[kind];
    const { pairs, ...outcome } = compare(sent[kind], samples);
    results.check(`${kind}: none lost, doubled, reordered or foreign`, outcome.sent > 0 && outcome.lost + outcome.doubled + outcome.reordered + outcome.foreign === 0, outcome);
    results.check(`${kind}: the playlist is unbroken, segments equal their parts`, follower.problems.length === 0, { problems: follower.problems.slice(0, 5), ...follower.counts });
    results.check(`${kind}: decode times follow each other without a gap`, gaps(samples).length === 0, { gaps: gaps(samples).slice(0, 5) });
    if (kind === 'video') results.check('video: INDEPENDENT stands on the parts that hold a keyframe, and on no other', independence.wrong === 0, independence);
    if (exact[kind].length !== sent[kind].length) throw new Error(`framehash has ${exact[kind].length} ${kind} packets, FLV ${sent[kind].length}`);
    shifts[kind] = pairs.map(([i, j]) => samples[j].ptsSeconds - exact[kind][i].pts);
  }
  const offset = Object.fromEntries(Object.entries(avOffset(shifts)).map(([name, value]) => [name, round(value, 3)]));
  results.check(`sound and picture stay within ${AV_OFFSET_MAX_MS} ms of the source`, offset.worst_ms <= AV_OFFSET_MAX_MS, offset);
}
