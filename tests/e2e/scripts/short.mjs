// The short path of `make test`: one encoder, one viewer in Chromium, ffprobe beside it. It judges what arrives and in
// which order, never how fast.

import { openChromium } from '../lib/browsers.mjs';
import { publishClocked } from '../lib/encoders.mjs';
import { following, parseMultivariant } from '../lib/hls.mjs';
import { compare } from '../lib/integrity.mjs';
import { run, sleep, until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { open } from '../lib/watching.mjs';

/** Long enough for a debug build on a machine that is compiling something else. */
const PATIENCE_MS = 90_000;

const results = new Results('short', 'An encoder publishes, a browser and ffprobe watch: the right pictures in the right order.');
const server = await Telstar.launch();
const room = await server.room('short');
const encoder = await publishClocked(room.rtmp, { fps: 25, size: '640x360', videoKbps: 600 });
let browser;
try {
  await server.untilLive(room.name, PATIENCE_MS);
  const multivariant = parseMultivariant(await (await fetch(room.playlist)).text(), room.playlist);
  results.check('the multivariant playlist names one picture and one sound', multivariant.variants.length === 1 && multivariant.media.filter((m) => m.TYPE === 'AUDIO').length === 1);

  const { follower, samples, done } = following(multivariant.variants[0].url);
  browser = await openChromium();
  const page = await open(browser, `${room.watch}?transport=hls`);
  const numbers = [];
  await until('five seconds of pictures', PATIENCE_MS, async () => {
    const read = await page.evaluate(() => window.__probe.readPicture());
    if (read && read.number !== numbers.at(-1)) numbers.push(read.number);
    return numbers.length > 1 && numbers.at(-1) - numbers[0] >= 5 * encoder.fps;
  }, 150);
  results.check('pictures come in the order they were drawn', numbers.every((n, i) => i === 0 || n > numbers[i - 1]), { from: numbers[0], to: numbers.at(-1), readings: numbers.length });
  results.check('no picture comes before it was sent', numbers.at(-1) < encoder.sentAt.length);
  await page.screenshot('watch');

  const probed = JSON.parse(await run('ffprobe', 'ffprobe', ['-v', 'error', '-show_entries', 'stream=codec_name,width,height', '-of', 'json', room.playlist]));
  const codecs = probed.streams.map((s) => s.codec_name).sort();
  results.check('ffprobe finds H.264 and AAC', codecs.includes('h264') && codecs.includes('aac'), { codecs });
  results.check('ffprobe finds the size that was sent', probed.streams.some((s) => s.width === 640 && s.height === 360));

  follower.stopped = true;
  await done;
  await sleep(0);
  const outcome = compare(encoder.sent, samples);
  results.check('every access unit in the playlist is the next one sent', outcome.received > 5 * encoder.fps && outcome.doubled + outcome.reordered + outcome.foreign === 0 && missingInside(outcome) === 0, { received: outcome.received, examples: outcome.examples.filter((e) => e.kind !== 'lost') });
  results.check('parts and segments hold the same media', follower.problems.length === 0, { problems: follower.problems.slice(0, 3) });
} catch (error) {
  results.check('the script ran to its end', false, { error: String(error.message).slice(0, 2000) });
} finally {
  await browser?.close();
  await encoder.stop();
  await server.stop();
}
results.finish({ write: false });

/** Units lost between the first and the last received one; what was sent before and after does not count here. */
function missingInside({ pairs }) {
  return pairs.slice(1).reduce((sum, [at], i) => sum + at - pairs[i][0] - 1, 0);
}
