// Attacks on what calls open: the media port over UDP and TCP, and `/ws`. Whoever makes them has no credential.

import dgram from 'node:dgram';
import net from 'node:net';
import { verdict } from './attacker.mjs';

const DATAGRAMS = 20_000;
/** So many are sent before the server gets a turn: what the kernel drops for want of room proves nothing. */
const AT_ONCE = 32;
/** Connections of one address to the media port are 64 at most (`media.tcp_connections_per_address_max`). */
const STREAMS = 300;
const SOCKETS = 100;
/** Close codes of a client that sends what is no request, or too much (docs/protocol.md). */
const REFUSED = [1009, 4400, 4401, 4409];
const CLOSED_WITHIN_MS = 20_000;

/** Sends datagrams and tells how many the server has counted as nobody's, and how many answers came. */
async function flood(attacker, datagram) {
  const strange = async () => (await attacker.metric('call_unknown_packets_total')) + (await attacker.metric('call_alien_packets_total'));
  const socket = dgram.createSocket('udp4');
  let answers = 0;
  socket.on('message', () => { answers += 1; });
  const port = Number(attacker.server.addresses.media.split(':').at(-1));
  const before = await strange();
  for (let number = 0; number < DATAGRAMS; number += 1) {
    const sent = new Promise((resolve, reject) => { socket.send(datagram(number), port, '127.0.0.1', (error) => (error ? reject(error) : resolve())); });
    if (number % AT_ONCE === 0) await sent;
  }
  const counted = (await strange()) - before;
  socket.close();
  // More than half: the kernel may drop some of a flood, and then nobody can count them.
  return verdict(answers === 0 && counted > DATAGRAMS / 2, { datagrams: DATAGRAMS, counted, answers });
}

/** A connectivity check (RFC 8445 §7.2.2) in a name that nobody has. */
function check(number) {
  const name = Buffer.from(`nobody${number}`.padEnd(16, 'x').slice(0, 16) + ':evil');
  const username = Buffer.concat([Buffer.from([0, 6, 0, name.length]), name, Buffer.alloc((4 - (name.length % 4)) % 4)]);
  const head = Buffer.from([0, 1, 0, username.length, 0x21, 0x12, 0xa4, 0x42, ...Buffer.alloc(12, number % 256)]);
  return Buffer.concat([head, username]);
}

/** What STUN, DTLS, RTP, RTCP, QUIC and TURN begin with (RFC 7983), and nothing sensible behind it. */
const FIRST = [0, 1, 22, 63, 64, 128, 200, 255];
const garbage = (number) => Buffer.alloc(1 + ((number * 37) % 1400), FIRST[number % FIRST.length]);

/** A masked text frame of a client (RFC 6455 §5.2). The mask is nothing, so that the text stands as it is. */
function frame(text) {
  const length = text.length < 126 ? [0x80 | text.length] : text.length < 65_536 ? [0xfe, text.length >> 8, text.length & 255] : [0xff, 0, 0, 0, 0, ...new Uint8Array(new Uint32Array([text.length]).buffer).reverse()];
  return Buffer.concat([Buffer.from([0x81, ...length, 0, 0, 0, 0]), Buffer.from(text)]);
}

/** The code of a close frame among a server's frames; null while none is there. */
function closeCode(bytes) {
  for (let at = 0; at + 4 <= bytes.length;) {
    const short = bytes[at + 1] & 127;
    const length = short < 126 ? short : bytes.readUInt16BE(at + 2);
    const body = at + (short < 126 ? 2 : 4);
    if ((bytes[at] & 15) === 8) return bytes.length >= body + 2 ? bytes.readUInt16BE(body) : null;
    at = body + length;
  }
  return null;
}

/** Says all of this over a WebSocket of `/ws`, whatever the answers. Resolves with the close code, `reset` for a socket that ends without one, or `open`. */
function say(url, texts) {
  return new Promise((resolve) => {
    const stream = net.connect(Number(url.port), url.hostname);
    let heard = Buffer.alloc(0);
    let upgraded = false;
    stream.write(`GET /ws HTTP/1.1\r\nHost: ${url.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: telstar.v1\r\n\r\n`);
    stream.on('data', (bytes) => {
      heard = Buffer.concat([heard, bytes]);
      const end = upgraded ? -1 : heard.indexOf('\r\n\r\n');
      if (end >= 0) {
        upgraded = true;
        heard = heard.subarray(end + 4);
        for (const text of texts) stream.write(frame(text));
      }
      const code = upgraded ? closeCode(heard) : null;
      if (code !== null) { stream.destroy(); resolve(code); }
    });
    stream.on('error', () => {});
    stream.on('close', () => resolve('reset'));
    stream.setTimeout(CLOSED_WITHIN_MS, () => { stream.destroy(); resolve('open'); });
  });
}

export const callAttacks = {
  'garbage on the media port': (attacker) => flood(attacker, garbage),

  'connectivity checks for nobody': (attacker) => flood(attacker, check),

  'connections to the media port that frame nothing of ours': async (attacker) => {
    const port = Number(attacker.server.addresses.media.split(':').at(-1));
    const ends = Array.from({ length: STREAMS }, (_, index) => new Promise((resolve) => {
      const stream = net.connect(port, '127.0.0.1', () => stream.write(index % 2 ? 'GET / HTTP/1.1\r\n\r\n' : Buffer.alloc(100, 255)));
      let heard = 0;
      stream.on('data', (bytes) => { heard += bytes.length; });
      // A reset is an end too.
      stream.on('error', () => {});
      stream.setTimeout(CLOSED_WITHIN_MS, () => { heard = -1; stream.destroy(); });
      stream.on('close', () => resolve(heard));
    }));
    const heard = await Promise.all(ends);
    return verdict(heard.every((bytes) => bytes === 0), { connections: STREAMS }, { heard: heard.filter((bytes) => bytes !== 0) });
  },

  'sockets that send what is no request, and too many': async (attacker) => {
    const texts = Array.from({ length: 2000 }, (_, id) => JSON.stringify({ id, type: 'join', room: 'beside-call' }));
    const bombs = [texts, ['['.repeat(500)], ['x'.repeat(100_000)]];
    const codes = await Promise.all(Array.from({ length: SOCKETS }, (_, index) => say(new URL(attacker.server.http), bombs[index % bombs.length])));
    // Behind a close frame to a client that still sends, a reset may come first.
    return verdict(codes.every((code) => REFUSED.includes(code) || code === 'reset'), { connections: SOCKETS }, { codes: [...new Set(codes)] });
  },
};
