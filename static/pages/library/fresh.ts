/** What has just been uploaded plays here, on the page of the uploads, as soon as anything of it can be played. */

import type { Asset } from '../../client/index.js';
import { h, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import type { Context } from './context.js';
import { buildVodPlayer, type VodView } from './player-view.js';

export function buildFresh(context: Context): HTMLElement {
  const title = h('a', { class: 'asset-title' });
  const close = h('button', { type: 'button', class: 'icon-button', 'aria-label': t('library.fresh-close'), title: t('library.fresh-close'), onclick: hide }, icon('close'));
  const root = h('section', { class: 'card fresh asset', hidden: true, 'data-name': 'fresh' },
    h('div', { class: 'upload-head fresh-head' }, h('h2', { class: 'fresh-title' }, title), close));
  // Made once: its keys are those of the page.
  let view: VodView | null = null;
  let end = (): void => {};
  let shown: Asset | null = null;
  /** Uploaded while another was on its way to be played. */
  let waiting: string[] = [];

  context.uploader.on('done', ({ asset }) => {
    if (asset === null) return;
    if (root.hidden || isFree()) play(view ?? makeView(), asset);
    else if (shown?.playable !== true) waiting.push(asset);
  });

  /** What somebody watches, or waits for, is not taken away. */
  function isFree(): boolean {
    return shown?.state === 'failed' || (shown?.playable === true && view?.player.video.paused === true);
  }

  function makeView(): VodView {
    view = buildVodPlayer(context.rest, { asset: null, token: null, startMuted: false, startSecs: 0 });
    root.append(view.root);
    return view;
  }

  function play(into: VodView, name: string): void {
    end();
    shown = null;
    const onAsset = (asset: Asset): void => {
      shown = asset;
      setText(title, asset.title);
      setProp(title, 'href', `/library/${name}`);
      const next = asset.state === 'failed' ? waiting.shift() : undefined;
      if (asset.playable) waiting = [];
      if (next === undefined) into.show(asset);
      else play(into, next);
    };
    const ask = (): void => void context.rest.asset(name).then(onAsset, () => {});
    end = context.assets.follow(name, { onAsset, onJob: () => {}, onGone: hide, onStale: ask });
    root.hidden = false;
    ask();
    void into.player.play();
  }

  function hide(): void {
    end();
    root.hidden = true;
    shown = null;
    view?.player.pause();
    view?.show(null);
  }
  return root;
}
