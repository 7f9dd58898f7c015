/** The pictures of a call, as a grid or with one of them large. */

import type { RemoteTrack } from '../../client/index.js';
import { h } from '../shared/dom.js';
import { gridShape, GRID_TILES_MAX, mainTile, tileOrder } from './logic.js';
import { TileSizes } from './tile-sizes.js';
import { Tile, type TileModel } from './tile.js';

export type Layout = 'grid' | 'speaker';

/** Between tiles, and around them. */
const GAP_PIXELS = 8;

export interface StageTile extends TileModel {
  /** Whose size the server is told; null for one's own. */
  remote: RemoteTrack | null;
}

export class Stage {
  readonly root = h('div', { class: 'stage' });
  private readonly main = h('div', { class: 'stage-main' });
  private readonly rest = h('div', { class: 'stage-rest' });
  private readonly tiles = new Map<string, Tile>();
  private readonly sizes = new TileSizes();
  private readonly resized = new ResizeObserver(() => this.shape());
  private layout: Layout = 'grid';
  private chosen: string | null = null;
  /** A screen that somebody wants to see no larger than the rest. */
  private readonly flat = new Set<string>();
  private shown: StageTile[] = [];
  private speaker: string | null = null;

  /** `chosenChanged` is called when a person picks a tile to be large. */
  constructor(private readonly chosenChanged: () => void) {
    this.root.append(this.main, this.rest);
    this.resized.observe(this.root);
  }

  show(models: StageTile[], layout: Layout, speaker: string | null): void {
    this.layout = layout;
    this.shown = tileOrder(models);
    if (speaker !== null) this.speaker = speaker;
    const keys = new Set(this.shown.map(({ key }) => key));
    for (const [key, tile] of [...this.tiles]) {
      if (keys.has(key)) continue;
      this.tiles.delete(key);
      this.sizes.forget(tile.frame);
      tile.root.remove();
    }
    if (this.chosen !== null && !keys.has(this.chosen)) this.chosen = null;
    for (const key of this.flat) if (!keys.has(key)) this.flat.delete(key);
    for (const model of this.shown) {
      const tile = this.tile(model.key);
      tile.show(model);
      this.sizes.watch(tile.frame, model.remote);
    }
    this.arrange();
  }

  /** Whether one picture is large now: by the layout, by choice, or since somebody shows a screen. */
  get isLarge(): boolean {
    return this.root.dataset['layout'] === 'speaker';
  }

  /** All alike, until the next screen; the layout itself is the page's. */
  flatten(): void {
    this.chosen = null;
    for (const { key, isScreen } of this.shown) if (isScreen) this.flat.add(key);
  }

  close(): void {
    this.sizes.close();
    this.resized.disconnect();
    for (const { video } of this.tiles.values()) video.srcObject = null;
  }

  private tile(key: string): Tile {
    let tile = this.tiles.get(key);
    if (tile === undefined) {
      tile = new Tile(key, () => {
        this.chosen = this.chosen === key ? null : key;
        this.chosenChanged();
      });
      this.tiles.set(key, tile);
    }
    return tile;
  }

  private arrange(): void {
    // Who shows a screen wants it to be read, and asks nobody to choose a layout first.
    const hasScreen = this.shown.some(({ key, isScreen, isSelf }) => isScreen && !isSelf && !this.flat.has(key));
    const isLarge = this.layout === 'speaker' || this.chosen !== null || hasScreen;
    const large = isLarge ? mainTile(this.shown, this.chosen, this.speaker) : null;
    this.root.dataset['layout'] = large === null ? 'grid' : 'speaker';
    const place = (parent: HTMLElement, keys: string[]): void => keys.forEach((key, index) => {
      const { root } = this.tile(key);
      // A tile stays where it is while it can: moving a video element makes some browsers pause it.
      if (parent.children[index] !== root) parent.insertBefore(root, parent.children[index] ?? null);
    });
    place(this.main, large === null ? [] : [large]);
    place(this.rest, this.shown.map(({ key }) => key).filter((key) => key !== large));
    this.rest.hidden = this.rest.childElementCount === 0;
    for (const { key } of this.shown) {
      const tile = this.tile(key);
      if (tile.video.srcObject !== null && tile.video.paused) tile.video.play().catch(() => {});
    }
    this.shape();
  }

  private shape(): void {
    if (this.isLarge) return;
    const { clientWidth, clientHeight } = this.rest;
    const { width, height } = gridShape(Math.min(this.rest.childElementCount, GRID_TILES_MAX), clientWidth, clientHeight, GAP_PIXELS);
    this.rest.style.setProperty('--tile-width', `${width}px`);
    this.rest.style.setProperty('--tile-height', `${height}px`);
  }
}
