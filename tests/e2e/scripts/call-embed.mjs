// Acceptance line 4, examples/embed-call: a backend of somebody else mints tokens, and a page on its origin holds a call.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { openChromium } from '../lib/browsers.mjs';
import { REPO } from '../lib/paths.mjs';
import { freePorts, sleep, start, until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

const EXAMPLE = path.join(REPO, 'examples/embed-call');
const LINES_MAX = 60;
const WATCH_MS = 8000;

const results = new Results('call-embed', 'The example backend and its page on another origin hold a call in Chromium.');
await results.during(async () => {
  const [port] = await freePorts(1);
  const origin = `http://localhost:${port}`;
  const server = await Telstar.launch({ env: { TELSTAR_ALLOWED_ORIGINS: origin } });
  const program = ['server.mjs', 'backend.mjs', 'index.mjs'].map((name) => path.join(EXAMPLE, name)).find(existsSync);
  const key = await server.api('POST', '/api/v1/api-keys', { label: 'embed-call' });
  server.keepSecret(key.token, key.secret, key.key);
  const backend = start('backend', process.execPath, [program], {
    cwd: EXAMPLE, env: { PORT: String(port), TELSTAR_URL: server.http, TELSTAR_API_KEY: key.token ?? key.key, TELSTAR_API_SECRET: key.secret ?? '' },
  });
  await until('the backend to listen', 10_000, () => fetch(origin).then(({ ok }) => ok, () => false));
  for (const name of [path.basename(program), 'index.html']) {
    const lines = readFileSync(path.join(EXAMPLE, name), 'utf8').split('\n').length - 1;
    results.check(`${name} is short`, lines < LINES_MAX, { lines });
  }

  const browsers = [await openChromium({ camera: true }), await openChromium({ camera: true })];
  const pages = [];
  for (const browser of browsers) {
    const page = await browser.page();
    pages.push(page);
    await page.goto(origin);
    await page.evaluate(() => document.querySelector('button')?.click());
  }
  for (const [i, page] of pages.entries()) {
    const moving = await until('the picture of the other', 20_000, () => page.evaluate(() => [...document.querySelectorAll('video')].filter((video) => video.videoWidth > 0 && video.currentTime > 0.5).length >= 1), 200).catch(() => false);
    const before = await times(page);
    await sleep(WATCH_MS / 2);
    const after = await times(page);
    const moved = after.filter((time, each) => time - (before[each] ?? 0) > 2).length;
    results.check(`page ${i + 1} on another origin shows a picture that moves`, moving && moved >= 1, { videos: after.length, moved, said: page.said.filter((line) => /error/.test(line)).slice(0, 5) });
    await page.screenshot(`embed-call-${i + 1}`);
  }
  const rooms = await server.api('GET', '/api/v1/rooms');
  const people = await Promise.all(rooms.rooms.map(({ name }) => server.api('GET', `/api/v1/rooms/${name}/participants`).then(({ participants }) => participants, () => [])));
  results.check('the server has both in one call', people.some((participants) => participants.length === 2), { participants: people.flat().map(({ identity, tracks }) => ({ identity, tracks: tracks.map(({ kind }) => kind) })) });

  // An origin that was not allowed gets nothing.
  const [other] = await freePorts(1);
  const stranger = start('stranger', process.execPath, [program], { cwd: EXAMPLE, env: { PORT: String(other), TELSTAR_URL: server.http, TELSTAR_API_KEY: key.token ?? key.key, TELSTAR_API_SECRET: key.secret ?? '' } });
  await until('the other backend to listen', 10_000, () => fetch(`http://localhost:${other}`).then(({ ok }) => ok, () => false));
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

function times(page) { return page.evaluate(() => [...document.querySelectorAll('video')].map(({ currentTime }) => currentTime)); }
