// How fast bytes go out: ranges of a source of a gigabyte and whole segments, to one, a hundred and a thousand clients, beside nginx with
// sendfile and the same bytes on the same disk. The server has one core, the load the other.

import { openSync, readSync, closeSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseMedia, parseMultivariant } from '../hls.mjs';
import { pin } from '../meter.mjs';
import { table } from '../page.mjs';
import { nginx } from '../peers.mjs';
import { runDir } from '../paths.mjs';
import { run, sleep } from '../process.mjs';
import { median, round } from '../results.mjs';
import { h264 } from './sources.mjs';
import { ROUNDS, stage, untilOver } from './stage.mjs';
import { peakMib } from './tree.mjs';

export const name = 'serving';
export const claim = 'Ranges and segments beside nginx with sendfile.';
const CLIENTS = (process.env.BENCH_CLIENTS ?? '1,100,1000').split(',').map(Number);
const SECONDS = Number(process.env.BENCH_WRK_SECONDS ?? 5);
/** Long enough for a source of a gigabyte. */
const MINUTES = Number(process.env.BENCH_SOURCE_MINUTES ?? 36);
const RANGE_BYTES = 64 * 1024;
const SERVER_CORE = '0';
const LOAD_CORE = '1';
/** What wrk means: bytes, and milliseconds. */
const UNITS = { KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, us: 0.001, ms: 1, s: 1000 };
const LIMITS = { TELSTAR_LIMITS_HTTP_CONNECTIONS_PER_ADDRESS_MAX: '10000' };

export async function measure(results) {
  const file = await h264(MINUTES);
  const theatre = await stage('serving', LIMITS);
  const { server, library } = theatre;
  const { asset } = await library.upload(file);
  const jobs = await untilOver(theatre, asset, ['first']);
  // The rest would take hours of the cores.
  for (const { job } of jobs.filter(({ state }) => state !== 'done')) await server.api('DELETE', `/api/v1/jobs/${job}`);
  const token = new URL(await library.watchable(asset)).search;
  await server.api('PATCH', `/api/v1/assets/${asset}`, { open: true });
  const peer = await nginx();
  const sources = { ours: `${server.http}/vod/${asset}/source`, nginx: await linked(peer, file) };
  const segment = await segmentOf(`${server.http}/vod/${asset}/index.m3u8`, peer);
  read(file);
  pin(SERVER_CORE, server.pid, ...peer.pids);
  const lua = rangesOf(statSync(file).size);
  const loads = [
    { what: 'ranges of 64 KiB of the source', urls: { ours: sources.ours + token, nginx: sources.nginx }, bytes: RANGE_BYTES, script: lua },
    { what: 'a segment', urls: segment.urls, bytes: segment.bytes, script: null },
  ];
  const rows = [];
  for (const load of loads) {
    for (const clients of CLIENTS) {
      const rounds = [];
      for (let i = 0; i < ROUNDS; i += 1) rounds.push({ ours: await wrk(load, load.urls.ours, clients, server), nginx: await wrk(load, load.urls.nginx, clients, peer) });
      const of = (who, key) => median(rounds.map((one) => one[who][key]));
      const row = { what: load.what, bytes: load.bytes, clients, ratio: round(of('ours', 'mb_per_sec') / of('nginx', 'mb_per_sec'), 2), cpu_ratio: round(of('ours', 'cpu_ms_per_mb') / of('nginx', 'cpu_ms_per_mb'), 2), rounds };
      rows.push(row);
      console.log(JSON.stringify(row));
      results.check(`${load.what} to ${clients}: nobody fails`, rounds.every((one) => one.ours.errors === 0), { ratio: row.ratio, cpu_ratio: row.cpu_ratio, errors: rounds.map((one) => one.ours.errors) });
    }
  }
  results.figure('serving', { nginx: peer.version, source_mib: round(statSync(file).size / 2 ** 20), server_peak_mib: round(peakMib(server.pid), 1), rows });
  await server.stop();
  await peer.stop();
}

/** The source's file itself, under nginx. */
async function linked(peer, file) {
  const address = peer.serve('segment.m4s', Buffer.alloc(1));
  symlinkSync(file, path.join(peer.folder, 'files/source.mp4'));
  return address.replace('segment.m4s', 'source.mp4');
}

/** A whole segment of pictures, of ours and as a file. */
async function segmentOf(playlist, peer) {
  const { variants } = parseMultivariant(await (await fetch(playlist)).text(), playlist);
  const { segments } = parseMedia(await (await fetch(variants[0].url)).text(), variants[0].url);
  const [, { url }] = segments;
  const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
  return { bytes: bytes.length, urls: { ours: url, nginx: peer.serve('segment.m4s', bytes) } };
}

/** Into the page cache, for both alike. */
function read(file) {
  const [handle, buffer] = [openSync(file), Buffer.alloc(2 ** 20)];
  while (readSync(handle, buffer) > 0);
  closeSync(handle);
}

/** A program for wrk: ranges at random places. */
function rangesOf(size) {
  const file = path.join(runDir(), 'ranges.lua');
  writeFileSync(file, `local last = ${Math.floor(size / RANGE_BYTES) - 1}
math.randomseed(1)
request = function()
  local from = math.random(0, last) * ${RANGE_BYTES}
  return wrk.format("GET", nil, { ["Range"] = "bytes=" .. from .. "-" .. (from + ${RANGE_BYTES} - 1) })
end
`);
  return file;
}

async function wrk({ script }, url, clients, server) {
  const cpu = server.cpuSeconds();
  const load = run('wrk', 'taskset', ['-c', LOAD_CORE, 'wrk', '-t1', `-c${clients}`, `-d${SECONDS}s`, '--timeout', '30s', '--latency', ...(script ? ['-s', script] : []), url]);
  // While all are served.
  await sleep((SECONDS * 1000) / 2);
  const { rss_kib: rss } = server.memory();
  const text = await load;
  const cpuSecs = server.cpuSeconds() - cpu;
  const [, requests, secs, amount, unit] = text.match(/(\d+) requests in ([\d.]+)s, ([\d.]+)(KB|MB|GB) read/);
  // What was under way at the end is in it.
  const mb = (Number(amount) * UNITS[unit]) / 1e6;
  const sockets = text.match(/Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/)?.slice(1).map(Number) ?? [];
  const errors = [Number(text.match(/Non-2xx or 3xx responses: (\d+)/)?.[1] ?? 0), ...sockets].reduce((a, b) => a + b);
  const [, late, lateUnit] = text.match(/99%\s+([\d.]+)(us|ms|s)/);
  return { mb_per_sec: round(mb / secs, 1), requests_per_sec: round(requests / secs, 1), cpu_ms_per_mb: round((cpuSecs * 1000) / mb, 3), cpu_percent_of_one_core: round((cpuSecs * 100) / secs, 1),
    rss_mib: round(rss / 1024, 1), p99_ms: round(late * UNITS[lateUnit], 1), errors };
}

export function page({ serving }) {
  const { rows, nginx: version, source_mib: mib } = serving;
  const row = ({ what, clients, bytes, ratio, cpu_ratio: cpuRatio, rounds }) => {
    const both = (key, unit = '') => ['ours', 'nginx'].map((who) => `${median(rounds.map((one) => one[who][key]))}${unit}`);
    const all = (who) => rounds.map((one) => one[who].mb_per_sec).join(', ');
    const kib = bytes === RANGE_BYTES ? '' : `, ${round(bytes / 1024)} KiB`;
    return [`${what}${kib}`, clients, ratio, cpuRatio, ...both('mb_per_sec'), ...both('requests_per_sec'), ...both('cpu_percent_of_one_core', ' %'), ...both('rss_mib', ' MiB'), ...both('p99_ms', ' ms'), all('ours'), all('nginx')];
  };
  const head = ['what', 'clients', 'rate of nginx’s', 'CPU per byte of nginx’s', 'MB a second', 'nginx', 'requests a second', 'nginx', 'CPU of one core', 'nginx', 'resident', 'nginx', 'p99', 'nginx', 'all rates, MB a second', 'all of nginx'];
  return `Beside ${version}; the source has ${mib} MiB.\n\n${table(head, rows.map(row))}`;
}
