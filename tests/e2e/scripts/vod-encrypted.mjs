// AES-128 (`vod.encrypt`): what lies between the server and a player is nothing that can be watched, the key is for whoever may watch,
// and players that know the key play as before.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { openChromium } from '../lib/browsers.mjs';
import { parseMedia, parseMultivariant } from '../lib/hls.mjs';
import { until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { Library } from '../lib/vod.mjs';
import { TWO_LANGUAGES, twoLanguages } from '../lib/vodclips.mjs';
import { servePlayers } from '../lib/vodplayers.mjs';

const command = promisify(execFile);
const SEEK_TO = 25;

const results = new Results('vod-encrypted', 'With AES-128 hls.js, Shaka and ffprobe play an asset with its token, and nobody else gets the key.');

/** Packets of picture and sound, and what was complained of. */
async function packets(input) {
  const args = ['-v', 'error', '-count_packets', '-show_entries', 'stream=codec_type,nb_read_packets', '-of', 'json', input];
  const { stdout, stderr } = await command('ffprobe', args, { timeout: 120_000, maxBuffer: 1 << 26 });
  const of = (type) => Math.max(0, ...JSON.parse(stdout).streams.filter((stream) => stream.codec_type === type).map((stream) => Number(stream.nb_read_packets)));
  return { pictures: of('video'), sounds: of('audio'), complaint: stderr.slice(0, 200) };
}

async function plays(name, browser, url) {
  const page = await browser.page();
  await page.goto(url);
  const facts = () => page.evaluate(() => window.__facts());
  const moved = (from) => until(`${name} to play on from ${from}`, 30_000, async () => {
    const now = await facts();
    return now.at > from + 1.5 && now;
  }, 200);
  try {
    const playing = await moved(0);
    await page.evaluate((to) => window.__seek(to), SEEK_TO);
    const sought = await moved(SEEK_TO);
    results.check(`${name} plays and seeks`, playing.frames > 20 && sought.at < SEEK_TO + 8 && sought.errors.length === 0, sought);
  } catch (error) {
    results.check(`${name} plays and seeks`, false, { error: String(error.message).slice(0, 300), facts: await facts().catch(() => null) });
  }
}

await results.during(async () => {
  const server = await Telstar.launch({ serveArgs: ['--vod-encrypt', 'aes-128'] });
  const library = new Library(server);
  const file = await twoLanguages();
  const { asset } = await library.post(file);
  const done = await library.untilDone(asset);
  results.check('it is ready', done.state === 'ready', { renditions: done.renditions.map(({ name }) => name) });
  const playlist = await library.watchable(asset);

  const [variant] = parseMultivariant(await (await fetch(playlist)).text(), playlist).variants;
  const text = await (await fetch(variant.url)).text();
  const key = text.match(/#EXT-X-KEY:METHOD=AES-128,URI="([^"]+)"/)?.[1];
  const segment = await fetch(parseMedia(text, variant.url).segments[0].url);
  const bytes = Buffer.from(await segment.arrayBuffer());
  results.check('a segment is whole blocks and no MP4', bytes.length % 16 === 0 && !bytes.includes('moof') && !bytes.includes('mdat'), { bytes: bytes.length });
  const without = new URL(key, variant.url);
  without.search = '';
  const statuses = await Promise.all([new URL(key, variant.url), without].map(async (url) => (await fetch(url)).status));
  results.check('the key is for whoever has the token', statuses[0] === 200 && statuses[1] === 404, { statuses });

  const [source, sent] = [await packets(file), await packets(playlist)];
  results.check('ffprobe reads every picture and all sound', sent.pictures === source.pictures && Math.abs(sent.sounds - source.sounds) <= 2 && !sent.complaint, { source, sent });
  const players = await servePlayers();
  const browser = await openChromium();
  for (const player of ['hlsjs', 'shaka']) await plays(player, browser, players.url(player, playlist));
  await browser.close();
  players.close();
  results.figure('clip_secs', TWO_LANGUAGES.seconds);
  await server.stop();
});
process.exit();
