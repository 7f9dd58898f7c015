// Acceptance line 1 with our own page: only what the terminal and the page show is used. Sign in, go live, ffmpeg with
// a real clip, watch in Chromium and in Firefox, over HLS and by the link as it stands, which tries WebRTC first. Screenshots of
// each step, wide and narrow.

import path from 'node:path';
import { DESKTOP, PHONE, openChromium, openFirefox } from '../lib/browsers.mjs';
import { publishClocked } from '../lib/encoders.mjs';
import { realClip } from '../lib/clips.mjs';
import { judgeOpenings, watchOften } from '../lib/openings.mjs';
import { sleep, start, until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { open, watch } from '../lib/watching.mjs';

const MINUTE = Number(process.env.E2E_WATCH_SECONDS ?? 60);
/** The first opening over WebRTC, which is not this script's subject, is watched this long. */
const AS_IT_STANDS_SECONDS = Math.min(MINUTE, 20);
const TITLE = 'Evening concert';

const results = new Results('watch', 'Sign in, go live, ffmpeg: the watch page plays within 3 s of opening, below 2.5 s behind live, a minute without a stall, in Chromium and Firefox.');
await results.during(async () => {
  const server = await Telstar.launch();
  const { banner } = server;
  results.check('the terminal shows all that is needed', ['signIn', 'server', 'streamKey', 'ffmpegLine', 'watch'].every((k) => banner[k]), { missing: ['signIn', 'server', 'streamKey', 'ffmpegLine', 'watch'].filter((k) => !banner[k]) });

  const browser = await openChromium();
  const studio = await browser.page();
  await studio.goto(banner.signIn);
  const boxes = await goLive(studio);
  results.check('the page shows Server, Stream Key and watch link', boxes.server && boxes.key && boxes.watch, { server: boxes.server, watch: boxes.watch });
  server.keepSecret(boxes.key);
  await shots(studio, 'go-live-waiting');

  const clip = await realClip();
  const command = pasted(banner.ffmpegLine, clip, `${boxes.server}/${boxes.key}`);
  results.figure('publish_command', command.join(' ').replaceAll(boxes.key, 'STREAM_KEY').replaceAll(clip, path.basename(clip)));
  const encoder = start('encoder', command[0], command.slice(1));
  await until('the page to say that the room is live', 40_000, () => studio.evaluate((title) => document.body.innerText.includes(title) && /h\.?264/i.test(document.body.innerText), TITLE));
  await sleep(2000);
  await shots(studio, 'go-live-on-air');

  const firefox = await openFirefox();
  for (const viewer of [browser, firefox]) {
    judgeOpenings(results, `${viewer.name} over HLS`, await watchOften(viewer, () => `${boxes.watch}?transport=hls`, { seconds: MINUTE, screenshot: `watch-${viewer.name}` }));
    judgeOpenings(results, `${viewer.name} by the link as it stands`, await watchOften(viewer, () => boxes.watch, { seconds: AS_IT_STANDS_SECONDS, screenshot: `watch-link-${viewer.name}` }));
  }
  const page = await open(browser, boxes.watch);
  await shots(page, 'watch');
  await studio.goto(`${new URL(boxes.watch).origin}/`);
  await sleep(1500);
  await shots(studio, 'home');
  await encoder.stop();

  // The player derives its latency from the program date time. A clock in the picture says whether that is true.
  const clocked = await server.room('clocked');
  const clock = await publishClocked(clocked.rtmp, { name: 'clocked' });
  await server.untilLive(clocked.name);
  for (const viewer of [browser, firefox]) {
    const tab = await open(viewer, `${clocked.watch}?transport=hls`);
    const { latency_seconds_by_picture: picture, latency_seconds_by_player: player } = await watch(tab, 12, { clock });
    results.check(`${viewer.name} over HLS: the latency in the picture is below 2.5 s`, picture && picture.median < 2.5, { picture, player });
    await tab.close();
  }
  await browser.close();
  await firefox.close();
  await clock.stop();
  await server.stop();
});
process.exit();

/** Clicks through "Go live" as a person does and copies the boxes by their buttons. */
async function goLive({ raw }) {
  await raw.getByRole('button', { name: /go live/i }).or(raw.getByRole('link', { name: /go live/i })).first().click();
  await raw.getByRole('textbox').first().fill(TITLE);
  await raw.getByRole('textbox').first().press('Enter');
  const boxes = {};
  for (const [name, input] of [['server', 'server'], ['key', 'stream-key'], ['watch', 'watch-link']]) {
    const box = raw.locator(`input[name="${input}"]`);
    await box.waitFor({ timeout: 20_000 });
    await raw.locator('.field', { has: box }).getByRole('button', { name: /copy/i }).click();
    boxes[name] = await until(`the ${input} in the clipboard`, 5000, () => raw.evaluate(() => navigator.clipboard.readText()));
    if (boxes[name] !== await box.inputValue()) throw new Error(`the copy button of ${input} copied something else`);
  }
  return boxes;
}

/** The ffmpeg line of the terminal with the clip and the address put in, as a person edits it. */
function pasted(line, clip, url) {
  const words = line.match(/"[^"]*"|'[^']*'|\S+/g).map((word) => word.replace(/^["']|["']$/g, ''));
  // The two inputs of the test picture go; the clip is shorter than a minute.
  words.splice(words.indexOf('-re') + 1, words.indexOf('-c:v') - words.indexOf('-re') - 1, '-stream_loop', '-1', '-i', clip);
  words[words.length - 1] = url;
  return [words[0], '-nostdin', '-hide_banner', '-loglevel', 'warning', ...words.slice(1)];
}

async function shots(page, name) {
  await page.screenshot(`${name}-desktop`);
  await page.resize(PHONE);
  await sleep(500);
  await page.screenshot(`${name}-phone`);
  await page.resize(DESKTOP);
}
