// Acceptance line 6 with browsers: a viewer, a publisher and a socket end in the middle of a call without a word, as when the
// power goes, and the pictures of everybody else go on.

import { openChromium } from '../lib/browsers.mjs';
import { MeasuredCaller, stillness } from '../lib/measured.mjs';
import { Lab, SERVER_PUBLIC, enterLab, labSystem } from '../lib/lab.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

await enterLab();

const ROOM = 'kill';
const HTTPS_PORT = 8443;
const GAP_MAX_MS = 1000;
/** What others do with their pictures is watched for so long after each end. */
const WATCH_MS = 8000;
/** How long a socket is away; a session is kept for 30 s. */
const CUT_MS = 10_000;
/** A socket that nobody answers for is noticed by its heartbeat, and its session then kept for 30 s; media ends after 30 s without consent (RFC 7675). */
const GONE_MAX_MS = 120_000;
/** Four pictures of 720 lines in four browsers are more than two cores encode beside each other. */
const SMALL = { width: 640, height: 360 };

const results = new Results('call-kill', 'A viewer, a publisher and a socket that end in the middle of a call are noticed by nobody else.');
await results.during(async () => {
  results.figure('lab', labSystem());
  const lab = new Lab();
  const server = await Telstar.launch({ host: lab.host('server', { address: SERVER_PUBLIC }) });
  await server.callRoom(ROOM);
  const names = ['anna', 'ben', 'gone', 'viewer'];
  const [hosts, callers] = [{}, {}];
  for (const name of names) {
    hosts[name] = lab.host(name);
    const browser = await openChromium({ host: hosts[name], camera: true });
    const options = name === 'viewer' ? { grants: ['join', 'subscribe'] } : { camera: SMALL, microphone: true };
    callers[name] = await MeasuredCaller.join(browser, server, { room: ROOM, identity: name, ...options });
  }
  const stay = [callers.anna, callers.ben];
  await Promise.all(stay.flatMap((caller) => ['anna', 'ben', 'gone'].filter((name) => name !== caller.identity).map((name) => caller.untilSeen(name, 'a picture', ({ frames }) => frames > 20, 20_000))));
  await sleep(3000);

  await undisturbed(stay, 'nothing, for comparison', async () => {});
  await undisturbed(stay, "a viewer's browser is killed", async () => { results.figure('processes of the viewer', hosts.viewer.kill()); });
  await undisturbed(stay, "a publisher's browser is killed", async () => { results.figure('processes of the publisher', hosts.gone.kill()); });

  await undisturbed(stay, 'a socket is silent for a while', async () => {
    hosts.ben.block('tcp', { port: HTTPS_PORT });
    await sleep(CUT_MS);
    hosts.ben.unblock('tcp', { port: HTTPS_PORT });
  });

  const cut = Date.now();
  await undisturbed(stay, 'a socket breaks, and comes back later', async () => {
    hosts.ben.block('tcp', { port: HTTPS_PORT, reset: true });
    await sleep(CUT_MS);
    hosts.ben.unblock('tcp', { port: HTTPS_PORT });
  });
  await resumedOnly(callers, cut, 'after a break');

  const burst = Date.now();
  await undisturbed(stay, 'a socket breaks five times', async () => {
    for (let i = 0; i < 5; i += 1) {
      const from = Date.now();
      hosts.ben.block('tcp', { port: HTTPS_PORT, reset: true });
      // Each end learns of it when it sends something.
      await lately(callers.ben, from, ({ state }) => state === 'lost');
      hosts.ben.unblock('tcp', { port: HTTPS_PORT });
      await lately(callers.ben, from, ({ state }) => state === 'open');
    }
  });
  await resumedOnly(callers, burst, 'after five breaks');
  const breaks = (await callers.ben.events()).filter(({ at, type, state }) => at > burst && type === 'socket' && state === 'lost');
  results.check('it broke five times at least', breaks.length >= 5, { breaks: breaks.length });

  const left = await until('those who were killed to be gone', GONE_MAX_MS, async () => {
    const { participants } = await server.api('GET', `/api/v1/rooms/${ROOM}/participants`);
    return participants.length === 2 && participants;
  }, 1000).catch(() => null);
  results.check('who was killed leaves the call', left !== null, { participants: left?.map(({ identity, state }) => ({ identity, state })) ?? (await server.api('GET', `/api/v1/rooms/${ROOM}/participants`)).participants.map(({ identity, state }) => ({ identity, state })) });
  const reasons = (await callers.anna.events()).filter(({ type }) => type === 'participantLeft');
  results.check('and the others were told', ['viewer', 'gone'].every((name) => reasons.some(({ identity }) => identity === name)), { reasons });
  for (const caller of stay) await caller.close();
  await server.stop();
});
process.exit();

/** Something that happened to a caller's socket since then. */
function lately(caller, since, what) {
  return until('the socket', 20_000, async () => (await caller.events()).find((event) => event.at >= since && event.type === 'socket' && what(event)), 50);
}

/** Ben's session went on: he never joined anew, and nobody saw him leave. */
async function resumedOnly({ anna, ben }, since, when) {
  const resumed = await until('the socket to be resumed', 30_000, async () => (await ben.events()).findLast(({ at, type, reason }) => at > since && type === 'socket' && reason === 'resumed'), 250).catch(() => null);
  const sockets = (await ben.events()).filter(({ at, type }) => at > since && /socket|joined/.test(type)).map(({ at, type, state, reason }) => `${at - since} ms ${type} ${state ?? ''} ${reason ?? ''}`);
  results.check(`${when}: the session is resumed, not joined anew`, resumed !== null && !(await ben.events()).some(({ at, type }) => at > since && type === 'joined'), { sockets });
  const moves = (await anna.events()).filter(({ at, type, identity }) => at > since && identity === 'ben' && /participant(Joined|Left)/.test(type));
  results.check(`${when}: the others never saw it leave`, moves.length === 0, { moves });
}

/** Those who stay go on seeing each other while `what` happens and after it. */
async function undisturbed(stay, what, happen) {
  const from = Date.now();
  await happen();
  await sleep(WATCH_MS);
  for (const caller of stay) {
    const other = stay.find((each) => each !== caller).identity;
    const still = stillness(await caller.seen(other, { since: from }), from);
    const sound = stillness(await caller.seen(other, { since: from, source: 'microphone' }), from);
    results.check(`${what}: ${caller.identity} sees ${other} go on`, still.frames > 0 && still.longest_gap_ms <= GAP_MAX_MS, still);
    results.check(`${what}: ${caller.identity} hears ${other} go on`, sound.frames > 0 && sound.longest_gap_ms <= GAP_MAX_MS, { longest_gap_ms: sound.longest_gap_ms, packets: sound.frames });
  }
}
