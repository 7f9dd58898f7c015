// Attacks on playlists: the room is the attacker's own, so that there is one to ask for.

import http from 'node:http';
import { sleep, until } from '../process.mjs';
import { AAC_FRAME, AAC_HEADER, AUDIO, RtmpClient, VIDEO, avcHeader, message, picture } from '../rtmp.mjs';
import { verdict } from './attacker.mjs';

/** What one address may have waiting (src/output/hls/holding.rs). */
const HELD_PER_ADDRESS = 4096;

/** The status of a GET; 0 when the connection broke. */
const get = (url, options = {}) => new Promise((resolve) => {
  http.get(url, options, (response) => { response.resume(); response.on('end', () => resolve(response.statusCode)); }).on('error', () => resolve(0));
});

/** A stream of the attacker's own with a playlist. */
export class OwnStream {
  static async start(attacker) {
    const own = new OwnStream();
    Object.assign(own, { attacker, client: await attacker.publisher(), pushed: 0 });
    await own.client.write(message(6, VIDEO, avcHeader()));
    await own.client.write(message(4, AUDIO, AAC_HEADER));
    await own.push(150);
    own.playlist = `${attacker.server.http}/live/${attacker.room.name}/video/index.m3u8`;
    // Nothing more is pushed, so the playlist comes to rest.
    let before = '';
    own.text = await until("the attacker's playlist", 20_000, async () => {
      const response = await fetch(own.playlist);
      const [text, last] = [await response.text(), before];
      before = text;
      return response.ok && text.includes('#EXTINF') && text === last && text;
    }, 500);
    own.next = Number(own.text.match(/#EXT-X-MEDIA-SEQUENCE:(\d+)/)[1]) + own.text.match(/#EXTINF/g).length;
    return own;
  }

  async push(frames) {
    for (const end = this.pushed + frames; this.pushed < end; this.pushed += 1) {
      await this.client.write(message(6, VIDEO, picture(this.pushed % 25 === 0), this.pushed * 40));
      await this.client.write(message(4, AUDIO, AAC_FRAME, this.pushed * 40));
    }
  }

  async stop() { await this.attacker.leave(this.client); }
}

export const playlistAttacks = {
  'absurd directives': async (own) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 100 });
    const queries = ['_HLS_msn=18446744073709551615', `_HLS_msn=${'9'.repeat(5000)}`, `_HLS_msn=${own.next + 1000}`, '_HLS_msn=-1', '_HLS_part=0', `_HLS_msn=${own.next}&_HLS_part=1000000`, `_HLS_msn=${own.next}&_HLS_msn=1`];
    const statuses = await Promise.all(Array.from({ length: 5000 }, (_, index) => get(`${own.playlist}?${queries[index % queries.length]}`, { agent })));
    agent.destroy();
    return verdict(statuses.every((status) => status === 400), { requests: 5000 }, { other: statuses.filter((status) => status !== 400).slice(0, 5) });
  },

  '5,000 held requests of one address behind a proxy': async (own) => {
    const statuses = [];
    const options = { headers: { forwarded: 'for=198.51.100.7' }, agent: false };
    const asked = Array.from({ length: 5000 }, () => get(`${own.playlist}?_HLS_msn=${own.next}`, options).then((status) => statuses.push(status)));
    await until('the requests beyond the limit to be answered', 20_000, () => statuses.length >= 5000 - HELD_PER_ADDRESS);
    const refused = [...statuses];
    await own.push(100);
    await Promise.all(asked);
    const answered = statuses.slice(refused.length);
    const ok = refused.every((status) => status === 429) && answered.every((status) => status === 200);
    const kinds = Object.fromEntries([...new Set(statuses)].map((status) => [status, statuses.filter((other) => other === status).length]));
    return verdict(ok, { requests: 5000, refused: refused.length, answered: answered.length }, kinds);
  },

  'HTTP readers that do not read': async (own) => {
    const url = new URL(own.text.split('\n').find((line) => line.endsWith('.m4s')), own.playlist);
    const deaf = Array.from({ length: 1000 }, () => RtmpClient.open(own.attacker.server.addresses.http));
    await Promise.all(deaf.map((client) => client.connected));
    deaf.forEach((client) => { client.socket.pause(); client.write(`GET ${url.pathname} HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(50)); });
    await sleep(5000);
    const status = await get(url.href);
    deaf.forEach((client) => client.end());
    return verdict(status === 200, { connections: 1000 }, { status });
  },
};
