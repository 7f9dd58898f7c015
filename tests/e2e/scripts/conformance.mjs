// Every playlist of a live stream, read by hls-parser in strict mode: sound and pictures with B-frames, and sound alone.
// The rules themselves are judged by the conformance client (cargo test --test conformance); this is another reader.

import { preparedClip } from '../lib/clips.mjs';
import { publishCopy } from '../lib/encoders.mjs';
import { parseMedia, parseMultivariant } from '../lib/hls.mjs';
import { Results } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';
import { strictError } from '../lib/strict.mjs';

const SECONDS = Number(process.env.CONFORMANCE_SECONDS ?? 20);

const results = new Results('conformance', 'hls-parser in strict mode reads every playlist that a blocking client sees.');
await results.during(async () => {
  const server = await Telstar.launch();
  try {
    const clip = await preparedClip({ seconds: 40, bframes: 2 });
    await Promise.all([
      watch(server, 'conformance-av', clip, []),
      watch(server, 'conformance-sound', clip, ['-vn']),
    ]);
  } finally {
    await server.stop();
  }
});

async function watch(server, name, clip, options) {
  const room = await server.room(name);
  const encoder = publishCopy(room.rtmp, clip, { name: `encoder-${name}`, options });
  try {
    await server.untilLive(room.name);
    const seen = new Set();
    const text = await get(room.playlist);
    seen.add(text);
    const { variants, media, iFrames } = parseMultivariant(text, room.playlist);
    const renditions = new Set([...variants, ...media, ...iFrames].map((entry) => entry.url).filter(Boolean));
    await Promise.all([...renditions].map((url) => follow(url, seen)));
    const refused = [...seen].map((playlist) => ({ playlist, error: strictError(playlist) })).filter((one) => one.error);
    results.check(`${name}: every playlist is read`, seen.size > SECONDS && refused.length === 0, {
      renditions: renditions.size, playlists: seen.size, refused: refused.length, first: refused[0]?.error,
    });
    if (refused.length) console.error(refused[0].playlist);
  } finally {
    await encoder.stop();
  }
}

async function get(url) {
  const response = await fetch(url);
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  return text;
}

/** Follows one media playlist with blocking reloads, and asks for a delta update each time as well where it is offered. */
async function follow(url, seen) {
  const until = performance.now() + SECONDS * 1000;
  let query = '';
  while (performance.now() < until) {
    const text = await get(url + query);
    seen.add(text);
    const list = parseMedia(text, url);
    if (list.endlist) return;
    if (list.control?.['CAN-SKIP-UNTIL']) seen.add(await get(`${url}?_HLS_skip=YES`));
    query = `?_HLS_msn=${list.tail.msn}${list.partTarget ? `&_HLS_part=${list.tail.parts.length}` : ''}`;
  }
}
