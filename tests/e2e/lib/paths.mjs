// Where things are: the repository, the run's scratch folder, the server binary, the results.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const E2E = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const REPO = path.resolve(E2E, '../..');
export const OUT = path.join(E2E, 'out');
export const RESULTS = process.env.TELSTAR_RESULTS ?? path.join(REPO, 'docs/results');

let current;

/** The folder of the script that is running: logs, data folders, screenshots. */
export function runDir() {
  if (!current) {
    const name = path.basename(process.argv[1] ?? 'run', '.mjs');
    current = path.join(OUT, `${name}-${new Date().toISOString().replace(/[:.]/g, '-').slice(0, 19)}`);
    mkdirSync(current, { recursive: true });
  }
  return current;
}

/** The server under test: `TELSTAR_BIN`, else the newest of the release and debug builds. */
export function telstarBinary() {
  if (process.env.TELSTAR_BIN) return path.resolve(process.env.TELSTAR_BIN);
  const target = process.env.CARGO_TARGET_DIR ?? path.join(REPO, 'target');
  const built = ['release', 'debug'].map((profile) => path.join(target, profile, 'telstar')).filter(existsSync);
  built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  if (!built.length) throw new Error(`no telstar binary in ${target}: run \`cargo build --release\` or set TELSTAR_BIN`);
  return built[0];
}

/** First line of a tool's version output, or null when the tool is missing. */
export function version(command, ...args) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0].trim();
  } catch {
    return null;
  }
}
