// The memory of the server while four gigabytes come and go: over HTTP/1.1 and HTTP/2, in one request and in parts of it. The peak is
// the kernel's own, begun anew before each step.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { runDir } from '../lib/paths.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

const command = promisify(execFile);
const GIB = 2 ** 30;
const SIZE = 4 * GIB;
/** What a step may add: buffers of one request and what the allocator keeps of them, whatever the length of the file. */
const ADDED_MIB_MAX = 32;
const PATIENCE_MS = 600_000;

const results = new Results('vod-flat', 'A file of 4 GiB is uploaded and downloaded while the memory of the server stays where it was.');

const status = (pid, field) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm'))[1]) / 1024;

/** Does a step; says what it added at its worst, and how fast it was. */
async function measured(server, name, bytes, step) {
  // proc(5): the peak begins anew at what there is now.
  writeFileSync(`/proc/${server.pid}/clear_refs`, '5');
  const [before, from] = [status(server.pid, 'VmRSS'), performance.now()];
  const outcome = await step();
  const secs = (performance.now() - from) / 1000;
  const added = status(server.pid, 'VmHWM') - before;
  results.check(`${name}: memory stays where it was`, added < ADDED_MIB_MAX, { rss_mib: round(before, 1), added_at_most_mib: round(added, 1) });
  results.figure(`${name.replaceAll(/[^a-z0-9]+/gi, '_')}_mb_per_sec`, round(bytes / secs / 1e6, 1));
  return outcome;
}

async function curl(server, ...args) {
  const secret = path.join(runDir(), 'curl-headers');
  writeFileSync(secret, `Authorization: Bearer ${await server.adminToken()}\nTus-Resumable: 1.0.0\n`, { mode: 0o600 });
  const { stdout } = await command('curl', ['-sS', '-k', '-H', `@${secret}`, '-D', '-', '-o', '/dev/null', ...args], { timeout: PATIENCE_MS });
  const heads = stdout.trim().split(/\r?\n\r?\n/);
  const head = heads.at(-1);
  return { status: Number(head.match(/^HTTP\/\S+ (\d+)/)[1]), field: (name) => head.match(new RegExp(`^${name}: (.*?)\\r?$`, 'im'))?.[1] };
}

const BYTES = ['-H', 'Content-Type: application/offset+octet-stream', '-H', 'Upload-Offset: 0', '-H', 'Expect:'];

async function upload(server, base, file, protocol, kept = true) {
  const made = await curl(server, protocol, '-X', 'POST', '-H', `Upload-Length: ${SIZE}`, ...(kept ? [] : ['-H', 'Upload-Concat: partial']), `${base}/api/v1/uploads`);
  const url = base + made.field('location');
  const sent = await curl(server, protocol, '-X', 'PATCH', ...BYTES, '-T', file, url);
  return { url, status: sent.status, offset: Number(sent.field('upload-offset')), asset: sent.field('telstar-asset') };
}

/** The bytes of a range, without keeping them. */
async function sumOf(server, url, from, to) {
  const response = await fetch(url, { headers: { authorization: `Bearer ${await server.adminToken()}`, range: `bytes=${from}-${to}` } });
  const hash = createHash('sha256');
  let length = 0;
  for await (const bytes of response.body) {
    hash.update(bytes);
    length += bytes.length;
  }
  return { status: response.status, length, sum: hash.digest('hex') };
}

await results.during(async () => {
  const server = await Telstar.launch();
  const file = path.join(runDir(), 'four-gib');
  writeFileSync(file, 'this is no video');
  // A hole: it takes no room here, and all of it there.
  truncateSync(file, SIZE);
  // What every first request costs once.
  await curl(server, `${server.http}/api/v1/assets`);
  await curl(server, '--http2', `${server.https}/api/v1/assets`);

  const one = await measured(server, 'upload HTTP/1.1', SIZE, () => upload(server, server.http, file, '--http1.1'));
  results.check('all of it came', one.status === 204 && one.offset === SIZE && one.asset, { offset: one.offset });
  const two = await measured(server, 'upload HTTP/2', SIZE, () => upload(server, server.https, file, '--http2', false));
  results.check('all of it came over HTTP/2', two.status === 204 && two.offset === SIZE, { offset: two.offset });
  await measured(server, 'delete', SIZE, () => curl(server, '-X', 'DELETE', two.url));
  const whole = await measured(server, 'upload whole body', SIZE, () => curl(server, '-X', 'POST', '-H', 'Expect:', '-T', file, `${server.http}/api/v1/assets?title=whole`));
  results.check('all of it came in one body', whole.status === 201, { status: whole.status });
  await curl(server, '-X', 'DELETE', server.http + whole.field('location'));

  const source = `/vod/${one.asset}/source`;
  for (const [name, base, protocol] of [['HTTP/1.1', server.http, '--http1.1'], ['HTTP/2', server.https, '--http2']]) {
    const down = await measured(server, `download ${name}`, SIZE, () => curl(server, protocol, base + source));
    results.check(`all of it went over ${name}`, down.status === 200 && Number(down.field('content-length')) === SIZE);
    await measured(server, `download slowly ${name}`, 64 * 2 ** 20, () => curl(server, protocol, '--limit-rate', '16M', '-r', `${SIZE - 64 * 2 ** 20}-`, base + source));
  }
  const end = await sumOf(server, server.http + source, SIZE - GIB, SIZE - 1);
  const zeros = createHash('sha256');
  for (let at = 0; at < 1024; at += 1) zeros.update(Buffer.alloc(2 ** 20));
  results.check('the last gigabyte is what was sent', end.status === 206 && end.length === GIB && end.sum === zeros.digest('hex'));
  results.figure('bytes', statSync(file).size);
  results.figure('rss_mib_at_the_end', round(status(server.pid, 'VmRSS'), 1));
  await server.stop();
  // It would fill the disk of whoever runs this often.
  rmSync(file);
  rmSync(path.join(server.data, 'vod'), { recursive: true });
});
process.exit();
