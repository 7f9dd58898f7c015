// A proxy for TCP that breaks connections after so many bytes from the client: what a train in a tunnel does to an upload.

import net from 'node:net';
import { once } from 'node:events';

export class Cutting {
  /** `cuts` connections are reset, each after `everyBytes` that clients have sent through the proxy since the one before. */
  static async open(target, { everyBytes, cuts }) {
    const proxy = new Cutting();
    Object.assign(proxy, { everyBytes, left: cuts, done: 0, sent: 0, sockets: new Set() });
    const { hostname, port } = new URL(target);
    proxy.server = net.createServer((client) => proxy.#join(client, net.connect(Number(port), hostname)));
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  #join(client, server) {
    const end = () => { client.destroy(); server.destroy(); };
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket.on('error', end).on('close', () => { this.sockets.delete(socket); end(); });
    }
    client.on('data', (bytes) => {
      this.sent += bytes.length;
      if (this.left > 0 && this.sent >= this.everyBytes) {
        this.left -= 1;
        this.done += 1;
        this.sent = 0;
        client.resetAndDestroy();
        server.resetAndDestroy();
        return;
      }
      if (!server.write(bytes)) client.pause();
    });
    server.on('drain', () => client.resume());
    server.on('data', (bytes) => { if (!client.write(bytes)) server.pause(); });
    client.on('drain', () => server.resume());
  }

  async close() {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}
