// Acceptance line 7: ready time, idle memory, memory and CPU per stream. Writes docs/results/bench.json and its
// tables in docs/performance.md.

import { rmSync } from 'node:fs';
import { publishPrepared } from '../lib/encoders.mjs';
import { fillPage, table } from '../lib/page.mjs';
import { telstarBinary } from '../lib/paths.mjs';
import { sleep } from '../lib/process.mjs';
import { Results, median, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

const ROUNDS = 5;
const READY_MAX_MS = 200;
const IDLE_MAX_MIB = 40;
const STREAMS = [1, 5, 20];
/** Long enough for every stream's window (four target durations) to be full. */
const SETTLE_MS = Number(process.env.BENCH_SETTLE_SECONDS ?? 30) * 1000;
const CPU_WINDOW_MS = 10_000;
const mib = (kib) => round(kib / 1024, 1);

const results = new Results('bench', `Ready within ${READY_MAX_MS} ms, below ${IDLE_MAX_MIB} MiB idle; memory per stream.`);
await results.during(async () => {
  if (/\/debug\//.test(telstarBinary())) throw new Error('a debug build says nothing about speed: cargo build --release');
  await readyAndIdle(results);
  const perStream = [];
  for (const count of STREAMS) perStream.push(await streams(count));
  results.figure('streams', perStream);
});
writePage(results);
process.exit();

/** Five first starts, each in an empty folder, and five starts after them in a folder that is there. */
async function readyAndIdle(results) {
  const first = [];
  const again = [];
  const idle = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    const server = await Telstar.launch({ name: `ready-${i}` });
    first.push(round(server.readyMs));
    await server.stop();
    await server.start();
    again.push(round(server.readyMs));
    await sleep(5000);
    idle.push(mib(server.memory().rss_kib));
    await server.stop();
    rmSync(server.data, { recursive: true });
  }
  results.figure('ready_first_start_ms', { median: median(first), all: first });
  results.figure('ready_ms', { median: median(again), all: again });
  results.figure('idle_rss_mib', { median: median(idle), all: idle });
  results.check(`ready within ${READY_MAX_MS} ms`, median(again) < READY_MAX_MS && median(first) < READY_MAX_MS, { first_start: median(first), later_start: median(again) });
  results.check(`below ${IDLE_MAX_MIB} MiB idle`, median(idle) < IDLE_MAX_MIB, { mib: median(idle) });
}

/** `count` encoders that send the same clip, nobody watching, until every window is full. */
async function streams(count) {
  const server = await Telstar.launch({ name: `streams-${count}` });
  await sleep(2000);
  const idle = server.memory().rss_kib;
  const encoders = [];
  for (let i = 0; i < count; i += 1) encoders.push(await publishPrepared((await server.room(`stream-${i}`)).rtmp, { name: `encoder-${count}-${i}` }));
  await Promise.all(encoders.map((_, i) => server.untilLive(`stream-${i}`)));
  await sleep(SETTLE_MS);
  const cpu = server.cpuSeconds();
  await sleep(CPU_WINDOW_MS);
  const percent = 100 * (server.cpuSeconds() - cpu) / (CPU_WINDOW_MS / 1000);
  const memory = server.memory();
  await Promise.all(encoders.map((encoder) => encoder.stop()));
  await server.stop();
  return { streams: count, idle_rss_mib: mib(idle), rss_mib: mib(memory.rss_kib), per_stream_mib: mib((memory.rss_kib - idle) / count), cpu_percent_of_one_core: round(percent, 2), cpu_percent_per_stream: round(percent / count, 2) };
}

function writePage({ figures }) {
  const five = (what, { median, all } = {}, unit) => [what, `${median} ${unit}`, all?.join(', ')];
  fillPage('bench', 'bench', `
${table(['what', 'median of five', 'all five'], [
    five('ready, first start (makes keys, certificate, database)', figures.ready_first_start_ms, 'ms'),
    five('ready, later start', figures.ready_ms, 'ms'),
    five('resident memory, idle', figures.idle_rss_mib, 'MiB')])}

${table(['streams', 'resident', 'per stream', 'CPU of one core', 'per stream'],
    (figures.streams ?? []).map((s) => [s.streams, `${s.rss_mib} MiB`, `${s.per_stream_mib} MiB`, `${s.cpu_percent_of_one_core} %`, `${s.cpu_percent_per_stream} %`]))}
`);
}
