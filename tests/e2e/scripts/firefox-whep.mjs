// Acceptance line 3 of WHIP and WHEP: Firefox, which has no H.264 in WebRTC, watches an RTMP push of H.264 and AAC.

import { openServer } from '../lib/anyserver.mjs';
import { openFirefox } from '../lib/browsers.mjs';
import { publishCoded } from '../lib/encoders.mjs';
import { sleep } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Rig, serveRigs } from '../lib/rigs.mjs';
import { evenness, latencies, spread } from '../lib/sync.mjs';
import { conversionsOf } from '../lib/workers.mjs';

const SECONDS = Number(process.env.E2E_WATCH_SECONDS ?? 15);
const PICTURES_PER_SECOND_MIN = 15;
const GAP_MAX_MS = 1000;
/** The steady tone alone has 0.001 a second; silence has none. */
const ENERGY_MIN = 0.001;

const results = new Results('firefox-whep', 'Firefox, without H.264, watches an RTMP push of H.264 over WHEP as VP8, with its sound.');
await results.during(async () => {
  const server = await openServer();
  const rigs = await serveRigs();
  const room = await server.room('firefox');
  const encoder = await publishCoded(room.rtmp, { bframes: 2 });
  await server.untilLive?.(room.name);
  const firefox = await openFirefox({ camera: true });
  const rig = await Rig.open(firefox, rigs, 'whep', { url: room.whep });
  const first = await rig.untilPicture(60_000);
  await sleep(SECONDS * 1000);
  const [measured, figures] = [await rig.measured(SECONDS), await rig.figures()];
  results.screenshots.push(await rig.page.screenshot('firefox-whep'));
  const [picture, sound] = ['video', 'audio'].map((kind) => figures.streams.find((stream) => stream.kind === kind));
  const seen = evenness(measured);
  results.check('the picture comes as VP8', picture?.codec === 'video/VP8', { codec: picture?.codec });
  results.check('pictures come in order and evenly', seen.pictures > SECONDS * PICTURES_PER_SECOND_MIN && seen.backwards === 0 && seen.longest_gap_ms < GAP_MAX_MS, { first_picture_ms: first, ...seen, unread: measured.unread, latency_ms: spread(latencies(measured, encoder.sentAt), 0) });
  results.check('sound is heard', sound?.energy > ENERGY_MIN, { stream: sound });
  results.figure('conversions', await conversionsOf(server, room.name).catch((error) => error.message));
  await rig.end();
  await firefox.close();
  await encoder.stop();
  rigs.close();
  await server.stop();
});
process.exit();
