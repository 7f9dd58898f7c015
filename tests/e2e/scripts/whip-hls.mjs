// Acceptance line 3 of WHIP and WHEP: a Chromium that publishes by WHIP, VP8 and then H.264, plays as LL-HLS in hls.js and Shaka
// without a stall, in step, and the conformance client finds nothing wrong. The call of three is `call-hls`.

import { isOurs, openServer } from '../lib/anyserver.mjs';
import { openChromium } from '../lib/browsers.mjs';
import { examine } from '../lib/conform.mjs';
import { codedClip } from '../lib/encoders.mjs';
import { until } from '../lib/process.mjs';
import { timelineOfPlaylist } from '../lib/pyav.mjs';
import { Results, round } from '../lib/results.mjs';
import { Rig, serveRigs } from '../lib/rigs.mjs';
import { asTaken, avOffsets, evenness, latencies, restOf, spread } from '../lib/sync.mjs';
import { smooth, watch } from '../lib/watching.mjs';
import { JUDGED_SECONDS, zeroOfOpenings } from '../lib/zero.mjs';

const MINUTE = Number(process.env.E2E_WATCH_SECONDS ?? 60);
const APART_MAX_MS = 40;
const HEARD_DB = 20;
/** A player's clock may go on while its picture stands; once it has found its place, none does for so long. */
const STANDS_MAX_MS = 500;
const SETTLED_MS = 5000;
/** So much of the playlist is decoded apart from any player. */
const TOLD_SECONDS = 10;
/** From the first request for a playlist to the first playlist: HLS of such a room begins with it. */
const FIRST_PLAYLIST_MAX_MS = 15_000;

const results = new Results(isOurs ? 'whip-hls' : 'whip-hls-mediamtx', `Chromium's WHIP in VP8 and in H.264 as LL-HLS in hls.js and Shaka: ${MINUTE} s without a stall, sound and picture within ${APART_MAX_MS} ms, no rule broken.`);
await results.during(async () => {
  const server = await openServer();
  const rigs = await serveRigs({ files: { '/coded.mp4': await codedClip() } });
  const browser = await openChromium({ camera: true });
  const zero = await zeroOfOpenings(browser, rigs, '/coded.mp4');
  results.figure('zero_of_this_browser_ms', { median: zero.median, openings: zero.offsets });
  for (const codec of process.env.E2E_ONLY?.split(',') ?? ['VP8', 'H264']) {
    const room = await server.room(`whip-${codec.toLowerCase()}`);
    const camera = await Rig.open(browser, rigs, 'whip', { url: room.whip, token: room.key, codec });
    await camera.untilConnected();
    const asked = performance.now();
    await until('the first playlist', 60_000, async () => (await fetch(room.playlist)).ok, 200);
    const first = round(performance.now() - asked);
    results.check(`${codec}: HLS begins with the first request for it`, first < FIRST_PLAYLIST_MAX_MS, { first_playlist_ms: first });
    for (const player of ['hlsjs', 'shaka']) await played(room, camera, codec, player);
    const told = await timelineOfPlaylist(room.playlist, TOLD_SECONDS);
    const apart = spread(avOffsets(told, asTaken(await camera.clock())));
    results.check(`${codec}: sound and picture within ${APART_MAX_MS} ms by the playlist's own times`, apart !== null && Math.abs(apart.median) <= APART_MAX_MS, { offset_ms: apart, beeps: told.beeps.length, ...evenness(told) });
    const report = await examine(room.playlist);
    results.check(`${codec}: the conformance client finds no rule broken`, report.ok, report);
    await camera.end();
    await camera.close();
  }
  await browser.close();
  rigs.close();
  await server.stop();

  async function played(room, camera, codec, player) {
    const rig = await Rig.open(browser, rigs, player, { src: room.playlist });
    await rig.untilPicture();
    await until('the player to play', 30_000, async () => (await rig.page.snapshot()).playingMs !== null);
    const figures = await watch(rig.page, MINUTE);
    const [measured, levels, clock] = [await rig.measured(JUDGED_SECONDS), await rig.levels([440, 550], 2), await camera.clock()];
    results.screenshots.push(await rig.page.screenshot(`whip-hls-${codec}-${player}`));
    await rig.close();
    const settled = measured.pictures.filter(({ at }) => at > measured.pictures[0].at + SETTLED_MS);
    const stood = evenness({ pictures: settled }).longest_gap_ms;
    results.check(`${codec} in ${player}: ${MINUTE} s without a stall`, smooth(figures) && stood <= STANDS_MAX_MS, { ...figures, ...evenness(measured), picture_stood_ms: stood, camera_longest_gap_ms: restOf(clock), camera_to_screen_ms: spread(latencies(measured, clock.takenAt), 0) });
    const apart = spread(avOffsets(measured, asTaken(clock)));
    const offset = apart && zero.median !== null && round(apart.median - zero.median, 1);
    results.check(`${codec} in ${player}: sound and picture within ${APART_MAX_MS} ms`, offset !== null && Math.abs(offset) <= APART_MAX_MS && levels?.[440] - levels?.[550] > HEARD_DB, { offset_ms: offset, measured: apart, levels_db: levels, sound_lost_by_the_page_ms: clock.soundLostMs });
  }
});
process.exit();
