// Compares what an encoder sent with what came out of the playlist, access unit by access unit.

/**
 * Both lists are of one kind, in decode order, with `hash`. Each received unit has to be the next one sent: what is
 * skipped is lost unless it comes later (reordered), what came before is doubled, what was never sent is foreign.
 */
export function compare(sent, received) {
  const places = new Map();
  sent.forEach((unit, i) => { if (!places.has(unit.hash)) places.set(unit.hash, []); places.get(unit.hash).push(i); });
  const taken = new Uint8Array(sent.length);
  const result = { sent: sent.length, received: received.length, first_received: null, lost: 0, doubled: 0, reordered: 0, foreign: 0, examples: [], pairs: [] };
  const note = (kind, at) => { if (result.examples.length < 10) result.examples.push({ kind, at }); };
  let next = 0;
  received.forEach((unit, j) => {
    if (next < sent.length && sent[next].hash === unit.hash) {
      taken[next] = 1;
      if (result.first_received === null) result.first_received = next;
      result.pairs.push([next, j]);
      next += 1;
      return;
    }
    const candidates = places.get(unit.hash) ?? [];
    const ahead = candidates.find((i) => i >= next);
    const behind = candidates.find((i) => i < next && !taken[i]);
    if (ahead !== undefined) {
      taken[ahead] = 1;
      if (result.first_received === null) result.first_received = ahead;
      result.pairs.push([ahead, j]);
      next = ahead + 1;
    } else if (behind !== undefined) {
      taken[behind] = 1;
      result.reordered += 1;
      note('reordered', behind);
    } else if (candidates.length) {
      result.doubled += 1;
      note('doubled', candidates[0]);
    } else {
      result.foreign += 1;
      note('foreign', j);
    }
  });
  taken.forEach((seen, i) => { if (!seen) { result.lost += 1; note('lost', i); } });
  return result;
}

/** Samples of a track should each begin where the one before ended. */
export function gaps(samples) {
  return samples.slice(1).flatMap((sample, i) => (sample.dts !== samples[i].dts + samples[i].duration ? [{ at: i + 1, ticks: sample.dts - samples[i].dts - samples[i].duration }] : []));
}

/** Units whose decode time does not rise, or is later than their presentation. */
export function disorder(units) {
  return units.flatMap(({ dts, pts }, at) => ((at > 0 && dts <= units[at - 1].dts) || pts < dts ? [{ at, dts, pts }] : []));
}

/**
 * How far sound and picture are apart in the boxes compared with the source, in milliseconds. Every unit's shift is
 * its presentation time in the boxes minus the source's; a common shift is no error, a difference between the two is.
 */
export function avOffset({ video, audio }) {
  const range = (shifts) => shifts.reduce((r, s) => ({ min: Math.min(r.min, s), max: Math.max(r.max, s) }), { min: Infinity, max: -Infinity });
  const v = range(video);
  const a = range(audio);
  const mean = (shifts) => shifts.reduce((sum, s) => sum + s, 0) / shifts.length;
  return {
    worst_ms: Math.max(v.max - a.min, a.max - v.min) * 1000,
    mean_ms: (mean(audio) - mean(video)) * 1000,
    video_spread_ms: (v.max - v.min) * 1000, audio_spread_ms: (a.max - a.min) * 1000,
  };
}
