// The page of the library as a person has it in Chromium: files are dropped on it, menus are chosen from, and what it shows is read.

import path from 'node:path';
import { DESKTOP } from './browsers.mjs';
import { sleep } from './process.mjs';

const NARROW = { width: 360, height: 740 };
/** Anything on a page, on a machine that is compiling something else. */
export const PATIENCE_MS = 60_000;

export const titleOf = (file) => path.basename(file).replace(/\.[^.]+$/, '');
/** What a video element shows, for `Shelf.video`. */
export const facts = (video) => ({ at: video.currentTime, lines: video.videoHeight, paused: video.paused, duration: video.duration });

/** See above. `results` takes what is judged of every picture of the page. */
export class Shelf {
  constructor(server, page, cdp, results) { Object.assign(this, { server, page, raw: page.raw, cdp, results }); }

  static async open(server, browser, results) {
    const page = await browser.page();
    await page.goto(await server.signInLink());
    await page.raw.waitForURL((url) => !url.pathname.startsWith('/sign-in'), { timeout: PATIENCE_MS });
    const shelf = new Shelf(server, page, await browser.context.newCDPSession(page.raw), results);
    await shelf.goto('/library');
    return shelf;
  }

  async goto(pathname) {
    await this.page.goto(this.server.http + pathname);
    await this.raw.locator(pathname === '/library' ? '.drop-zone' : '.player').waitFor({ timeout: PATIENCE_MS });
  }

  /** A drop as the system brings it: the page gets files, not paths. */
  async drop(...files) {
    const { x, y, width, height } = await this.raw.locator('.drop-zone').boundingBox();
    const data = { items: [], files, dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop']) await this.cdp.send('Input.dispatchDragEvent', { type, x: x + width / 2, y: y + height / 2, data });
  }

  throttle(bytesPerSec) {
    return this.cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytesPerSec ?? -1 });
  }

  row(file) { return this.raw.locator(`.upload-row[data-name="${path.basename(file)}"]`); }

  /** 0 to 1. */
  progress(file) { return this.row(file).locator('progress').evaluate((bar) => bar.value); }

  /** Uploads of tus that were acknowledged, in milliseconds since the page began. */
  acknowledged() {
    return this.page.evaluate(() => Math.max(...performance.getEntriesByType('resource').filter(({ name, initiatorType }) => initiatorType === 'xmlhttprequest' && name.includes('/api/v1/uploads/')).map(({ responseEnd }) => responseEnd)));
  }

  video(read) { return this.raw.locator('video').first().evaluate(read); }

  options(menu) { return this.raw.locator(`select[name="${menu}"] option`).allTextContents(); }

  async shots(name) {
    await this.page.screenshot(`${name}-desktop`);
    await this.page.resize(NARROW);
    await sleep(500);
    const wide = await this.page.evaluate(() => document.documentElement.scrollWidth);
    this.results.check(`${name}: nothing is wider than a narrow phone`, wide <= NARROW.width, { wide });
    await this.page.screenshot(`${name}-phone`);
    await this.page.resize(DESKTOP);
  }

  async assetOf(title) { return (await this.server.api('GET', '/api/v1/assets')).assets.find((asset) => asset.title === title); }
}
