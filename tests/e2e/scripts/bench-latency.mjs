// Acceptance line 6 of WHIP and WHEP: how old a picture is when it is shown, read from the number drawn into it, beside MediaMTX
// (MEDIAMTX_BIN) in the same run: a Chromium's WHIP in another page of it over WHEP, and an RTMP push as LL-HLS in hls.js.
// Writes docs/results/bench-latency.json and its table in docs/performance.md.

import { openChromium } from '../lib/browsers.mjs';
import { publishCoded } from '../lib/encoders.mjs';
import { fillPage, table } from '../lib/page.mjs';
import { mediamtx } from '../lib/peers.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results, median, round } from '../lib/results.mjs';
import { Rig, serveRigs } from '../lib/rigs.mjs';
import { Telstar } from '../lib/server.mjs';
import { evenness, latencies, spread } from '../lib/sync.mjs';

/** The servers take turns, so that what the machine does meanwhile meets both. */
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
/** Players find their place for so long. */
const SETTLE_MS = 8000;
const SECONDS = Number(process.env.E2E_WATCH_SECONDS ?? 12);

const ways = {
  'WHIP to WHEP': async ({ browser, rigs, server, name }) => {
    const room = await server.room(`whx-${name}`);
    const camera = await Rig.open(browser, rigs, 'whip', { url: room.whip, token: room.key, codec: 'VP8' });
    await camera.untilConnected();
    await sleep(2000);
    const viewer = await Rig.open(browser, rigs, 'whep', { url: room.whep });
    const first = await viewer.untilPicture();
    const measured = await settled(viewer);
    const { takenAt } = await camera.clock();
    await Promise.all([viewer.end(), camera.end()]);
    await Promise.all([viewer.close(), camera.close()]);
    return { first, measured, takenAt };
  },
  'RTMP to LL-HLS': async ({ browser, rigs, server, name }) => {
    const room = await server.room(`hls-${name}`);
    const encoder = await publishCoded(room.rtmp, { name: `encoder-${name}`, bframes: 0 });
    await until('the playlist', 40_000, async () => (await fetch(room.playlist)).ok, 200);
    const viewer = await Rig.open(browser, rigs, 'hlsjs', { src: room.playlist });
    const first = await viewer.untilPicture();
    const measured = await settled(viewer);
    await viewer.close();
    await encoder.stop();
    return { first, measured, takenAt: encoder.sentAt };
  },
};

const results = new Results('bench-latency', 'How old a picture is when it is shown: WHIP to WHEP and RTMP to LL-HLS, beside MediaMTX in the same run.');
await results.during(async () => {
  const servers = { Telstar: await Telstar.launch(), MediaMTX: await mediamtx({ webrtc: true }) };
  const rigs = await serveRigs();
  const browser = await openChromium({ camera: true });
  if (!servers.MediaMTX) results.figure('beside', 'MEDIAMTX_BIN names no MediaMTX');
  const rows = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    for (const [way, run] of Object.entries(ways)) {
      for (const [name, server] of Object.entries(servers)) {
        if (server === null) continue;
        const row = { way, server: name, round: i };
        try {
          const { first, measured, takenAt } = await run({ browser, rigs, server, name: `${name.toLowerCase()}-${i}` });
          Object.assign(row, { first_picture_ms: first, latency_ms: spread(latencies(measured, takenAt), 0), ...evenness(measured) });
        } catch (error) {
          Object.assign(row, { error: String(error.message).slice(0, 500), latency_ms: null });
        }
        rows.push(row);
        console.log(JSON.stringify(rows.at(-1)));
      }
    }
  }
  const summary = Object.keys(ways).flatMap((way) => Object.keys(servers).filter((name) => servers[name]).map((name) => {
    const own = rows.filter((row) => row.way === way && row.server === name);
    return { way, server: name, version: servers[name].version ?? 'this commit', median_ms: round(median(own.map(({ latency_ms: l }) => l?.median))), p95_ms: round(median(own.map(({ latency_ms: l }) => l?.p95))), all_medians_ms: own.map(({ latency_ms: l }) => l?.median), first_picture_ms: own.map(({ first_picture_ms: ms }) => ms) };
  }));
  results.figure('rounds', rows);
  results.figure('latency', summary);
  results.check('every round was read', rows.every(({ latency_ms: latency }) => latency !== null && latency.readings > 100));
  await browser.close();
  rigs.close();
  for (const server of Object.values(servers)) await server?.stop();
});
writePage(results);
process.exit();

async function settled(viewer) {
  await sleep(SETTLE_MS);
  const from = await viewer.do(() => window.__rig.meter.pictures.length);
  await sleep(SECONDS * 1000);
  const measured = await viewer.measured(1);
  return { ...measured, pictures: measured.pictures.slice(from) };
}

function writePage({ figures: { latency } }) {
  // The page is made from the results that are committed, not from a trial's.
  if (process.env.TELSTAR_RESULTS || !latency) return;
  fillPage('latency', 'bench-latency', `
${table(['way', 'server', 'median', 'p95', 'medians of the rounds'], latency.map((row) => [row.way, row.version === 'this commit' ? row.server : row.version, `${row.median_ms} ms`, `${row.p95_ms} ms`, row.all_medians_ms.join(', ')]))}
`);
}
