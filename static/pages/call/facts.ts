/** `window.__telstarCall`: what the page knows of its call, for tests and for people who ask why a picture is soft. */

import type { Call } from '../../client/index.js';
import type { Fault } from '../shared/faults.js';
import type { StatsPanel } from './stats-panel.js';

export function publishCallFacts(call: Call, stats: StatsPanel, fault: () => Fault | null): void {
  const startedAt = performance.now();
  const moments: Record<string, number> = {};
  const mark = (name: string): void => {
    moments[name] ??= performance.now() - startedAt;
  };
  call.on('joined', () => mark('joinedMs'));
  call.on('peers', (peers) => {
    if (peers.includes('connected')) mark('connectedMs');
  });
  const facts = {
    get state() {
      return call.state;
    },
    get self() {
      return { id: call.self.id, name: call.self.name, grants: [...call.self.grants] };
    },
    get peers() {
      return call.peers;
    },
    get fault() {
      return fault();
    },
    get moments() {
      return { ...moments };
    },
    get participants() {
      return [...call.participants.values()].map((person) => ({
        id: person.id, name: person.name, isAway: person.isAway,
        tracks: [...person.tracks.values()].map(({ id, source, isMuted, flow, layer, mid, settings }) => ({ id, source, isMuted, flow, layer, mid, settings: { ...settings } })),
      }));
    },
    /** As the page last sampled them, once a second; `measure` asks anew. */
    stats: () => stats.latest(),
    measure: () => call.stats(),
  };
  Object.defineProperty(window, '__telstarCall', { value: facts, configurable: true });
}
