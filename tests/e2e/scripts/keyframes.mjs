// Acceptance line 2, the encoders that are not set up for us: x264 with its default of a keyframe every 250 frames,
// and with keyframes where the scene cuts, play without a stall.

import { openChromium } from '../lib/browsers.mjs';
import { publishGstreamer, publishPrepared } from '../lib/encoders.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { open, smooth, watch } from '../lib/watching.mjs';

const SECONDS = Number(process.env.E2E_WATCH_SECONDS ?? 60);

const CASES = [
  { name: 'keyint-250', what: 'x264 with keyint 250', publish: (url, name) => publishPrepared(url, { name, seconds: 100, gopFrames: 250 }), warns: true },
  { name: 'scenecut', what: 'x264 with keyframes at scene cuts', publish: (url, name) => publishPrepared(url, { name, seconds: 100, gopFrames: 250, scenecut: 40 }) },
  { name: 'scenecut-2s', what: 'x264 with scene cuts and at most 2 s', publish: (url, name) => publishPrepared(url, { name, seconds: 100, gopFrames: 60, scenecut: 60, fps: 24 }) },
  { name: 'gstreamer', what: "GStreamer's rtmp2sink", publish: (url, name) => publishGstreamer(url, { name }) },
];

const results = new Results('keyframes', 'x264 with keyint 250 and with scene-cut keyframes plays without a stall.');
await results.during(async () => {
  const server = await Telstar.launch();
  const browser = await openChromium();
  for (const { name, what, publish, warns } of CASES) {
    const room = await server.room(name);
    const encoder = await publish(room.rtmp, `encoder-${name}`);
    const live = await server.untilLive(room.name);
    const page = await open(browser, `${room.watch}?transport=hls`);
    const figures = await watch(page, SECONDS);
    await page.screenshot(name);
    await page.close();
    results.check(`${what}: ${SECONDS} s without a stall`, smooth(figures), figures);
    if (warns) {
      const { live: now } = await server.api('GET', `/api/v1/rooms/${room.name}`);
      const warning = [...live.warnings ?? [], ...now.warnings ?? []].find((w) => w.code === 'keyframe_interval');
      results.check(`${what}: the room's state says so`, Math.abs((warning?.params.seconds ?? 0) - 250 / 30) < 0.2, { warning });
    }
    await encoder.stop();
  }
  await browser.close();
  await server.stop();
});
process.exit();
