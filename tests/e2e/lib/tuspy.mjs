// tuspy, the tus project's client for Python.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { E2E, OUT } from './paths.mjs';
import { run } from './process.mjs';

const PACKAGES = ['tuspy==1.1.0'];

/** A Python that can `import tusclient`: `TELSTAR_TUSPY`, else one of our own under out/, made at the first use. */
async function python() {
  if (process.env.TELSTAR_TUSPY) return process.env.TELSTAR_TUSPY;
  const folder = path.join(OUT, 'tuspy');
  const own = path.join(folder, 'bin/python');
  if (!existsSync(own)) await run('tuspy-venv', 'python3', ['-m', 'venv', folder]);
  await run('tuspy-install', own, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PACKAGES]);
  return own;
}

/** Uploads `file`; says `{url, chunks, retries}`. With `stopAt` it ends in the middle, and goes on from `url` another time. */
export async function tuspy(server, file, { endpoint, url = null, stopAt = null, chunk = 2 * 1024 * 1024, checksum = false, title }) {
  const order = { endpoint, url, stopAt, chunk, checksum, title, file, token: await server.adminToken() };
  // By the environment: arguments can be read by everybody on the machine.
  return JSON.parse(await run('tuspy', await python(), [path.join(E2E, 'lib/tuspy_upload.py')], { env: { TUSPY_ORDER: JSON.stringify(order) } }));
}
