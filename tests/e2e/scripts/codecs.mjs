// The codec table for HLS: HEVC, AV1 and VP9 are listed as they are with H.264 beside them, and Opus and MP3 as AAC. Chromium
// plays what it decodes of the two, in hls.js and in Shaka, and the conformance client judges both.

import { openChromium } from '../lib/browsers.mjs';
import { prepared } from '../lib/clips.mjs';
import { examine } from '../lib/conform.mjs';
import { parseMultivariant } from '../lib/hls.mjs';
import { servePlayers } from '../lib/players.mjs';
import { publishEnhanced, pyavVersion } from '../lib/pyav.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { open, smooth, watch } from '../lib/watching.mjs';
import { conversionsOf } from '../lib/workers.mjs';

const SECONDS = Number(process.env.E2E_WATCH_SECONDS ?? 20);
/** Longer than everybody watches. */
const CLIP_SECONDS = 2 * SECONDS + 70;
const LIVE_MS = 30_000;
/** From the first request to the multivariant playlist with both: a worker, and up to a segment until both begin one together. */
const FIRST_PLAYLIST_MAX_MS = 8_000;

const PICTURE = ['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=30'];
const SOUND = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'];
const clip = (name, container, encoder) => prepared(`codecs-${name}-${CLIP_SECONDS}s.${container}`, [...PICTURE, ...SOUND, '-t', String(CLIP_SECONDS), '-pix_fmt', 'yuv420p', ...encoder]);

/** Chromium's own player and GStreamer's are left out: they change between variants by bandwidth, whatever their codecs, and stop there. */
const CASES = [
  {
    name: 'hevc-aac', codecs: ['hvc1.', 'mp4a.40.2'], conversions: ['HEVC to H.264'],
    make: () => clip('hevc-aac', 'mp4', ['-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=error:keyint=60:min-keyint=60:scenecut=0:bframes=3:open-gop=0', '-tag:v', 'hvc1', '-c:a', 'aac', '-ac', '2']),
  },
  {
    name: 'av1-opus', codecs: ['av01.', 'mp4a.40.2'], conversions: ['AV1 to H.264', 'Opus to AAC'],
    make: () => clip('av1-opus', 'mp4', ['-c:v', 'libaom-av1', '-cpu-used', '8', '-usage', 'realtime', '-row-mt', '1', '-g', '60', '-strict', '-2', '-c:a', 'libopus', '-ac', '2']),
  },
  {
    name: 'vp9-mp3', codecs: ['vp09.', 'mp4a.40.2'], conversions: ['MP3 to AAC', 'VP9 to H.264'],
    make: () => clip('vp9-mp3', 'matroska', ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-g', '60', '-b:v', '400k', '-c:a', 'libmp3lame', '-ar', '44100', '-ac', '2']),
  },
];

const results = new Results('codecs', 'HEVC, AV1 and VP9 over RTMP are listed with H.264 beside them, Opus and MP3 as AAC; hls.js and Shaka play what Chromium decodes; no rule broken.');
await results.during(async () => {
  results.figure('pyav', await pyavVersion());
  const server = await Telstar.launch();
  const pages = await servePlayers();
  const browser = await openChromium();
  for (const test of CASES) {
    if (process.env.E2E_ONLY && !process.env.E2E_ONLY.split(',').includes(test.name)) continue;
    const file = await test.make();
    const room = await server.room(test.name);
    const encoder = await publishEnhanced(room.rtmp, file, { name: test.name });
    await server.untilLive(room.name, LIVE_MS);
    await listed(server, room, test);
    for (const player of ['hls.js', 'shaka']) await played(browser, pages, room, test, player);
    const report = await examine(room.playlist);
    results.check(`${test.name}: the conformance client finds no rule broken`, report.ok, report);
    await encoder.stop();
  }
  await browser.close();
  pages.close();
  await server.stop();
});
process.exit();

async function listed(server, room, { name, codecs, conversions }) {
  const asked = performance.now();
  const { variants, media } = parseMultivariant(await (await fetch(room.playlist)).text(), room.playlist);
  const first = round(performance.now() - asked);
  const named = variants.map((variant) => variant.CODECS.split(','));
  const isRight = variants.length === 2 && named.every((of) => of[1] === codecs[1]) && named[0][0].startsWith(codecs[0]) && named[1][0].startsWith('avc1.');
  const told = variants.map(({ CODECS, SCORE, RESOLUTION, BANDWIDTH }) => ({ CODECS, SCORE, RESOLUTION, BANDWIDTH }));
  results.check(`${name}: the first multivariant playlist lists it and H.264 beside it`, isRight && media.length === 1 && first < FIRST_PLAYLIST_MAX_MS, { variants: told, after_ms: first });
  const running = async () => (await conversionsOf(server, room.name)).map(({ from, to }) => `${from} to ${to}`).sort();
  results.check(`${name}: the room says what is converted`, JSON.stringify(await running()) === JSON.stringify(conversions), { conversions: await running() });
}

async function played(browser, pages, room, { name, codecs }, player) {
  const page = await open(browser, player === 'hls.js' ? `${room.watch}?transport=hls` : pages.url('shaka', room.playlist));
  const figures = await watch(page, SECONDS);
  const seen = await page.evaluate((type) => {
    const names = performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname);
    return { decodes: MediaSource.isTypeSupported(type), source: names.some((at) => /\/video\/.*m4s$/.test(at)), h264: names.some((at) => /\/h264\/.*m4s$/.test(at)) };
  }, `video/mp4; codecs="${codecs[0]}${{ 'hvc1.': '1.6.L60.90', 'av01.': '0.00M.08', 'vp09.': '00.10.08' }[codecs[0]]}"`);
  results.screenshots.push(await page.screenshot(`codecs-${name}-${player}`));
  await page.close();
  results.check(`${name} in ${player}: ${SECONDS} s without a stall`, smooth(figures), figures);
  results.check(`${name} in ${player}: it plays the source where it decodes it, H.264 where it does not`, seen.decodes ? seen.source : seen.h264 && !seen.source, seen);
}
