// Acceptance line 4, examples/embed-call: a backend of somebody else mints tokens, and a page on its origin holds a call.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { openChromium } from '../lib/browsers.mjs';
import { REPO } from '../lib/paths.mjs';
import { freePorts, sleep, start, until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

const EXAMPLE = path.join(REPO, 'examples/embed-call');
const ROOM = 'embedded';
const LINES_MAX = 60;
/** Long enough for changes of layer. */
const WATCH_MS = 10_000;

const results = new Results('call-embed', 'The example backend and its page on another origin hold a call in Chromium.');
await results.during(async () => {
  const [port] = await freePorts(1);
  const origin = `http://localhost:${port}`;
  const server = await Telstar.launch({ env: { TELSTAR_ALLOWED_ORIGINS: origin } });
  await server.callRoom(ROOM);
  // As its README says.
  const key = await server.api('POST', '/api/v1/api-keys', { label: 'embed-call' });
  server.keepSecret(key.secret);
  const runs = (at) => start(`backend-${at}`, process.execPath, [path.join(EXAMPLE, 'server.mjs')], {
    cwd: EXAMPLE, env: { PORT: String(at), ROOM, TELSTAR_URL: server.http, API_KEY_ID: key.id, API_KEY_SECRET: key.secret },
  });
  const listens = (at) => until(`the backend to listen on ${at}`, 10_000, () => fetch(`http://localhost:${at}`).then(({ ok }) => ok, () => false));
  const backend = runs(port);
  await listens(port);
  for (const name of ['server.mjs', 'index.html']) {
    const lines = readFileSync(path.join(EXAMPLE, name), 'utf8').trimEnd().split('\n').length;
    results.check(`${name} is shorter than ${LINES_MAX} lines`, lines < LINES_MAX, { lines });
  }

  const browsers = [await openChromium({ camera: true }), await openChromium({ camera: true })];
  const pages = [];
  for (const [i, browser] of browsers.entries()) {
    const page = await browser.page();
    pages.push(page);
    await page.goto(origin);
    await page.raw.getByLabel('Your name').fill(['Anna', 'Ben'][i]);
    await page.raw.getByRole('button', { name: 'Join' }).click();
  }
  for (const [i, page] of pages.entries()) {
    const other = ['Ben', 'Anna'][i];
    const seen = await until(`the picture of ${other}`, 20_000, async () => (await tile(page, other))?.frames > 10, 200).catch(() => false);
    const before = await tile(page, other);
    await sleep(WATCH_MS);
    const after = await tile(page, other);
    results.check(`the page of ${['Anna', 'Ben'][i]}, on another origin, shows ${other}`, seen && after.frames - before.frames > WATCH_MS / 100, { before, after, said: page.said.filter((line) => /error/.test(line)).slice(0, 5) });
    // The first question may come before the event of the first start.
    results.check('without beginning anew', after !== null && after.starts === before.starts, { starts: [before?.starts, after?.starts] });
    await page.screenshot(`embed-call-${i + 1}`);
  }
  const { participants } = await server.api('GET', `/api/v1/rooms/${ROOM}/participants`);
  results.check('the server has both in the call', participants.length === 2, { participants: participants.map(({ identity, tracks }) => ({ identity, tracks: tracks.map(({ kind }) => kind) })) });

  // The same page from an origin that was not allowed.
  const [other] = await freePorts(1);
  const stranger = runs(other);
  await listens(other);
  const page = await browsers[0].page();
  await page.goto(`http://localhost:${other}`);
  const refused = await page.evaluate((url) => new Promise((resolve) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, 'telstar.v1');
    socket.onopen = () => resolve(false);
    socket.onerror = () => resolve(true);
  }), server.http);
  results.check('an origin that was not allowed gets no socket', refused);
  for (const browser of browsers) await browser.close();
  await stranger.stop();
  await backend.stop();
  await server.stop();
});
process.exit();

/** The picture over a name: its size, how many frames were shown since the first question, and how often it began anew. */
function tile(page, name) {
  return page.evaluate((text) => {
    const video = [...document.querySelectorAll('figure')].find((figure) => figure.innerText.trim() === text && figure.querySelector('video'))?.querySelector('video');
    if (!video) return null;
    if (!video.counted) {
      video.counted = { frames: 0, starts: 0 };
      const frame = () => { video.counted.frames += 1; video.requestVideoFrameCallback(frame); };
      video.requestVideoFrameCallback(frame);
      video.addEventListener('loadstart', () => { video.counted.starts += 1; });
    }
    return { width: video.videoWidth, height: video.videoHeight, ...video.counted };
  }, name);
}
