// The load generator: encoders and blocked players in one process of their own (benches/).

import path from 'node:path';
import { REPO } from './paths.mjs';
import { start } from './process.mjs';

const binary = process.env.TELSTAR_BENCH ?? path.join(REPO, 'target/release/telstar-bench');
/** With a core of its own, the load takes nothing from a server on the other. */
const command = (args, cores) => (cores ? ['taskset', ['-c', cores, binary, ...args]] : [binary, args]);
const flags = (options) => Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);

/** What the load says when the stream is warm and the first player connects. */
const PLAYERS_START = 'players start';

/** Publishes one stream and times its parts at blocked players; `during` begins with the first of them. */
export async function timeParts(name, options, { cores, during } = {}) {
  let beside;
  let result;
  const onLine = (line, from) => {
    if (from === 'stdout') result = JSON.parse(line);
    else if (line === PLAYERS_START) beside = during?.();
  };
  const load = start(name, ...command(['parts', ...flags(options)], cores), { onLine });
  const { code } = await load.exited;
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${load.tail.join('\n')}`);
  return { ...result, ...(await beside) };
}

/** Publishes the same stream to each address until it is stopped. */
export function publishMany(name, addresses, options = {}) {
  return start(name, binary, ['publish', ...flags({ seconds: 3600, ...options }), ...addresses]);
}
