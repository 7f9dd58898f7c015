// What a publisher sends over RTMP, message by message (RTMP 1.0 §5.3), from its bytes in pieces of any size; and a relay
// that stands between a publisher and a server and keeps what went through. Shares nothing with the server.

import net from 'node:net';

const HANDSHAKE_BYTES = 1 + 2 * 1536;
const [SET_CHUNK_SIZE, AUDIO, VIDEO] = [1, 8, 9];
/** Sound and picture, version 1, and the size of no tag before the first. */
const FLV_HEADER = Buffer.from('464c5601050000000900000000', 'hex');

export class RtmpMessages {
  /** `onMessage({ at, type, time, body })`: `at` is what was pushed with its last piece, `time` its stamp in milliseconds. */
  constructor(onMessage) {
    Object.assign(this, { onMessage, bytes: Buffer.alloc(0), skip: HANDSHAKE_BYTES, chunk: 128, chunks: new Map() });
  }

  push(data, at) {
    this.bytes = this.bytes.length ? Buffer.concat([this.bytes, data]) : data;
    const skipped = Math.min(this.skip, this.bytes.length);
    this.skip -= skipped;
    this.bytes = this.bytes.subarray(skipped);
    for (let used = this.take(at); used; used = this.take(at)) this.bytes = this.bytes.subarray(used);
  }

  /** One chunk, if it is there whole; how long it was. */
  take(at) {
    const { bytes } = this;
    if (bytes.length < 3) return 0;
    let id = bytes[0] & 63;
    let head = 1;
    if (id === 0) { id = 64 + bytes[1]; head = 2; } else if (id === 1) { id = 64 + bytes[1] + 256 * bytes[2]; head = 3; }
    const form = bytes[0] >> 6;
    const fields = [11, 7, 3, 0][form];
    const state = this.chunks.get(id) ?? { got: 0, body: [], time: 0, stamp: 0 };
    if (bytes.length < head + fields) return 0;
    const isExtended = form < 3 ? bytes.readUIntBE(head, 3) === 0xffffff : state.isExtended;
    const length = form < 2 ? bytes.readUIntBE(head + 3, 3) : state.length;
    const end = head + fields + (isExtended ? 4 : 0);
    const size = Math.min(this.chunk, length - state.got);
    if (bytes.length < end + size) return 0;
    if (form < 2) Object.assign(state, { length, type: bytes[head + 6] });
    if (form < 3) Object.assign(state, { isExtended, stamp: isExtended ? bytes.readUInt32BE(head + fields) : bytes.readUIntBE(head, 3) });
    // The first chunk of a message says its time: as it is, or from the one before.
    if (state.got === 0) state.time = form === 0 ? state.stamp : state.time + state.stamp;
    this.chunks.set(id, state);
    state.body.push(bytes.subarray(end, end + size));
    state.got += size;
    if (state.got === length) {
      const { type, time } = state;
      const body = Buffer.concat(state.body);
      Object.assign(state, { got: 0, body: [] });
      if (type === SET_CHUNK_SIZE) this.chunk = body.readUInt32BE(0) & 0x7fffffff;
      this.onMessage({ at, type, time, body });
    }
    return end + size;
  }
}

/** A TCP relay to the RTMP server at `base`, with a `base` of its own. `flv()` is the sound and picture that one publisher sent through it. */
export async function relayRtmp(base) {
  const url = new URL(base);
  const target = { port: Number(url.port), host: url.hostname };
  const tags = [];
  const relay = net.createServer((publisher) => {
    const server = net.connect(target);
    const messages = new RtmpMessages((message) => { if (message.type === AUDIO || message.type === VIDEO) tags.push(flvTag(message)); });
    publisher.on('data', (data) => messages.push(data));
    for (const [from, to] of [[publisher, server], [server, publisher]]) {
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise((listening) => { relay.listen(0, '127.0.0.1', listening); });
  url.port = relay.address().port;
  return { base: url.href, flv: () => Buffer.concat([FLV_HEADER, ...tags]), close: () => relay.close() };
}

/** A message of RTMP is the body of an FLV tag, and its stamp is the tag's (Adobe FLV specification 10.1, annex E.4). */
function flvTag({ type, time, body }) {
  const head = Buffer.alloc(11);
  head[0] = type;
  head.writeUIntBE(body.length, 1, 3);
  head.writeUIntBE(time & 0xffffff, 4, 3);
  head[7] = time >>> 24;
  const size = Buffer.alloc(4);
  size.writeUInt32BE(head.length + body.length);
  return Buffer.concat([head, body, size]);
}
