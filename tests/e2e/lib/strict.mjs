// hls-parser (MIT) as an independent reader of playlists, in its strict mode.
//
// Version 0.16.1 is stricter than the standard in four places, which are taken out of its sight and left to the
// conformance client: it allows parts in the last three *segments*, where RFC 8216bis §4.4.4.9 counts three *target
// durations*; it knows none of the exceptions from the least duration of 85 % of the part target; and it takes the hint
// for a part of the unfinished segment, so that the part before it is never the last one; and it asks for version 8 where
// there is a gap, which §8 does not.

import HLS from 'hls-parser';

HLS.setOptions({ strictMode: true });

/** Segments, an unfinished one or one that is only hinted included, in which hls-parser allows parts. */
const SEGMENTS_WITH_PARTS = 3;
const FILL_MIN = 0.85;

/** What the parser says against a playlist, or null. */
export function strictError(text) {
  try {
    HLS.parse(withoutWhatItMistakes(text));
    return null;
  } catch (error) {
    return error.message;
  }
}

function withoutWhatItMistakes(text) {
  const gaps = text.includes('#EXT-X-GAP');
  const lines = (gaps ? text.replace(/(#EXT-X-VERSION:)[1-7]$/m, (_, tag) => `${tag}8`) : text).split('\n');
  const isPart = (line) => line.startsWith('#EXT-X-PART:');
  const ends = lines.flatMap((line, i) => (line && !line.startsWith('#') ? [i] : []));
  const unfinished = lines.slice((ends.at(-1) ?? -1) + 1).some((line) => isPart(line) || line.startsWith('#EXT-X-PRELOAD-HINT:'));
  const newest = lines.findLastIndex(isPart);
  const kept = SEGMENTS_WITH_PARTS - (unfinished ? 1 : 0);
  const partsFrom = ends.length > kept ? ends[ends.length - kept - 1] : -1;
  const least = FILL_MIN * Number(text.match(/PART-TARGET=([\d.]+)/)?.[1] ?? 0);
  const excused = (line, i) => (i === newest || /,(INDEPENDENT|GAP)=YES/.test(line)) && Number(line.match(/DURATION=([\d.]+)/)[1]) < least;
  return lines
    .map((line, i) => (isPart(line) && excused(line, i) ? line.replace(/DURATION=[\d.]+/, `DURATION=${least.toFixed(6)}`) : line))
    .filter((line, i) => !(isPart(line) && i < partsFrom))
    .join('\n');
}
