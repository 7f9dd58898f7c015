// Acceptance line 3, behind nginx: pages, API and WebSocket go through it as docs/deploy.md configures it, and the media past it.

import { openChromium, openFirefox } from '../lib/browsers.mjs';
import { MeasuredCaller, stillness } from '../lib/measured.mjs';
import { Caller } from '../lib/calling.mjs';
import { Lab, SERVER_PUBLIC, enterLab, labSystem } from '../lib/lab.mjs';
import { nginxInFront } from '../lib/peers.mjs';
import { sleep } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

await enterLab();

const ROOM = 'proxied';
const SEEN_MAX_MS = 2000;
/** Longer than any time-out of the proxy's for a socket on which nothing is said: the heartbeat has to keep it. */
const IDLE_MS = Number(process.env.E2E_PROXY_SECONDS ?? 75) * 1000;

const results = new Results('call-proxy', 'A call works behind nginx, configured as docs/deploy.md says, for HTTP and WebSocket.');
await results.during(async () => {
  results.figure('lab', labSystem());
  const lab = new Lab();
  const host = lab.host('server', { address: SERVER_PUBLIC });
  const url = `https://${SERVER_PUBLIC}`;
  const server = await Telstar.launch({ host, ports: { http: '127.0.0.1:8080', https: 'off' }, serveArgs: ['--public-url', url] });
  const proxy = await nginxInFront(host, { name: SERVER_PUBLIC });
  server.http = proxy.url;
  await server.callRoom(ROOM);
  const names = ['anna', 'fred'];
  const browsers = [await openChromium({ host: lab.host('anna'), camera: true }), await openFirefox({ host: lab.host('fred'), camera: true })];

  const callers = [];
  for (const [i, browser] of browsers.entries()) callers.push(await MeasuredCaller.join(browser, server, { url, room: ROOM, identity: names[i], camera: true, microphone: true }));
  const both = callers.at(-1).joinedAt;
  for (const caller of callers) {
    const other = names.find((name) => name !== caller.identity);
    const after = await caller.firstPicture(other, both);
    results.check(`behind ${proxy.version}: ${caller.identity} sees ${other} within ${SEEN_MAX_MS / 1000} s`, after !== null && after <= SEEN_MAX_MS, { after_ms: after });
  }
  const from = Date.now();
  await sleep(IDLE_MS);
  for (const caller of callers) {
    const other = names.find((name) => name !== caller.identity);
    const still = stillness(await caller.seen(other, { since: from }), from);
    results.check(`${caller.identity} goes on seeing ${other}`, still.frames > 0 && still.longest_gap_ms <= 1000, still);
    const sockets = (await caller.events()).filter(({ at, type }) => at > from && type === 'socket');
    results.check(`the proxy leaves ${caller.identity}'s socket open`, sockets.length === 0, { watched_ms: IDLE_MS, sockets });
    await caller.close();
  }

  const person = new Caller(await browsers[0].page(), 'Anna');
  await person.open(`${url}/call/${ROOM}#token=${await server.callToken(ROOM, 'page')}`);
  results.check('the check before the call finds no fault', person.faults === '', { faults: person.faults });
  for (const browser of browsers) await browser.close();
  await proxy.stop();
  await server.stop();
});
process.exit();
