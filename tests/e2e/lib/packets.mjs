// Small network programs for the hosts of a lab, run as `node packets.mjs PROGRAM ARGUMENTS`, each printing JSON lines.
// They measure the lab itself, so that no server or browser has to be believed for that.

import dgram from 'node:dgram';
import net from 'node:net';

const say = (value) => console.log(JSON.stringify(value));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const PACKET_BYTES = 1000;

const programs = {
  /** Sends everything back over UDP and TCP, and says whom it saw. */
  async echo(port) {
    const udp = dgram.createSocket('udp4');
    udp.on('message', (bytes, from) => { say({ udp: from.address }); udp.send(bytes, from.port, from.address); });
    udp.bind(Number(port), () => {
      net.createServer((socket) => { say({ tcp: socket.remoteAddress }); socket.on('error', () => {}); socket.pipe(socket); }).listen(Number(port), '0.0.0.0', () => say({ ready: true }));
    });
  },

  /** Counts what comes, and how long the last of it was on the way by the sender's clock, which is the same clock. */
  async sink(port) {
    const seen = { packets: 0, bytes: 0, ways_ms: [], firstAt: 0, lastAt: 0, numbers: [] };
    const udp = dgram.createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
    udp.on('message', (bytes) => {
      const now = Date.now();
      if (!seen.packets) seen.firstAt = now;
      seen.lastAt = now;
      seen.packets += 1;
      seen.bytes += bytes.length + 28;
      seen.numbers.push(bytes.readUInt32BE(0));
      seen.ways_ms.push(now - Number(bytes.readBigUInt64BE(4)));
    });
    udp.bind(Number(port), () => say({ ready: true }));
    process.stdin.on('end', () => { say(seen); process.exit(); }).resume();
  },

  /** So many packets a second, evenly, until all are sent. */
  async blast(address, port, count, perSecond) {
    const udp = dgram.createSocket('udp4');
    const from = performance.now();
    for (let sent = 0; sent < Number(count);) {
      const due = Math.min(Number(count), Math.ceil(((performance.now() - from) / 1000) * Number(perSecond)));
      for (; sent < due; sent += 1) {
        const bytes = Buffer.alloc(PACKET_BYTES);
        bytes.writeUInt32BE(sent, 0);
        bytes.writeBigUInt64BE(BigInt(Date.now()), 4);
        udp.send(bytes, Number(port), address);
      }
      await sleep(2);
    }
    await sleep(50);
    say({ sent: Number(count) });
    udp.close();
  },

  /** Whether an echo answers within a second, by each protocol. */
  async reach(address, port) {
    const udp = new Promise((resolve) => {
      const socket = dgram.createSocket('udp4');
      const from = performance.now();
      socket.on('message', () => { resolve(performance.now() - from); socket.close(); });
      socket.on('error', () => resolve(null));
      socket.send('x', Number(port), address);
      setTimeout(() => resolve(null), 1000);
    });
    const tcp = new Promise((resolve) => {
      const from = performance.now();
      const socket = net.connect(Number(port), address, () => socket.write('x'));
      socket.on('data', () => { resolve(performance.now() - from); socket.destroy(); });
      socket.on('error', () => resolve(null));
      setTimeout(() => resolve(null), 1000);
    });
    say({ udp_ms: await udp, tcp_ms: await tcp });
    process.exit();
  },
};

await programs[process.argv[2]](...process.argv.slice(3));
