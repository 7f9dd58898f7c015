// What a server and its workers cost: the server from one moment to another, and each worker on files from its start to its end.

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';

/** Workers are looked at so often. What one takes after the last look is known from the server's account of its ended children. */
const LOOK_MS = 20;
/** What a worker on files is started with. */
const FOR_FILES = '--file-bytes';
const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

const read = (pid, file) => { try { return readFileSync(`/proc/${pid}/${file}`, 'utf8'); } catch { return ''; } };
const kib = (status, field) => Number(status.match(new RegExp(`^${field}:\\s+(\\d+)`, 'm'))?.[1] ?? 0);

/** User and system CPU seconds: of the process, and of its children that have ended and were waited for. */
function cpuOf(pid) {
  const fields = read(pid, 'stat').replace(/^.*\) /s, '').split(' ').map(Number);
  return fields.length < 15 ? null : { own: (fields[11] + fields[12]) / TICKS, ended: (fields[13] + fields[14]) / TICKS };
}

/** The most that was resident so far, in MiB. */
export const peakMib = (pid) => kib(read(pid, 'status'), 'VmHWM') / 1024;

function childrenOf(pid) {
  let threads = [];
  try { threads = readdirSync(`/proc/${pid}/task`); } catch { /* it has ended */ }
  return threads.flatMap((thread) => read(pid, `task/${thread}/children`).split(' ').filter(Boolean).map(Number));
}

/** Watches a server from now on until it is stopped. */
export class Tree {
  constructor(pid) {
    this.pid = pid;
    this.workers = new Map();
    this.alive = new Set();
    this.gone = [];
    this.from = this.cpu();
    this.ended = cpuOf(pid).ended;
    this.timer = setInterval(() => this.#look(), LOOK_MS);
  }

  #look() {
    const children = childrenOf(this.pid);
    const gone = [...this.alive].filter((pid) => !children.includes(pid));
    if (gone.length) {
      const { ended } = cpuOf(this.pid) ?? this;
      // Of several at once nobody knows which took what.
      if (gone.length === 1) Object.assign(this.workers.get(gone[0]), { cpu_secs: ended - this.ended });
      this.ended = ended;
      gone.forEach((pid) => { this.alive.delete(pid); this.gone.push(pid); });
    }
    for (const pid of children) {
      if (!this.alive.has(pid) && !read(pid, 'cmdline').includes(FOR_FILES)) continue;
      this.alive.add(pid);
      const known = this.workers.get(pid) ?? { pid, cpu_secs: 0, peak_mib: 0 };
      this.workers.set(pid, { pid, cpu_secs: cpuOf(pid)?.own ?? known.cpu_secs, peak_mib: Math.max(known.peak_mib, peakMib(pid)) });
    }
  }

  /** CPU seconds since the server's start: its own, and of all of its tree. */
  cpu() {
    const { own, ended } = cpuOf(this.pid);
    const alive = childrenOf(this.pid).map((pid) => cpuOf(pid)?.own ?? 0).reduce((a, b) => a + b, 0);
    return { server: own, tree: own + ended + alive };
  }

  /** CPU seconds since the watch began, and what each worker took, in the order of their starts; `ended` are those that have, in that order. */
  stop() {
    clearInterval(this.timer);
    this.#look();
    const until = this.cpu();
    return { server_secs: until.server - this.from.server, tree_secs: until.tree - this.from.tree, workers: [...this.workers.values()], ended: this.gone.map((pid) => this.workers.get(pid)) };
  }
}
