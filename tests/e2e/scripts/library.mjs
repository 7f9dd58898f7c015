// The library as a person uses it, in Chromium: files are dropped on the page and play there, other qualities appear while they do,
// menus, seeking, going on after a pause, a reload and a crash of the server, a file that is none, and the end of it all.

import { createHash } from 'node:crypto';
import { createReadStream, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DESKTOP, openChromium } from '../lib/browsers.mjs';
import { preparedClip } from '../lib/clips.mjs';
import { runDir } from '../lib/paths.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { PATIENCE_MS, Shelf, facts, titleOf } from '../lib/shelf.mjs';
import { Library } from '../lib/vod.mjs';
import { TWO_LANGUAGES, twoLanguages } from '../lib/vodclips.mjs';

/** Bytes a second while an upload is to be caught on its way. */
const SLOW = 2_000_000;
/** What a browser says by itself of a server that is away. */
const AWAY = /net::ERR_(CONNECTION|EMPTY_RESPONSE|INCOMPLETE|SOCKET|NETWORK)/;

const results = new Results('library', 'Files dropped on /library play in the page; qualities, tracks, seeking, resuming, errors and deletion work as a person expects.');

async function sha256(stream) {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

async function dropped(shelf, file) {
  await shelf.drop(file);
  const first = await until('the first picture', PATIENCE_MS, async () => (await shelf.page.snapshot()).firstFrameMs, 20);
  const last = await shelf.acknowledged();
  results.check('a dropped MP4 plays in the page that it was dropped on', first > last, { bytes: statSync(file).size });
  results.figure('last_byte_acknowledged_to_first_picture_ms', round(first - last));
  const begun = await shelf.video(facts);
  await until('it to play on', PATIENCE_MS, async () => (await shelf.video(facts)).at > begun.at + 1);
  await shelf.shots('library-plays');
}

async function qualities(shelf, marker) {
  const few = await shelf.options('qualities');
  // A slow machine may need longer than the clip lasts.
  await shelf.video((video) => { video.loop = true; });
  const more = await until('another quality in the menu', 10 * PATIENCE_MS, async () => {
    const now = await shelf.options('qualities');
    return now.length > few.length && now.length > 2 && now;
  }, 500);
  const before = await shelf.video(facts);
  results.check('other qualities appear while it plays, without a reload of the page', !before.paused && await shelf.page.evaluate((said) => window.__marker === said, marker), { first: few, then: more });
  const smallest = more.at(-1);
  await shelf.raw.locator('select[name="qualities"]').selectOption({ label: smallest });
  const now = await until(`pictures of ${smallest}`, PATIENCE_MS, async () => {
    const seen = await shelf.video(facts);
    return `${seen.lines}p` === smallest && !seen.paused && seen;
  }, 100);
  results.check('a quality that came later is shown when it is chosen, where the viewer was', now.at >= before.at - 1 && now.at < before.at + 25, { chosen: smallest, before: before.at, now: now.at });
  await shelf.raw.locator('select[name="qualities"]').selectOption({ index: 0 });
}

async function seeking(shelf) {
  const slider = shelf.raw.locator('.seek-slider');
  await shelf.raw.locator('.picture').hover();
  const { width } = await slider.boundingBox();
  await slider.hover({ position: { x: width / 2, y: 12 } });
  const preview = await until('a picture over the bar', PATIENCE_MS, () => shelf.raw.locator('.seek-preview').evaluate((element) => {
    const [frame, picture] = [element.querySelector('.seek-frame'), element.querySelector('img')];
    const box = frame.getBoundingClientRect();
    return !element.hidden && !frame.hidden && picture.complete && picture.naturalWidth > 0 && box.width > 50 && { width: box.width, height: box.height, sheet: picture.naturalWidth };
  }));
  results.check('the bar shows a small picture of the place under the pointer', preview.sheet >= preview.width - 4, preview);
  await shelf.page.screenshot('library-storyboard');
  await slider.click({ position: { x: width / 2, y: 12 } });
  const there = await until('it to play from there', PATIENCE_MS, async () => {
    const now = await shelf.video(facts);
    return Math.abs(now.at - now.duration / 2) < 4 && !now.paused && now;
  }, 50);
  results.check('a click on the bar seeks', true, there);
}

async function tracks(shelf) {
  const file = await twoLanguages();
  await shelf.goto('/library');
  await shelf.drop(file);
  const asset = await until('the asset', PATIENCE_MS, async () => {
    const found = await shelf.assetOf(titleOf(file));
    return found?.state === 'ready' && found;
  });
  await shelf.goto(`/library/${asset.asset}`);
  await shelf.raw.locator('.big-play').click();
  await until('it to play', PATIENCE_MS, async () => (await shelf.video(facts)).at > 1);
  const [sounds, texts] = [await shelf.options('sounds'), await shelf.options('subtitles')];
  results.check('the menus name the languages', sounds.join() === 'English,한국어' && texts.join() === 'Off,Deutsch', { sounds, texts });
  // The loudest tone says which track is heard.
  await shelf.page.evaluate(() => {
    const context = new AudioContext();
    const analyser = Object.assign(context.createAnalyser(), { fftSize: 8192 });
    context.createMediaElementSource(document.querySelector('video')).connect(analyser);
    window.__hertz = () => {
      const levels = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(levels);
      return (levels.reduce((best, level, at) => (level > levels[best] ? at : best), 0) * context.sampleRate) / analyser.fftSize;
    };
  });
  for (const [label, hertz] of [['한국어', TWO_LANGUAGES.tones.ko], ['English', TWO_LANGUAGES.tones.en]]) {
    await shelf.raw.locator('select[name="sounds"]').selectOption({ label });
    const heard = await until(`${label} to be heard`, PATIENCE_MS, async () => {
      const loudest = await shelf.page.evaluate(() => window.__hertz());
      return Math.abs(loudest - hertz) < 15 && loudest;
    }, 100);
    results.check(`${label} is heard when it is chosen`, true, { hertz: round(heard) });
  }
  await shelf.raw.locator('select[name="subtitles"]').selectOption({ label: 'Deutsch' });
  const read = await until('words', PATIENCE_MS, () => shelf.video((video) => {
    const cues = [...video.textTracks].filter(({ mode }) => mode !== 'disabled').flatMap(({ activeCues }) => [...(activeCues ?? [])].map(({ text }) => text));
    return cues.length > 0 && { cues, at: video.currentTime };
  }), 50);
  results.check('the words of the time are shown', read.cues.includes(TWO_LANGUAGES.wordAt(read.at)), read);
  await shelf.raw.locator('.picture').hover();
  await shelf.shots('library-asset');
  await shelf.raw.locator('[data-name="job-log"] > summary').click();
  await shelf.raw.locator('.log-entry > summary').first().click();
  await shelf.raw.locator('.log-attempt').first().waitFor({ timeout: PATIENCE_MS });
  results.check('the log names what was done to it', (await shelf.raw.locator('.log-entry').count()) >= 3, { entries: await shelf.raw.locator('.log-entry').count() });
  return asset;
}

/** Sharing by the switch and by a link, as somebody without an account meets it. */
async function sharing(shelf, browser, asset) {
  const guests = await browser.browser.newContext({ viewport: DESKTOP, locale: 'ko-KR' });
  const guest = await guests.newPage();
  const address = `${shelf.server.http}/library/${asset.asset}`;
  await guest.goto(address);
  await guest.locator('.cover[data-cover="denied"]').waitFor({ timeout: PATIENCE_MS });
  results.check('what is private is not shown to others', true, { says: await guest.locator('.cover-title').textContent() });
  await shelf.raw.getByRole('button', { name: 'Make a link' }).click();
  const field = shelf.raw.locator('input[name="private-link"]');
  await field.waitFor({ timeout: PATIENCE_MS });
  const link = await field.inputValue();
  shelf.server.keepSecret(new URL(link).searchParams.get('t'));
  await guest.goto(`${shelf.server.http}${new URL(link).pathname}${new URL(link).search}`);
  await guest.locator('.big-play').click({ timeout: PATIENCE_MS });
  await until('a guest to see it', PATIENCE_MS, () => guest.locator('video').evaluate((video) => video.currentTime > 1));
  results.check('a playback link shows it, and does not offer the original', await guest.locator('a[download]').isHidden());
  await guest.screenshot({ path: path.join(runDir(), 'library-guest-korean.png') });
  await shelf.raw.locator('[data-name="share"] input[type="checkbox"]').check();
  await until('it to be open', PATIENCE_MS, async () => (await shelf.server.api('GET', `/api/v1/assets/${asset.asset}`)).open);
  await guest.goto(address.replace('/library/', '/embed/vod/'));
  await guest.locator('.big-play').click({ timeout: PATIENCE_MS });
  await until('a guest to see it', PATIENCE_MS, () => guest.locator('video').evaluate((video) => video.currentTime > 1));
  results.check('once it is open the link as it stands shows it', true);
  await guests.close();
}

/** Paused, the page loaded again, and gone on; the bytes that were there are not sent again. */
async function resumed(shelf, file) {
  await shelf.goto('/library');
  await shelf.throttle(SLOW);
  await shelf.drop(file);
  await until('a part to be sent', PATIENCE_MS, async () => (await shelf.progress(file)) > 0.3);
  await shelf.row(file).locator('[data-name="pause"]').click();
  await until('it to be paused', PATIENCE_MS, async () => (await shelf.row(file).getAttribute('data-state')) === 'paused');
  const at = await shelf.progress(file);
  await sleep(1500);
  results.check('a paused upload stands still', (await shelf.progress(file)) === at, { at: round(at, 3) });
  await shelf.page.screenshot('library-paused');
  await shelf.goto('/library');
  const row = shelf.raw.locator(`.unfinished-row[data-name="${path.basename(file)}"]`);
  await row.waitFor({ timeout: PATIENCE_MS });
  results.check('after a reload the page says what was not finished', true, { says: await row.innerText() });
  await shelf.page.screenshot('library-unfinished');
  await shelf.drop(file);
  await until('it to go on', PATIENCE_MS, async () => (await shelf.progress(file)) > 0);
  const from = await shelf.progress(file);
  results.check('the file dropped again goes on where it was', from > 0.15, { left_at: round(at, 3), goes_on_at: round(from, 3) });
}

async function survivesKill(shelf, file) {
  await until('more to be sent', PATIENCE_MS, async () => (await shelf.progress(file)) > 0.6);
  await shelf.server.kill9();
  await until('the page to say that it waits', PATIENCE_MS, async () => (await shelf.row(file).getAttribute('data-state')) === 'retrying');
  await shelf.page.screenshot('library-server-away');
  const said = await shelf.row(file).locator('.upload-state').textContent();
  await shelf.server.start();
  await until('it to go on by itself', PATIENCE_MS, async () => ['uploading', 'done'].includes(await shelf.row(file).getAttribute('data-state')));
  await shelf.throttle(null);
  const asset = await until('the asset', PATIENCE_MS, async () => (await shelf.assetOf(titleOf(file))) ?? null);
  const response = await fetch(`${shelf.server.http}${new URL(asset.links.source, shelf.server.http).pathname}`, { headers: { authorization: `Bearer ${await shelf.server.adminToken()}` } });
  const [kept, sent] = [await sha256(response.body), await sha256(createReadStream(file))];
  results.check('kill -9 of the server in the middle: it goes on by itself, and every byte is the source\'s', kept === sent, { said, bytes: statSync(file).size });
  return asset;
}

async function wrongAndDeleted(shelf, library) {
  await shelf.goto('/library');
  const wrong = path.join(runDir(), 'holiday.mp4');
  writeFileSync(wrong, JSON.stringify({ this: 'is no video' }).repeat(50));
  const empty = path.join(runDir(), 'empty.mp4');
  writeFileSync(empty, '');
  await shelf.drop(wrong, empty);
  const toast = await shelf.raw.getByText('empty.mp4 is empty').first().textContent({ timeout: PATIENCE_MS });
  const asset = await until('the wrong file to fail', PATIENCE_MS, async () => {
    const found = await shelf.assetOf('holiday');
    return found?.state === 'failed' && found;
  });
  const card = shelf.raw.locator(`.asset-card[data-asset="${asset.asset}"]`);
  const says = await card.locator('.asset-problem').first().textContent({ timeout: PATIENCE_MS });
  results.check('a file that is no video says so in plain words', /^The file .*\.$/.test(says) && (await card.locator('.asset-problem:visible').count()) === 1, { says, empty: toast });
  await shelf.page.screenshot('library-wrong-file');
  const attempts = async () => (await library.jobs(asset.asset))[0].attempts;
  const before = await attempts();
  await card.locator('[data-name="retry-job"]').click();
  await until('another attempt', PATIENCE_MS, async () => (await attempts()) > before);
  results.check('and can be tried again', true);

  await shelf.goto(`/library/${asset.asset}`);
  await shelf.raw.locator('[data-name="delete"]').click();
  const dialog = shelf.raw.locator('dialog[open]');
  await dialog.waitFor({ timeout: PATIENCE_MS });
  await shelf.page.screenshot('library-delete');
  await dialog.locator('.button-danger').click();
  await shelf.raw.waitForURL((url) => url.pathname === '/library', { timeout: PATIENCE_MS });
  await until('the card to go', PATIENCE_MS, async () => (await shelf.raw.locator('.asset-card').count()) > 0 && (await card.count()) === 0);
  const gone = await fetch(`${shelf.server.http}/api/v1/assets/${asset.asset}`, { headers: { authorization: `Bearer ${await shelf.server.adminToken()}` } });
  results.check('after a question it is deleted', gone.status === 404, { status: gone.status });
}

async function two(shelf, files) {
  await shelf.goto('/library');
  await shelf.throttle(SLOW);
  await shelf.drop(...files);
  const both = await until('both on their way', PATIENCE_MS, async () => {
    const at = await Promise.all(files.map((file) => shelf.progress(file)));
    return at.every((share) => share > 0 && share < 1) && at;
  }, 50);
  await shelf.page.screenshot('library-two');
  await shelf.throttle(null);
  const titles = files.map(titleOf);
  const made = await until('both assets', PATIENCE_MS, async () => {
    const { assets } = await shelf.server.api('GET', '/api/v1/assets');
    const found = titles.map((title) => assets.find((asset) => asset.title === title && asset.playable));
    return found.every(Boolean) && found;
  });
  results.check('two files dropped together are sent together, and both play', made.length === 2, { seen_at: both.map((share) => round(share, 2)) });
}

await results.during(async () => {
  const server = await Telstar.launch();
  const library = new Library(server);
  const real = await preparedClip({ seconds: 60, size: '854x480', videoKbps: 2000 });
  const browser = await openChromium();
  const shelf = await Shelf.open(server, browser, results);
  await shelf.shots('library-empty');
  const marker = String(Math.random());
  await shelf.page.evaluate((said) => { window.__marker = said; }, marker);
  await dropped(shelf, real);
  await qualities(shelf, marker);
  await seeking(shelf);
  const asset = await tracks(shelf);
  await sharing(shelf, browser, asset);
  const others = [await preparedClip({ seconds: 30, size: '640x360', videoKbps: 3000 }), await preparedClip({ seconds: 32, size: '640x360', videoKbps: 3000 })];
  await two(shelf, others);
  // A file of a name of its own, so that the asset can be told from the first.
  const again = await preparedClip({ seconds: 91, size: '1280x720', videoKbps: 3000 });
  await resumed(shelf, again);
  await survivesKill(shelf, again);
  await wrongAndDeleted(shelf, library);
  await shelf.raw.emulateMedia({ colorScheme: 'dark' });
  await shelf.goto('/library');
  await shelf.shots('library-dark');
  const { said } = shelf.page;
  const errors = said.filter((line) => /^(error|pageerror|warning)/.test(line) && !AWAY.test(line));
  results.check('the console has no error', errors.length === 0, { lines: said.length, errors: errors.slice(0, 5) });
  await browser.close();
  await server.stop();
});
process.exit();
