// The clients that people already have: tus-js-client in Node and in Chromium, tuspy in Python. Lines break, pages are reloaded, the
// server is killed in the middle, parts go side by side; what arrives is what was sent, byte for byte, and is one asset.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import tus from 'tus-js-client';
import { openChromium } from '../lib/browsers.mjs';
import { generated } from '../lib/clips.mjs';
import { Cutting } from '../lib/cutting.mjs';
import { E2E, runDir } from '../lib/paths.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { tuspy } from '../lib/tuspy.mjs';
import { Library } from '../lib/vod.mjs';

const MIB = 1024 * 1024;
const SIZE = 48 * MIB;
const CHUNK = 4 * MIB;
const PATIENCE_MS = 120_000;
const RETRIES_MS = Array.from({ length: 60 }, () => 250);
/** What a line that breaks does to an upload: three times, none of them between two chunks. */
const CUTS = { everyBytes: 11 * MIB, cuts: 3 };
const TUS_IN_PAGES = readFileSync(path.join(E2E, 'node_modules/tus-js-client/dist/tus.min.js'), 'utf8');
/** What a browser says by itself of a line that breaks, of an upload that is not there any more, and of a server that is away. */
const EXPECTED = /net::ERR_|Failed to load resource/;

const results = new Results('vod-uploads', 'tus-js-client in Node and Chromium and tuspy upload through broken lines, reloads, a server that is killed and in parallel parts; every byte arrives.');

/** A clip that plays, with so many bytes behind it that are unlike any others: a box of MP4 that everybody skips. */
async function film(seed) {
  const clip = readFileSync(await generated({ seconds: 6 }));
  const free = Buffer.alloc(SIZE - clip.length);
  free.writeUInt32BE(free.length, 0);
  free.write('free', 4, 'latin1');
  let block = createHash('sha256').update(seed).digest();
  for (let at = 8; at < free.length; at += block.length) {
    block.copy(free, at);
    block = createHash('sha256').update(block).digest();
  }
  const file = path.join(runDir(), `${seed}.mp4`);
  const out = createWriteStream(file);
  out.write(clip);
  out.end(free);
  await finished(out);
  return file;
}

async function sumOf(stream) {
  const hash = createHash('sha256');
  for await (const bytes of stream) hash.update(bytes);
  return hash.digest('hex');
}

class Judge {
  constructor(server) { Object.assign(this, { server, library: new Library(server), seen: new Set() }); }

  async #titled(title) {
    const { assets } = await this.server.api('GET', '/api/v1/assets');
    return assets.filter((asset) => asset.title === title);
  }

  /** The one asset of this title has the bytes of `file`, and plays. */
  async expect(what, title, file, detail = {}) {
    const [asset, ...more] = await until(`an asset called ${title}`, PATIENCE_MS, async () => {
      const found = await this.#titled(title);
      return found.length > 0 && found;
    });
    const response = await fetch(new URL(asset.links.source, this.server.http), { headers: { authorization: `Bearer ${await this.server.adminToken()}` } });
    const [got, sent] = [await sumOf(response.body), await sumOf(createReadStream(file))];
    const playable = await this.library.untilPlayable(asset.asset, PATIENCE_MS);
    results.check(`${what}: every byte, one asset, and it plays`, more.length === 0 && got === sent && playable.playable && !this.seen.has(asset.asset), { bytes: asset.bytes, sha256: got.slice(0, 16), assets: 1 + more.length, ...detail });
    this.seen.add(asset.asset);
  }
}

/** Uploads with tus-js-client in Node until it ends by itself or `during` says otherwise. */
async function inNode(server, endpoint, source, options, during = async () => {}) {
  const told = { retries: 0, progress: 0 };
  let upload;
  const ended = new Promise((resolve, reject) => {
    upload = new tus.Upload(typeof source === 'string' ? createReadStream(source) : source, {
      endpoint, chunkSize: CHUNK, retryDelays: RETRIES_MS, removeFingerprintOnSuccess: true,
      onSuccess: resolve, onError: reject,
      onShouldRetry: () => { told.retries += 1; return true; },
      onProgress: (sent) => { told.progress = sent; },
      ...options,
    });
  });
  const authorization = `Bearer ${await server.adminToken()}`;
  upload.options.headers = { ...upload.options.headers, authorization };
  upload.start();
  await Promise.race([ended, sleep(PATIENCE_MS).then(() => { throw new Error('the upload took too long'); }), during(upload, told).then(() => ended)]);
  return told;
}

const uploads = (base) => `${base}/api/v1/uploads`;

async function node(server, judge) {
  const file = await film('node-cut');
  let line = await Cutting.open(server.http, CUTS);
  let told = await inNode(server, uploads(line.url), file, { metadata: { title: 'node-cut' } });
  results.check('tus-js-client in Node: the line broke', line.done === CUTS.cuts && told.retries >= CUTS.cuts, { cuts: line.done, retries: told.retries });
  await judge.expect('tus-js-client in Node, through a line that breaks', 'node-cut', file);
  await line.close();

  const parts = await film('node-parts');
  line = await Cutting.open(server.http, CUTS);
  told = await inNode(server, uploads(line.url), parts, { metadata: { title: 'node-parts' }, metadataForPartialUploads: {}, parallelUploads: 4 });
  await judge.expect('tus-js-client in Node, in four parts at once', 'node-parts', parts, { cuts: line.done, retries: told.retries });
  await line.close();

  const killed = await film('node-killed');
  const offsets = [];
  told = await inNode(server, uploads(server.http), killed, { metadata: { title: 'node-killed' }, chunkSize: Infinity,
    // A body that takes some seconds, so that the crash comes in its middle.
    ...(await slowly(server.http, (base) => ({ endpoint: uploads(base) }))),
    onAfterResponse: (request, response) => { if (request.getMethod() === 'HEAD') offsets.push(Number(response.getHeader('upload-offset'))); },
  }, async (upload, state) => {
    // What came within ten seconds is on disk and acknowledged.
    await until('a third of it', PATIENCE_MS, () => state.progress > SIZE / 3);
    await sleep(12_000);
    await server.kill9();
    await server.start();
  });
  results.check('tus-js-client in Node: after kill -9 it goes on where the server was', offsets.some((offset) => offset > 0), { offsets, retries: told.retries });
  await judge.expect('tus-js-client in Node, over a kill -9 of the server in the middle of one body', 'node-killed', killed);

  const whole = await film('node-whole');
  await inNode(server, uploads(server.http), whole, { metadata: { title: 'node-whole' }, uploadDataDuringCreation: true });
  await judge.expect('tus-js-client in Node, with its first bytes in the creation', 'node-whole', whole);

  const stream = await film('node-stream');
  // Of a file it knows the length, whatever it is told, of a stream it does not; and 4.3.1 never ends on a stream that ends with a chunk.
  await inNode(server, uploads(server.http), createReadStream(stream).pipe(new PassThrough()), { metadata: { title: 'node-stream' }, uploadLengthDeferred: true, chunkSize: CHUNK - 1 });
  await judge.expect('tus-js-client in Node, of a length that is told in the end', 'node-stream', stream);
}

/** A line of some 2 MiB/s; `then` makes options of its address. */
async function slowly(target, then) {
  const { default: net } = await import('node:net');
  const { hostname, port } = new URL(target);
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname);
    const end = () => { client.destroy(); upstream.destroy(); };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
    upstream.pipe(client);
    client.on('data', (bytes) => {
      client.pause();
      upstream.write(bytes);
      setTimeout(() => client.resume(), (bytes.length / (2 * MIB)) * 1000);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return then(`http://127.0.0.1:${server.address().port}`);
}

/** A page of ours with tus-js-client and a field for files in it, signed in. */
async function pageWithTus(page, base) {
  await page.goto(`${base}/library`);
  await page.raw.evaluate(TUS_IN_PAGES);
  await page.evaluate(() => {
    const input = Object.assign(document.createElement('input'), { type: 'file', id: 'e2e-file' });
    document.body.append(input);
  });
}

/** Begins in the page, or goes on with what an earlier one began; `window.__upload` tells how it is. */
async function beginInPage(page, file, options) {
  await page.raw.setInputFiles('#e2e-file', file);
  return page.evaluate(async ({ given, retryDelays }) => {
    const state = { ended: false, error: null, retries: 0, progress: 0, resumedFrom: null };
    window.__upload = state;
    const upload = new tus.Upload(document.querySelector('#e2e-file').files[0], {
      endpoint: '/api/v1/uploads', retryDelays, removeFingerprintOnSuccess: true, ...given,
      onSuccess: () => { state.ended = true; },
      onError: (error) => { state.error = String(error); },
      onShouldRetry: () => { state.retries += 1; return true; },
      onProgress: (sent) => { state.resumedFrom ??= sent; state.progress = sent; },
    });
    const earlier = await upload.findPreviousUploads();
    if (earlier.length > 0) upload.resumeFromPreviousUpload(earlier[0]);
    upload.start();
    return earlier.length;
  }, { given: options, retryDelays: RETRIES_MS });
}

const inPage = (page) => page.evaluate(() => window.__upload);

async function endInPage(page) {
  return until('the upload in the page', PATIENCE_MS, async () => {
    const state = await inPage(page);
    if (state.error) throw new Error(state.error);
    return state.ended && state;
  });
}

async function chromium(server, judge) {
  const browser = await openChromium();
  const page = await browser.page();
  await page.goto(await server.signInLink());
  await page.raw.waitForURL((url) => !url.pathname.startsWith('/sign-in'), { timeout: 30_000 });

  const cut = await film('page-cut');
  let line = await Cutting.open(server.http, CUTS);
  await pageWithTus(page, line.url);
  await beginInPage(page, cut, { chunkSize: CHUNK, metadata: { title: 'page-cut' } });
  let state = await endInPage(page);
  await judge.expect('tus-js-client in Chromium, through a line that breaks', 'page-cut', cut, { cuts: line.done, retries: state.retries });

  const reloaded = await film('page-reloaded');
  const slow = await slowly(server.http, (base) => base);
  await pageWithTus(page, slow);
  await beginInPage(page, reloaded, { chunkSize: CHUNK, metadata: { title: 'page-reloaded' } });
  await until('a third of it', PATIENCE_MS, async () => (await inPage(page)).progress > SIZE / 3);
  await pageWithTus(page, slow);
  const earlier = await beginInPage(page, reloaded, { chunkSize: CHUNK, metadata: { title: 'page-reloaded' } });
  state = await endInPage(page);
  results.check('tus-js-client in Chromium: a reloaded page goes on where it was', earlier === 1 && state.resumedFrom >= SIZE / 4, { earlier, resumed_from: state.resumedFrom });
  await judge.expect('tus-js-client in Chromium, over a reload', 'page-reloaded', reloaded);

  const killed = await film('page-killed');
  await pageWithTus(page, slow);
  await beginInPage(page, killed, { chunkSize: CHUNK, metadata: { title: 'page-killed' } });
  await until('a third of it', PATIENCE_MS, async () => (await inPage(page)).progress > SIZE / 3);
  await server.kill9();
  await server.start();
  state = await endInPage(page);
  results.check('tus-js-client in Chromium: it tried again by itself', state.retries > 0, { retries: state.retries });
  await judge.expect('tus-js-client in Chromium, over a kill -9 of the server', 'page-killed', killed);

  const parts = await film('page-parts');
  await line.close();
  line = await Cutting.open(server.http, CUTS);
  await pageWithTus(page, line.url);
  await beginInPage(page, parts, { parallelUploads: 3, metadata: { title: 'page-parts' } });
  state = await endInPage(page);
  await judge.expect('tus-js-client in Chromium, in three parts at once', 'page-parts', parts, { cuts: line.done, retries: state.retries });
  await line.close();
  const said = page.said.filter((text) => /^(error|pageerror)/.test(text) && !EXPECTED.test(text));
  results.check('the page says nothing else on its console', said.length === 0, { said });
  await browser.close();
}

async function python(server, judge) {
  const cut = await film('tuspy-cut');
  const line = await Cutting.open(server.http, CUTS);
  await tuspy(server, cut, { endpoint: uploads(line.url), title: 'tuspy-cut', chunk: CHUNK });
  await judge.expect('tuspy, through a line that breaks', 'tuspy-cut', cut, { cuts: line.done });
  await line.close();

  const killed = await film('tuspy-killed');
  const first = await tuspy(server, killed, { endpoint: uploads(server.http), title: 'tuspy-killed', stopAt: SIZE / 2, checksum: true });
  await server.kill9();
  await server.start();
  const second = await tuspy(server, killed, { endpoint: uploads(server.http), title: 'tuspy-killed', url: first.url, checksum: true });
  results.check('tuspy: nothing that was acknowledged is sent again after kill -9', second.began_at === first.offset && first.offset >= SIZE / 2, { first: first.offset, second: second.began_at });
  await judge.expect('tuspy, with checksums, over a kill -9 of the server', 'tuspy-killed', killed);
}

await results.during(async () => {
  const server = await Telstar.launch();
  const judge = new Judge(server);
  const begun = performance.now();
  await node(server, judge);
  await chromium(server, judge);
  await python(server, judge);
  const blobs = await server.api('GET', '/api/v1/assets');
  results.check('there is nothing but what was uploaded', blobs.assets.length === judge.seen.size, { assets: blobs.assets.length });
  results.figure('uploads', judge.seen.size);
  results.figure('bytes_each', statSync(await film('node-cut')).size);
  results.figure('secs', round((performance.now() - begun) / 1000, 1));
  await server.stop();
});
process.exit();
