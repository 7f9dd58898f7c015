// A cache in front, nginx as docs/hls.md configures it: many players behind it are one player to the server.

import { publishPrepared } from '../lib/encoders.mjs';
import { Follower, parseMultivariant } from '../lib/hls.mjs';
import { nginxCache } from '../lib/peers.mjs';
import { sleep } from '../lib/process.mjs';
import { Results, round } from '../lib/results.mjs';
import { Telstar } from '../lib/server.mjs';

const PLAYERS = 20;
const SECONDS = Number(process.env.E2E_CACHE_SECONDS ?? 20);
/** What one player asks for once, all others have from the cache; a stray miss is none of the cache's faults. */
const REQUESTS_PER_PLAYER_OF_ONE_MAX = 2;

const results = new Results('cache', 'A cache holds blocked requests together: many players cost the server what one does.');
await results.during(async () => {
  const server = await Telstar.launch();
  const room = await server.room('cached');
  const encoder = await publishPrepared(room.rtmp);
  await server.untilLive(room.name);
  const cache = await nginxCache(server.http);
  const playlist = room.playlist.replace(server.http, cache.http);
  const { variants } = parseMultivariant(await (await fetch(playlist)).text(), playlist);

  const before = await answered(server);
  const players = Array.from({ length: PLAYERS }, () => new Follower(variants[0].url));
  const following = players.map((player) => player.follow());
  await sleep(SECONDS * 1000);
  players.forEach((player) => { player.stopped = true; });
  await Promise.all(following);
  const requests = (await answered(server)) - before;

  const problems = players.flatMap((player) => player.problems);
  results.check(`${PLAYERS} players behind a cache follow without a gap`, problems.length === 0, { problems: problems.slice(0, 5) });
  const asked = players.map(({ counts }) => counts.playlists + counts.parts + counts.segments);
  const one = Math.max(...asked);
  results.check('every player had parts', players.every(({ counts }) => counts.parts > SECONDS), { parts: players.map(({ counts }) => counts.parts) });
  results.check('the server was asked as by one player, not by all', requests <= one * REQUESTS_PER_PLAYER_OF_ONE_MAX,
    { nginx: cache.version, requests_at_the_server: requests, requests_of_one_player: one, requests_of_all: asked.reduce((a, b) => a + b), share: round(requests / one, 2) });
  await encoder.stop();
  await cache.stop();
  await server.stop();
});
process.exit();

async function answered(server) {
  const text = await (await fetch(`${server.http}/metrics`)).text();
  return Number(text.match(/^http_answered_requests_total (\d+)/m)[1]);
}
