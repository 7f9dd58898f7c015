// Acceptance line 3: what each attack on RTMP, on playlists and on calls costs a real server, in CPU and memory, while a
// stream plays beside it, or a call of two goes on in Chromium. Content is judged (a clear refusal, pictures beside it and none of them lost); figures are written, not
// judged, but for a bound on memory that says "it does not grow with what an attacker claims". The longest way of a picture
// beside an attack is measured in this process, whose own work for thousands of requests is in it.

import { Attacker, verdict } from '../lib/attacks/attacker.mjs';
import { callAttacks } from '../lib/attacks/calls.mjs';
import { doorAttacks, guessing } from '../lib/attacks/door.mjs';
import { mediaAttacks } from '../lib/attacks/media.mjs';
import { HELD_MAX, OwnStream, playlistAttacks } from '../lib/attacks/playlists.mjs';
import { BesideCall } from '../lib/beside-call.mjs';
import { Beside } from '../lib/beside.mjs';
import { sleep } from '../lib/process.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

/** Memory that an attack may add, about twice what was measured; a server that believed the claims would need gigabytes. */
const ADDED_MAX_MIB = 32;
const ADDED_MAX_MIB_OF = {
  'long messages on dozens of chunk streams, filled': 64,
  'players that do not read': 176,
  'held requests of two addresses behind a proxy': 300,
};
/** An attack goes on for this long at least, so that pictures are seen beside it. */
const ATTACK_MS = 2000;
/** How long the server is watched without an attack, to hold the rest against. */
const QUIET_MS = 8000;
const results = new Results('threats', 'Hostile input is refused clearly, costs little, and disturbs nobody.');
const figures = [];

await results.during(async () => {
  const server = await Telstar.launch({ serveArgs: ['--ingest-handshake-timeout-secs', '3', '--hls-waiting-requests-max', String(HELD_MAX)] });
  const room = await server.room('beside');
  const attacker = new Attacker(server, await server.room('attacker'));
  const beside = await Beside.start({ ...room, play: `${server.rtmp}/${room.name}` });
  const all = (attacks, stage, other = beside) => Object.entries(attacks).reduce((before, [name, run]) => before.then(() => attack({ server, beside: other, name, run: () => run(stage) })), Promise.resolve());

  await all({ 'nothing, for comparison': async () => { await sleep(QUIET_MS); return verdict(true); } });
  await all(doorAttacks, attacker);
  await all(mediaAttacks, attacker);
  const own = await OwnStream.start(new Attacker(server, await server.room('listed')));
  await all(playlistAttacks, own);
  await own.stop();
  await all(guessing, await attacker.withRevokedKey());
  await beside.stop();

  const call = await BesideCall.start(server);
  await all({ 'nothing, beside a call': async () => { await sleep(QUIET_MS); return verdict(true); } }, attacker, call);
  await all(callAttacks, attacker, call);
  await call.stop();

  results.figure('attacks', figures);
  const panics = await ['tasks_panics_total', 'media_room_panics_total', 'call_panics_total', 'call_panicked_peers_total'].reduce(async (sum, name) => (await sum) + (await attacker.metric(name)), 0);
  results.check('nothing panicked', panics === 0, { panics });
  await server.stop();
});
process.exit();

/** Runs one attack with the server's CPU and memory and the other stream under observation. */
async function attack({ server, beside, name, run }) {
  const [mark, from, cpu, memory] = [beside.mark(), performance.now(), server.cpuSeconds(), server.memory().rss_kib];
  let peak = memory;
  const sampler = setInterval(() => { peak = Math.max(peak, server.memory().rss_kib); }, 100);
  let outcome;
  let rounds = 0;
  try {
    do {
      outcome = await run();
      rounds += 1;
    } while (outcome.ok && performance.now() - from < ATTACK_MS);
  } finally {
    clearInterval(sampler);
  }
  const seconds = (performance.now() - from) / 1000;
  const used = server.cpuSeconds() - cpu;
  const others = await beside.since(mark);
  const added = round((peak - memory) / 1024, 1);
  figures.push({ attack: name, rounds, ...outcome.figures, seconds: round(seconds, 1), cpu_seconds: round(used, 2), cpu_percent: round((100 * used) / seconds), added_mib: added, beside: others });
  results.check(`${name}: refused clearly`, outcome.ok, outcome.detail);
  results.check(`${name}: nobody else is disturbed`, others.alive && others.pictures > 0 && (others.lost ?? 0) === 0, others);
  results.check(`${name}: memory is bounded`, added < (ADDED_MAX_MIB_OF[name] ?? ADDED_MAX_MIB), { added_mib: added });
}
