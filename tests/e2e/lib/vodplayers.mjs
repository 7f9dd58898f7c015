// Players of assets that are not our page, each behind the same few words: what tracks there are, choose one, seek, what is heard and
// read. A small web server of another origin than the media has their pages.

import { createReadStream } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { E2E } from './paths.mjs';

const SCRIPTS = {
  '/hls.js': path.join(E2E, 'node_modules/hls.js/dist/hls.min.js'),
  '/shaka.js': path.join(E2E, 'node_modules/shaka-player/dist/shaka-player.compiled.js'),
};

/** What every page can be asked; runs in the page. */
const COMMON = `
  const video = document.getElementById('v');
  const src = new URLSearchParams(location.search).get('src');
  const errors = (window.__errors = []);
  let analyser;
  // The loudest tone, in hertz; the page has been clicked before.
  window.__tone = () => {
    if (!analyser) {
      const context = new AudioContext();
      analyser = context.createAnalyser();
      analyser.fftSize = 8192;
      context.createMediaElementSource(video).connect(analyser);
      analyser.connect(context.destination);
      context.resume();
      window.__rate = context.sampleRate;
      return null;
    }
    const levels = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(levels);
    const loudest = levels.reduce((best, level, at) => (level > levels[best] ? at : best), 0);
    return levels[loudest] > -80 ? { hertz: (loudest * window.__rate) / analyser.fftSize, level_db: levels[loudest] } : null;
  };
  window.__cues = () => [...video.textTracks].filter((track) => track.mode !== 'disabled').flatMap((track) => [...(track.activeCues ?? [])].map((cue) => cue.text));
  window.__facts = () => ({ duration: video.duration, at: video.currentTime, size: video.videoWidth + 'x' + video.videoHeight, paused: video.paused, ready: video.readyState, errors: [...errors], frames: video.getVideoPlaybackQuality().totalVideoFrames, ended: video.ended });
  window.__seek = (to) => { video.currentTime = to; };
  video.addEventListener('error', () => errors.push('element ' + (video.error && video.error.message)));`;

const page = (scripts, body) => `<!doctype html><meta charset="utf-8"><title>player</title>
<style>body{margin:0;background:#000}video{width:100vw;height:100vh}</style>
<video id="v" autoplay playsinline crossorigin="anonymous"></video>${scripts.map((src) => `<script src="${src}"></script>`).join('')}<script>${COMMON}${body}</script>`;

const PAGES = {
  '/hlsjs': page(['/hls.js'], `
    const hls = new Hls({ enableWebVTT: true });
    hls.on(Hls.Events.ERROR, (_, data) => { if (data.fatal) errors.push('hls.js ' + data.details); });
    hls.loadSource(src); hls.attachMedia(video);
    window.__tracks = () => ({ audio: hls.audioTracks.map((track) => track.lang), text: hls.subtitleTracks.map((track) => track.lang), variants: hls.levels.map((level) => level.height) });
    window.__listen = (language) => { hls.audioTrack = hls.audioTracks.findIndex((track) => track.lang === language); };
    window.__read = (language) => { hls.subtitleTrack = hls.subtitleTracks.findIndex((track) => track.lang === language); hls.subtitleDisplay = true; };`),
  '/shaka': page(['/shaka.js'], `
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    player.addEventListener('error', (event) => errors.push('shaka ' + event.detail.code));
    player.attach(video).then(() => player.load(src)).catch((error) => errors.push('shaka load ' + error.code + ' ' + JSON.stringify(error.data).slice(0, 200)));
    const languages = (tracks) => [...new Set(tracks.map((track) => track.language))];
    window.__tracks = () => ({ audio: languages(player.getAudioTracks()), text: languages(player.getTextTracks()), variants: [...new Set(player.getVariantTracks().map((track) => track.height))] });
    window.__listen = (language) => player.selectAudioTrack(player.getAudioTracks().find((track) => track.language === language));
    window.__read = (language) => player.selectTextTrack(player.getTextTracks().find((track) => track.language === language));`),
  '/native': page([], `
    video.src = src;
    window.__tracks = () => ({ audio: video.audioTracks ? [...video.audioTracks].map((track) => track.language) : null, text: [...video.textTracks].map((track) => track.language), variants: null });
    window.__listen = null;
    window.__read = (language) => { for (const track of video.textTracks) track.mode = track.language === language ? 'showing' : 'disabled'; };`),
};

/** Serves the pages on a free loopback port. */
export async function servePlayers() {
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (SCRIPTS[pathname]) {
      response.writeHead(200, { 'content-type': 'text/javascript' });
      createReadStream(SCRIPTS[pathname]).pipe(response);
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
