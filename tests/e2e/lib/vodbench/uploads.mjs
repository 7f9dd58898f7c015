// How fast bytes come in: uploads by tus from memory, one and many at once, beside `dd` writing and syncing the same bytes.

import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { table } from '../page.mjs';
import { runDir } from '../paths.mjs';
import { run } from '../process.mjs';
import { median, round } from '../results.mjs';
import { ROUNDS, stage } from './stage.mjs';
import { Tree, peakMib } from './tree.mjs';

export const name = 'uploads';
export const claim = 'Upload throughput and memory, beside what the disk takes.';
const PATCH_BYTES = 64 * 2 ** 20;
/** How many at once, and how many PATCHes each sends. */
const LOADS = [{ uploads: 1, patches: Number(process.env.BENCH_PATCHES ?? 16) }, { uploads: 50, patches: 1 }];
/** Memory is flat: what many uploads add to one stays below a megabyte for each. */
const MIB_OF_EACH_MAX = 1;
const IDLE_MS = 1000;

export async function measure(results) {
  const body = randomBytes(PATCH_BYTES);
  const rows = [];
  for (const load of LOADS) {
    const rounds = [];
    for (let i = 0; i < ROUNDS; i += 1) {
      rounds.push({ ours: await uploaded(load, body), dd: await written(load, body) });
      console.log(JSON.stringify(rounds.at(-1)));
    }
    const of = (which) => median(rounds.map(which));
    const row = { ...load, ratio: round(of((one) => one.ours.mb_per_sec / one.dd.mb_per_sec), 2), ours_mb_per_sec: of((one) => one.ours.mb_per_sec), dd_mb_per_sec: of((one) => one.dd.mb_per_sec),
      cpu_secs_per_gb: round(of((one) => one.ours.cpu_secs_per_gb), 2), idle_mib: of((one) => one.ours.idle_mib), peak_mib: of((one) => one.ours.peak_mib), rounds };
    rows.push(row);
    results.check(`${load.uploads} at once: memory grows by less than ${MIB_OF_EACH_MAX} MiB for each, and 32 in all`, row.peak_mib - row.idle_mib < 32 + load.uploads * MIB_OF_EACH_MAX, { idle_mib: row.idle_mib, peak_mib: row.peak_mib });
  }
  results.figure('uploads', rows);
}

const agent = new http.Agent({ keepAlive: true });

/** A request whose body is written from memory as it is: `fetch` would copy it. */
function send(method, url, headers, body = null) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, agent, headers: { ...headers, 'content-length': String(body?.length ?? 0) } }, (response) => {
      let text = '';
      response.on('data', (chunk) => { text += chunk; });
      response.on('end', () => (response.statusCode < 300 ? resolve(response.headers) : reject(new Error(`${method} ${url}: ${response.statusCode} ${text}`))));
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function uploaded({ uploads, patches }, body) {
  const { server } = await stage(`uploads-${uploads}`);
  const headers = { authorization: `Bearer ${await server.adminToken()}`, 'tus-resumable': '1.0.0' };
  // One byte never comes, so that nothing is made of them.
  const length = String(patches * body.length + 1);
  const made = await Promise.all(Array.from({ length: uploads }, () => send('POST', `${server.http}/api/v1/uploads`, { ...headers, 'upload-length': length })));
  const urls = made.map(({ location }) => new URL(location, server.http).href);
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  const idle = peakMib(server.pid);
  const tree = new Tree(server.pid);
  const from = performance.now();
  await Promise.all(urls.map(async (url) => {
    for (let patch = 0; patch < patches; patch += 1) {
      const answer = await send('PATCH', url, { ...headers, 'content-type': 'application/offset+octet-stream', 'upload-offset': String(patch * body.length) }, body);
      if (Number(answer['upload-offset']) !== (patch + 1) * body.length) throw new Error(`${url} is at ${answer['upload-offset']}`);
    }
  }));
  const secs = (performance.now() - from) / 1000;
  const mb = (uploads * patches * body.length) / 1e6;
  const cpuSecs = tree.stop().server_secs;
  const figures = { mb_per_sec: round(mb / secs), cpu_secs_per_gb: round((cpuSecs * 1000) / mb, 2), idle_mib: round(idle, 1), peak_mib: round(peakMib(server.pid), 1) };
  for (const url of urls) await send('DELETE', url, headers);
  await server.stop();
  return figures;
}

/** The same bytes into as many files at once, each synced as often. */
async function written({ uploads, patches }, body) {
  const folder = path.join(runDir(), 'dd');
  mkdirSync(folder, { recursive: true });
  const input = path.join(folder, 'body');
  writeFileSync(input, body);
  const one = `for patch in $(seq ${patches}); do dd if="$0" of="$1/$file" bs=1M conv=fdatasync,notrunc oflag=append status=none; done`;
  await run('sync', 'sync', []);
  const from = performance.now();
  await run('dd', 'sh', ['-ec', `for file in $(seq ${uploads}); do { ${one}; } & done; wait`, input, folder]);
  const secs = (performance.now() - from) / 1000;
  rmSync(folder, { recursive: true });
  return { mb_per_sec: round((uploads * patches * body.length) / 1e6 / secs) };
}

export function page({ uploads }) {
  const all = (row, which) => row.rounds.map((one) => one[which].mb_per_sec).join(', ');
  return table(['uploads at once', 'of `dd`’s', 'MB a second', '`dd`', 'CPU seconds a GB', 'most memory', 'before', 'all rounds', 'all of `dd`'],
    uploads.map((row) => [`${row.uploads}, each ${row.patches * 64} MiB`, row.ratio, row.ours_mb_per_sec, row.dd_mb_per_sec, row.cpu_secs_per_gb, `${row.peak_mib} MiB`, `${row.idle_mib} MiB`, all(row, 'ours'), all(row, 'dd')]));
}
