// An RTMP client that says exactly what a script tells it to, right or wrong. Written from RTMP 1.0 and AMF0, so that it
// shares nothing with the server. It reads only as text: status codes stand in it as they are.

import net from 'node:net';

const HANDSHAKE = Buffer.alloc(1 + 2 * 1536);
HANDSHAKE[0] = 3;

/** AMF0: numbers, strings, booleans, null and plain objects. */
export function amf(...values) {
  return Buffer.concat(values.map((value) => {
    if (Buffer.isBuffer(value)) return value;
    if (value === null) return Buffer.from([5]);
    if (typeof value === 'number') { const b = Buffer.alloc(9); b.writeDoubleBE(value, 1); return b; }
    if (typeof value === 'boolean') return Buffer.from([1, value ? 1 : 0]);
    if (typeof value === 'string') return Buffer.concat([Buffer.from([2]), name(value)]);
    const fields = Object.entries(value).map(([key, field]) => Buffer.concat([name(key), amf(field)]));
    return Buffer.concat([Buffer.from([3]), ...fields, Buffer.from([0, 0, 9])]);
  }));
}

function name(text) {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The header of a type 0 chunk. */
export function header(csid, kind, length, ms = 0, stream = 1) {
  if (csid >= 64) return Buffer.concat([Buffer.from([0, csid - 64]), header(63, kind, length, ms, stream).subarray(1)]);
  const head = Buffer.alloc(12);
  head[0] = csid;
  head.writeUIntBE(Math.min(ms, 0xffffff), 1, 3);
  head.writeUIntBE(length, 4, 3);
  head[7] = kind;
  head.writeUInt32LE(stream, 8);
  if (ms < 0xffffff) return head;
  const extended = Buffer.alloc(4);
  extended.writeUInt32BE(ms);
  return Buffer.concat([head, extended]);
}

/** A whole message, cut into chunks. */
export function message(csid, kind, body, ms = 0, chunkSize = 128) {
  const parts = [header(csid, kind, body.length, ms)];
  for (let at = 0; at < body.length; at += chunkSize) {
    if (at > 0) {
      parts.push(Buffer.from([0xc0 | csid]));
      if (ms >= 0xffffff) parts.push(header(csid, kind, 0, ms).subarray(12));
    }
    parts.push(body.subarray(at, at + chunkSize));
  }
  return Buffer.concat(parts);
}

export const SET_CHUNK_SIZE = 1;
export const AUDIO = 8;
export const VIDEO = 9;
export const COMMAND = 20;
export const chunkSize = (size) => { const body = Buffer.alloc(4); body.writeUInt32BE(size); return message(2, SET_CHUNK_SIZE, body); };

/** The parameter sets of x264 for 128x96 pixels, as an AVC sequence header; another SPS makes another claim. */
const SPS = Buffer.from('6742c00ad9020db01100000300010000030032 0f122648'.replace(/ /g, ''), 'hex');
const PPS = Buffer.from('68cb83cb20', 'hex');
export function avcHeader(sps = SPS) {
  const length = (bytes) => Buffer.from([bytes.length >> 8, bytes.length & 255]);
  return Buffer.concat([Buffer.from([0x17, 0, 0, 0, 0, 1, sps[1], sps[2], sps[3], 0xff, 0xe1]), length(sps), sps, Buffer.from([1]), length(PPS), PPS]);
}
/** A picture of `size` bytes: an IDR slice or a P slice. */
export function picture(key, size = 4) {
  const body = Buffer.alloc(9 + Math.max(size, 4), 7);
  Buffer.from([key ? 0x17 : 0x27, 1, 0, 0, 0]).copy(body);
  body.writeUInt32BE(body.length - 9, 5);
  Buffer.from(key ? [0x65, 0x88, 0x84, 0x21] : [0x41, 0x9a, 0x24, 0x21]).copy(body, 9);
  return body;
}
export const AAC_HEADER = Buffer.from([0xaf, 0, 0x12, 0x10]);
export const AAC_FRAME = Buffer.from([0xaf, 1, 0x21, 0x10, 0x04, 0x60]);

export class RtmpClient {
  /** Connects; nothing is said yet. */
  static open(address) {
    const [host, port] = address.split(':');
    const client = new RtmpClient();
    client.heard = '';
    client.socket = net.connect(Number(port), host);
    client.socket.setNoDelay(true);
    client.closed = new Promise((resolve) => client.socket.on('close', resolve));
    client.socket.on('error', () => {});
    client.socket.on('data', (bytes) => { client.heard = (client.heard + bytes.toString('latin1')).slice(-20_000); });
    client.connected = new Promise((resolve) => { client.socket.on('connect', resolve); client.socket.on('close', resolve); });
    return client;
  }

  /** Handshake, `connect` with further fields, `createStream`. */
  introduce(fields = {}) {
    this.write(HANDSHAKE);
    this.write(message(3, COMMAND, amf('connect', 1, { app: 'live', tcUrl: 'rtmp://h/live', ...fields })));
    return this.write(message(3, COMMAND, amf('createStream', 2, null)));
  }

  publish(streamName) { return this.write(message(3, COMMAND, amf('publish', 3, null, streamName, 'live'))); }

  play(streamName) { return this.write(message(3, COMMAND, amf('play', 4, null, streamName, -2000))); }

  /** Resolves when the bytes are the system's, or the connection is gone. */
  write(bytes) {
    return new Promise((resolve) => {
      if (this.socket.destroyed || this.socket.writableEnded) resolve(false);
      else { this.socket.write(bytes, (error) => resolve(!error)); this.closed.then(() => resolve(false)); }
    });
  }

  /** Waits for words of the server; false when it closed without them. */
  async hears(words, timeoutMs = 20_000) {
    const deadline = performance.now() + timeoutMs;
    let gone = false;
    this.closed.then(() => { gone = true; });
    for (;;) {
      if (this.heard.includes(words)) return true;
      if (gone || performance.now() > deadline) return false;
      await Promise.race([new Promise((resolve) => { this.socket.once('data', resolve); }), this.closed, new Promise((resolve) => { setTimeout(resolve, 50); })]);
    }
  }

  /** Waits for the server to close; false when it does not. */
  async isClosed(timeoutMs = 20_000) {
    return Promise.race([this.closed.then(() => true), new Promise((resolve) => { setTimeout(() => resolve(false), timeoutMs).unref(); })]);
  }

  end() { this.socket.destroy(); }
}
