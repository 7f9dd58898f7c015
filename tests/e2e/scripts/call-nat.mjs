// Acceptance line 3, 1:1 NAT: the server has a private address, and another machine translates its public one. A call works
// with `media.advertise`; without it, or with a wrong address, `telstar doctor` and the call page name the fault.

import { openChromium, openFirefox } from '../lib/browsers.mjs';
import { MeasuredCaller, stillness } from '../lib/measured.mjs';
import { Caller } from '../lib/calling.mjs';
import { Lab, SERVER_PUBLIC, enterLab, labSystem } from '../lib/lab.mjs';
import { sleep } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

await enterLab();

const ROOM = 'nat';
/** Nobody has this address (RFC 5737), and packets to it go nowhere. */
const WRONG = '192.0.2.77';
const SEEN_MAX_MS = 2000;
const PUBLIC_URL = ['--public-url', `https://${SERVER_PUBLIC}:8443`];

const results = new Results('call-nat', 'A call works through 1:1 NAT with the advertised address, and the doctor and the call page name a wrong one.');
await results.during(async () => {
  results.figure('lab', labSystem());
  const lab = new Lab();
  const host = lab.behindNat('server');
  const hosts = ['anna', 'ben', 'fred'].map((name) => lab.host(name));
  const browsers = [await openChromium({ host: hosts[0], camera: true }), await openChromium({ host: hosts[1], camera: true }), await openFirefox({ host: hosts[2], camera: true })];

  let server = await Telstar.launch({ name: 'advertised', host, serveArgs: [...PUBLIC_URL, '--media-advertise', SERVER_PUBLIC] });
  await works(server, browsers, 'with media.advertise');
  const well = await server.doctor();
  results.check('the doctor finds nothing wrong', well.code === 0 && well.media.some(({ grade, text }) => grade === 'ok' && text.includes(SERVER_PUBLIC)), well);
  await server.stop();

  // All interfaces are private, and public_url says what the world calls them.
  server = await Telstar.launch({ name: 'resolved', host, serveArgs: PUBLIC_URL });
  await works(server, browsers, 'with public_url alone');
  await server.stop();

  server = await Telstar.launch({ name: 'wrong', host, serveArgs: [...PUBLIC_URL, '--media-advertise', WRONG] });
  await server.callRoom(ROOM);
  const ill = await server.doctor();
  results.check('a wrong address: the doctor names it', ill.media.some(({ grade, text }) => grade !== 'ok' && text.includes(WRONG)), ill);
  const told = (findings, address) => findings.filter(({ text }) => text.includes(address)).map(({ grade, text }) => `${grade} ${text.replaceAll(address, 'ADDRESS')}`);
  results.check('and not as it names the right one', JSON.stringify(told(ill.media, WRONG)) !== JSON.stringify(told(well.media, SERVER_PUBLIC)));
  // A server that checks connectivity itself (full ICE) finds a browser with a public address, whatever address it tells.
  hosts[0].refuseUnasked();
  const person = new Caller(await browsers[0].page(), 'Anna');
  await person.open(`${server.https}/call/${ROOM}#token=${await server.callToken(ROOM, 'anna')}`);
  await person.join();
  const said = await person.fault(20_000);
  results.check('a wrong address: the page says that the media does not get through', said?.fault === 'unreachable', { said });
  results.check('a wrong address: the page names the address that was tried', said?.text.includes(WRONG), { said });
  await person.page.screenshot('wrong-address');
  for (const browser of browsers) await browser.close();
  await server.stop();
});
process.exit();

async function works(server, browsers, what) {
  await server.callRoom(ROOM);
  const names = ['anna', 'ben', 'fred'];
  const callers = [];
  for (const [i, browser] of browsers.entries()) callers.push(await MeasuredCaller.join(browser, server, { room: ROOM, identity: names[i], camera: true, microphone: true }));
  for (const caller of callers) {
    for (const other of names.filter((name) => name !== caller.identity)) {
      const from = Math.max(caller.joinedAt, callers.find(({ identity }) => identity === other).joinedAt);
      const seen = await caller.firstPicture(other, from);
      results.check(`${what}: ${caller.identity} sees ${other} within ${SEEN_MAX_MS / 1000} s`, seen !== null && seen <= SEEN_MAX_MS, { after_ms: seen });
    }
  }
  const from = Date.now();
  await sleep(8000);
  for (const caller of callers) {
    const others = await Promise.all(names.filter((name) => name !== caller.identity).map(async (other) => stillness(await caller.seen(other, { since: from }), from)));
    results.check(`${what}: ${caller.identity} goes on seeing the others`, others.every(({ frames, longest_gap_ms }) => frames > 0 && longest_gap_ms <= 1000), { others });
    const { peers } = await caller.state();
    results.check(`${what}: ${caller.identity}'s media goes to the public address over UDP`, peers.every(({ remote }) => remote?.address === SERVER_PUBLIC && remote.protocol === 'udp'), { peers });
  }
  // The server cannot know that the router forwards everything, so it checks connectivity itself.
  const lite = await callers[0].iceLite();
  results.check(`${what}: the server does full ICE`, lite.length > 0 && lite.every((is) => !is), { ice_lite: lite });
  for (const caller of callers) await caller.close();
}
