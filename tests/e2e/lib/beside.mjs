// A stream beside an attack: ffmpeg publishes, ffmpeg plays, and every access unit that left the one must reach the other.

import { preparedClip } from './clips.mjs';
import { FlvReader } from './flv.mjs';
import { sleep, start, until } from './process.mjs';

const QUIET = ['-hide_banner', '-loglevel', 'warning', '-nostdin'];

export class Beside {
  /** Publishes into the room and plays it over RTMP. */
  static async start(room) {
    const beside = new Beside();
    Object.assign(beside, { sent: [], got: [] });
    const sending = new FlvReader((unit) => { if (unit.kind === 'video') beside.sent.push(unit); });
    const getting = new FlvReader((unit) => { if (unit.kind === 'video') beside.got.push(unit); });
    beside.player = start('beside-player', 'ffmpeg', [...QUIET, '-fflags', 'nobuffer', '-i', room.play, '-c', 'copy', '-flush_packets', '1', '-f', 'flv', 'pipe:1'], { onStdout: (chunk) => getting.push(chunk) });
    await sleep(1000);
    beside.encoder = start('beside-encoder', 'ffmpeg', [...QUIET, '-re', '-stream_loop', '-1', '-i', await preparedClip(), '-map', '0', '-c', 'copy', '-tag:v', '7', '-tag:a', '10', '-flush_packets', '1',
      '-f', 'tee', `[f=flv:flvflags=no_duration_filesize:onfail=abort]${room.rtmp}|[f=flv:flvflags=no_duration_filesize]pipe:1`], { onStdout: (chunk) => sending.push(chunk) });
    await until('the player to play', 30_000, () => beside.got.length > 60);
    return beside;
  }

  /** Begins to look: what is sent from here on. */
  mark() { return this.sent.length; }

  /** What became of the pictures that were sent since the mark: how many, how many were lost, the longest way. */
  async since(mark) {
    const sent = this.sent.slice(mark);
    // The last of them is still on its way.
    await until('the last picture to arrive', 20_000, () => this.got.some((unit) => unit.hash === sent.at(-1)?.hash && unit.wall >= sent.at(-1).wall - 5_000)).catch(() => {});
    let at = Math.max(0, mark - 200);
    let lost = 0;
    let slowest = 0;
    for (const unit of sent) {
      const found = this.got.findIndex((other, index) => index >= at && other.hash === unit.hash);
      // The clip loops: a match far ahead is the picture of another round.
      if (found < 0 || found > at + 400) { lost += 1; continue; }
      slowest = Math.max(slowest, this.got[found].wall - unit.wall);
      at = found + 1;
    }
    return { pictures: sent.length, lost, slowest_ms: slowest, alive: !this.encoder.ended && !this.player.ended };
  }

  async stop() {
    await this.encoder.stop();
    await this.player.stop();
  }
}
