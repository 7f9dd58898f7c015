// A person in a call, by the page alone: joins, presses keys, and reads what `window.__telstarCall` and the tiles say.

import net from 'node:net';
import { until } from './process.mjs';

export class Caller {
  constructor(page, name) {
    Object.assign(this, { page, name });
  }

  /** Opens the page before the call and waits for its check. */
  async open(url) {
    await this.page.goto(url);
    await until(`${this.name}: the page before the call`, 20_000, () => this.page.evaluate(() => document.querySelector('input[name=name]') !== null));
    await this.page.evaluate((name) => {
      const input = document.querySelector('input[name=name]');
      input.value = name;
    }, this.name);
    await until(`${this.name}: the connection check`, 20_000, () => this.page.evaluate(() => document.querySelector('.check-list')?.dataset.faults !== 'running'));
    await until(`${this.name}: the camera`, 20_000, () => this.page.evaluate(() => document.querySelector('.preview-picture')?.videoWidth > 0));
    this.faults = await this.page.evaluate(() => document.querySelector('.check-list').dataset.faults);
  }

  async join() {
    await this.press('join');
    await until(`${this.name} to be in the call`, 20_000, async () => (await this.facts())?.state === 'connected');
  }

  /** The fault that the page shows, as a word and in its own words; null when it shows none in time. */
  async fault(timeoutMs) {
    return until(`${this.name} to be told of a fault`, timeoutMs, () => this.page.evaluate(() => {
      const notice = document.querySelector('[data-name="fault"]');
      return notice !== null && !notice.hidden && { fault: notice.dataset.fault, text: notice.innerText };
    })).catch(() => null);
  }

  press(name) {
    return this.page.evaluate((which) => document.querySelector(`[data-name="${which}"]`).click(), name);
  }

  key(key) {
    return this.page.raw.keyboard.press(key);
  }

  /** Null outside a call. */
  facts() {
    return this.page.evaluate(() => {
      const call = window.__telstarCall;
      if (call === undefined || document.querySelector('main.call') === null) return null;
      const { state, self, peers, fault, moments, participants } = call;
      return { state, self, peers, fault, moments, participants, stats: call.stats(), shown: document.querySelector('main.call').dataset.state };
    });
  }

  /** What comes from others now, by the media track: frames decoded, energy heard, bytes. */
  async received() {
    const stats = await this.page.evaluate(() => (document.querySelector('main.call') === null ? [] : window.__telstarCall.measure()));
    const streams = stats.flatMap(({ streams: list }) => list).filter(({ direction }) => direction === 'received');
    return {
      frames: streams.filter(({ kind }) => kind === 'video').map(({ frames }) => frames ?? 0),
      energy: streams.filter(({ kind }) => kind === 'audio').map(({ audioEnergy, bytes }) => audioEnergy ?? bytes),
      bytes: streams.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  tiles() {
    return this.page.evaluate(() => [...document.querySelectorAll('.call-tile')].map((tile) => {
      const video = tile.querySelector('video');
      return { key: tile.dataset.key, participant: tile.dataset.participant, audio: tile.dataset.audio, flow: tile.dataset.flow, isScreen: tile.classList.contains('is-screen'), isSelf: tile.classList.contains('is-self'), isShown: !video.hidden && video.videoWidth > 0 && video.currentTime > 0, width: video.videoWidth };
    }));
  }

  /** Sees that many others move, and hears them. */
  async seesAndHears(count, timeoutMs = 20_000) {
    const from = performance.now();
    let before = await this.received();
    await until(`${this.name} to see and hear ${count}`, timeoutMs, async () => {
      const now = await this.received();
      const grown = (list, old) => list.filter((value, index) => value > (old[index] ?? 0)).length;
      const isGood = grown(now.frames, before.frames) >= count && grown(now.energy, before.energy) >= count
        && (await this.tiles()).filter(({ isSelf, isShown }) => !isSelf && isShown).length >= count;
      if (!isGood && now.frames.length !== before.frames.length) before = now;
      return isGood;
    }, 100);
    return performance.now() - from;
  }

  async untilParticipants(count, timeoutMs = 20_000) {
    await until(`${this.name} to see ${count} others`, timeoutMs, async () => (await this.facts())?.participants.length === count);
  }
}

/** A way to the server that can be cut: HTTP and the socket go through it, media does not. */
export class Cut {
  sockets = new Set();
  isCut = false;

  static async before(address) {
    const cut = new Cut();
    const [host, port] = address.split(':');
    cut.server = net.createServer((from) => {
      if (cut.isCut) {
        from.destroy();
        return;
      }
      const to = net.connect(Number(port), host);
      for (const [one, other] of [[from, to], [to, from]]) {
        cut.sockets.add(one);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          cut.sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    await new Promise((resolve) => cut.server.listen(0, '127.0.0.1', resolve));
    cut.origin = `http://127.0.0.1:${cut.server.address().port}`;
    return cut;
  }

  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  restore() {
    this.isCut = false;
  }

  close() {
    this.cut();
    this.server.close();
  }
}
