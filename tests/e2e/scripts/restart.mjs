// Acceptance line 4: the encoder dies and comes back, the server dies and comes back; viewers go on by themselves.
// ffmpeg does not reconnect of its own accord, so its restart is done here; OBS's own reconnect is in obs.mjs.

import { openChromium, openFirefox } from '../lib/browsers.mjs';
import { publishClocked } from '../lib/encoders.mjs';
import { parseMedia, parseMultivariant } from '../lib/hls.mjs';
import { sleep } from '../lib/process.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { moved, open, sameDocument, untilMoving } from '../lib/watching.mjs';

/** How long the encoder stays away: longer than what viewers have buffered, shorter than the server waits for it. */
const AWAY_MS = 4000;

const results = new Results('restart', 'Viewers continue behind a discontinuity when the encoder is killed and restarted, and recover without a reload when the server is.');
await results.during(async () => {
  const server = await Telstar.launch();
  const room = await server.room('restart');
  let encoder = await publishClocked(room.rtmp, { name: 'encoder-1' });
  await server.untilLive(room.name);
  const browsers = [await openChromium(), await openFirefox()];
  const viewers = [];
  for (const browser of browsers) {
    for (const transport of ['hls', 'webrtc']) viewers.push(Object.assign(await open(browser, `${room.watch}?transport=${transport}`), { transport }));
  }
  const documents = await Promise.all(viewers.map((v) => v.snapshot()));
  await sleep(5000);
  const before = await mediaPlaylist(room);

  await encoder.stop('SIGKILL');
  await sleep(AWAY_MS);
  await viewers[0].screenshot('encoder-away');
  const state = (await server.api('GET', `/api/v1/rooms/${room.name}`)).live.state;
  results.check('the room says that it is reconnecting', state === 'reconnecting', { state });
  let from = Date.now();
  encoder = await publishClocked(room.rtmp, { name: 'encoder-2' });
  await judge(results, 'encoder killed', viewers, documents, encoder, from);
  const after = await mediaPlaylist(room);
  results.check('the playlist goes on behind a discontinuity', discontinuities(after) > discontinuities(before) && !after.endlist, { before: discontinuities(before), after: discontinuities(after) });
  results.check('the media sequence went on', after.tail.msn > before.tail.msn, { before: before.tail.msn, after: after.tail.msn });

  await server.kill9();
  await sleep(1000);
  await viewers[0].screenshot('server-away');
  await encoder.stop('SIGKILL');
  from = Date.now();
  await server.start();
  encoder = await publishClocked(room.rtmp, { name: 'encoder-3' });
  await judge(results, 'server killed', viewers, documents, encoder, from);
  const restarted = await mediaPlaylist(room);
  results.check('after the restart the media sequence has not gone back', restarted.msn > after.tail.msn, { before: after.tail.msn, after: restarted.msn });
  results.check('after the restart the discontinuity sequence has not gone back', restarted.discontinuitySequence >= after.discontinuitySequence, { before: after.discontinuitySequence, after: restarted.discontinuitySequence });
  await viewers[0].screenshot('server-back');
  for (const browser of browsers) await browser.close();
  await encoder.stop();
  await server.stop();
});
process.exit();

/** The picture has to be of the new encoder, in the same document, and to keep moving. */
async function judge(results, what, viewers, documents, encoder, from) {
  await Promise.all(viewers.map(async (viewer, i) => {
    const seen = await untilMoving(viewer, encoder, 60_000);
    results.check(`${what}: ${viewer.browser} by ${viewer.transport} shows the new encoder's picture`, seen !== null, { after_ms: seen && seen - from, page: (await viewer.snapshot()).page });
    const seconds = await moved(viewer, 8);
    results.check(`${what}: ${viewer.browser} by ${viewer.transport} keeps playing`, seconds > 6, { played_seconds: seconds, of: 8, stalls: (await viewer.snapshot()).stalls });
    results.check(`${what}: ${viewer.browser} by ${viewer.transport} was not reloaded`, sameDocument(documents[i], await viewer.snapshot()));
  }));
}

async function mediaPlaylist(room) {
  const { variants } = parseMultivariant(await (await fetch(room.playlist)).text(), room.playlist);
  return parseMedia(await (await fetch(variants[0].url)).text(), variants[0].url);
}

/** Discontinuities so far: those that left the window are in the sequence number. */
function discontinuities(list) {
  return list.discontinuitySequence + [...list.segments, list.tail].filter((s) => s.discontinuity).length;
}
