// Acceptance lines 2 and 4 with OBS: two boxes copied from the terminal, everything else as OBS comes; it is watched over HLS and by
// the link as it stands, its long keyframe interval is remarked upon, and it comes back by itself when the server has been killed.

import { openChromium } from '../lib/browsers.mjs';
import { startObs } from '../lib/obs.mjs';
import { sleep } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { moved, open, sameDocument, smooth, watch } from '../lib/watching.mjs';

const SECONDS = Number(process.env.E2E_WATCH_SECONDS ?? 60);
/** OBS waits two seconds before it tries again, then doubles; the first playlist needs a whole GOP of 8.3 s. */
const RECOVERY_MS = 60_000;

const results = new Results('obs', 'OBS publishes with the two boxes of the terminal and is watched; killed, the server comes back and so do OBS and the viewer.');
await results.during(async () => {
  const server = await Telstar.launch();
  const { server: box, streamKey, watch: link } = server.banner;
  results.check('the terminal shows Server, Stream Key and watch link', box && streamKey && link, { server: box, watch: link });
  const obs = await startObs({ server: box, key: streamKey });
  const browser = await openChromium();
  const name = new URL(link).pathname.split('/').at(-1);
  const live = await server.untilLive(name, RECOVERY_MS);
  results.figure('encoder_as_the_server_sees_it', live.ingest);
  const pages = new Map();
  for (const [way, address] of [['HLS', `${link}?transport=hls`], ['the link', link]]) pages.set(way, await open(browser, address));
  const documents = new Map(await Promise.all([...pages].map(async ([way, page]) => [way, await page.snapshot()])));
  await Promise.all([...pages].map(async ([way, page]) => {
    const figures = await watch(page, SECONDS);
    results.check(`OBS by ${way}: ${SECONDS} s without a stall`, smooth(figures), figures);
  }));
  await pages.get('HLS').screenshot('obs');
  const { live: now } = await server.api('GET', `/api/v1/rooms/${name}`);
  const warning = now.warnings?.find((w) => w.code === 'keyframe_interval');
  results.check('the room says that the keyframe interval is long', Math.abs((warning?.params.seconds ?? 0) - 250 / 30) < 0.2, { warning });

  await server.kill9();
  await sleep(1000);
  const from = Date.now();
  await server.start();
  await server.untilLive(name, RECOVERY_MS);
  results.figure('obs_live_again_after_ms', Date.now() - from);
  await Promise.all([...pages].map(async ([way, page]) => {
    let playing = 0;
    while (playing < 3 && Date.now() - from < RECOVERY_MS) playing = await moved(page, 4);
    results.check(`the viewer by ${way} plays again by itself`, playing >= 3, { after_ms: Date.now() - from, page: (await page.snapshot()).page });
    results.check(`by ${way} without a reload`, sameDocument(documents.get(way), await page.snapshot()));
    results.check(`by ${way} it keeps playing`, await moved(page, 10) > 8);
  }));
  await pages.get('HLS').screenshot('obs-after-restart');
  await browser.close();
  await obs.stop();
  await server.stop();
});
process.exit();
