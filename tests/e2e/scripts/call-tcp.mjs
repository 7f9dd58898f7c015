// Acceptance line 3, networks that do not let UDP through: the call goes over ICE-TCP (RFC 6544), and where that is closed
// as well, the call page says so. UDP that vanishes in the middle of a call is taken over by TCP after an ICE restart.

import { openChromium, openFirefox } from '../lib/browsers.mjs';
import { MeasuredCaller, stillness } from '../lib/measured.mjs';
import { Caller } from '../lib/calling.mjs';
import { Lab, SERVER_PUBLIC, enterLab, labSystem } from '../lib/lab.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

await enterLab();

const ROOM = 'tcp';
const MEDIA_PORT = 10000;
/** Browsers try UDP first and give it some time. */
const SEEN_MAX_MS = 10_000;
/** Consent runs out after 30 s (RFC 7675 §5.1); the library restarts ICE long before, when the browser says `disconnected`. */
const RECOVERED_MAX_MS = 30_000;
const WATCH_MS = 10_000;

const results = new Results('call-tcp', 'With UDP blocked a call runs over ICE-TCP; with both blocked the call page says so.');
await results.during(async () => {
  results.figure('lab', labSystem());
  const lab = new Lab();
  const server = await Telstar.launch({ host: lab.host('server', { address: SERVER_PUBLIC }) });
  await server.callRoom(ROOM);
  const [closed, open, fox] = ['closed', 'open', 'fox'].map((name) => lab.host(name));
  closed.block('udp');
  fox.block('udp');
  const browsers = { closed: await openChromium({ host: closed, camera: true }), open: await openChromium({ host: open, camera: true }), fox: await openFirefox({ host: fox, camera: true }) };

  const callers = {};
  for (const [name, browser] of Object.entries(browsers)) callers[name] = await MeasuredCaller.join(browser, server, { room: ROOM, identity: name, camera: true, microphone: true });
  for (const caller of Object.values(callers)) {
    for (const other of Object.keys(callers).filter((name) => name !== caller.identity)) {
      const from = Math.max(caller.joinedAt, callers[other].joinedAt);
      const after = await caller.firstPicture(other, from, 20_000);
      results.check(`${caller.identity} sees ${other}`, after !== null && after <= SEEN_MAX_MS, { after_ms: after });
    }
  }
  const from = Date.now();
  await sleep(WATCH_MS);
  for (const [name, caller] of Object.entries(callers)) {
    const others = await Promise.all(Object.keys(callers).filter((other) => other !== name).map(async (other) => ({ other, ...stillness(await caller.seen(other, { since: from }), from) })));
    results.check(`${name} goes on seeing the others`, others.every(({ frames, longest_gap_ms }) => frames > 0 && longest_gap_ms <= 1000), { others });
    const { peers } = await caller.state();
    const protocol = name === 'open' ? 'udp' : 'tcp';
    results.check(`${name} is connected over ${protocol}`, peers.length > 0 && peers.every(({ local, remote }) => local?.protocol === protocol && remote?.port === MEDIA_PORT), { peers });
  }

  const lite = await callers.open.iceLite();
  results.check('on an address of its own the server does ICE-lite', lite.length > 0 && lite.every(Boolean), { ice_lite: lite });

  // The path breaks in the middle.
  open.block('udp');
  const broken = Date.now();
  const back = await until('TCP to take over', RECOVERED_MAX_MS, async () => {
    const { peers } = await callers.open.state();
    return peers.length > 0 && peers.every(({ state, local }) => state === 'connected' && local?.protocol === 'tcp') && Date.now() - broken;
  }, 250).catch(() => null);
  await sleep(5000);
  const since = stillness(await callers.open.seen('closed', { since: Date.now() - 4000 }), Date.now() - 4000);
  results.check('UDP blocked in the middle of a call: TCP takes over', back !== null && since.frames > 0, { after_ms: back, events: (await callers.open.events()).filter(({ at, type }) => at >= broken && /state|peers|mediaFailed|left/.test(type)), ...since });
  for (const caller of Object.values(callers)) await caller.close();

  closed.block('tcp', { port: MEDIA_PORT });
  await pageSays('both blocked', 'unreachable');
  closed.unblock('tcp', { port: MEDIA_PORT });
  await pageSays('UDP blocked', 'tcp-only');

  async function pageSays(what, fault) {
    const person = new Caller(await browsers.closed.page(), 'Anna');
    await person.open(`${server.https}/call/${ROOM}#token=${await server.callToken(ROOM, 'anna')}`);
    await person.join();
    const said = await person.fault(25_000);
    results.check(`${what}: the page says so`, said?.fault === fault, { said });
    await person.page.screenshot(fault);
    await person.page.close();
  }
  for (const browser of Object.values(browsers)) await browser.close();
  await server.stop();
});
process.exit();
