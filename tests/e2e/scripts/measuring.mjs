// The measuring itself: what lib/inpage/meter.mjs says of a file whose sound and picture are in step, of the same with the
// sound 120 ms late, and of the page's own camera that goes from one peer connection to another in the same page.

import { openChromium } from '../lib/browsers.mjs';
import { prepared } from '../lib/clips.mjs';
import { codedClip } from '../lib/encoders.mjs';
import { Results, median } from '../lib/results.mjs';
import { serveRigs } from '../lib/rigs.mjs';
import { evenness, latencies, spread } from '../lib/sync.mjs';
import { zeroOfLoopback, zeroOfOpenings } from '../lib/zero.mjs';

/** A deliberate error that must be seen. */
const LATE_MS = 120;
const ERROR_MAX_MS = 10;
/** A browser brings them together by steps of tens of milliseconds; its own zero is taken off what is judged. */
const LOOPBACK_MAX_MS = 60;
/** Pictures whose number an encoder at its first, low rate may blur. */
const UNREAD_MAX_PERCENT = 1;

const results = new Results('measuring', `A sound that is ${LATE_MS} ms late is measured within ${ERROR_MAX_MS} ms, a camera in the same page within ${LOOPBACK_MAX_MS} ms.`);
await results.during(async () => {
  const clip = await codedClip();
  const late = await prepared('coded-late.mp4', ['-i', clip, '-itsoffset', String(LATE_MS / 1000), '-i', clip, '-t', '60', '-map', '0:v', '-map', '1:a', '-c', 'copy']);
  const rigs = await serveRigs({ files: { '/coded.mp4': clip, '/late.mp4': late } });
  const browser = await openChromium({ camera: true });
  const zero = await zeroOfOpenings(browser, rigs, '/coded.mp4');
  const apart = median(zero.offsets.map((offset) => offset && offset.max - offset.min));
  results.check('a file in step is read evenly', apart !== null && apart < ERROR_MAX_MS && zero.all.every(({ measured, levels }) => measured.unread === 0 && levels[440] - levels[550] > 30),
    { av_offset_ms: zero.median, median_range_ms: apart, openings: zero.all.map(({ offset, levels, measured }) => ({ av_offset_ms: offset, levels_db: levels, ...evenness(measured), sound: measured.sound })) });
  const shifted = await zeroOfOpenings(browser, rigs, '/late.mp4');
  results.check(`its sound ${LATE_MS} ms late is seen`, Math.abs(shifted.median - zero.median - LATE_MS) < ERROR_MAX_MS, { av_offset_ms: shifted.median, openings: shifted.offsets });
  for (const codec of ['VP8', 'H264']) {
    const looped = await zeroOfLoopback(browser, rigs, codec);
    results.check(`a camera in the same page over ${codec}`, looped.offset !== null && Math.abs(looped.offset.median - zero.median) < LOOPBACK_MAX_MS && looped.measured.unread * 100 <= UNREAD_MAX_PERCENT * looped.measured.pictures.length,
      { av_offset_ms: looped.offset, latency_ms: spread(latencies(looped.measured, looped.clock.takenAt)), levels_db: looped.levels, unread: looped.measured.unread, ...evenness(looped.measured) });
  }
  await browser.close();
  rigs.close();
});
process.exit();
