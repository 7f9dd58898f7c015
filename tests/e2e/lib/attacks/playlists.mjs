// Attacks on playlists: the room is the attacker's own, so that there is one to ask for.

import http from 'node:http';
import { sleep, until } from '../process.mjs';
import { AAC_FRAME, AAC_HEADER, AUDIO, RtmpClient, VIDEO, avcHeader, message, picture } from '../rtmp.mjs';
import { verdict } from './attacker.mjs';

/** What one address may have waiting (src/output/hls/holding.rs). */
const HELD_PER_ADDRESS = 4096;
/** What all addresses together may have waiting on the server under attack. */
export const HELD_MAX = 4500;

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
    own.playlist = `${attacker.server.http}/live/${attacker.room.name}/video/index.m3u8`;
    await own.go(150);
    return own;
  }

  /** Pushes so many frames and waits for the playlist to come to rest, because nothing more is pushed. */
  async go(frames) {
    await this.push(frames);
    let before = '';
    this.text = await until("the attacker's playlist", 20_000, async () => {
      const response = await fetch(this.playlist);
      const [text, last] = [await response.text(), before];
      before = text;
      return response.ok && text.includes('#EXTINF') && text === last && text;
    }, 500);
    this.next = Number(this.text.match(/#EXT-X-MEDIA-SEQUENCE:(\d+)/)[1]) + this.text.match(/#EXTINF/g).length;
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

  'held requests of two addresses behind a proxy': async (own) => {
    const statuses = [];
    const hold = (count, address) => Array.from({ length: count }, () => get(`${own.playlist}?_HLS_msn=${own.next}`, { headers: { forwarded: `for=${address}` }, agent: false }).then((status) => statuses.push(status)));
    const beyond = (count) => until('the requests beyond the limit to be answered', 20_000, () => statuses.length >= count);
    const one = hold(5000, '198.51.100.7');
    await beyond(5000 - HELD_PER_ADDRESS);
    const others = hold(600, '198.51.100.8');
    await beyond(5600 - HELD_MAX);
    const refused = [...statuses];
    await own.go(100);
    await Promise.all([...one, ...others]);
    const count = (status) => statuses.filter((other) => other === status).length;
    const ok = refused.length === 5600 - HELD_MAX && count(200) === HELD_MAX && count(429) === 5000 - HELD_PER_ADDRESS && count(503) === refused.length - count(429);
    return verdict(ok, { requests: 5600, refused: refused.length, answered: count(200) }, Object.fromEntries([...new Set(statuses)].map((status) => [status, count(status)])));
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
