// Players that are not ours: a small web server with a Shaka page and a page that lets the browser play natively, on
// another origin than the media so that CORS is exercised; and GStreamer's playbin3.

import { createReadStream } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { E2E } from './paths.mjs';
import { start } from './process.mjs';
import { STALL_MS } from './probe.mjs';
import { round } from './results.mjs';

const SHAKA = path.join(E2E, 'node_modules/shaka-player/dist/shaka-player.compiled.js');

const page = (script) => `<!doctype html><meta charset="utf-8"><title>player</title>
<style>body{margin:0;background:#000}video{width:100vw;height:100vh}</style>
<video id="v" muted autoplay playsinline crossorigin="anonymous"></video>${script}`;

const PAGES = {
  // Shaka of its own accord plays low-latency streams as ordinary ones; the one setting below is what its manual says to turn on.
  '/shaka': page(`<script src="/shaka.js"></script><script>
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    window.__player = player;
    player.addEventListener('error', (e) => window.__probe.errors.push('shaka ' + e.detail.code + ' ' + JSON.stringify(e.detail.data).slice(0, 300)));
    window.__latency = () => { const at = player.getPlayheadTimeAsDate(); return at ? (Date.now() - at) / 1000 : null; };
    player.attach(document.getElementById('v')).then(() => {
      player.configure({ streaming: { lowLatencyMode: true } });
      return player.load(new URLSearchParams(location.search).get('src'));
    }).catch((e) => window.__probe.errors.push('shaka load ' + e.code + ' ' + JSON.stringify(e.data).slice(0, 300)));
  </script>`),
  '/native': page(`<script>document.getElementById('v').src = new URLSearchParams(location.search).get('src');</script>`),
};

/** Serves the pages on a free loopback port. */
export async function servePlayers() {
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (pathname === '/shaka.js') {
      response.writeHead(200, { 'content-type': 'text/javascript' });
      createReadStream(SHAKA).pipe(response);
    } else if (PAGES[pathname]) response.writeHead(200, { 'content-type': 'text/html' }).end(PAGES[pathname]);
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    url: (player, playlist) => `${origin}/${player}?src=${encodeURIComponent(playlist)}`,
    close: () => { server.closeAllConnections(); server.close(); },
  };
}

/**
 * Plays with GStreamer's playbin3 into sinks that keep the clock, and reads from each rendered buffer whether the
 * picture or the sound stood still.
 */
export async function watchPlaybin(playlist, seconds, { name = 'playbin' } = {}) {
  const tracks = { video: newTrack(), audio: newTrack() };
  const began = performance.now();
  const proc = start(name, 'gst-launch-1.0', ['-v', 'playbin3', `uri=${playlist}`,
    'video-sink=fakesink name=videoprobe silent=false sync=true', 'audio-sink=fakesink name=audioprobe silent=false sync=true'], {
    onLine(line) {
      const [, kind, pts] = line.match(/(video|audio)probe.*last-message = chain .*pts: ([\d:.]+)/) ?? [];
      if (kind) tracks[kind].take(performance.now(), clockTime(pts));
    },
  });
  const timeout = setTimeout(() => proc.stop('SIGINT', 3000), (seconds + 30) * 1000);
  while (!proc.ended && !(tracks.video.first && performance.now() - tracks.video.first > seconds * 1000)) await new Promise((r) => setTimeout(r, 200));
  clearTimeout(timeout);
  const early = proc.ended;
  const at = performance.now();
  await proc.stop('SIGINT', 3000);
  const figures = { ended_early: early, watched_seconds: seconds };
  for (const [kind, track] of Object.entries(tracks)) {
    // Sound comes in buffers of a few, so a gap of its own is judged by the same length as the picture's.
    figures[kind] = { first_ms: track.first && round(track.first - began), buffers: track.buffers, stalls: track.gaps(at), media_seconds: round((track.lastPts - track.firstPts) || 0, 1) };
  }
  return figures;
}

function newTrack() {
  return {
    first: null, last: null, buffers: 0, firstPts: null, lastPts: null, stalls: [],
    take(now, pts) {
      if (this.first === null) { this.first = now; this.firstPts = pts; }
      else if (now - this.last > STALL_MS) this.stalls.push({ atMs: round(this.last - this.first), ms: round(now - this.last) });
      this.last = now;
      this.lastPts = pts;
      this.buffers += 1;
    },
    gaps(now) { return this.last && now - this.last > STALL_MS ? [...this.stalls, { atMs: round(this.last - this.first), ms: round(now - this.last), open: true }] : this.stalls; },
  };
}

const clockTime = (text) => text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
