// What a script has shown, as JSON under docs/results: figures, verdicts, the command, the commit, the machine.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { E2E, REPO, RESULTS, runDir, telstarBinary, version } from './paths.mjs';
import { launched } from './server.mjs';

const git = (...args) => execFileSync('git', ['-C', REPO, ...args], { encoding: 'utf8' }).trim();

function commit() {
  try {
    // Results and the page made from them are what this run writes, so they do not make the tree dirty.
    const changed = git('status', '--porcelain', '--', ':!docs/results', ':!docs/performance.md');
    return { hash: git('rev-parse', 'HEAD'), uncommitted_changes: changed !== '' };
  } catch {
    return { hash: null, uncommitted_changes: true };
  }
}

function machine() {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model.trim(), cores: cpus.length, memory_gib: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`, load_average_1m: Number(os.loadavg()[0].toFixed(2)),
    node: process.version, ffmpeg: version('ffmpeg', '-version'), chromium: version(process.env.TELSTAR_CHROMIUM ?? 'chromium', '--version'),
    firefox: version(process.env.TELSTAR_FIREFOX ?? 'firefox-esr', '--version'), gstreamer: version('gst-launch-1.0', '--version'),
  };
}

export function median(values) {
  const sorted = [...values].filter((v) => v !== null && v !== undefined).sort((a, b) => a - b);
  if (!sorted.length) return null;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const round = (value, digits = 0) => (value === null || value === undefined ? null : Number(value.toFixed(digits)));

/** Collects checks and figures of one script; `finish` writes the file and sets the exit code. */
export class Results {
  constructor(name, claim) {
    this.name = name;
    this.claim = claim;
    this.startedAt = new Date();
    this.checks = [];
    this.figures = {};
    this.screenshots = [];
  }

  check(what, ok, detail = {}) {
    this.checks.push({ what, ok: Boolean(ok), ...detail });
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${Object.keys(detail).length ? ` ${JSON.stringify(detail)}` : ''}`);
    return Boolean(ok);
  }

  figure(name, value) {
    this.figures[name] = value;
    console.log(`     ${name}: ${JSON.stringify(value)}`);
  }

  /** Runs `body`; a thrown error is a failed check, so that what was measured before it is still written. */
  async during(body) {
    try {
      await body(this);
    } catch (error) {
      console.error(error);
      this.check('the script ran to its end', false, { error: String(error.message ?? error).slice(0, 2000) });
    }
    return this.finish();
  }

  finish({ write = true } = {}) {
    for (const server of launched) {
      const leaks = server.leaks();
      this.check(`no secret stands in the log of ${server.name}`, leaks.length === 0, { secrets: server.secrets.size, log_lines: server.log.split('\n').length - 1, leaks: leaks.length });
    }
    const passed = this.checks.length > 0 && this.checks.every((c) => c.ok);
    const binary = telstarBinary();
    const record = {
      name: this.name, claim: this.claim, passed,
      command: process.env.E2E_COMMAND ?? `node ${path.relative(REPO, process.argv[1])}`,
      date: this.startedAt.toISOString(), seconds: round((Date.now() - this.startedAt) / 1000),
      commit: commit(),
      binary: { path: path.relative(REPO, binary), sha256: createHash('sha256').update(readFileSync(binary)).digest('hex') },
      machine: machine(), checks: this.checks, figures: this.figures,
    };
    if (write) {
      mkdirSync(RESULTS, { recursive: true });
      writeFileSync(path.join(RESULTS, `${this.name}.json`), `${JSON.stringify(record, null, 2)}\n`);
    }
    writeFileSync(path.join(runDir(), 'result.json'), `${JSON.stringify(record, null, 2)}\n`);
    console.log(`${passed ? 'passed' : 'FAILED'}: ${this.name}; logs in ${path.relative(E2E, runDir())}`);
    process.exitCode = passed ? 0 : 1;
    return passed;
  }
}
