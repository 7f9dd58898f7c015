// How far behind the source a viewer is, and how far apart sound and picture are, from what lib/inpage/meter.mjs saw and
// the clock of the source.

import { BEEP_HZ } from './inpage/timecode.mjs';
import { median, round } from './results.mjs';

/** Pictures this close to a beep say where the picture is at that moment. */
const NEAR_MS = 1500;

/** The time of picture `number` in the source in milliseconds: a source that draws on time, or one that says when it took each. */
export const evenly = (fps) => (number) => (number * 1000) / fps;
export const asTaken = ({ takenAt, zero }) => (number) => takenAt[number] - zero;

/**
 * Sound against picture, one reading for each beep: positive when the sound is late. `timeOf` gives a picture's time in
 * the source. The pitch of a beep says which of four seconds it is, so that up to 2 s are told apart.
 */
export function avOffsets({ pictures, beeps }, timeOf) {
  return beeps.flatMap(({ at, pitch }) => {
    const ways = pictures.filter((picture) => Math.abs(picture.at - at) < NEAR_MS).map((picture) => picture.at - timeOf(picture.number)).filter(Number.isFinite);
    if (ways.length < 10) return [];
    const shown = at - median(ways);
    // The second of the source with this pitch that is nearest to what is shown.
    const cycle = BEEP_HZ.length;
    const second = Math.round((shown / 1000 - pitch) / cycle) * cycle + pitch;
    return [round(shown - second * 1000, 1)];
  });
}

/** Median, extremes and count. */
export function spread(values, digits = 1) {
  const list = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  if (!list.length) return null;
  return { median: round(median(list), digits), p95: round(list[Math.min(list.length - 1, Math.ceil(list.length * 0.95) - 1)], digits), min: round(list[0], digits), max: round(list.at(-1), digits), readings: list.length };
}

/** Milliseconds from the moment a picture was taken to the moment it is shown; each number once. */
export function latencies({ pictures }, takenAt) {
  const seen = new Set();
  return pictures.flatMap(({ number, at }) => {
    if (seen.has(number) || !takenAt[number]) return [];
    seen.add(number);
    return [at - takenAt[number]];
  });
}

/** Milliseconds from the moment a picture was taken to that at which its last packet came; each number once. */
export function arrivals({ pictures }, takenAt) {
  return latencies({ pictures: pictures.filter(({ received }) => received).map(({ number, received }) => ({ number, at: received })) }, takenAt);
}

/** The longest time without a new picture, and how many numbers went backwards. */
export function evenness({ pictures }) {
  let [longest, back] = [0, 0];
  for (let i = 1; i < pictures.length; i += 1) {
    longest = Math.max(longest, pictures[i].at - pictures[i - 1].at);
    if (pictures[i].number < pictures[i - 1].number) back += 1;
  }
  return { pictures: pictures.length, longest_gap_ms: round(longest), backwards: back };
}

/** The longest time in which the source itself took no picture: what is missing there was never made. */
export function restOf({ takenAt }) {
  return round(takenAt.reduce((longest, at, i) => Math.max(longest, i === 0 ? 0 : at - takenAt[i - 1]), 0));
}
