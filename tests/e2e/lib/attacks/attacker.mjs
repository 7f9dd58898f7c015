// What every attack starts from: the server, the attacker's own room, and clients in any number.

import { RtmpClient, COMMAND, amf, message } from '../rtmp.mjs';

/** How an attack went: whether every refusal was clear, and what to write down of it. */
export const verdict = (ok, figures = {}, detail = {}) => ({ ok, figures, detail });

export class Attacker {
  constructor(server, room) {
    Object.assign(this, { server, room, address: server.addresses.rtmp });
  }

  /** `count` clients, `atOnce` at a time, each given to `act`, which says whether all was as it should be. */
  async clients(count, atOnce, act) {
    let good = 0;
    let next = 0;
    await Promise.all(Array.from({ length: atOnce }, async () => {
      while (next < count) {
        const index = next;
        next += 1;
        const client = RtmpClient.open(this.address);
        await client.connected;
        if (await act(client, index)) good += 1;
        client.end();
      }
    }));
    return verdict(good === count, { connections: count }, { good, of: count });
  }

  /** Makes a key and revokes it. */
  async withRevokedKey() {
    const keys = `/api/v1/rooms/${this.room.name}/stream-keys`;
    const { id, key } = await this.server.api('POST', keys);
    await this.server.api('DELETE', `${keys}/${id}`);
    return Object.assign(this, { revoked: key, shown: 0 });
  }

  async introduced(client) {
    client.introduce();
    return client.hears('NetConnection.Connect.Success');
  }

  /** One that was let in with the attacker's own key. */
  async publisher() {
    const client = RtmpClient.open(this.address);
    await this.introduced(client);
    client.publish(this.room.key);
    if (!(await client.hears('NetStream.Publish.Start'))) throw new Error(`the attacker was not let in: ${client.heard.slice(-200)}`);
    return client;
  }

  /** Ends a publish and waits for it, so that the next is no second one. */
  async leave(client) {
    await client.write(message(3, COMMAND, amf('FCUnpublish', 9, null, 'x')));
    const left = await client.hears('NetStream.Unpublish.Success');
    client.end();
    return left;
  }

  async metric(name) {
    const text = await (await fetch(`${this.server.http}/metrics`)).text();
    return Number(text.match(new RegExp(`^${name} (\\d+)`, 'm'))?.[1]);
  }
}
