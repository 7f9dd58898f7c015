// mp4box (BSD-3) as an independent reader of init segments and segments: it has to know every box, find every sample, and leave no
// byte behind.

import { BoxParser, createFile, Log } from 'mp4box';

/** What it complains of goes here. */
const complaints = [];
Log.setLogLevel(Log.LOG_LEVEL_WARNING);
for (const level of ['warn', 'error']) Log[level] = (from, words) => complaints.push(`${from}: ${words}`);

async function bytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.arrayBuffer();
}

/** Reads a rendition from its init segment to its end. Returns how many files were read, and what is wrong with them. */
export async function mp4boxErrors(init, segments) {
  const file = createFile();
  const errors = [];
  file.onError = (module, words) => errors.push(`${module}: ${words}`);
  let at = 0;
  let samples = 0;
  complaints.length = 0;
  for (const url of [init, ...segments]) {
    const known = { boxes: file.boxes.length, moofs: file.moofs.length };
    const buffer = await bytes(url);
    const { byteLength } = buffer;
    buffer.fileStart = at;
    file.appendBuffer(buffer);
    at += byteLength;
    const name = new URL(url).pathname;
    const read = file.boxes.slice(known.boxes);
    const whole = read.reduce((sum, box) => sum + box.size, 0);
    if (whole !== byteLength) errors.push(`${name}: ${whole} of ${byteLength} bytes are read as boxes`);
    errors.push(...unknown(read).map((type) => `${name}: box ${type} is not known`));
    if (url !== init) {
      const moofs = file.moofs.slice(known.moofs);
      const here = moofs.flatMap((moof) => moof.trafs.flatMap((traf) => traf.truns.map((trun) => trun.sample_count)));
      samples += here.reduce((sum, count) => sum + count, 0);
      if (here.length === 0) errors.push(`${name}: no samples`);
    }
  }
  file.flush();
  const info = file.getInfo();
  if (!info.isFragmented || info.tracks.length !== 1) errors.push(`${init}: ${info.tracks.length} tracks, fragmented: ${info.isFragmented}`);
  const found = info.tracks[0] && file.getTrackSamplesInfo(info.tracks[0].id).length;
  if (found !== samples) errors.push(`${init}: ${found} samples of ${samples}`);
  return { count: segments.length + 1, errors: [...errors, ...complaints] };
}

/** Types of boxes that it has no reader for, in whatever depth. */
function unknown(list) {
  return list.flatMap((box) => [...(BoxParser.box[box.type] === undefined && box.constructor.name === 'Box' ? [box.type] : []), ...unknown(box.boxes ?? [])]);
}
