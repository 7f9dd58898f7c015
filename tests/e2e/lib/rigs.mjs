// Pages that publish and watch, on an origin of their own so that CORS is exercised: plain WHIP and WHEP without a
// library, Eyevinn's client and player, hls.js, Shaka and a file. Every page has the probe (lib/probe.mjs) and, when it
// watches, the meter (lib/inpage/meter.mjs); what a script asks of it is in `window.__rig`.

import { createReadStream } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { build } from 'esbuild';
import { E2E } from './paths.mjs';
import { until } from './process.mjs';

const MODULES = path.join(E2E, 'node_modules');
const FILES = {
  '/shaka.js': path.join(MODULES, 'shaka-player/dist/shaka-player.compiled.js'),
  '/hls.js': path.join(MODULES, 'hls.js/dist/hls.min.js'),
};

const page = (body) => `<!doctype html><meta charset="utf-8"><title>rig</title>
<style>body{margin:0;background:#000}video{width:100vw;height:100vh}</style>
${body.includes('<video') ? '' : '<video id="v" autoplay playsinline crossorigin="anonymous"></video>'}
<script type="module">
import * as cameras from '/inpage/camera.mjs';
import * as meters from '/inpage/meter.mjs';
import * as whx from '/inpage/whx.mjs';
const video = document.getElementById('v');
const asked = Object.fromEntries(new URLSearchParams(location.search));
const rig = window.__rig = { ...cameras, ...meters, ...whx, video, error: null };
const failed = (error) => { rig.error = String(error?.stack ?? error?.message ?? error); };
const measure = () => { rig.meter = meters.openMeter(video, { size: { width: Number(asked.width ?? 640), height: Number(asked.height ?? 360) } }); };
${body}
</script>`;

const PAGES = {
  // Nothing of its own: what it does is called.
  '/blank': page(''),
  '/whip': page(`
    rig.camera = cameras.openCamera({ toneHz: Number(asked.tone ?? 440), fps: Number(asked.fps ?? 30) });
    whx.publish({ ...asked, stream: rig.camera.stream }).then((session) => { rig.session = session; }, failed);
    rig.figures = () => rig.session && whx.figures(rig.session.peer);
    rig.end = () => rig.session.close();`),
  '/whep': page(`
    whx.view({ ...asked, video, ...(asked.kinds && { kinds: asked.kinds.split(',') }) }).then((session) => { rig.session = session; if (asked.meter !== 'no') measure(); }, failed);
    rig.figures = () => rig.session && whx.figures(rig.session.peer);
    rig.end = () => rig.session.close();`),
  '/eyevinn-whip': page(`
    const { WHIPClient } = await import('/bundle/whip-client.js');
    rig.camera = cameras.openCamera({ toneHz: Number(asked.tone ?? 440), fps: Number(asked.fps ?? 30) });
    const client = new WHIPClient({ endpoint: asked.url, opts: { iceServers: [], authkey: asked.token || undefined, noTrickleIce: asked.trickle !== 'yes' } });
    client.ingest(rig.camera.stream).then(() => { rig.session = { peer: client.peer }; }, failed);
    rig.figures = () => rig.session && whx.figures(rig.session.peer);
    rig.end = () => client.destroy();`),
  '/eyevinn-whep': page(`
    const { WebRTCPlayer } = await import('/bundle/webrtc-player.js');
    const player = new WebRTCPlayer({ video, type: 'whep', iceServers: [] });
    player.load(new URL(asked.url), asked.token ? 'Bearer ' + asked.token : undefined).catch(failed);
    const begun = setInterval(() => { if (video.srcObject) { clearInterval(begun); rig.session = { peer: player.adapter.getPeer() }; measure(); } }, 20);
    rig.figures = () => rig.session && whx.figures(rig.session.peer);
    rig.end = () => player.unload();`),
  '/hlsjs': page(`
    await new Promise((resolve, reject) => { const script = document.createElement('script'); script.src = '/hls.js'; script.onload = resolve; script.onerror = reject; document.head.append(script); });
    const hls = new Hls({ lowLatencyMode: true });
    hls.on(Hls.Events.ERROR, (_, { fatal, details, type }) => { if (fatal) window.__probe.errors.push('hls.js ' + type + ' ' + details); });
    window.__latency = () => hls.latency;
    hls.loadSource(asked.src);
    hls.attachMedia(video);
    video.play().catch(() => {});
    measure();`),
  '/shaka': page(`
    await new Promise((resolve, reject) => { const script = document.createElement('script'); script.src = '/shaka.js'; script.onload = resolve; script.onerror = reject; document.head.append(script); });
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    player.addEventListener('error', ({ detail }) => window.__probe.errors.push('shaka ' + detail.code));
    window.__latency = () => { const at = player.getPlayheadTimeAsDate(); return at ? (Date.now() - at) / 1000 : null; };
    player.attach(video).then(() => {
      player.configure({ streaming: { lowLatencyMode: true } });
      return player.load(asked.src);
    }).catch((e) => window.__probe.errors.push('shaka load ' + e.code));
    measure();`),
  // A file as the browser plays it: what the measuring itself is worth.
  '/file': page('video.src = asked.src; measure();'),
};

/** Serves them on a free loopback port; `files` are further ones by path. */
export async function serveRigs({ files = {} } = {}) {
  const bundles = {
    '/bundle/whip-client.js': await bundle('WHIPClient', '@eyevinn/whip-web-client'),
    '/bundle/webrtc-player.js': await bundle('WebRTCPlayer', '@eyevinn/webrtc-player'),
  };
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const file = { ...FILES, ...files }[pathname] ?? (/^\/inpage\/[a-z]+\.mjs$/.test(pathname) ? path.join(E2E, 'lib', pathname) : null);
    if (file) {
      response.writeHead(200, { 'content-type': pathname.endsWith('.mp4') ? 'video/mp4' : 'text/javascript' });
      createReadStream(file).pipe(response);
    } else if (bundles[pathname]) response.writeHead(200, { 'content-type': 'text/javascript' }).end(bundles[pathname]);
    else if (PAGES[pathname]) response.writeHead(200, { 'content-type': 'text/html' }).end(PAGES[pathname]);
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    url: (name, asked = {}) => `${origin}/${name}?${new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== undefined && value !== null))}`,
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

async function bundle(named, name) {
  const { outputFiles } = await build({ stdin: { contents: `export { ${named} } from '${name}';`, resolveDir: E2E }, bundle: true, write: false, format: 'esm', platform: 'browser', target: 'chrome120', logLevel: 'error' });
  return outputFiles[0].text;
}

/** A rig in a page: what it publishes or watches, and what it measured. */
export class Rig {
  /** Opens one of the pages; `asked` are `url`, `token` and whatever the page understands. */
  static async open(browser, rigs, name, asked = {}) {
    const rig = new Rig();
    Object.assign(rig, { name, page: await browser.page() });
    await rig.page.goto(rigs.url(name, asked));
    return rig;
  }

  do(fn, argument) { return this.page.evaluate(fn, argument); }

  /** Waits for the answer of the server; throws with the page's words. */
  async untilConnected(timeoutMs = 20_000) {
    const failed = (error) => new Error(`${this.name}: ${error}; console: ${this.page.said.slice(-5).join(' | ')}`);
    const end = await until(`${this.name} to be connected`, timeoutMs, async () => {
      const { error, state } = await this.do(() => ({ error: window.__rig?.error, state: window.__rig?.session?.peer.connectionState }));
      return error ? { error } : state === 'connected' && {};
    }, 100).catch(({ message }) => { throw failed(message); });
    if (end.error) throw failed(end.error);
    return this;
  }

  /** Waits for the first pictures that could be read, and says after how many milliseconds of the page's life the first was shown. */
  async untilPicture(timeoutMs = 30_000) {
    await until(`a picture in ${this.name}`, timeoutMs, () => this.do(() => window.__rig?.error || window.__rig?.meter?.pictures.length > 2), 50)
      .then(async () => { if (!(await this.do(() => window.__rig.meter))) throw new Error('no picture will come'); })
      .catch(async (error) => { throw new Error(`${error.message}; page: ${await this.do(() => window.__rig?.error)}; console: ${this.page.said.slice(-5).join(' | ')}; ${JSON.stringify(await this.figures().catch(() => null))}`); });
    return this.do(() => Math.round(window.__probe.firstFrameMs));
  }

  /** What getStats says. */
  figures() { return this.do(() => window.__rig.figures?.()); }

  measured(seconds) { return this.do((past) => window.__rig.meter.figures(past), seconds); }

  levels(frequencies, seconds = 1) { return this.do(([list, past]) => window.__rig.meter.levels(list, past), [frequencies, seconds]); }

  /** The source's clock, of a page that publishes. */
  clock() { return this.do(() => ({ takenAt: window.__rig.camera.takenAt, zero: window.__rig.camera.zero, soundLostMs: window.__rig.camera.soundLost() })); }

  end() { return this.do(() => window.__rig.end()); }

  close() { return this.page.close(); }
}
