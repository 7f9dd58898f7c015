// A bad line for UDP, in user space: delay, jitter, reordering, duplication, loss. What happens to the n-th packet of a
// direction follows from the seed and n alone. Sits in the script's own process, on the router of lab.mjs.

import dgram from 'node:dgram';

/** Addresses of clients that one relay serves; a new one beyond it is dropped. Browsers use a handful each. */
const PEERS_MAX = 64;

/** mulberry32: small, good enough for the fates of packets, and the same everywhere. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * When each copy of the next packet leaves, in ms from now; none when it is lost. Jitter alone keeps the order, as queues
 * do; `reorder` is the share of packets that overtake by leaving without any delay but half of the fixed one.
 */
export function* fates({ delayMs = 0, jitterMs = 0, reorder = 0, duplicate = 0, loss = 0 }, seed) {
  const next = random(seed);
  for (;;) {
    const [lost, twice, early, jitter] = [next() < loss, next() < duplicate, next() < reorder, next() * jitterMs];
    const after = early ? delayMs / 2 : delayMs + jitter;
    yield lost ? { copies: [], early } : { copies: twice ? [after, after + 1] : [after], early };
  }
}

export class UdpRelay {
  /** `target` is `{address, port}`; `line` is what `fates` takes. Each direction has its own seed. */
  static async open(target, line, { seed = 1 } = {}) {
    const relay = new UdpRelay();
    Object.assign(relay, { target, line, peers: new Map(), timers: new Set(), counts: { packets: 0, lost: 0, duplicated: 0, reordered: 0, refused: 0 } });
    relay.up = fates(line, seed);
    relay.down = fates(line, seed + 1);
    relay.last = { up: 0, down: 0 };
    relay.front = dgram.createSocket('udp4');
    relay.front.on('message', (bytes, from) => relay.fromClient(bytes, from));
    await new Promise((resolve, reject) => { relay.front.once('error', reject); relay.front.bind(0, resolve); });
    relay.port = relay.front.address().port;
    return relay;
  }

  fromClient(bytes, from) {
    const key = `${from.address}:${from.port}`;
    let socket = this.peers.get(key);
    if (!socket) {
      if (this.peers.size >= PEERS_MAX) { this.counts.refused += 1; return; }
      socket = dgram.createSocket('udp4');
      socket.on('message', (answer) => this.later('down', answer, (each) => this.front.send(each, from.port, from.address)));
      // A port that is closed at the other end is the other end's business.
      socket.on('error', () => {});
      this.peers.set(key, socket);
    }
    this.later('up', bytes, (each) => socket.send(each, this.target.port, this.target.address));
  }

  later(direction, bytes, send) {
    const { copies, early } = this[direction].next().value;
    this.counts.packets += 1;
    if (!copies.length) this.counts.lost += 1;
    if (copies.length > 1) this.counts.duplicated += 1;
    if (early) this.counts.reordered += 1;
    const now = performance.now();
    for (const after of copies) {
      let at = now + after;
      if (!early) at = this.last[direction] = Math.max(at, this.last[direction]);
      const timer = setTimeout(() => { this.timers.delete(timer); if (!this.closed) send(bytes); }, at - now);
      this.timers.add(timer);
    }
  }

  close() {
    this.closed = true;
    this.timers.forEach(clearTimeout);
    this.front.close();
    this.peers.forEach((socket) => socket.close());
  }
}
