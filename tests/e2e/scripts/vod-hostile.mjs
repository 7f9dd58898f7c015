// Hostile files through the server: everything that a worker alone is attacked with is uploaded, by tus and in one body, while somebody
// watches another asset. Each ends as an asset or in words, after one attempt, without a trace once it is deleted. Then workers are killed
// at random, and a disk fills up in the middle of a job.

import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { Bait, attackFiles } from '../lib/attacks/files.mjs';
import { BesideAsset } from '../lib/beside-asset.mjs';
import { generated, prepared } from '../lib/clips.mjs';
import { cpuSecondsOf } from '../lib/meter.mjs';
import { runDir } from '../lib/paths.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results, median, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { Library } from '../lib/vod.mjs';
import { workersOf } from '../lib/workers.mjs';

/** Uploads at once, and jobs. */
const AT_ONCE = 6;
const JOBS_AT_ONCE = 2;
/** From its last byte to its end, with all that waits before it; nothing here takes a worker alone more than a few seconds. */
const HANG_MS = 180_000;
/** Address space of a worker, and so the most that can be resident of it. */
const WORKER_MIB = 2_048;
/** What all attacks together may add to the server: buffers of a few uploads, and what the allocator keeps. */
const SERVER_ADDED_MIB_MAX = 96;
/** The limits that the files were made for: those of the worker's own test. */
const LIMITS = ['--vod-pixels-max', '8912896', '--vod-side-max', '8192', '--vod-fps-max', '120', '--vod-duration-max-hours', '1', '--vod-output-max-mib', '64'];
const SERVE = ['--vod-jobs-at-once', String(JOBS_AT_ONCE), '--vod-memory-max-mib', String(WORKER_MIB), '--vod-preset', 'veryfast', ...LIMITS];
/** Workers that are killed, and the seed of when: fewer than the failures after which a job is given up, should it always be the same. */
const KILLS = 4;
/** A worker that has computed for so long is past its start, and has its job. */
const AT_WORK_SECS = 0.5;
const SEED = Number(process.env.E2E_SEED ?? Date.now() % 1_000_000);
/** The disk that fills up. */
const DISK_MIB = 192;
const only = process.env.E2E_ONLY?.split(',') ?? ['attacks', 'media', 'kills', 'disk'];

const results = new Results('vod-hostile', 'Hostile files end as an asset or in words, after one attempt, and nobody else notices.');

/** All files below a folder, in bytes by path. */
function filesBelow(folder) {
  if (!existsSync(folder)) return new Map();
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(names.flatMap((entry) => {
    const file = path.join(entry.parentPath ?? entry.path, entry.name);
    try { return [[file, statSync(file).size]]; } catch { return []; }
  }));
}

/** The highest that the kernel saw resident of the server, and of each of its workers while it was there. */
class Memory {
  constructor(server) {
    this.server = server;
    this.before = server.memory().rss_kib;
    this.peaks = { server: this.before, worker: 0 };
    this.timer = setInterval(() => this.look(), 50);
  }

  look() {
    const peak = (pid, field) => {
      try { return Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${field}:\\s+(\\d+)`, 'm'))?.[1] ?? 0); } catch { return 0; }
    };
    this.peaks.server = Math.max(this.peaks.server, peak(this.server.pid, 'VmRSS'));
    for (const pid of workersOf(this.server.pid)) this.peaks.worker = Math.max(this.peaks.worker, peak(pid, 'VmHWM'));
  }

  stop() {
    clearInterval(this.timer);
    const mib = (kib) => round(kib / 1024, 1);
    return { server_mib: mib(this.before), server_added_mib: mib(this.peaks.server - this.before), worker_mib: mib(this.peaks.worker) };
  }
}

/** What is said to whoever uploaded it: of his file, in words, and nothing of the inside. */
function isPlain(problem) {
  return typeof problem === 'string' && problem.length > 10 && problem.length < 500 && !problem.endsWith(': ')
    && !/[\\/{}]|\.rs\b|::|panick|unwrap|os error|\b0x|Some\(|\bNone\b|\bfd\b|[Ee]rror|EINVAL|telstar|canary|[\u0000-\u001f]/.test(problem);
}

/** Everything that is made of an asset and said of it, looked through for what must not be in it. */
function leaked(secret, texts, before, folder) {
  if (texts.some((text) => text.includes(secret))) return true;
  return [...filesBelow(folder).keys()].filter((file) => !before.has(file)).some((file) => {
    try { return readFileSync(file).includes(secret); } catch { return false; }
  });
}

/** One file: sent, waited for, judged, deleted. */
async function one(stage, { file, what, kind }, number) {
  const { library, bait, folder, kept } = stage;
  const sent = number % 2 && statSync(file).size ? await library.upload(file, { title: what }) : await library.post(file, { title: what });
  const from = performance.now();
  const wrong = [];
  let ended = null;
  try { ended = await library.untilDone(sent.asset, HANG_MS, 100); } catch { wrong.push('it hangs'); ended = await library.get(sent.asset); }
  const row = { what, state: ended.state, ms: round(performance.now() - from), ...(ended.problem && { problem: ended.problem }) };
  const jobs = await library.jobs(sent.asset);
  row.attempts = jobs.map((job) => `${job.kind} ${job.attempts}`).join(', ');
  if (!['ready', 'failed'].includes(ended.state)) wrong.push(`it is ${ended.state}`);
  if (ended.state === 'failed' && !isPlain(ended.problem)) wrong.push('its problem is not in plain words');
  const problems = jobs.map((job) => job.problem).filter(Boolean);
  if (!problems.every(isPlain)) wrong.push(`a job's problem is not in plain words: ${problems}`);
  if (ended.state === 'ready' && !ended.playable) wrong.push('it is ready and cannot be played');
  // What has no chance has no second one, and what has one needs no second.
  if (jobs.some((job) => job.attempts > 1)) wrong.push('it took more than one attempt');
  if (kind === 'asset' && ended.state !== 'ready') wrong.push('a worker alone makes an asset of it');
  // What plays stays, where the worker refuses only what would have made it better.
  if (kind === 'refused' && !jobs.some((job) => job.state === 'failed')) wrong.push('a worker alone refuses it');
  if (bait && leaked(bait.secret, [JSON.stringify(ended), JSON.stringify(jobs)], kept, folder)) wrong.push('the secret is in it');
  await stage.server.api('DELETE', `/api/v1/assets/${sent.asset}`);
  return { ...row, ...(wrong.length && { wrong }) };
}

/** Every file, some at once, while the other asset is watched; what came of each. */
async function all(stage, name, files, expected) {
  const { server, folder, kept } = stage;
  const [pid, memory, beside] = [server.pid, new Memory(server), await BesideAsset.start(stage.playlist)];
  const from = performance.now();
  const [rows, queue] = [[], files.map((file, number) => [file, number])];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      rows.push(await one(stage, next[0], next[1]).catch((error) => ({ what: next[0].what, wrong: [String(error.message)] })));
    }
  }));
  const seconds = round((performance.now() - from) / 1000, 1);
  const bad = rows.filter((row) => row.wrong);
  bad.forEach((row) => console.log(`     ${JSON.stringify(row)}`));
  const states = Object.fromEntries(['ready', 'failed'].map((state) => [state, rows.filter((row) => row.state === state).length]));
  results.check(`${name}: each ends as it should, in words where it fails, after one attempt`, bad.length === 0 && rows.length === files.length && files.length >= expected, { files: files.length, ...states, bad: bad.slice(0, 20) });
  results.figure(`${name}_seconds`, seconds);
  results.figure(`${name}_ms`, { median: median(rows.map((row) => row.ms)), slowest: [...rows].sort((a, b) => b.ms - a.ms).slice(0, 5).map(({ what, ms }) => ({ what, ms })) });
  const problems = new Map();
  for (const { problem } of rows.filter((row) => row.problem)) problems.set(problem, (problems.get(problem) ?? 0) + 1);
  results.figure(`${name}_problems`, [...problems].sort(([, a], [, b]) => b - a).map(([problem, count]) => `${count} × ${problem}`));
  const peaks = memory.stop();
  results.check(`${name}: the server's memory stays where it was`, peaks.server_added_mib < SERVER_ADDED_MIB_MAX, peaks);
  results.check(`${name}: no worker has more than it may`, peaks.worker_mib > 0 && peaks.worker_mib < WORKER_MIB, { worker_mib: peaks.worker_mib });
  await unharmed(stage, name, pid, beside);
  const left = [...filesBelow(folder).keys()].filter((file) => !kept.has(file));
  results.check(`${name}: nothing is left of what was deleted`, left.length === 0, { left: left.slice(0, 10), before: kept.size });
  return rows;
}

/** The server is the same one, its workers have ended, nothing panicked, and whoever watched saw all of it. */
async function unharmed(stage, name, pid, beside) {
  const { server } = stage;
  const seen = await beside.stop();
  results.check(`${name}: who watches another asset gets every segment, with its bytes`, seen.fetched >= seen.segments && seen.wrong_count === 0, seen);
  const idle = await until('the workers to end', 20_000, () => workersOf(server.pid).length === 0).catch(() => false);
  results.check(`${name}: no worker is left`, idle, { workers: workersOf(server.pid).length });
  const ready = await fetch(`${server.http}/readyz`);
  results.check(`${name}: the server is the same and ready`, server.pid === pid && !server.process.ended && ready.status === 200, { pid, status: ready.status });
  const metrics = await (await fetch(`${server.http}/metrics`, { headers: { authorization: `Bearer ${await server.adminToken()}` } })).text();
  const panics = [...metrics.matchAll(/^\w*panic\w*_total(?:\{[^}]*\})? (\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  results.check(`${name}: nothing panicked`, metrics.includes('tasks_panics_total') && panics === 0, { panics });
}

/** A server with an asset that is worth watching. */
async function prepare(name, { freeMib = 256, bait = null } = {}) {
  const server = await Telstar.launch({ name, serveArgs: [...SERVE, '--vod-disk-free-mib', String(freeMib)] });
  const library = new Library(server);
  const { asset } = await library.upload(await generated({ seconds: 30, size: '640x360' }), { title: 'watched' });
  const done = await library.untilDone(asset);
  if (done.state !== 'ready') throw new Error(`the asset to watch is ${done.state}: ${done.problem}`);
  const folder = path.join(server.data, 'vod');
  return { server, library, bait, folder, kept: filesBelow(folder), playlist: await library.watchable(asset) };
}

/** Numbers below `below`, of a seed (mulberry32). */
function random(seed) {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Pictures that have to be encoded, for some seconds. */
const slow = () => prepared('hostile-slow.matroska', ['-f', 'lavfi', '-i', 'testsrc2=size=1280x720:rate=30:duration=20', '-f', 'lavfi', '-i', 'sine=frequency=440:duration=20', '-c:v', 'mpeg4', '-q:v', '4', '-c:a', 'flac']);

/** Workers are killed while they work: each job has another attempt, and everything is made. */
async function kills(stage) {
  const { server, library } = stage;
  const [pid, pick, beside] = [server.pid, random(SEED), await BesideAsset.start(stage.playlist)];
  const file = await slow();
  const sent = await Promise.all([1, 2].map((number) => library.upload(file, { title: `killed ${number}` })));
  const killed = new Set();
  const isAtWork = (worker) => { try { return !killed.has(worker) && cpuSecondsOf(worker) > AT_WORK_SECS; } catch { return false; } };
  while (killed.size < KILLS) {
    await sleep(pick(1_500));
    const victim = await until('a worker at work', 120_000, () => {
      const working = workersOf(server.pid).filter(isAtWork);
      return working[pick(working.length || 1)];
    }, 20);
    // It may have ended by itself meanwhile; then it is no kill.
    try { process.kill(victim, 'SIGKILL'); killed.add(victim); } catch { /* the next one */ }
  }
  const ended = await Promise.all(sent.map(({ asset }) => library.untilDone(asset, HANG_MS * 2)));
  const jobs = (await Promise.all(sent.map(({ asset }) => library.jobs(asset)))).flat();
  const again = jobs.reduce((sum, job) => sum + job.attempts - 1, 0);
  const whole = ended.every((one) => one.state === 'ready' && one.renditions.every((rendition) => rendition.whole));
  // A worker that was killed behind its last word may have done its job.
  results.check('kills: everything is made in the end, and only what was killed was begun again', whole && killed.size === KILLS && again > 0 && again <= KILLS, { seed: SEED, killed: killed.size, begun_again: again, states: ended.map((one) => one.state) });
  for (const { asset } of sent) await server.api('DELETE', `/api/v1/assets/${asset}`);
  await unharmed(stage, 'kills', pid, beside);
  const left = [...filesBelow(stage.folder).keys()].filter((name) => !stage.kept.has(name));
  results.check('kills: nothing is left of what was deleted', left.length === 0, { left });
}

/** Zeros until there is no room for more. */
function fill(file) {
  const handle = openSync(file, 'a');
  try { for (const block of [Buffer.alloc(1 << 20), Buffer.alloc(4096)]) { try { for (;;) writeSync(handle, block); } catch (error) { if (error.code !== 'ENOSPC') throw error; } } } finally { closeSync(handle); }
}

/** The disk has no room left while a job writes to it; once there is, the job is done. */
async function diskFull() {
  const data = path.join(runDir(), 'full-data');
  mkdirSync(data, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'telstar-e2e', data], { stdio: 'ignore' });
  } catch {
    results.figure('disk', 'not tried: mounting a small disk needs root');
    return;
  }
  try {
    const stage = await prepare('full', { freeMib: 0 });
    const { server, library } = stage;
    const [pid, beside, ballast] = [server.pid, await BesideAsset.start(stage.playlist), path.join(data, 'ballast')];
    const { asset } = await library.upload(await slow(), { title: 'no room' });
    await until('a job that writes', 60_000, async () => (await library.jobs(asset)).some((job) => job.kind === 'first' && job.state === 'leased' && job.progress > 0), 20);
    fill(ballast);
    const told = await until('words about it', 60_000, async () => {
      fill(ballast);
      const [jobs, found] = [await library.jobs(asset), await library.get(asset)];
      return [found.problem, ...jobs.map((job) => job.problem)].find((problem) => problem) ?? (server.log.match(/disk is full|no space|database or disk is full/i)?.[0]);
    }, 200).catch((error) => error.message);
    results.check('disk: a job that finds no room says so', /full|space|room/i.test(told), { told });
    const post = await library.post(await generated({ seconds: 30, size: '640x360' }), { title: 'one more' });
    results.check('disk: an upload is refused in words', post.status >= 500 && post.status < 600 && Boolean(post.code), { status: post.status, code: post.code, detail: post.detail });
    const during = await library.get(asset).then((found) => found.state, (error) => error.message);
    results.check('disk: the asset waits for room', during === 'processing', { during });
    rmSync(ballast);
    const ended = await library.untilDone(asset, HANG_MS);
    results.check('disk: with room again it is made', ended.state === 'ready', { state: ended.state, problem: ended.problem });
    await server.api('DELETE', `/api/v1/assets/${asset}`);
    await unharmed(stage, 'disk', pid, beside);
    const left = [...filesBelow(stage.folder).keys()].filter((name) => !stage.kept.has(name));
    results.check('disk: nothing is left of what was deleted', left.length === 0, { left });
    await server.stop();
  } finally {
    execFileSync('umount', ['-l', data], { stdio: 'ignore' });
  }
}

await results.during(async () => {
  results.figure('bounds', { worker_mib: WORKER_MIB, server_added_mib: SERVER_ADDED_MIB_MAX, hang_ms: HANG_MS });
  const bait = await Bait.lay();
  const stage = await prepare('telstar', { bait });
  if (only.includes('attacks')) {
    const files = await attackFiles(bait);
    bait.forget();
    // Those that had other limits than the server has are judged by themselves.
    await all(stage, 'attacks', files.map((file) => ({ ...file, kind: file.usual_limits ? file.kind : null })), 240);
    results.check('attacks: nobody read the file that they name, or came to the port', !bait.isRead && bait.connections === 0, { connections: bait.connections });
    const works = await bait.works();
    results.check('attacks: both would have been seen', works.file && works.port, works);
  }
  const media = process.env.TELSTAR_TEST_MEDIA;
  if (only.includes('media') && media && existsSync(media)) {
    const names = readdirSync(media).filter((name) => !/^MANIFEST|\.md$/.test(name));
    await all(stage, 'media', names.map((name) => ({ file: path.join(media, name), what: name })), 1);
  }
  if (only.includes('kills')) await kills(stage);
  bait.close();
  await stage.server.stop();
  if (only.includes('disk')) await diskFull();
});
process.exit();
