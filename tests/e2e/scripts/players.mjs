// Acceptance line 1, the players that are not ours: Shaka with the same figures as our page; Chromium's own HLS player
// and GStreamer's playbin3 for a minute without a stall.

import { openChromium } from '../lib/browsers.mjs';
import { publishClocked } from '../lib/encoders.mjs';
import { servePlayers, watchPlaybin } from '../lib/players.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { open, smooth, watch } from '../lib/watching.mjs';
import { judgeOpenings, watchOften } from '../lib/openings.mjs';

const MINUTE = Number(process.env.E2E_WATCH_SECONDS ?? 60);

const results = new Results('players', 'Shaka plays within 3 s of opening, below 2.5 s behind live, a minute without a stall; native Chromium and GStreamer a minute without a stall.');
await results.during(async () => {
  const server = await Telstar.launch();
  const room = await server.room('players');
  const encoder = await publishClocked(room.rtmp);
  await server.untilLive(room.name);
  const pages = await servePlayers();
  const browser = await openChromium();

  judgeOpenings(results, 'shaka in chromium', await watchOften(browser, () => pages.url('shaka', room.playlist), { seconds: MINUTE, clock: encoder, screenshot: 'shaka' }));

  const native = await open(browser, pages.url('native', room.playlist));
  const figures = await watch(native, MINUTE, { clock: encoder });
  await native.screenshot('native');
  results.check('native chromium: a minute without a stall', smooth(figures), figures);
  await browser.close();

  const playbin = await watchPlaybin(room.playlist, MINUTE);
  results.check('playbin3: a minute without a stall', !playbin.ended_early && ['video', 'audio'].every((k) => playbin[k].buffers > 0 && playbin[k].stalls.length === 0), playbin);

  pages.close();
  await encoder.stop();
  await server.stop();
});
process.exit();
