// Attacks on the door of RTMP: whoever makes them has no key.

import { sleep } from '../process.mjs';
import { COMMAND, RtmpClient, VIDEO, amf, chunkSize, header, message } from '../rtmp.mjs';
import { verdict } from './attacker.mjs';

const PROBES = ['\x16\x03\x01\x02\x00\x01\x00', 'POST /open/1 HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n', '\x06'.repeat(1537), '\xff'.repeat(1537)];
const BOMBS = [
  Buffer.from('\x03\x00\x01a'.repeat(10_000), 'latin1'), Buffer.from('\x0a\x00\x00\x00\x01'.repeat(10_000), 'latin1'),
  Buffer.concat([Buffer.from([10, 255, 255, 255, 255]), Buffer.alloc(50_000, 5)]),
];
const NAMES = ['../../../etc/passwd', '..', 'attacker/../beside', 'attacker\0', 'x'.repeat(10_000), '%2e%2e%2f', 'attacker\r\nx'];

export const doorAttacks = {
  'TLS and HTTP on the RTMP port': (attacker) => attacker.clients(2000, 20, async (client, index) => {
    await client.write(Buffer.from(PROBES[index % PROBES.length], 'latin1'));
    return client.isClosed();
  }),

  'chunk size 1': (attacker) => attacker.clients(500, 20, async (client) => {
    await attacker.introduced(client);
    await client.write(chunkSize(1));
    return client.hears('NetConnection.Connect.Closed');
  }),

  'chunk size 2^31-1 and 16 MiB claimed': (attacker) => attacker.clients(500, 20, async (client) => {
    await attacker.introduced(client);
    await client.write(chunkSize(0x7fffffff));
    await client.write(header(6, VIDEO, 0xffffff));
    return client.hears('NetConnection.Connect.Closed');
  }),

  'AMF nested 10,000 deep or claiming 2^32 elements': (attacker) => attacker.clients(600, 20, async (client, index) => {
    await attacker.introduced(client);
    await client.write(message(3, COMMAND, Buffer.concat([amf('publish', 1), BOMBS[index % BOMBS.length]])));
    return client.hears('NetConnection.Connect.Closed');
  }),

  'handshakes that never end': (attacker) => attacker.clients(45, 45, async (client) => {
    client.write(Buffer.from([3]));
    const drip = setInterval(() => client.write(Buffer.from([0])), 100);
    const closed = await client.isClosed();
    clearInterval(drip);
    return closed;
  }),

  '1,000 half-open connections of one address': async (attacker) => {
    const opened = Array.from({ length: 1000 }, () => RtmpClient.open(attacker.address));
    await Promise.all(opened.map((client) => client.connected));
    await sleep(500);
    const open = opened.filter((client) => !client.socket.destroyed).length;
    const gone = await Promise.all(opened.map((client) => client.isClosed()));
    return verdict(open <= 50 && gone.every(Boolean), { connections: 1000, let_in: open }, { open });
  },

  'names that lead elsewhere': (attacker) => attacker.clients(210, 10, async (client, index) => {
    await attacker.introduced(client);
    const stream = NAMES[index % NAMES.length];
    if (index % 2) client.play(stream);
    else client.publish(`${stream}?key=${attacker.room.key}`);
    return client.isClosed();
  }),
};

/** Wrong keys that one address may show (src/auth/throttle.rs); beyond it the answer is another, whatever the key. */
const WRONG_KEYS_MAX = 100;
const WRONG = 'The stream key is not valid.';
const THROTTLED = 'The server takes no more streams at the moment.';

/** Goes last: afterwards nobody of this address gets in. */
export const guessing = {
  'keys that are unknown, revoked or of another room': (attacker) => {
    const names = ['sk_unknown', attacker.revoked, `beside?key=${attacker.room.key}`, 'no-such-room?key=sk_x', attacker.room.name, ''];
    return attacker.clients(names.length, 1, async (client, index) => {
      await attacker.introduced(client);
      client.publish(names[index]);
      attacker.shown += 1;
      const refused = await client.hears('NetStream.Publish.BadName');
      return refused && (client.heard.includes(WRONG) || (attacker.shown > WRONG_KEYS_MAX && client.heard.includes(THROTTLED)));
    });
  },

  'keys guessed at speed': async (attacker) => {
    let throttled = 0;
    const { ok, figures, detail } = await attacker.clients(1000, 20, async (client, index) => {
      await attacker.introduced(client);
      client.publish(`sk_${String(index).padStart(40, '0')}`);
      const refused = await client.hears('NetStream.Publish.BadName');
      if (client.heard.includes(THROTTLED)) throttled += 1;
      return refused;
    });
    // One wrong key is forgiven each second.
    return verdict(ok && throttled > 500, { ...figures, throttled }, { ...detail, throttled });
  },
};
