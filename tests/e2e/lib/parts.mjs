// How long after its last frame left the encoder a part is in the hands of clients that were blocked on the playlist.

import { publishClocked } from './encoders.mjs';
import { Follower, parseMultivariant } from './hls.mjs';
import { sleep } from './process.mjs';
import { median, round } from './results.mjs';
import { Telstar } from './server.mjs';

const CLIENTS = [1, 100];
const SECONDS = Number(process.env.BENCH_PART_SECONDS ?? 20);

export async function measureParts() {
  const server = await Telstar.launch({ name: 'parts' });
  const room = await server.room('parts');
  const encoder = await publishClocked(room.rtmp);
  await server.untilLive(room.name);
  const [{ url }] = parseMultivariant(await (await fetch(room.playlist)).text(), room.playlist).variants;
  const rows = [];
  for (const clients of CLIENTS) rows.push(await delivery(url, encoder, clients));
  await encoder.stop();
  await server.stop();
  return rows;
}

/** One client fetches the parts and is timed; the others block on the playlist beside it. */
async function delivery(url, encoder, clients) {
  const places = new Map(encoder.sent.map((unit, i) => [unit.hash, i]));
  const delays = [];
  const follower = new Follower(url, {
    onPart({ samples }) {
      const last = samples.at(-1)?.hash;
      for (let i = places.size; i < encoder.sent.length; i += 1) places.set(encoder.sent[i].hash, i);
      const at = places.get(last);
      if (at !== undefined && settled) delays.push(Date.now() - encoder.sentAt[at]);
    },
  });
  // The parts that are there already when the client begins are old: they are not counted.
  let settled = false;
  const others = Array.from({ length: clients - 1 }, () => new Follower(url));
  others.forEach((other) => { other.take = async (list) => list.tail.msn + list.tail.parts.length > 0; });
  const all = [follower, ...others].map((f) => f.follow().catch(() => {}));
  await sleep(3000);
  settled = true;
  await sleep(SECONDS * 1000);
  [follower, ...others].forEach((f) => { f.stopped = true; });
  await Promise.all(all);
  const sorted = [...delays].sort((a, b) => a - b);
  return { clients, readings: sorted.length, median_ms: round(median(sorted), 1), p99_ms: sorted[Math.ceil(sorted.length * 0.99) - 1], max_ms: sorted.at(-1) };
}
