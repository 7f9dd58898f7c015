// A call of two in Chromium that an attack must not disturb: what one sees of the other.

import { openChromium } from './browsers.mjs';
import { MeasuredCaller, stillness } from './measured.mjs';

const ROOM = 'beside-call';
/** The longest that a picture may stand. The browser shares the machine with the server and the attacker. */
const GAP_MAX_MS = 2000;
const FIRST_WITHIN_MS = 20_000;

export class BesideCall {
  static async start(server) {
    const beside = new BesideCall();
    await server.callRoom(ROOM);
    beside.browser = await openChromium({ camera: true });
    const join = (identity, media) => MeasuredCaller.join(beside.browser, server, { room: ROOM, identity, ...media });
    beside.alice = await join('alice', { camera: { width: 320, height: 180 }, microphone: true });
    beside.bob = await join('bob', {});
    if ((await beside.bob.firstPicture('alice', beside.bob.joinedAt, FIRST_WITHIN_MS)) === null) throw new Error('bob never saw alice');
    return beside;
  }

  mark() { return Date.now(); }

  async since(mark) {
    const still = stillness(await this.bob.seen('alice', { since: mark }), mark);
    return { alive: still.longest_gap_ms <= GAP_MAX_MS, pictures: still.frames, ...still };
  }

  async stop() {
    await this.alice.close();
    await this.bob.close();
    await this.browser.close();
  }
}
