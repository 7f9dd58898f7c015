// From the last byte to the first picture: what somebody waits for who drops a file on the page.

import { table } from '../page.mjs';
import { median, round } from '../results.mjs';
import { copied, encoded, firstSegmentMs, rungs } from './ffmpeg.mjs';
import { h264, hevc, mibOf, vp9 } from './sources.mjs';
import { ROUNDS, drop, stage, untilSeen } from './stage.mjs';

export const name = 'playable';
export const claim = 'How soon an upload plays, beside the first segment of the ffmpeg command that does the same.';
/** An upload of ten minutes that is passed on plays within it (acceptance of issue 6). */
const COPY_MAX_MS = 1000;

export async function measure(results) {
  const theatre = await stage('playable');
  const first = rungs(1080).find(({ height }) => height <= 720);
  const sources = [
    { what: 'H.264 and AAC, 10 min', file: await h264(10), of: (file) => (folder) => copied(file, folder), is_passed: true },
    { what: 'HEVC and AAC, 30 s', file: await hevc(30), of: (file) => (folder) => encoded(file, folder, first, { copiesSound: true }) },
    { what: 'VP9 and Opus, 5 min', file: await vp9(5), of: (file) => (folder) => encoded(file, folder, first, { copiesSound: false }) },
  ];
  const rows = [];
  for (const { what, file, of, is_passed: isPassed = false } of sources) {
    const row = { what, mib: mibOf(file), is_passed: isPassed, says_playable_ms: [], ours_ms: [], ffmpeg_ms: [] };
    for (let i = 0; i < ROUNDS; i += 1) {
      const uploaded = await theatre.library.upload(file);
      const seen = await untilSeen(theatre, uploaded);
      await drop(theatre, uploaded.asset);
      if ((seen.because === null) !== isPassed) throw new Error(`${what}: ${seen.because ?? 'was passed on'}`);
      row.says_playable_ms.push(round(seen.playable_ms));
      row.ours_ms.push(round(seen.segment_ms));
      row.ffmpeg_ms.push(round(await firstSegmentMs(of(file))));
    }
    row.ratio = round(median(row.ours_ms) / median(row.ffmpeg_ms), 2);
    rows.push(row);
    const figures = { ms: median(row.ours_ms), ffmpeg_ms: median(row.ffmpeg_ms), ratio: row.ratio };
    if (isPassed) results.check(`${what}: plays within ${COPY_MAX_MS} ms of its last byte`, figures.ms <= COPY_MAX_MS, figures);
    else results.check(`${what}: plays`, true, figures);
  }
  results.figure('playable', rows);
  await theatre.server.stop();
}

export function page({ playable }) {
  const row = (one) => [one.what, one.ratio, `${median(one.ours_ms)} ms`, `${median(one.ffmpeg_ms)} ms`, `${median(one.says_playable_ms)} ms`, `${one.mib} MiB`, one.ours_ms.join(', '), one.ffmpeg_ms.join(', ')];
  return table(['source of 1080 lines', 'of ffmpeg', 'first segment answered', 'ffmpeg has its first', 'asset says that it plays', 'source', 'all rounds', 'all of ffmpeg'], playable.map(row));
}
