// Issue figures beside peers: parts at blocked players, encoders, segments as files, memory of a player that waits. Ours
// and each peer are measured in the same run on the same cores. Writes docs/results/peers.json and its tables in
// docs/performance.md.

import { execFileSync } from 'node:child_process';
import { parseMedia, parseMultivariant } from '../lib/hls.mjs';
import { publishMany, timeParts } from '../lib/load.mjs';
import { pin } from '../lib/meter.mjs';
import { fillPage, table } from '../lib/page.mjs';
import { telstarBinary } from '../lib/paths.mjs';
import { mediamtx, nginx } from '../lib/peers.mjs';
import { sleep } from '../lib/process.mjs';
import { Results, median, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

const ROUNDS = 5;
const SECONDS = Number(process.env.BENCH_PART_SECONDS ?? 15);
/** Longer than every server keeps its stream in memory, so that what grows behind it is the players'. */
const WARM_UP_SECONDS = 20;
const PUBLISHERS = [1, 20, 100];
const SETTLE_MS = Number(process.env.BENCH_SETTLE_SECONDS ?? 20) * 1000;
const CPU_WINDOW_MS = 10_000;
/** When a player's cost is read: behind the load's own settling of 4 s and the slow start of 3,000. */
const COST_AFTER_MS = 8000;
const COST_WINDOW_MS = 5000;
/** A whole part; design: "3,000 clients: p99 below one part". */
const LIST_P99_MAX_MS = 334;
const WRK_SECONDS = 4;
/** Until the first segments have left memory, four target durations, and are on disk only. */
const DVR_SETTLE_MS = 40_000;
const WRK_CONNECTIONS = 32;
/** The server has one core, the load the other. */
const SERVER_CORE = '0';
const LOAD_CORE = '1';
const PART_P99_MAX_MS = 20;
const NGINX_SHARE_MIN = 0.9;
/** What the players wait for, and how many there are; what is judged by its median has five rounds. */
const LOADS = [
  { players: 1, mode: 'fetch' },
  { players: 1, mode: 'hint' },
  { players: 100, mode: 'fetch', rounds: ROUNDS },
  { players: 100, mode: 'hint', rounds: ROUNDS },
  { players: 3000, mode: 'list', oneCore: true },
];
const mib = (kib) => round(kib / 1024, 1);

const results = new Results('peers', 'Parts, encoders and segments beside MediaMTX and nginx in one run.');
await results.during(async () => {
  if (/\/debug\//.test(telstarBinary())) throw new Error('a debug build says nothing about speed: cargo build --release');
  const only = process.env.BENCH_PEERS_ONLY?.split(',');
  for (const [name, measure] of Object.entries({ parts, publishers, segments })) {
    if (!only || only.includes(name)) results.figure(name, await measure());
  }
});
if (results.figures.segments) writePage(results.figures);
process.exit();

async function telstar(name, env = {}) {
  const limits = { ...env, TELSTAR_INGEST_CONNECTIONS_PER_ADDRESS_MAX: '500', TELSTAR_LIMITS_HTTP_CONNECTIONS_PER_ADDRESS_MAX: '10000' };
  const server = await Telstar.launch({ name, env: limits });
  return Object.assign(server, { version: 'Telstar' });
}

/** Delays of parts at blocked players, and what each of them costs. */
async function parts() {
  const rows = [];
  for (const launch of [() => telstar('parts'), mediamtx]) {
    const server = await launch();
    if (!server) { console.log('MEDIAMTX_BIN is not set: MediaMTX is left out'); continue; }
    for (const load of LOADS) {
      const row = { server: server.version, ...await timed(server, load) };
      rows.push(row);
      console.log(JSON.stringify(row));
      if (row.server === 'Telstar') {
        const what = `${load.players} players (${load.mode})`;
        const max = load.oneCore ? LIST_P99_MAX_MS : PART_P99_MAX_MS;
        results.check(`${what}: nobody fails`, row.errors === 0, { errors: row.errors, first: row.first_error });
        results.check(`${what}: p99 below ${max} ms`, row.p99_ms < max, { p50_ms: row.p50_ms, p99_ms: row.p99_ms, all_p99_ms: row.all_p99_ms });
      }
    }
    await server.stop();
  }
  return rows;
}

/** Medians over the rounds. The first has a warm stream, and tells what its players cost. */
async function timed(server, { players, mode, oneCore, rounds = 1 }) {
  if (oneCore) pin(SERVER_CORE, ...(server.pids ?? [server.pid]));
  const all = [];
  for (let i = 0; i < rounds; i += 1) {
    const room = await server.room(`parts-${mode}-${players}-${i}`);
    const options = { rtmp: room.rtmp, playlist: room.playlist, players, mode, seconds: SECONDS, 'warm-up': i ? 0 : WARM_UP_SECONDS };
    all.push(await timeParts(`${server.name}-${mode}-${players}-${i}`, options, { cores: oneCore && LOAD_CORE, during: () => (i ? null : cost(server, players)) }));
  }
  const of = (key) => all.map((one) => one[key]);
  return { ...all[0], errors: of('errors').reduce((a, b) => a + b), first_error: of('first_error').find(Boolean) ?? null,
    p50_ms: median(of('p50_ms')), p99_ms: median(of('p99_ms')), max_ms: Math.max(...of('max_ms')), all_p99_ms: of('p99_ms') };
}

/** What the players cost that connect now. */
async function cost(server, players) {
  const before = server.memory().rss_kib;
  await sleep(COST_AFTER_MS);
  const cpu = server.cpuSeconds();
  await sleep(COST_WINDOW_MS);
  const percent = (100_000 * (server.cpuSeconds() - cpu)) / COST_WINDOW_MS;
  return { cpu_percent: round(percent, 1), kib_per_player: round((server.memory().rss_kib - before) / players, 1) };
}

/** CPU and memory for each encoder. */
async function publishers() {
  const rows = [];
  for (const count of PUBLISHERS) {
    for (const launch of [() => telstar(`publishers-${count}`), mediamtx, nginx]) {
      const server = await launch();
      if (!server) continue;
      await sleep(1000);
      const idle = server.memory().rss_kib;
      const rooms = [];
      for (let i = 0; i < count; i += 1) rooms.push(await server.room(`stream-${i}`));
      const load = publishMany(`load-${server.name}-${count}`, rooms.map((room) => room.rtmp));
      await sleep(SETTLE_MS);
      if (load.ended) throw new Error(`${server.name} sent an encoder away: ${load.tail.join('\n')}`);
      const cpu = server.cpuSeconds();
      await sleep(CPU_WINDOW_MS);
      const percent = (100_000 * (server.cpuSeconds() - cpu)) / CPU_WINDOW_MS;
      const { rss_kib } = server.memory();
      rows.push({ server: server.version, publishers: count, rss_mib: mib(rss_kib), mib_per_publisher: mib((rss_kib - idle) / count),
        cpu_percent_of_one_core: round(percent, 1), cpu_percent_per_publisher: round(percent / count, 2) });
      console.log(JSON.stringify(rows.at(-1)));
      if (server.version === 'Telstar') results.check(`${count} encoders: none is sent away`, !load.ended);
      await load.stop('SIGKILL');
      await server.stop();
    }
  }
  return rows;
}

/** Requests a second for one whole segment: ours from memory and from its DVR window on disk, nginx from a file of the same
 * bytes, taking turns. */
async function segments() {
  const ours = await telstar('segments', { TELSTAR_HLS_DVR_WINDOW_SECS: '600' });
  const peer = await nginx();
  const room = await ours.room('segments');
  const load = publishMany('load-segments', [room.rtmp], { kbps: 4000 });
  await ours.untilLive(room.name);
  await sleep(DVR_SETTLE_MS);
  pin(SERVER_CORE, ours.pid, ...peer.pids);
  const { variants } = parseMultivariant(await (await fetch(room.playlist)).text(), room.playlist);
  const rounds = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    const { segments: listed } = parseMedia(await (await fetch(variants[0].url)).text(), variants[0].url);
    const measure = async (which, url) => {
      const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
      const file = peer.serve(`segment-${which}-${i}.m4s`, bytes);
      return { bytes: bytes.length, ours: wrk(url, ours), nginx: wrk(file, peer) };
    };
    // The second is the oldest whose file is whole and which is no longer in memory.
    rounds.push({ memory: await measure('memory', listed.at(-1).url), disk: await measure('disk', listed[1].url) });
    console.log(JSON.stringify(rounds.at(-1)));
  }
  await load.stop('SIGKILL');
  await ours.stop();
  await peer.stop();
  const of = (from, who) => median(rounds.map((round) => round[from][who].requests_per_sec));
  const share = Object.fromEntries(['memory', 'disk'].map((from) => [from, round(of(from, 'ours') / of(from, 'nginx'), 3)]));
  results.check(`segments at ${NGINX_SHARE_MIN} of nginx's rate or more`, share.memory >= NGINX_SHARE_MIN, share);
  return { nginx: peer.version, connections: WRK_CONNECTIONS, share, rounds };
}

function wrk(url, server) {
  const cpu = server.cpuSeconds();
  const text = execFileSync('taskset', ['-c', LOAD_CORE, 'wrk', '-t1', `-c${WRK_CONNECTIONS}`, `-d${WRK_SECONDS}s`, url], { encoding: 'utf8' });
  const rate = Number(text.match(/Requests\/sec:\s+([\d.]+)/)[1]);
  const errors = text.match(/Non-2xx or 3xx responses: (\d+)/)?.[1] ?? '0';
  if (errors !== '0') throw new Error(`${url}: ${errors} answers were no success`);
  return { requests_per_sec: round(rate), cpu_percent_of_one_core: round((100 * (server.cpuSeconds() - cpu)) / WRK_SECONDS, 1) };
}

function writePage(figures) {
  const { share, rounds, nginx: version, connections } = figures.segments;
  const row = (name, from, who) => {
    const rate = rounds.map((one) => one[from][who].requests_per_sec);
    const cpu = median(rounds.map((one) => one[from][who].cpu_percent_of_one_core));
    return [name, median(rate), `${cpu} %`, rate.join(', ')];
  };
  const kib = round(median(rounds.map((one) => one.memory.bytes)) / 1024);
  fillPage('peers', 'peers', `
Segments at the live edge: ours at ${share.memory} of the rate of ${version}; from the DVR window on disk: at ${share.disk}
(medians of five, ${connections} connections, ${kib} KiB a segment, the server on one core and the load on the other).

${table(['server', 'requests a second', 'CPU of one core', 'all five'], [
    row('Telstar, from memory', 'memory', 'ours'), row(`${version}, the same bytes`, 'memory', 'nginx'),
    row('Telstar, from disk', 'disk', 'ours'), row(`${version}, the same bytes`, 'disk', 'nginx')])}

${table(['server', 'players', 'waiting for', 'p50', 'p99', 'all p99', 'CPU of one core', 'memory per player', 'failed'],
    (figures.parts ?? []).map((p) => [p.server, p.players, p.mode, `${p.p50_ms} ms`, `${p.p99_ms} ms`, p.all_p99_ms.join(', '), `${p.cpu_percent} %`, `${p.kib_per_player} KiB`, p.errors]))}

${table(['server', 'encoders', 'resident', 'per encoder', 'CPU of one core', 'per encoder'],
    (figures.publishers ?? []).map((p) => [p.server, p.publishers, `${p.rss_mib} MiB`, `${p.mib_per_publisher} MiB`, `${p.cpu_percent_of_one_core} %`, `${p.cpu_percent_per_publisher} %`]))}
`);
}
