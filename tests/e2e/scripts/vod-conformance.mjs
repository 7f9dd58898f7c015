// Real films as assets, whole, judged by the conformance client (tests/conformance): what was passed on, what was encoded, six channels,
// and one of ten minutes. Clips that break each rule in turn are in `cargo test --test vod_conformance`.

import { preparedClip, prepared, realClip } from '../lib/clips.mjs';
import { examine } from '../lib/conform.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { Library } from '../lib/vod.mjs';
import { twoLanguages } from '../lib/vodclips.mjs';

/** Ten minutes, unless told otherwise while working on it. */
const LONG_SECONDS = Number(process.env.E2E_LONG_SECONDS ?? 600);

const results = new Results('vod-conformance', 'The conformance client finds nothing wrong with assets of real films.');
await results.during(async () => {
  const server = await Telstar.launch();
  const library = new Library(server);
  const real = await realClip();
  const looped = (seconds) => ['-stream_loop', '-1', '-i', real, '-t', String(seconds), '-map', '0:v:0', '-map', '0:a:0'];
  const sources = {
    'passed on': await preparedClip({ seconds: 60, size: '1280x720', videoKbps: 3000 }),
    'as the camera made it': real,
    'VP9 and Opus': await prepared('vp9-20s.webm', [...looped(20), '-vf', 'scale=854:480', '-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '1M', '-c:a', 'libopus']),
    'two languages and subtitles': await twoLanguages(),
    long: await preparedClip({ seconds: LONG_SECONDS, size: '854x480', videoKbps: 1500 }),
  };
  for (const [name, file] of Object.entries(sources)) {
    const { asset } = await library.upload(file, { title: name });
    const done = await library.untilDone(asset, 3_600_000);
    const judged = await examine(await library.watchable(asset), { course: 'asset' });
    results.check(`${name}: nothing is wrong`, done.state === 'ready' && judged.ok, { duration: done.source?.duration_secs, renditions: done.renditions.map((one) => one.name), ...judged });
  }
  await server.stop();
});
process.exit();
