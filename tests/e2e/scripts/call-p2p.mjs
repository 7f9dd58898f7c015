// Acceptance line 4, a room of the mode p2p: two browsers see and hear each other, and nothing reaches the server's media port.

import { openChromium, openFirefox } from '../lib/browsers.mjs';
import { MeasuredCaller, stillness } from '../lib/measured.mjs';
import { Lab, SERVER_PUBLIC, enterLab, labSystem } from '../lib/lab.mjs';
import { sleep } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

await enterLab();

const ROOM = 'pair';
const MEDIA_PORT = 10000;
const SEEN_MAX_MS = 3000;
const WATCH_MS = 10_000;

const results = new Results('call-p2p', 'In a room of the mode p2p two browsers see and hear each other while the media port of the server carries nothing.');
await results.during(async () => {
  results.figure('lab', labSystem());
  const lab = new Lab();
  const serverHost = lab.host('server', { address: SERVER_PUBLIC });
  const server = await Telstar.launch({ host: serverHost });
  await server.callRoom(ROOM, { mode: 'p2p' });
  for (const protocol of ['udp', 'tcp']) serverHost.count(protocol, MEDIA_PORT);
  const names = ['anna', 'ben', 'fred'];
  const hosts = names.map((name) => lab.host(name));
  const anna = await openChromium({ host: hosts[0], camera: true });
  // Two of one kind, and two kinds.
  await pair(server, 'two Chromiums', [['anna', anna], ['ben', await openChromium({ host: hosts[1], camera: true })]], hosts);
  await pair(server, 'Chromium and Firefox', [['anna', anna], ['fred', await openFirefox({ host: hosts[2], camera: true })]], hosts);
  const carried = Object.fromEntries(['udp', 'tcp'].map((protocol) => [protocol, serverHost.count(protocol, MEDIA_PORT)]));
  results.check('the media port of the server carried nothing', Object.values(carried).every((each) => each.in.packets === 0 && each.out.packets === 0), carried);
  await server.stop();
});
process.exit();

async function pair(server, what, people, hosts) {
  const callers = [];
  for (const [identity, browser] of people) callers.push(await MeasuredCaller.join(browser, server, { room: ROOM, identity, camera: true, microphone: true }));
  const both = callers.at(-1).joinedAt;
  for (const caller of callers) {
    const other = callers.find((each) => each !== caller).identity;
    const after = await caller.firstPicture(other, both);
    results.check(`${what}: ${caller.identity} sees ${other} within ${SEEN_MAX_MS / 1000} s`, after !== null && after <= SEEN_MAX_MS, { after_ms: after });
  }
  const from = Date.now();
  await sleep(WATCH_MS);
  for (const caller of callers) {
    const other = callers.find((each) => each !== caller).identity;
    const still = stillness(await caller.seen(other, { since: from }), from);
    const sound = await caller.seen(other, { since: from, source: 'microphone' });
    results.check(`${what}: ${caller.identity} goes on seeing ${other}`, still.frames > 0 && still.longest_gap_ms <= 1000, still);
    results.check(`${what}: ${caller.identity} hears ${other}`, (sound.at(-1)?.energy ?? 0) > (sound[0]?.energy ?? 0), { energy: sound.at(-1)?.energy });
    const { peers, mode } = await caller.state();
    results.check(`${what}: ${caller.identity}'s media goes to the other browser`, mode === 'p2p' && peers.length === 1 && hosts.some(({ address }) => address === peers[0].remote?.address), { mode, peers });
  }
  for (const caller of callers) await caller.close();
}
