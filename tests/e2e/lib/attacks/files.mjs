// Files that are made to hurt, and what they reach for: a file that nobody may open and a port that nobody may reach.
//
// They are those that are made for a worker alone (`transcode/worker/tests/hostile_files`), so that nothing is made in two ways:
// `TELSTAR_HOSTILE_FILES` names that test's built executable, without it cargo builds it.

import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import path from 'node:path';
import { REPO, runDir } from '../paths.mjs';
import { run } from '../process.mjs';

const DAY_SECS = 86_400;

/** A file and a port, both watched. */
export class Bait {
  static async lay() {
    const bait = new Bait();
    bait.secret = `canary-${randomBytes(12).toString('hex')}`;
    bait.file = path.join(runDir(), 'canary.ts');
    // What a demuxer would take for media, with the secret in it.
    await run('canary', 'ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=s=64x64:r=10:d=1', '-c:v', 'mpeg2video', '-metadata', `service_name=${bait.secret}`, bait.file]);
    bait.connections = 0;
    bait.listener = net.createServer((socket) => { bait.connections += 1; socket.destroy(); });
    await new Promise((resolve) => bait.listener.listen(0, '127.0.0.1', resolve));
    bait.port = bait.listener.address().port;
    bait.forget();
    return bait;
  }

  /** Long ago: a file system that notes reads at all notes one of such a file. */
  forget() {
    const at = Date.now() / 1000 - 3 * DAY_SECS;
    utimesSync(this.file, at, at);
    this.readAt = statSync(this.file).atimeMs;
  }

  get isRead() { return statSync(this.file).atimeMs !== this.readAt; }

  /** Whether a read and a connection would be seen. */
  async works() {
    this.forget();
    const before = this.connections;
    const hasSecret = readFileSync(this.file).includes(this.secret);
    await new Promise((resolve) => net.connect(this.port, '127.0.0.1').on('close', resolve).on('error', resolve));
    const works = { file: this.isRead && hasSecret, port: this.connections > before };
    this.forget();
    return works;
  }

  close() { this.listener.close(); }
}

/** Every file, what it is, and how it ended before a worker alone: `asset`, `refused`, `failed` or `died`. */
export async function attackFiles(bait) {
  const folder = path.join(runDir(), 'attacks');
  mkdirSync(folder, { recursive: true });
  const built = process.env.TELSTAR_HOSTILE_FILES;
  const [command, words] = built ? [built, []] : ['cargo', ['test', '--quiet', '--locked', '-p', 'telstar-worker', '--test', 'hostile_files']];
  await run('make-attacks', command, words, {
    cwd: REPO, env: { TELSTAR_ATTACKS: folder, TELSTAR_ATTACKS_FILE: bait.file, TELSTAR_ATTACKS_PORT: String(bait.port) },
  });
  const files = readdirSync(folder).filter((name) => name.endsWith('.json')).map((name) => {
    const file = path.join(folder, name.slice(0, -'.json'.length));
    return { file, ...JSON.parse(readFileSync(path.join(folder, name), 'utf8')) };
  });
  return files.filter(({ file }) => existsSync(file));
}
