// The players: hls.js, Shaka, Chromium's own, Firefox (by hls.js), GStreamer and ffprobe play an asset with two languages and with
// subtitles, seek in it, and what is seen, heard and read is what the source has there.

import { openChromium, openFirefox } from '../lib/browsers.mjs';
import { probe } from '../lib/ffprobe.mjs';
import { parseMedia, parseMultivariant } from '../lib/hls.mjs';
import { watchPlaybin } from '../lib/players.mjs';
import { until } from '../lib/process.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { strictError } from '../lib/strict.mjs';
import { Library } from '../lib/vod.mjs';
import { TWO_LANGUAGES, twoLanguages } from '../lib/vodclips.mjs';
import { mp4boxErrors } from '../lib/mp4box.mjs';
import { servePlayers } from '../lib/vodplayers.mjs';

const { seconds: SECONDS, tones: TONES, wordAt } = TWO_LANGUAGES;
const SEEK_TO = 25;
/** A bin of the meter is 6 Hz wide. */
const TONE_ROOM = 15;

const results = new Results('vod-players', 'hls.js, Shaka, native Chromium, Firefox, GStreamer and ffprobe play an asset, with seeking, audio and subtitle tracks.');

/**
 * One player in one browser. `chooses`: it lets a page choose tracks. `hears`: the browser runs sound graphs; Firefox does not on a machine
 * without a sound device, and there what it loads says what it was told to play.
 */
async function judge(name, browser, url, { chooses = true, hears = true } = {}) {
  const page = await browser.page();
  await page.goto(url);
  // Sound is analysed only on a page that somebody has touched.
  await page.raw.mouse.click(40, 40);
  const facts = () => page.evaluate(() => window.__facts());
  const moved = async (from) => until(`${name} to play on from ${from}`, 20_000, async () => { const now = await facts(); return now.at > from + 1.5 && now; }, 200);
  try {
    const playing = await moved(0);
    results.check(`${name}: plays, and knows how long it is`, Math.abs(playing.duration - SECONDS) < 0.2 && playing.errors.length === 0, playing);
    const tracks = await page.evaluate(() => window.__tracks());
    if (chooses) results.check(`${name}: has the subtitles and both languages`, tracks.text.includes('de') && Object.keys(TONES).every((language) => tracks.audio.includes(language)), tracks);
    else results.figure(`${name}: tracks that it lets a page choose`, tracks);
    await page.evaluate((to) => window.__seek(to), SEEK_TO);
    const sought = await moved(SEEK_TO);
    results.check(`${name}: plays on where it was sought`, sought.at < SEEK_TO + 8 && sought.errors.length === 0, sought);
    if (chooses) {
      for (const [language, hertz] of Object.entries(TONES).reverse()) {
        if (!hears) {
          await loaded(name, page, language);
          continue;
        }
        await page.evaluate((chosen) => { window.__listen(chosen); window.__tone(); }, language);
        const heard = await until(`${name} to sound in ${language}`, 15_000, async () => {
          const tone = await page.evaluate(() => window.__tone());
          return tone && Math.abs(tone.hertz - hertz) < TONE_ROOM && tone;
        }, 200).catch(() => null);
        results.check(`${name}: ${language} is heard when it is chosen`, heard, { heard });
      }
      await page.evaluate((to) => { window.__read('de'); window.__seek(to); }, 11);
      const read = await until(`${name} to show words`, 15_000, async () => {
        const [cues, now] = await Promise.all([page.evaluate(() => window.__cues()), facts()]);
        return cues.length > 0 && { cues, at: now.at };
      }, 100).catch(() => null);
      // Asked one behind the other, the word may have ended in between.
      results.check(`${name}: the words of the time are shown`, read && read.cues.some((cue) => [wordAt(read.at), wordAt(read.at - 0.5)].includes(cue.trim())), { read });
    }
  } catch (error) {
    results.check(`${name}: plays`, false, { error: String(error.message).slice(0, 500), facts: await facts().catch(() => null) });
  }
  await page.close?.();
}

/** Chooses a language and waits for its segments, and for the picture to go on with them. */
async function loaded(name, page, language) {
  const rendition = new RegExp(`/a${Object.keys(TONES).indexOf(language) + 1}(-first)?/\\d+\\.m4s`);
  await page.evaluate((chosen) => { performance.clearResourceTimings(); window.__listen(chosen); window.__seek(1); }, language);
  const found = await until(`${name} to load ${language}`, 15_000, async () => {
    const [names, now] = await page.evaluate(() => [performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname), window.__facts()]);
    const sounds = names.filter((one) => /\/a\d[^/]*\/\d+\.m4s/.test(one));
    return now.at > 2.5 && now.at < SEEK_TO && sounds.some((one) => rendition.test(one)) && { sounds: sounds.length, others: sounds.filter((one) => !rendition.test(one)).length, at: now.at };
  }, 200).catch(() => null);
  results.check(`${name}: ${language} is loaded and played when it is chosen`, found, { found });
}

await results.during(async () => {
  const server = await Telstar.launch();
  const library = new Library(server);
  const { asset } = await library.upload(await twoLanguages(), { title: 'Two languages' });
  const done = await library.untilDone(asset);
  results.check('the asset is ready', done.state === 'ready', { renditions: done.renditions.map((one) => one.name) });
  const playlist = await library.watchable(asset);

  const texts = [await (await fetch(playlist)).text()];
  const { variants, media, iFrames } = parseMultivariant(texts[0], playlist);
  for (const { url } of [...variants, ...media, ...iFrames]) texts.push(await (await fetch(url)).text());
  const refused = texts.map(strictError).filter(Boolean);
  results.check('hls-parser in strict mode reads every playlist', refused.length === 0, { playlists: texts.length, first: refused[0] });

  const wrong = [];
  let files = 0;
  for (const { url } of [...variants, ...media.filter(({ TYPE }) => TYPE === 'AUDIO')]) {
    const list = parseMedia(await (await fetch(url)).text(), url);
    const { count, errors } = await mp4boxErrors(list.segments[0].map, list.segments.map((segment) => segment.url));
    files += count;
    wrong.push(...errors);
  }
  results.check('mp4box reads every init segment and every segment', wrong.length === 0 && files > 20, { files, wrong: wrong.slice(0, 3) });

  const players = await servePlayers();
  const chromium = await openChromium({ args: ['--autoplay-policy=no-user-gesture-required'] });
  await judge('hls.js in chromium', chromium, players.url('hlsjs', playlist));
  await judge('shaka in chromium', chromium, players.url('shaka', playlist));
  await judge('native chromium', chromium, players.url('native', playlist), { chooses: false });
  await chromium.close();
  const firefox = await openFirefox();
  await judge('hls.js in firefox', firefox, players.url('hlsjs', playlist), { hears: false });
  await firefox.close();

  const playbin = await watchPlaybin(playlist, 10);
  results.check('GStreamer plays pictures and sound without a stall', !playbin.ended_early && ['video', 'audio'].every((kind) => playbin[kind].buffers > 0 && playbin[kind].stalls.length === 0), playbin);

  for (const { url } of variants.slice(0, 2)) {
    const { units } = await probe(url);
    const last = units.video.at(-1)?.pts - units.video[0]?.pts;
    results.check('ffprobe reads a variant from its beginning to its end', Math.abs(last - (SECONDS - 1 / 30)) < 0.1, { pictures: units.video.length, lasts: round(last, 3) });
  }
  players.close();
  await server.stop();
});
process.exit();
