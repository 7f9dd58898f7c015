/** `window.__telstarStudio`: what the page knows of its stream, for tests and for people who ask why it is strained. */

import type { Broadcast } from './broadcast.js';
import type { StudioMedia } from './media.js';

export function publishStudioFacts(broadcast: Broadcast, media: StudioMedia): void {
  const facts = {
    get state() {
      return broadcast.state;
    },
    get error() {
      return broadcast.error?.code ?? null;
    },
    get health() {
      return broadcast.health;
    },
    get stats() {
      return broadcast.stats;
    },
    get source() {
      return media.source;
    },
    get video() {
      return media.video?.getSettings() ?? null;
    },
  };
  Object.defineProperty(window, '__telstarStudio', { value: facts, configurable: true });
}
