// What processes cost, read from /proc. Several pids are one server: nginx has a master and workers.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

let ticks;
const ticksPerSecond = () => (ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' })));
const sum = (pids, of) => pids.map(of).reduce((a, b) => a + b, 0);

/** Resident and proportional memory, in KiB. */
export function memoryOf(...pids) {
  const kib = (text, field) => Number(text.match(new RegExp(`^${field}:\\s+(\\d+)`, 'm'))?.[1]);
  const read = (pid, file) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
  return {
    rss_kib: sum(pids, (pid) => kib(read(pid, 'status'), 'VmRSS')),
    pss_kib: sum(pids, (pid) => kib(read(pid, 'smaps_rollup'), 'Pss')),
    anon_kib: sum(pids, (pid) => kib(read(pid, 'status'), 'RssAnon')),
  };
}

/** User and system CPU seconds so far. */
export function cpuSecondsOf(...pids) {
  return sum(pids, (pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond();
  });
}

/** Puts every thread of the processes on the cores of `list`, as `taskset` writes them. */
export function pin(list, ...pids) {
  pids.forEach((pid) => execFileSync('taskset', ['-apc', list, String(pid)], { stdio: 'ignore' }));
}
