// Acceptance line 6, the logs: every credential there is goes in by every door, right and wrong, with the log at its
// most talkative; none of them may be found in the log, nor in clear in the data folder.

import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { openChromium } from '../lib/browsers.mjs';
import { publishPrepared } from '../lib/encoders.mjs';
import { parseMultivariant } from '../lib/hls.mjs';
import { run, sleep, until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { open } from '../lib/watching.mjs';

const results = new Results('secrets', 'No credential stands in a log, even at the level trace, nor in clear in the data folder.');
await results.during(async () => {
  const server = await Telstar.launch({ env: { TELSTAR_LOG_LEVEL: 'trace' } });
  const room = await server.room('secrets');
  const { token, watch_url: watchUrl } = await server.api('POST', `/api/v1/rooms/${room.name}/playback-tokens`, { expires_in_secs: 600 });
  const roomToken = (await run('room-token', server.binary, ['token', '--room', room.name, '--identity', 'alice', '--publish', '--subscribe', '--data', server.data])).trim().split('\n').at(-1).trim();
  server.keepSecret(token, roomToken);

  // Sign in as a person: the code goes in once, the cookie with every request after it.
  const browser = await openChromium();
  const page = await browser.page();
  await page.goto(server.banner.signIn);
  const cookie = await until('the session cookie', 20_000, async () => (await browser.context.cookies()).find((c) => c.name === 'telstar_session')?.value);
  server.keepSecret(cookie);
  await page.goto(`${server.http}/`);
  results.check('the session cookie is out of reach of scripts', !(await page.evaluate(() => window.document.cookie)).includes(cookie));

  // Both spellings of a publish, then a watch with the playback token in every URI.
  await server.api('PATCH', `/api/v1/rooms/${room.name}`, { open: false });
  const byName = await publishPrepared(room.rtmp, { name: 'by-name' });
  await server.untilLive(room.name);
  const viewer = await open(browser, watchUrl.startsWith('http') ? watchUrl : server.http + watchUrl);
  await sleep(3000);
  await viewer.close();
  await byName.stop();
  const byQuery = await publishPrepared(`${server.rtmp}/${room.name}?key=${room.key}`, { name: 'by-query' });
  await server.untilLive(room.name);
  await byQuery.stop();

  // The wrong ones: what was refused is a secret too, since it may be a typing mistake away from a right one.
  const wrong = { key: `sk_${'w'.repeat(40)}`, bearer: `tst_${'x'.repeat(40)}`, code: 'y'.repeat(32), playback: `z${token.slice(1)}`, cookie: 'c'.repeat(43) };
  server.keepSecret(...Object.values(wrong));
  const refused = await publishPrepared(`${server.rtmp}/${wrong.key}`, { name: 'refused' });
  await Promise.race([refused.exited, sleep(15_000)]);
  results.check('a wrong Stream Key is turned away', refused.ended && refused.ended.code !== 0, { ended: refused.ended });
  const playlist = (t) => `${server.http}/live/${room.name}/index.m3u8?t=${t}`;
  const statuses = {
    playlist_without: (await fetch(room.playlist)).status,
    playlist_wrong: (await fetch(playlist(wrong.playback))).status,
    api_wrong: (await fetch(`${server.http}/api/v1/rooms`, { headers: { authorization: `Bearer ${wrong.bearer}` } })).status,
    sign_in_wrong: (await fetch(`${server.http}/api/v1/sessions`, { method: 'POST', headers: { 'content-type': 'application/json', origin: server.http }, body: JSON.stringify({ code: wrong.code }) })).status,
    cookie_wrong: (await fetch(`${server.http}/api/v1/rooms`, { headers: { cookie: `telstar_session=${wrong.cookie}` } })).status,
    used_code: (await fetch(`${server.http}/api/v1/sessions`, { method: 'POST', headers: { 'content-type': 'application/json', origin: server.http }, body: JSON.stringify({ code: server.banner.signIn.split('#')[1] }) })).status,
  };
  results.check('wrong credentials are refused', Object.values(statuses).every((s) => s >= 400 && s < 500), statuses);
  const answers = await Promise.all([fetch(playlist(token)).then((r) => r.text()), ...[wrong.playback].map((t) => fetch(playlist(t)).then((r) => r.text()))]);
  results.check('the playback token is copied to child URIs', parseMultivariant(answers[0], room.playlist).variants.every((v) => v.url.includes(`t=${token}`)));

  // Keys are shown once. Neither a list nor the metrics nor the description repeat them.
  const told = await Promise.all(['/metrics', '/api/v1/openapi.json', '/healthz', '/readyz', '/api/v1/server'].map((p) => fetch(server.http + p).then((r) => r.text())));
  const listed = JSON.stringify(await server.api('GET', `/api/v1/rooms/${room.name}/stream-keys`));
  results.check('no answer repeats a secret', ![...told, listed].some((text) => [...server.secrets].some((s) => text.includes(s))));
  await browser.close();
  await server.stop();

  const clear = files(server.data).filter((file) => { const bytes = readFileSync(file); return [...server.secrets].some((s) => bytes.includes(s)); });
  results.check('no credential lies in clear in the data folder', clear.length === 0, { files: clear.map((f) => path.relative(server.data, f)) });
  const loose = files(server.data).filter((file) => (statSync(file).mode & 0o077) !== 0);
  results.check('only the owner can read the data folder', (statSync(server.data).mode & 0o077) === 0 || loose.length === 0, { folder: (statSync(server.data).mode & 0o777).toString(8), loose: loose.map((f) => path.relative(server.data, f)) });
  results.check('the log was at its most talkative', / DEBUG /.test(server.log), { lines: server.log.split('\n').length });
});
process.exit();

function files(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).map((e) => path.join(e.parentPath ?? e.path, e.name));
}
