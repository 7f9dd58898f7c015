// Chromium by Playwright and Firefox by Puppeteer behind one small face: open a page with the probe in it, evaluate,
// screenshot, close.

import path from 'node:path';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';
import { BARCODE_BITS, BARCODE_CELL } from './encoders.mjs';
import { runDir } from './paths.mjs';
import { PLAYING_MS, STALL_MS, installProbe } from './probe.mjs';

const PROBE = { stallMs: STALL_MS, playingMs: PLAYING_MS, bits: BARCODE_BITS, cell: BARCODE_CELL };
const pick = (variable, paths) => process.env[variable] ?? paths.find(existsSync) ?? paths[0];
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

/** What a call needs: devices that are there and allowed, and pages that go on while another is in front. */
const CALL_ARGS = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--auto-select-desktop-capture-source=Entire screen', '--disable-features=WebRtcHideLocalIpsWithMdns', '--autoplay-policy=no-user-gesture-required',
  '--disable-background-timer-throttling', '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows'];

/**
 * `camera` gives it a fake camera and microphone: `true` the browser's own test picture, a path that file (Y4M or MJPEG).
 * `host` is where it runs, of lab.mjs.
 */
export async function openChromium({ viewport = DESKTOP, locale = 'en-GB', camera = null, host = null, args = [] } = {}) {
  const executable = pick('TELSTAR_CHROMIUM', ['/usr/bin/chromium', '/usr/bin/google-chrome']);
  const browser = await chromium.launch({
    executablePath: host ? host.wrapper(executable) : executable,
    args: ['--headless=new', '--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run', '--disable-quic', '--disable-dev-shm-usage',
      ...(camera ? CALL_ARGS : []), ...(typeof camera === 'string' ? [`--use-file-for-fake-video-capture=${camera}`] : []), ...args],
  });
  // One context: its tabs share cookies and the six HTTP/1.1 connections, as a person's tabs do.
  const context = await browser.newContext({ viewport, locale, ignoreHTTPSErrors: true, permissions: ['clipboard-read', 'clipboard-write', ...(camera ? ['camera', 'microphone'] : [])] });
  await context.addInitScript(installProbe, PROBE);
  return {
    name: 'chromium', browser, context,
    async page() {
      const page = await context.newPage();
      return watchConsole(page, page, 'chromium', (size) => page.setViewportSize(size));
    },
    close: () => browser.close(),
  };
}

const FIREFOX_CALL = { 'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true, 'media.peerconnection.ice.loopback': true, 'media.peerconnection.ice.obfuscate_host_addresses': false, 'media.getusermedia.insecure.enabled': true };

/** `camera` and `host` as for Chromium; Firefox has its own test picture only. */
export async function openFirefox({ viewport = DESKTOP, camera = null, host = null } = {}) {
  const executable = pick('TELSTAR_FIREFOX', ['/usr/bin/firefox-esr', '/usr/bin/firefox']);
  // It is driven over a port of its loopback, which is another one than the script's.
  const debuggingPort = host ? host.reachLoopback() : undefined;
  const browser = await puppeteer.launch({
    browser: 'firefox', executablePath: host ? host.wrapper(executable) : executable, headless: true, debuggingPort,
    acceptInsecureCerts: true, defaultViewport: viewport,
    extraPrefsFirefox: { 'media.autoplay.default': 0, 'app.update.enabled': false, 'datareporting.policy.dataSubmissionEnabled': false, ...(camera ? FIREFOX_CALL : {}) },
  });
  return {
    name: 'firefox', browser,
    async page() {
      const page = await browser.newPage();
      await page.evaluateOnNewDocument(installProbe, PROBE);
      return watchConsole(page, page, 'firefox', (size) => page.setViewport(size));
    },
    close: () => browser.close(),
  };
}

/** Wraps a page: collects what its console says, names its screenshots. */
function watchConsole(page, raw, browser, resize) {
  const said = [];
  page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`.slice(0, 500)));
  page.on('pageerror', (error) => said.push(`pageerror: ${String(error.message ?? error).slice(0, 500)}`));
  return {
    raw, browser, said, resize,
    goto: (url) => page.goto(url, { waitUntil: 'domcontentloaded', timeout: 30_000 }),
    evaluate: (fn, arg) => page.evaluate(fn, arg),
    snapshot: () => page.evaluate(() => window.__probe.snapshot()),
    async screenshot(name) {
      const file = path.join(runDir(), `${name}.png`);
      await page.screenshot({ path: file });
      return path.basename(file);
    },
    close: () => page.close(),
  };
}
