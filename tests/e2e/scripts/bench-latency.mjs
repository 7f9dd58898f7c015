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
import { arrivals, asTaken, avOffsets, evenness, latencies, spread } from '../lib/sync.mjs';
import { JUDGED_SECONDS, zeroOfLoopback } from '../lib/zero.mjs';

/** The servers take turns, so that what the machine does meanwhile meets both. */
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
/** Larger pictures are longer on their way, and what a browser sends depends on what a server tells it: this both let it send. */
const SENT_KBPS = 500;
const FLOOR = 'WebRTC without a server';
/** Players find their place for so long. */
const SETTLE_MS = 8000;
const SECONDS = Number(process.env.E2E_WATCH_SECONDS ?? 12);

const ways = {
  'WHIP to WHEP': async ({ browser, rigs, server, name }) => {
    const room = await server.room(`whx-${name}`);
    const camera = await Rig.open(browser, rigs, 'whip', { url: room.whip, token: room.key, codec: 'VP8', maxKbps: SENT_KBPS });
    await camera.untilConnected();
    await sleep(2000);
    const viewer = await Rig.open(browser, rigs, 'whep', { url: room.whep });
    const first = await viewer.untilPicture();
    const { during, measured } = await stages(camera, viewer, () => settled(viewer));
    const clock = await camera.clock();
    await Promise.all([viewer.end(), camera.end()]);
    await Promise.all([viewer.close(), camera.close()]);
    return { first, measured, takenAt: clock.takenAt, during, apart: spread(avOffsets(measured, asTaken(clock))) };
  },
  'RTMP to LL-HLS': async ({ browser, rigs, server, name }) => {
    const room = await server.room(`hls-${name}`);
    const encoder = await publishCoded(room.rtmp, { name: `encoder-${name}`, bframes: 0 });
    await until('the playlist', 40_000, async () => (await fetch(room.playlist)).ok, 200);
    const viewer = await Rig.open(browser, rigs, 'hlsjs', { src: room.playlist });
    const first = await viewer.untilPicture();
    const measured = await settled(viewer);
    const told = await toldBy(room.playlist);
    await viewer.close();
    await encoder.stop();
    return { first, measured, takenAt: encoder.sentAt, told };
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
          const { first, measured, takenAt, during, apart, told } = await run({ browser, rigs, server, name: `${name.toLowerCase()}-${i}` });
          Object.assign(row, { first_picture_ms: first, latency_ms: spread(latencies(measured, takenAt), 0), arrived_ms: spread(arrivals(measured, takenAt)), ...evenness(measured), ...(during && { picture: during, av_offset_ms: apart }), ...(told && { told }) });
        } catch (error) {
          Object.assign(row, { error: String(error.message).slice(0, 500), latency_ms: null });
        }
        rows.push(row);
        console.log(JSON.stringify(rows.at(-1)));
      }
    }
  }
  // What the browser itself takes, from one peer connection to another in one page.
  for (let i = 0; i < ROUNDS; i += 1) {
    const { offset, measured, clock } = await zeroOfLoopback(browser, rigs);
    rows.push({ way: FLOOR, server: 'none', round: i, latency_ms: spread(latencies(measured, clock.takenAt), 0), arrived_ms: spread(arrivals(measured, clock.takenAt)), ...evenness(measured), av_offset_ms: offset });
    console.log(JSON.stringify(rows.at(-1)));
  }
  const summed = (way, server, version) => {
    const own = rows.filter((row) => row.way === way && row.server === server);
    const [medians, p95s] = ['median', 'p95'].map((figure) => own.map(({ latency_ms: latency }) => latency?.[figure]));
    const firsts = own.map(({ first_picture_ms: ms }) => ms ?? null);
    const [arrived, late] = ['median', 'p95'].map((figure) => round(median(own.map(({ arrived_ms: all }) => all?.[figure])), 1));
    const held = own.find(({ told }) => told)?.told.part_hold_back ?? null;
    return { way, server: version, median_ms: round(median(medians)), p95_ms: round(median(p95s)), all_medians_ms: medians, arrived_ms: arrived, arrived_p95_ms: late, part_hold_back_secs: held, first_picture_ms: firsts };
  };
  const compared = Object.entries(servers).filter(([, server]) => server !== null);
  const summary = [
    ...Object.keys(ways).flatMap((way) => compared.map(([name, server]) => summed(way, name, server.version ?? name))),
    summed(FLOOR, 'none', 'none: one page to itself'),
  ];
  results.figure('rounds', rows);
  results.figure('latency', summary);
  results.check('every round was read', rows.every(({ latency_ms: latency }) => latency !== null && latency.readings > 100));
  await browser.close();
  rigs.close();
  for (const server of Object.values(servers)) await server?.stop();
});
writePage(results);
process.exit();

/** How far behind the live edge a player is told to be (RFC 8216bis §4.4.3.8), in seconds. */
async function toldBy(playlist) {
  const text = await (await fetch(playlist)).text();
  const name = text.split('\n').find((line) => line && !line.startsWith('#'));
  const media = await (await fetch(new URL(name, playlist))).text();
  const value = (attribute) => Number(new RegExp(`${attribute}=([\\d.]+)`).exec(media)?.[1] ?? NaN) || null;
  return { part_target: value('PART-TARGET'), part_hold_back: value('PART-HOLD-BACK') };
}

/** Where the time of a picture goes, by the browsers' own sums: in milliseconds each, and what was sent. */
async function stages(camera, viewer, during) {
  const both = async () => Promise.all([camera, viewer].map(async (rig) => (await rig.figures()).streams.find(({ kind }) => kind === 'video')));
  const [sent, received] = await both();
  const begun = performance.now();
  const measured = await during();
  const ended = performance.now();
  const [sentAfter, receivedAfter] = await both();
  const mean = (before, after, name) => {
    const count = (after[name]?.count ?? 0) - (before[name]?.count ?? 0);
    return count > 0 ? round(((after[name].seconds - (before[name]?.seconds ?? 0)) * 1000) / count, 1) : null;
  };
  return {
    measured,
    during: {
      sent_kbps: round(((sentAfter.bytes - sent.bytes) * 8) / (ended - begun), 0), size: `${receivedAfter.width}x${receivedAfter.height}`,
      encoding_ms: mean(sent, sentAfter, 'encoding'), pacing_ms: mean(sent, sentAfter, 'pacing'),
      assembly_ms: mean(received, receivedAfter, 'assembly'), jitter_buffer_ms: mean(received, receivedAfter, 'jitter_buffer'), decoding_ms: mean(received, receivedAfter, 'decoding'),
    },
  };
}

async function settled(viewer) {
  await sleep(SETTLE_MS);
  const from = await viewer.do(() => window.__rig.meter.pictures.length);
  await sleep(SECONDS * 1000);
  const measured = await viewer.measured(JUDGED_SECONDS);
  return { ...measured, pictures: measured.pictures.slice(from) };
}

function writePage({ figures: { latency } }) {
  // The page is made from the results that are committed, not from a trial's.
  if (process.env.TELSTAR_RESULTS || !latency) return;
  const first = ({ first_picture_ms: all }) => (all.every((ms) => ms === null) ? '' : `${round(median(all))} ms`);
  const on = ({ arrived_ms: arrived, arrived_p95_ms: late, part_hold_back_secs: held }) => (held === null ? `arrived after ${arrived} ms, p95 ${late} ms` : `told to stay ${held} s behind`);
  fillPage('latency', 'bench-latency', `
${table(['way', 'server', 'median', 'p95', 'of it', 'first picture', 'medians of the rounds'], latency.map((row) => [row.way, row.server, `${row.median_ms} ms`, `${row.p95_ms} ms`, on(row), first(row), row.all_medians_ms.join(', ')]))}
`);
}
