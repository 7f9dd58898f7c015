// The short path of WHIP and WHEP for `make test`: a Chromium publishes, another plays. It judges that the right pictures come
// in the right order and that the tone is heard, never how fast.

import { openServer } from '../lib/anyserver.mjs';
import { openChromium } from '../lib/browsers.mjs';
import { until } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Rig, serveRigs } from '../lib/rigs.mjs';

/** Long enough for a debug build on a machine that is compiling something else. */
const PATIENCE_MS = 90_000;
const PICTURES = 60;
const HEARD_DB = 15;

const results = new Results('short-whx', 'A browser publishes by WHIP and another watches by WHEP: the right pictures in the right order, and the sound.');
const server = await openServer();
const room = await server.room('short-whx');
const rigs = await serveRigs();
const [publishing, watching] = await Promise.all([openChromium({ camera: true }), openChromium({ camera: true })]);
try {
  const refused = await fetch(room.whip, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: 'v=0\r\n' });
  results.check('nobody publishes without a key', refused.status === 401 || room.key === undefined, { status: refused.status });
  const camera = await Rig.open(publishing, rigs, 'whip', { url: room.whip, token: room.key, fps: 15 });
  await camera.untilConnected(PATIENCE_MS);
  const viewer = await Rig.open(watching, rigs, 'whep', { url: room.whep });
  await viewer.untilPicture(PATIENCE_MS);
  await until('enough pictures', PATIENCE_MS, () => viewer.do((count) => window.__rig.meter.pictures.length > count, PICTURES));
  const { pictures, unread } = await viewer.measured(1);
  results.check('pictures come in the order in which they were taken', pictures.every(({ number }, i) => i === 0 || number >= pictures[i - 1].number) && pictures.at(-1).number > pictures[0].number, { from: pictures[0].number, to: pictures.at(-1).number, pictures: pictures.length, unread });
  const { takenAt } = await camera.clock();
  results.check('no picture comes before it was taken', pictures.at(-1).number < takenAt.length);
  await until('the tone', PATIENCE_MS, async () => {
    const levels = await viewer.levels([440, 550], 1);
    return levels !== null && levels[440] - levels[550] > HEARD_DB;
  });
  results.check('the tone is heard', true);
  results.check('both sessions end when they are told to', [await viewer.end(), await camera.end()].every((status) => status === 200));
} catch (error) {
  console.error(error);
  results.check('the script ran to its end', false, { error: String(error.message ?? error).slice(0, 2000) });
} finally {
  await publishing.close();
  await watching.close();
  rigs.close();
  await server.stop();
}
results.finish({ write: false });
process.exit(process.exitCode ?? 0);
