// The load generator: encoders and blocked players in one process of their own (benches/).

import path from 'node:path';
import { REPO } from './paths.mjs';
import { run, start } from './process.mjs';

const binary = process.env.TELSTAR_BENCH ?? path.join(REPO, 'target/release/telstar-bench');
/** With a core of its own, the load takes nothing from a server on the other. */
const command = (args, cores) => (cores ? ['taskset', ['-c', cores, binary, ...args]] : [binary, args]);
const flags = (options) => Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);

/** Publishes one stream and times its parts at blocked players. */
export async function timeParts(name, options, { cores, during } = {}) {
  const running = run(name, ...command(['parts', ...flags(options)], cores));
  const beside = during?.();
  const line = (await running).trim().split('\n').at(-1);
  return { ...JSON.parse(line), ...(await beside) };
}

/** Publishes the same stream to each address until it is stopped. */
export async function publishMany(name, addresses, options = {}, { cores } = {}) {
  const proc = start(name, ...command(['publish', ...flags({ seconds: 3600, ...options }), ...addresses], cores));
  return proc;
}
