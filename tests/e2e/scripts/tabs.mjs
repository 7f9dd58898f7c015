// Acceptance line 5: three watch tabs over HTTPS and two over HTTP/1.1, in one browser, for a minute of HLS. Over HTTP/1.1 a
// browser opens six connections to a host and no more, and blocked playlist requests hold theirs.

import { openChromium } from '../lib/browsers.mjs';
import { publishPrepared } from '../lib/encoders.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { open, smooth, watch } from '../lib/watching.mjs';

const SECONDS = Number(process.env.E2E_WATCH_SECONDS ?? 60);

const results = new Results('tabs', 'Three watch tabs over HTTPS and two over HTTP/1.1 play side by side for 60 s without a stall.');
await results.during(async () => {
  const server = await Telstar.launch();
  const room = await server.room('tabs');
  const encoder = await publishPrepared(room.rtmp);
  await server.untilLive(room.name);
  const browser = await openChromium();
  const [secure, plain] = [server.https, server.http].map((base) => `${base}/watch/${room.name}?transport=hls`);
  const tabs = [];
  for (const url of [secure, secure, secure, plain, plain]) tabs.push(await open(browser, url));
  const protocols = await Promise.all(tabs.map((tab) => tab.evaluate(() => [...new Set(performance.getEntriesByType('resource').filter((r) => r.name.includes('/live/')).map((r) => r.nextHopProtocol))])));
  results.check('three tabs speak HTTP/2 and two HTTP/1.1', protocols.slice(0, 3).every((p) => p.includes('h2')) && protocols.slice(3).every((p) => p.includes('http/1.1')), { protocols });
  const figures = await Promise.all(tabs.map((tab) => watch(tab, SECONDS)));
  figures.forEach((f, i) => results.check(`tab ${i + 1} (${i < 3 ? 'HTTPS' : 'HTTP/1.1'}): ${SECONDS} s without a stall`, smooth(f), f));
  const { live } = await server.api('GET', `/api/v1/rooms/${room.name}`);
  results.check('the room counts five viewers', live.viewers === 5, { viewers: live.viewers });
  await tabs[4].screenshot('tab-5');
  await browser.close();
  await encoder.stop();
  await server.stop();
});
process.exit();
