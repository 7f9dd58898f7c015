// The short path of video on demand for `make test`: a file is dropped on the page of the library in a Chromium and plays there. It
// judges that the right pictures come in the right order, and that the source is kept as it was, never how fast.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { openChromium } from '../lib/browsers.mjs';
import { codedClip } from '../lib/encoders.mjs';
import { until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { PATIENCE_MS, Shelf, titleOf } from '../lib/shelf.mjs';

const SECONDS = 8;
const FPS = 25;

const results = new Results('short-vod', 'A file dropped on the page plays in it: the right pictures in the right order, and the source is kept as it was.');
const server = await Telstar.launch();
const browser = await openChromium();
try {
  const file = await codedClip({ seconds: SECONDS, fps: FPS, size: '640x360' });
  const shelf = await Shelf.open(server, browser, results);
  await shelf.drop(file);
  const numbers = [];
  await until('five seconds of pictures', PATIENCE_MS, async () => {
    const read = await shelf.page.evaluate(() => window.__probe.readPicture());
    if (read && read.number !== numbers.at(-1)) numbers.push(read.number);
    return numbers.length > 1 && numbers.at(-1) - numbers[0] >= 5 * FPS;
  }, 100);
  results.check('pictures come in the order they were drawn', numbers.every((number, i) => i === 0 || number > numbers[i - 1]) && numbers.at(-1) < SECONDS * FPS, { from: numbers[0], to: numbers.at(-1), readings: numbers.length });
  await shelf.page.screenshot('library');
  const asset = await until('the asset to be whole', PATIENCE_MS, async () => {
    const found = await shelf.assetOf(titleOf(file));
    return found?.state === 'ready' && found.progress === 1 && found;
  });
  const source = await fetch(server.http + new URL(asset.links.source, server.http).pathname, { headers: { authorization: `Bearer ${await server.adminToken()}` } });
  const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');
  results.check('the source is what was uploaded, byte for byte', hash(Buffer.from(await source.arrayBuffer())) === hash(readFileSync(file)));
  const names = asset.renditions.map((one) => one.name);
  results.check('it has the picture as it came, smaller ones, and normalised sound', ['v-copy', 'v240', 'a1'].every((name) => names.includes(name)), { names });
  await shelf.raw.locator(`.asset-card[data-asset="${asset.asset}"] img.card-poster`).waitFor({ timeout: PATIENCE_MS });
  results.check('the card has a poster, and the console no error', shelf.page.said.filter((line) => /^(error|pageerror)/.test(line)).length === 0, { said: shelf.page.said });
} catch (error) {
  console.error(error);
  results.check('the script ran to its end', false, { error: String(error.message ?? error).slice(0, 2000) });
} finally {
  await browser.close();
  await server.stop();
}
results.finish({ write: false });
process.exit(process.exitCode ?? 0);
