// Video on demand beside the ffmpeg command that makes the same, and nginx for serving: each part (lib/vodbench) writes
// docs/results/bench-vod-NAME.json and its table in docs/performance.md. BENCH_ONLY names parts to run alone, BENCH_ROUNDS says how often
// each figure is read.

import { fillPage } from '../lib/page.mjs';
import { telstarBinary } from '../lib/paths.mjs';
import { Results } from '../lib/results.mjs';
import { launched } from '../lib/server.mjs';
import * as growth from '../lib/vodbench/growth.mjs';
import * as ladder from '../lib/vodbench/ladder.mjs';
import * as playable from '../lib/vodbench/playable.mjs';
import * as queue from '../lib/vodbench/queue.mjs';
import * as serving from '../lib/vodbench/serving.mjs';
import * as uploads from '../lib/vodbench/uploads.mjs';

const PARTS = [playable, growth, ladder, queue, uploads, serving];
const only = process.env.BENCH_ONLY?.split(',');
const unknown = (only ?? []).filter((wanted) => !PARTS.some(({ name }) => name === wanted));
if (unknown.length) throw new Error(`no such part: ${unknown.join(', ')} (there are: ${PARTS.map(({ name }) => name).join(', ')})`);
if (/\/debug\//.test(telstarBinary())) throw new Error('a debug build says nothing about speed: cargo build --release');

let passed = true;
for (const { name, claim, measure, page } of PARTS.filter((part) => !only || only.includes(part.name))) {
  const results = new Results(`bench-vod-${name}`, claim);
  passed = await results.during(measure) && passed;
  // The page is made from the results that are committed, not from a trial's.
  if (!process.env.TELSTAR_RESULTS && results.figures[name]) fillPage(`vod-${name}`, `bench-vod-${name}`, `\n${page(results.figures)}\n`);
  // Each part answers for its own servers.
  launched.length = 0;
}
process.exit(passed ? 0 : 1);
