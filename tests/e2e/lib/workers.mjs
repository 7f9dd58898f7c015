// The conversions of a server, as its API says and as the system sees its children.

import { readFileSync, readdirSync } from 'node:fs';
import { cpuSecondsOf } from './meter.mjs';

/** Pids of the workers that descend from a server. */
export function workersOf(pid) {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = stat.replace(/^.*\) /s, '').split(' ');
      return [{ pid: Number(name), parent: Number(fields[1]), state: fields[0], name: stat.match(/\((.*)\)/s)[1] }];
    } catch { return []; }
  });
  const below = (parent) => all.filter((one) => one.parent === parent).flatMap((one) => [one, ...below(one.pid)]);
  // The kernel keeps fifteen letters of a name. A zombie has ended.
  return below(pid).filter(({ name, state }) => name.startsWith('telstar-worker') && state !== 'Z').map((one) => one.pid);
}

/** Which of them work: CPU seconds between two moments. */
export function workOf(pids) {
  return Object.fromEntries(pids.map((pid) => { try { return [pid, cpuSecondsOf(pid)]; } catch { return [pid, null]; } }));
}

/** What the room's state says of its conversions: a list, or null when it says nothing of the kind. */
export async function conversionsOf(server, room) {
  const state = await server.api('GET', `/api/v1/rooms/${room}`);
  return state.live?.conversions ?? state.conversions ?? null;
}
