// The network lab itself, before it judges anything: its rates, losses, blocks, address translation and relay do what they
// say, measured by small programs of our own, and nothing of it is left when a script is interrupted.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Lab, SERVER_PUBLIC, enterLab, labSystem } from '../lib/lab.mjs';
import { sleep, start, until } from '../lib/process.mjs';
import { UdpRelay } from '../lib/relay.mjs';
import { Results, median, round } from '../lib/results.mjs';

const PACKETS = path.join(path.dirname(fileURLToPath(import.meta.url)), '../lib/packets.mjs');
const PORT = 10000;
/** Asleep in a lab that is interrupted; looked for afterwards by these words. */
const SLEEPER = '98765';

await enterLab();
if (process.argv[2] === 'sleeper') {
  const [command, args] = new Lab().host('asleep').exec('sleep', [SLEEPER]);
  start('sleeper', command, args);
  console.log('asleep');
  await sleep(60_000);
}

const results = new Results('lab', 'Rates, losses, blocks, address translation and the relay of the network lab do what they say, and nothing is left of a lab that was interrupted.');
await results.during(async () => {
  results.figure('lab', labSystem());
  const lab = new Lab();
  const server = lab.host('server', { address: SERVER_PUBLIC });
  const viewer = lab.host('viewer');
  const other = lab.host('other');

  const limit = viewer.limit({ downKbps: 300, queueMs: 200 });
  const slow = await stream(server, viewer, { count: 750, perSecond: 250 });
  results.check('a rate is kept, and the queue is as long as stated', Math.abs(slow.kbps - 300) < 20 && slow.longest_way_ms < 250, { limit, ...slow });
  const beside = await stream(server, other, { count: 500, perSecond: 250 });
  results.check('nobody else has that limit', beside.lost === 0 && beside.longest_way_ms < 100, beside);
  viewer.limit();
  const free = await stream(server, viewer, { count: 500, perSecond: 250 });
  results.check('it can be taken away', free.lost === 0 && free.longest_way_ms < 100, free);

  const upLimit = viewer.limit({ upKbps: 500, queueMs: 200 });
  const slowUp = await stream(viewer, server, { count: 750, perSecond: 250 });
  results.check('the other direction has a rate of its own', Math.abs(slowUp.kbps - 500) < 30, { limit: upLimit, ...slowUp });
  viewer.limit();

  const loss = viewer.lose({ down: 0.05 });
  const lossy = await stream(server, viewer, { count: 4000, perSecond: 2000 });
  // Four standard deviations of 4,000 draws.
  results.check('a loss is what it says', Math.abs(lossy.lost / 4000 - 0.05) < 0.014, { loss, ...lossy });
  viewer.lose();

  const echo = await program(server, 'echo', PORT);
  results.check('without a block both protocols pass', both(await reach(viewer)));
  viewer.block('udp');
  const noUdp = await reach(viewer);
  results.check('UDP blocked', noUdp.udp_ms === null && noUdp.tcp_ms !== null, noUdp);
  viewer.block('tcp', { port: PORT });
  const none = await reach(viewer);
  results.check('UDP and TCP blocked', none.udp_ms === null && none.tcp_ms === null, none);
  viewer.unblock('udp');
  const noTcp = await reach(viewer);
  results.check('TCP to one port blocked', noTcp.udp_ms !== null && noTcp.tcp_ms === null, noTcp);
  viewer.unblock('tcp', { port: PORT });
  results.check('blocks can be taken away', both(await reach(viewer)));

  await relayed(results, server, viewer);
  await echo.stop('SIGKILL');

  lab.close();
  await translated(results);
  await torndown(results, 'SIGINT');
  await torndown(results, 'SIGKILL');
});
process.exit();

/** Delay, and the same fates for the same seed. */
async function relayed(results, server, viewer) {
  const line = { delayMs: 80, jitterMs: 20, reorder: 0.02, duplicate: 0.01 };
  const relay = await UdpRelay.open({ address: SERVER_PUBLIC, port: PORT }, line, { seed: 7 });
  viewer.redirect(SERVER_PUBLIC, PORT, relay.port);
  const ways = [];
  for (let i = 0; i < 9; i += 1) ways.push((await reach(viewer)).udp_ms);
  const delay = median(ways);
  results.check('the relay delays each direction', delay > 160 && delay < 240, { line, round_trips_ms: ways.map((w) => round(w)) });
  const other = await UdpRelay.open({ address: '127.0.0.1', port: 9 }, line, { seed: 7 });
  const fate = (of) => Array.from({ length: 2000 }, () => of.up.next().value);
  const [one, two] = [await UdpRelay.open({ address: '127.0.0.1', port: 9 }, line, { seed: 7 }), other].map(fate);
  results.check('the same seed, the same fates', JSON.stringify(one) === JSON.stringify(two), {
    of_2000: { duplicated: one.filter(({ copies }) => copies.length > 1).length, reordered: one.filter(({ early }) => early).length },
  });
  other.close();
  relay.close();
}

/** A server behind 1:1 NAT: reached and seen under its public address only. */
async function translated(results) {
  const lab = new Lab();
  const server = lab.behindNat('server');
  const viewer = lab.host('viewer');
  const inside = await program(server, 'echo', PORT);
  results.check('behind 1:1 NAT the public address leads to the server', both(await reach(viewer)));
  results.check('the server sees the client as it is', inside.said.some(({ udp }) => udp === viewer.address) && inside.said.some(({ tcp }) => tcp === viewer.address), { seen: inside.said.slice(1) });
  const outside = await program(viewer, 'echo', PORT);
  results.check('the client is reached from the server', both(await reach(server, viewer.address)));
  results.check('and sees the public address only', outside.said.slice(1).every(({ udp, tcp }) => (udp ?? tcp) === SERVER_PUBLIC), { seen: outside.said.slice(1) });
  results.check('the server reaches itself by its public address', both(await reach(server)));
  await inside.stop('SIGKILL');
  await outside.stop('SIGKILL');
  lab.close();
}

/** Another script in a lab of its own is interrupted; its children must be gone with it. */
async function torndown(results, signal) {
  const before = process.env.E2E_IN_LAB;
  delete process.env.E2E_IN_LAB;
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'sleeper'], { stdio: ['ignore', 'pipe', 'inherit'] });
  process.env.E2E_IN_LAB = before;
  await new Promise((resolve) => { child.stdout.once('data', resolve); });
  const started = await until('the sleeper', 5000, sleepers);
  child.kill(signal);
  const left = await until('the sleeper to be gone', 5000, () => sleepers() === 0).then(() => 0, sleepers);
  results.check(`${signal} leaves nothing behind`, left === 0, { processes: started, left });
}

function sleepers() {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try { return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === `sleep\0${SLEEPER}\0`; } catch { return false; }
  }).length;
}

function both({ udp_ms, tcp_ms }) { return udp_ms !== null && tcp_ms !== null; }

async function program(host, ...args) {
  const [command, words] = host.exec(process.execPath, [PACKETS, ...args.map(String)]);
  const said = [];
  const child = start(`${args[0]}-${host.name}`, command, words, { onLine: (line, stream) => { if (stream === 'stdout') said.push(JSON.parse(line)); } });
  await until(`${args[0]} in ${host.name}`, 5000, () => said.length > 0, 5);
  return Object.assign(child, { said });
}

async function reach(host, address = SERVER_PUBLIC) {
  const child = await program(host, 'reach', address, PORT);
  await child.exited;
  return child.said[0];
}

/** One host sends to another; what arrives, how fast, and how late. */
async function stream(from, to, { count, perSecond }) {
  const [command, words] = to.exec(process.execPath, [PACKETS, 'sink', String(PORT + 1)]);
  const sink = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  sink.stdout.on('data', (bytes) => { text += bytes; });
  await until('the sink', 5000, () => text.includes('ready'), 5);
  const sender = await program(from, 'blast', to.publicAddress, PORT + 1, count, perSecond);
  await sender.exited;
  await sleep(500);
  sink.stdin.end();
  await new Promise((resolve) => { sink.once('close', resolve); });
  const seen = JSON.parse(text.trim().split('\n').at(-1));
  return {
    sent: count, lost: count - new Set(seen.numbers).size, kbps: round((seen.bytes * 8) / Math.max(1, seen.lastAt - seen.firstAt)),
    longest_way_ms: Math.max(...seen.ways_ms), median_way_ms: median(seen.ways_ms),
  };
}
