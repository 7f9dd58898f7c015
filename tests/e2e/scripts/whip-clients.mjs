// Acceptance line 1 of WHIP and WHEP: programs of others publish and watch. Each publisher is watched in Chromium, each
// viewer watches a Chromium; what counts is the number in the picture and the tone in the sound.

import { openChromium, openFirefox } from '../lib/browsers.mjs';
import { isOurs, openServer } from '../lib/anyserver.mjs';
import { sleep } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Rig, serveRigs } from '../lib/rigs.mjs';
import { evenness } from '../lib/sync.mjs';
import { startClient, startFfmpegWhip } from '../lib/whxclients.mjs';

const SECONDS = Number(process.env.E2E_WATCH_SECONDS ?? 8);
const TONE_HZ = 440;
/** A frequency nobody sends. */
const SILENT_HZ = 550;
/** The tone is far above what is not there. Real figures are 50 dB. */
const HEARD_DB = 20;
/** Python on a busy machine sends and decodes fewer pictures than it should. */
const PICTURES_PER_SECOND_MIN = 5;
/** The steady tone alone has 0.001 a second. */
const ENERGY_MIN = 0.001;
/** One case or some, by their names, while working on them. */
const ONLY = process.env.E2E_ONLY?.split(',');

const results = new Results(isOurs ? 'whip-clients' : 'whip-clients-mediamtx', 'aiortc, GStreamer, FFmpeg, Eyevinn\'s client and player, Chromium and Firefox each publish by WHIP or watch by WHEP.');
await results.during(async () => {
  const server = await openServer();
  const rigs = await serveRigs();
  const browser = await openChromium({ camera: true });

  const program = (name, codec) => async (room) => {
    const client = await startClient(name, 'publish', { url: room.whip, token: room.key, codec, seconds: 60, tone: TONE_HZ, name: `${name}-${codec}-publish` });
    await client.said('answered');
    return async () => { await client.stop('SIGINT'); };
  };
  const inBrowser = (page, asked) => async (room) => {
    const rig = await Rig.open(browser, rigs, page, { url: room.whip, token: room.key, ...asked });
    await rig.untilConnected();
    return async () => { results.check(`${page} ${asked.codec ?? ''}: ends its session`, [200, 204, undefined, null].includes(await rig.end())); await rig.close(); };
  };
  const ffmpeg = async (room) => {
    const muxer = await startFfmpegWhip({ url: room.whip, token: room.key });
    await muxer.said('answered');
    return () => muxer.stop('SIGINT');
  };
  const publishers = {
    'chromium-vp8': inBrowser('whip', { codec: 'VP8' }), 'chromium-h264': inBrowser('whip', { codec: 'H264' }), eyevinn: inBrowser('eyevinn-whip', {}), 'eyevinn-trickle': inBrowser('eyevinn-whip', { trickle: 'yes' }),
    'aiortc-vp8': program('aiortc', 'VP8'), 'aiortc-h264': program('aiortc', 'H264'), 'gstreamer-vp8': program('gstreamer', 'VP8'), 'gstreamer-h264': program('gstreamer', 'H264'), ffmpeg,
  };
  for (const [name, publish] of Object.entries(publishers)) await attempt(`${name} publishes`, async () => {
    const room = await server.room(`from-${name}`);
    const stop = await publish(room);
    try {
      const viewer = await Rig.open(browser, rigs, 'whep', { url: room.whep });
      const first = await viewer.untilPicture();
      await sleep(SECONDS * 1000);
      const [measured, levels, figures] = [await viewer.measured(SECONDS), await viewer.levels([TONE_HZ, SILENT_HZ], 2), await viewer.figures()];
      const seen = evenness(measured);
      results.check(`${name} publishes, Chromium sees and hears it`, seen.pictures > SECONDS * PICTURES_PER_SECOND_MIN && seen.backwards === 0 && levels?.[TONE_HZ] - levels?.[SILENT_HZ] > HEARD_DB,
        { first_picture_ms: first, ...seen, unread: measured.unread, levels_db: levels, codecs: figures.streams.map(({ codec }) => codec) });
      await viewer.close();
    } finally {
      await stop().catch((error) => results.check(`${name}: ends its session`, false, { error: error.message }));
    }
  });

  const room = await server.room('to-all');
  const camera = await Rig.open(browser, rigs, 'whip', { url: room.whip, token: room.key, codec: 'VP8' });
  await camera.untilConnected();
  const watching = (client, codec) => async () => {
    const outcome = await (await startClient(client, 'view', { url: room.whep, codec, seconds: SECONDS, tone: TONE_HZ })).outcome();
    return { pictures: outcome.video.frames, backwards: outcome.video.backwards, unread: outcome.video.unread, levels: outcome.audio.levels_db, codecs: outcome.codecs, first_picture_ms: outcome.first_ms, ended: outcome.ended };
  };
  const inPage = (open, page, asked = {}) => async () => {
    const own = open && await open();
    const rig = await Rig.open(own ?? browser, rigs, page, { url: room.whep, ...asked });
    const first = await rig.untilPicture();
    await sleep(SECONDS * 1000);
    const [measured, levels, figures] = [await rig.measured(SECONDS), await rig.levels([TONE_HZ, SILENT_HZ], 2), await rig.figures()];
    const ended = await rig.end();
    await rig.close();
    await own?.close();
    return { first_picture_ms: first, ...evenness(measured), unread: measured.unread, sound: measured.sound, levels, codecs: figures?.streams.map(({ codec }) => codec), energy: figures?.streams.find(({ kind }) => kind === 'audio')?.energy, ended };
  };
  const viewers = {
    chromium: inPage(null, 'whep'), 'eyevinn-player': inPage(null, 'eyevinn-whep'), aiortc: watching('aiortc', 'VP8'), gstreamer: watching('gstreamer', 'VP8'), firefox: inPage(() => openFirefox({ camera: true }), 'whep'),
  };
  for (const [name, watch] of Object.entries(viewers)) await attempt(`${name} watches`, async () => {
    const seen = await watch();
    results.check(`${name} watches Chromium and hears it`, seen.pictures > SECONDS * PICTURES_PER_SECOND_MIN && seen.backwards === 0 && isHeard(seen), seen);
  });
  await browser.close();
  rigs.close();
  await server.stop();
});
process.exit();

/** By its tone; Firefox starts no audio context without a sound device, and there the energy that it decoded counts. */
function isHeard({ levels, energy }) {
  return levels ? levels[TONE_HZ] - levels[SILENT_HZ] > HEARD_DB : energy > ENERGY_MIN;
}

/** One client's failure is its own. */
async function attempt(what, body) {
  if (ONLY && !ONLY.some((name) => what.startsWith(`${name} `))) return;
  try {
    await body();
  } catch (error) {
    results.check(what, false, { error: String(error.message ?? error).slice(0, 1500) });
  }
}
