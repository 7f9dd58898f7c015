// Acceptance line 5: what forwarding a call's packet costs, beside the floor and beside servers that people use. Ours and
// each peer are measured in the same run, in turns, on the same cores. Writes docs/results/calls.json and its tables in
// docs/performance.md.

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { pin } from '../lib/meter.mjs';
import { fillPage, table } from '../lib/page.mjs';
import { REPO, telstarBinary } from '../lib/paths.mjs';
import { sleep, start } from '../lib/process.mjs';
import { Results, median, round } from '../lib/results.mjs';
import { janus, livekit, telstar } from '../lib/sfus.mjs';

const ROUNDS = Number(process.env.BENCH_CALLS_ROUNDS ?? 3);
const SECONDS = Number(process.env.BENCH_CALLS_SECONDS ?? 5);
/** Until bandwidth estimation and allocation rest. */
const WARM_UP_SECONDS = 8;
/** The server has one core; the load, and this script, the other. */
const SERVER_CORE = '0';
const LOAD_CORE = '1';
/** 7 packets of 1,200 bytes 30 times a second, and 50 packets of sound. */
const VIDEO_BPS = 7 * 1180 * 8 * 30;
const PICTURE = { run: 7, bytes: 1200, rate: 210 };
const SOUND = { run: 1, bytes: 100, rate: 50 };
const PACKETS_PER_SECOND = PICTURE.rate + SOUND.rate;
const CASES = [
  { what: '1 to 10', subscribers: 10 },
  { what: '1 to 50', subscribers: 50 },
  { what: '1 to 200', subscribers: 200 },
  { what: '10 by 10', meeting: 10 },
];
/** Shares of the core at which delays are read, in rooms of one publisher and ten viewers. */
const LOADS = [10, 30, 50, 70];
const ROOM_VIEWERS = 10;
const FLOOR_FACTOR_MAX = 2;
const DELAY_P99_MAX_MS = 2;
const LOAD_CPU_MAX_PERCENT = 90;
/** Fewer packets than this share of what was sent is not loss-free. */
const ARRIVED_MIN = 0.99;
const SERVERS = [telstar, janus, livekit];

const load = process.env.TELSTAR_CALL_LOAD ?? path.join(REPO, 'target/release/examples/load');
const bench = process.env.TELSTAR_BENCH ?? path.join(REPO, 'target/release/telstar-bench');
const only = process.env.BENCH_CALLS_ONLY?.split(',');

const results = new Results('calls', `CPU per forwarded packet at most ${FLOOR_FACTOR_MAX} times the floor, beside Janus and LiveKit; p99 of the delay below ${DELAY_P99_MAX_MS} ms at 70 % of a core.`);
await results.during(async () => {
  if (/\/debug\//.test(telstarBinary())) throw new Error('a debug build says nothing about speed: cargo build --release');
  pin(LOAD_CORE, process.pid);
  const rows = [];
  for (const one of CASES.filter(({ what }) => !only || only.includes(what))) rows.push(...await costs(one));
  results.figure('costs', rows);
  if (!only || only.includes('delays')) results.figure('delays', await delays(rows));
});
if (!only) writePage(results.figures);
process.exit();

/** One case at every server and at the floor, in turns. */
async function costs({ what, subscribers = 0, meeting = 0 }) {
  const rounds = [];
  const floors = [];
  const paced = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    floors.push(floor(subscribers || meeting - 1));
    paced.push(pacedFloor(subscribers || meeting - 1));
    for (const launch of SERVERS) {
      const row = await measured(launch, { name: `${what}-${i}`, subscribers, meeting });
      if (row) rounds.push(row);
    }
  }
  const floorNs = median(floors);
  const pacedNs = median(paced);
  return [...new Set(rounds.map(({ server }) => server))].map((server) => {
    const all = rounds.filter((one) => one.server === server);
    const row = Object.fromEntries(Object.keys(all[0]).map((key) => [key, typeof all[0][key] === 'number' ? round(median(all.map((one) => one[key])), 2) : all[0][key]]));
    Object.assign(row, { what, floor_ns: round(floorNs), of_floor: round(row.cpu_us_per_packet * 1000 / floorNs, 2), paced_floor_ns: round(pacedNs), of_paced_floor: round(row.cpu_us_per_packet * 1000 / pacedNs, 2), all_cpu_us_per_packet: all.map((one) => one.cpu_us_per_packet), all_floor_ns: floors.map((ns) => round(ns)), all_paced_floor_ns: paced });
    if (row.name === 'Telstar') judge(row);
    return row;
  });
}

function judge(row) {
  const { what } = row;
  results.check(`${what}: nothing is lost`, row.lost === 0 && row.arrived >= ARRIVED_MIN, { lost: row.lost, arrived: row.arrived });
  results.check(`${what}: the load is not what is measured`, row.load_cpu_percent < LOAD_CPU_MAX_PERCENT, { load_cpu_percent: row.load_cpu_percent });
  results.check(`${what}: at most ${FLOOR_FACTOR_MAX} times the floor`, row.of_floor <= FLOOR_FACTOR_MAX, { of_floor: row.of_floor, cpu_us_per_packet: row.cpu_us_per_packet });
}

/** One server, fresh, under one load. `null` if it is not there. */
async function measured(launch, { name, rooms = 1, subscribers = 0, meeting = 0 }) {
  const server = await launch(`${launch.name}-${name.replaceAll(' ', '-')}`);
  if (!server) {
    console.log(`${launch.name.toUpperCase()}_BIN is not set: it is left out`);
    return null;
  }
  try {
    pin(SERVER_CORE, server.pid);
    const people = meeting || subscribers + 1;
    const words = await server.load(rooms, people);
    const who = meeting ? ['--meeting', meeting] : ['--publishers', 1, '--subscribers', subscribers];
    await sleep(1000);
    const before = server.memory().rss_kib;
    const marks = {};
    let result;
    const onLine = (line, from) => {
      if (from === 'stdout') result = JSON.parse(line);
      else if (line === 'steady begins' || line === 'steady ends') marks[line.slice(7)] = snapshot(server);
    };
    const args = [...words, ...who, '--rooms', rooms, '--video-bps', VIDEO_BPS, '--threads', 1, '--warm-up', WARM_UP_SECONDS, '--seconds', SECONDS];
    const running = start(`load-${launch.name}-${name.replaceAll(' ', '-')}`, 'taskset', ['-c', LOAD_CORE, load, ...args.map(String)], { onLine });
    const { code } = await running.exited;
    if (code !== 0 || !result) throw new Error(`the load ended with ${code}: ${running.tail.join('\n')}`);
    const row = figures({ server, result, begin: await marks.begins, end: await marks.ends, before, rooms, subscribers, meeting });
    console.log(JSON.stringify(row));
    return row;
  } finally {
    await server.stop();
  }
}

async function snapshot(server) {
  const at = performance.now();
  const mark = { at, cpu: server.cpuSeconds(), rss: server.memory().rss_kib };
  return { ...mark, counts: await server.counts() };
}

function figures({ server, result, begin, end, before, rooms, subscribers, meeting }) {
  const seconds = (end.at - begin.at) / 1000;
  const cpu = end.cpu - begin.cpu;
  // Every viewer of one publisher has a picture and a sound; in a meeting of each of the others.
  const viewers = rooms * (meeting || subscribers);
  const expected = viewers * (meeting ? meeting - 1 : 1) * PACKETS_PER_SECOND * result.seconds;
  const sent = end.counts && end.counts.sent - begin.counts.sent;
  return {
    name: server.name, server: server.version, viewers,
    cpu_us_per_packet: round((cpu * 1e6 / seconds) / (result.packets_received / result.seconds), 3),
    cpu_percent: round((100 * cpu) / seconds, 1),
    packets_per_second: round(result.packets_received / result.seconds),
    arrived: round(result.packets_received / expected, 4),
    lost: result.packets_lost,
    sent_for_each_received: sent ? round(sent / seconds / (result.packets_received / result.seconds), 4) : null,
    late: end.counts && end.counts.late - begin.counts.late,
    delay_p50_ms: result.delay_us.p50 / 1000,
    delay_p99_ms: result.delay_us.p99 / 1000,
    kib_per_viewer: round((end.rss - before) / viewers, 1),
    first_picture_p50_ms: round(result.first_picture_ms.p50 ?? NaN, 1),
    first_picture_p95_ms: round(result.first_picture_ms.p95 ?? NaN, 1),
    without_picture: viewers - result.first_picture_ms.count,
    load_cpu_percent: round((100 * result.load_cpu_secs) / result.seconds, 1),
  };
}

/** Nanoseconds of CPU per packet of the same mix: pictures in runs, sound alone. */
function floor(destinations) {
  const of = ({ run, bytes }) => {
    const words = ['floor', '--destinations', destinations, '--run', run, '--bytes', bytes, '--seconds', 1].map(String);
    return JSON.parse(execFileSync('taskset', ['-c', SERVER_CORE, bench, ...words], { encoding: 'utf8' })).floor_ns;
  };
  return (of(PICTURE) * PICTURE.rate + of(SOUND) * SOUND.rate) / PACKETS_PER_SECOND;
}

/** The same as a call has it: at its pace, to receivers that wait and are woken up. On loopback the sender pays for that. */
function pacedFloor(destinations) {
  return JSON.parse(execFileSync(bench, ['paced-floor', '--destinations', String(destinations)], { encoding: 'utf8' })).paced_ns;
}

/** Delays against load: as many rooms as take a share of the core, reckoned from what ten viewers cost. */
async function delays(rows) {
  const all = [];
  const wanted = [...LOADS];
  for (const launch of SERVERS) {
    const cost = rows.find((row) => row.viewers === ROOM_VIEWERS && row.what === '1 to 10' && row.name.toLowerCase() === launch.name);
    let perRoom = cost?.cpu_percent ?? 2;
    for (const percent of wanted) {
      const rooms = Math.max(1, Math.round(percent / perRoom));
      const row = await measured(launch, { name: `load-${percent}`, rooms, subscribers: ROOM_VIEWERS });
      if (!row) break;
      perRoom = row.cpu_percent / rooms;
      all.push({ aim_percent: percent, rooms, ...row });
    }
  }
  const top = all.filter((row) => row.name === 'Telstar').at(-1);
  if (top) results.check(`p99 of the delay below ${DELAY_P99_MAX_MS} ms at ${LOADS.at(-1)} % of a core`, top.delay_p99_ms < DELAY_P99_MAX_MS, { cpu_percent: top.cpu_percent, p99_ms: top.delay_p99_ms, load_cpu_percent: top.load_cpu_percent });
  return all;
}

function writePage({ costs: rows, delays: steps = [] }) {
  const ours = (what) => rows.find((row) => row.what === what && row.name === 'Telstar');
  const against = (row) => round(ours(row.what).cpu_us_per_packet / row.cpu_us_per_packet, 2);
  const versions = [...new Set(rows.map((row) => row.server))].filter((server) => server !== 'Telstar');
  const growth = ['Telstar', ...versions].map((server) => {
    const of = (what) => rows.find((row) => row.what === what && row.server === server)?.cpu_us_per_packet;
    return [server, round(of('1 to 200') / of('1 to 10'), 2)];
  });
  fillPage('calls', 'calls', `
${table(['call', 'server', 'ours of this', 'of the floor', 'of the paced floor', 'CPU per packet', 'all rounds', 'floor', 'paced floor', 'packets/s', 'CPU of one core', 'lost', 'load’s CPU'],
    rows.map((row) => [row.what, row.server, against(row), row.of_floor, row.of_paced_floor, `${row.cpu_us_per_packet} µs`, row.all_cpu_us_per_packet.join(', '), `${round(row.floor_ns / 1000, 2)} µs`, `${round(row.paced_floor_ns / 1000, 2)} µs`, row.packets_per_second, `${row.cpu_percent} %`, row.lost, `${row.load_cpu_percent} %`]))}

${table(['server', 'CPU per packet at 200 viewers, of that at 10'], growth)}

${table(['call', 'server', 'memory per viewer', 'join to first picture, p50', 'p95', 'delay p50', 'p99'],
    rows.map((row) => [row.what, row.server, `${row.kib_per_viewer} KiB`, `${row.first_picture_p50_ms} ms`, `${row.first_picture_p95_ms} ms`, `${row.delay_p50_ms} ms`, `${row.delay_p99_ms} ms`]))}

${table(['server', 'rooms of 1 to 10', 'CPU of one core', 'packets/s', 'delay p50', 'p99', 'lost', 'load’s CPU'],
    steps.map((row) => [row.server, row.rooms, `${row.cpu_percent} %`, row.packets_per_second, `${row.delay_p50_ms} ms`, `${row.delay_p99_ms} ms`, row.lost, `${row.load_cpu_percent} %`]))}
`);
}
