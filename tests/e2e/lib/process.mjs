// Child processes of a run: started in one place, logged to one file each, ended by pid when the run ends.
// Knows nothing of what the processes are.

import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import net from 'node:net';
import path from 'node:path';
import { runDir } from './paths.mjs';

const alive = new Set();
process.on('exit', () => alive.forEach((p) => p.child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

/** How many lines of output are kept in memory for error messages. */
const TAIL_LINES = 40;

/**
 * Starts a command. `onLine(line, 'stdout' | 'stderr')` sees each line; `onStdout(buffer)` takes
 * stdout raw instead, for children that write media to it.
 */
export function start(name, command, args, { cwd, env, onLine, onStdout } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const logPath = path.join(runDir(), `${name}.log`);
  mkdirSync(path.dirname(logPath), { recursive: true });
  const log = createWriteStream(logPath, { flags: 'a' });
  log.write(`$ ${[command, ...args].join(' ')}\n`);
  const proc = { name, child, logPath, tail: [], startedAt: performance.now(), ended: null };
  alive.add(proc);

  const take = (from) => (line) => {
    log.write(`${line}\n`);
    proc.tail.push(line);
    if (proc.tail.length > TAIL_LINES) proc.tail.shift();
    onLine?.(line, from);
  };
  if (onStdout) child.stdout.on('data', onStdout);
  else createInterface({ input: child.stdout, crlfDelay: Infinity }).on('line', take('stdout'));
  createInterface({ input: child.stderr, crlfDelay: Infinity }).on('line', take('stderr'));

  proc.exited = new Promise((resolve) => {
    child.on('error', (error) => { take('stderr')(`could not start: ${error.message}`); alive.delete(proc); resolve(proc.ended = { code: -1, signal: null }); });
    child.on('close', (code, signal) => { alive.delete(proc); log.end(); resolve(proc.ended = { code, signal }); });
  });
  /** Asks, waits, then kills. */
  proc.stop = async (signal = 'SIGTERM', graceMs = 5000) => {
    if (!proc.ended) child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await proc.exited;
    clearTimeout(timer);
    return proc.ended;
  };
  return proc;
}

/** Runs a command to its end and returns its stdout; throws with the tail of the output when it fails. */
export async function run(name, command, args, options = {}) {
  const lines = [];
  const proc = start(name, command, args, { ...options, onLine: (line, from) => { if (from === 'stdout') lines.push(line); } });
  const { code, signal } = await proc.exited;
  if (code !== 0) throw new Error(`${name} ended with ${signal ?? code}:\n${proc.tail.join('\n')}`);
  return lines.join('\n');
}

/** Free loopback TCP ports. They are released before use, so that a restarted server can take the same ones again. */
export async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls `probe` until it returns something truthy; the error says what was waited for. */
export async function until(what, timeoutMs, probe, everyMs = 100) {
  const deadline = performance.now() + timeoutMs;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}${last ? ` (${last.message})` : ''}`);
    await sleep(everyMs);
  }
}
