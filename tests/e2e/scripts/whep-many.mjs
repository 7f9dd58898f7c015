// Acceptance line 4 of WHIP and WHEP: fifty viewers of one RTMP push share one conversion of its sound, which ends when they
// have left.

import { openServer } from '../lib/anyserver.mjs';
import { openChromium } from '../lib/browsers.mjs';
import { publishCoded } from '../lib/encoders.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results, round } from '../lib/results.mjs';
import { Rig, serveRigs } from '../lib/rigs.mjs';
import { conversionsOf, workOf, workersOf } from '../lib/workers.mjs';

const VIEWERS = Number(process.env.E2E_VIEWERS ?? 50);
/** In so many pages: a page decodes what it receives. */
const PAGES = 5;
const CPU_WINDOW_MS = 5000;
/** After the last viewer a conversion may go on for a while, so that a reload costs none. */
const ENDS_WITHIN_MS = 60_000;
/** One idle worker is kept warm beside the one that works; an idle one uses next to no CPU. */
const WORKS_PERCENT = 0.5;

const results = new Results('whep-many', `${VIEWERS} viewers of one RTMP push share one conversion of its sound; when they leave it ends.`);
await results.during(async () => {
  const server = await openServer();
  const rigs = await serveRigs();
  const browser = await openChromium({ camera: true });
  const room = await server.room('many');
  // Small and slow, since every viewer here decodes it on these cores.
  const encoder = await publishCoded(room.rtmp, { bframes: 0, fps: 10, gopFrames: 20, videoKbps: 100, seconds: 180 });
  await server.untilLive?.(room.name);
  results.check('nothing is converted while nobody watches', ((await conversionsOf(server, room.name)) ?? []).length === 0 && working(await busy()).length === 0, { workers: workersOf(server.pid).length });
  const pages = await Promise.all(Array.from({ length: PAGES }, () => Rig.open(browser, rigs, 'blank')));
  await Promise.all(pages.map((rig) => rig.do(async ([url, count]) => {
    const rig = window.__rig;
    rig.sessions = [];
    for (let i = 0; i < count; i += 1) rig.sessions.push(await rig.view({ url, video: null }));
  }, [room.whep, VIEWERS / PAGES])));
  const heard = await until('every viewer to hear and see', 60_000, async () => {
    const all = (await Promise.all(pages.map((rig) => rig.do(() => Promise.all(window.__rig.sessions.map(({ peer }) => window.__rig.figures(peer))))))).flat();
    const good = all.filter(({ streams }) => streams.some(({ kind, packets }) => kind === 'audio' && packets > 20) && streams.some(({ kind, frames }) => kind === 'video' && frames > 5));
    return good.length === VIEWERS && good.length;
  }, 1000).catch((error) => { results.check('every viewer sees and hears', false, { error: error.message }); return 0; });
  results.check(`${VIEWERS} viewers see and hear`, heard === VIEWERS, { viewers: heard });
  const said = await conversionsOf(server, room.name);
  const work = await busy();
  results.check('one conversion of the sound, for all of them', said?.length === 1 && working(work).length === 1, { room_says: said, workers_cpu_percent: work });
  results.figure('server_cpu_percent', await (async () => { const before = server.cpuSeconds(); await sleep(CPU_WINDOW_MS); return round((100 * (server.cpuSeconds() - before)) / (CPU_WINDOW_MS / 1000), 1); })());
  const statuses = (await Promise.all(pages.map((rig) => rig.do(() => Promise.all(window.__rig.sessions.map((session) => session.close())))))).flat();
  results.check('every session ends with 200', statuses.every((status) => status === 200), { statuses: [...new Set(statuses)] });
  const left = performance.now();
  const over = await until('the conversion to end', ENDS_WITHIN_MS, async () => ((await conversionsOf(server, room.name)) ?? []).length === 0 && performance.now() - left, 250).catch(() => null);
  results.check('when they have left it ends', over !== null && working(await busy()).length === 0, { after_ms: over && round(over) });
  await browser.close();
  await encoder.stop();
  rigs.close();
  await server.stop();

  /** CPU percent of each worker over a while. */
  async function busy() {
    const before = workOf(workersOf(server.pid));
    await sleep(CPU_WINDOW_MS);
    const after = workOf(workersOf(server.pid));
    return Object.fromEntries(Object.entries(after).map(([pid, seconds]) => [pid, round((100 * (seconds - (before[pid] ?? 0))) / (CPU_WINDOW_MS / 1000), 2)]));
  }
});
process.exit();

function working(percents) {
  return Object.values(percents).filter((percent) => percent > WORKS_PERCENT);
}
