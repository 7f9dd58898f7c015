/** The sound of the others: one element per track, on the chosen loudspeaker. */

import type { RemoteTrack } from '../../client/index.js';
import { h } from '../shared/dom.js';
import { routeOutput } from '../shared/devices.js';

export class Sound {
  readonly root = h('div', { hidden: true });
  /** The browser wants a click before it lets a page be heard. */
  isBlocked = false;
  private readonly elements = new Map<string, { element: HTMLAudioElement; media: MediaStreamTrack }>();

  constructor(private readonly changed: () => void) {}

  show(tracks: RemoteTrack[], output: string): void {
    const wanted = new Map(tracks.flatMap((track) => (track.mediaTrack === null ? [] : [[track.id, track.mediaTrack] as const])));
    for (const [id, { element, media }] of [...this.elements]) {
      if (wanted.get(id) === media) continue;
      element.srcObject = null;
      element.remove();
      this.elements.delete(id);
    }
    for (const [id, media] of wanted) {
      if (this.elements.has(id)) continue;
      const element = h('audio', { autoplay: true, 'data-track': id });
      element.srcObject = new MediaStream([media]);
      this.elements.set(id, { element, media });
      this.root.append(element);
      this.play(element);
    }
    for (const { element } of this.elements.values()) {
      if (element.dataset['output'] === output) continue;
      element.dataset['output'] = output;
      if (output !== '') void routeOutput(element, output);
    }
  }

  unblock(): void {
    this.isBlocked = false;
    for (const { element } of this.elements.values()) this.play(element);
    this.changed();
  }

  close(): void {
    for (const { element } of this.elements.values()) element.srcObject = null;
    this.elements.clear();
  }

  private play(element: HTMLAudioElement): void {
    element.play().catch((error: unknown) => {
      // An element that was taken away again is no refusal.
      if (!(error instanceof Error) || error.name !== 'NotAllowedError') return;
      this.isBlocked = true;
      this.changed();
    });
  }
}
