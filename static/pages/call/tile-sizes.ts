/** Tells the server how large each picture is shown, so that it sends no more; what nobody sees is paused. */

import type { RemoteTrack } from '../../client/index.js';

/** Lower: a window being dragged asks for many sizes. Higher: a picture stays soft for longer after growing. A guess. */
const SETTLE_MS = 250;
/** Sizes are told in steps, so that a few pixels more or less change nothing. */
const STEP_PIXELS = 16;

export class TileSizes {
  private readonly watched = new Map<Element, { track: RemoteTrack | null; isVisible: boolean }>();
  private readonly sizes = new ResizeObserver(() => this.later());
  private readonly visibility = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const tile = this.watched.get(target);
      if (tile !== undefined) tile.isVisible = isIntersecting;
    }
    this.later();
  });
  private timer: number | undefined;
  private readonly onVisibility = (): void => this.later();

  constructor() {
    document.addEventListener('visibilitychange', this.onVisibility);
  }

  /** The track that the element shows from now on. */
  watch(element: Element, track: RemoteTrack | null): void {
    const known = this.watched.get(element);
    if (known !== undefined) {
      if (known.track === track) return;
      known.track = track;
    } else {
      this.watched.set(element, { track, isVisible: true });
      this.sizes.observe(element);
      this.visibility.observe(element);
    }
    this.later();
  }

  forget(element: Element): void {
    this.watched.delete(element);
    this.sizes.unobserve(element);
    this.visibility.unobserve(element);
  }

  close(): void {
    clearTimeout(this.timer);
    document.removeEventListener('visibilitychange', this.onVisibility);
    this.sizes.disconnect();
    this.visibility.disconnect();
    this.watched.clear();
  }

  private later(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.apply(), SETTLE_MS);
  }

  private apply(): void {
    const isPageShown = document.visibilityState === 'visible';
    for (const [element, { track, isVisible }] of this.watched) {
      if (track === null) continue;
      const { width, height } = element.getBoundingClientRect();
      if (!isVisible || !isPageShown || width === 0) {
        track.want({ paused: true });
        continue;
      }
      const step = (pixels: number): number => Math.ceil((pixels * devicePixelRatio) / STEP_PIXELS) * STEP_PIXELS;
      track.want({ paused: false, width: step(width), height: step(height) });
    }
  }
}
