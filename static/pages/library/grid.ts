/** The assets as cards: the picture, how far the work on each is, what went wrong. */

import type { Asset, Job } from '../../client/index.js';
import { h, replace, setProp, setText } from '../shared/dom.js';
import { busy } from '../shared/field.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { formatUptime } from '../shared/format.js';
import type { Context } from './context.js';
import { buildJobLines } from './job-lines.js';
import { formatBytes, mediaUrl, sentence, statusOf } from './logic.js';

interface Card {
  root: HTMLElement;
  update(asset: Asset, jobs: readonly Job[]): void;
}

export function buildGrid(context: Context): HTMLElement {
  const { assets: store } = context;
  const loading = h('div', { class: 'loading' }, h('span', { class: 'spinner' }));
  const empty = h('p', { class: 'soft empty-library', hidden: true }, t('library.empty'));
  const list = h('ul', { class: 'asset-grid', 'aria-label': t('library.title') });
  const more = h('button', { type: 'button', class: 'button button-quiet', hidden: true, onclick: () => void busy(more, () => store.more()) }, t('library.more'));
  const root = h('div', {}, loading, empty, list, h('div', { class: 'asset-more' }, more));

  const cards = new Map<string, Card>();
  function update(): void {
    const isKnown = store.assets !== null;
    loading.hidden = isKnown;
    if (!isKnown) return;
    const assets = store.sorted();
    empty.hidden = assets.length > 0;
    more.hidden = store.next === null;
    for (const name of [...cards.keys()]) if (store.assets?.has(name) !== true) cards.delete(name);
    const wanted = assets.map((asset) => {
      let card = cards.get(asset.asset);
      if (card === undefined) {
        card = buildCard(context, asset);
        cards.set(asset.asset, card);
      }
      card.update(asset, store.openJobsOf(asset.asset));
      return card.root;
    });
    // Cards stay in place while their order does, so that focus is not lost with each event.
    const isSame = wanted.length === list.children.length && wanted.every((card, index) => list.children[index] === card);
    if (!isSame) replace(list, ...wanted);
  }
  store.listen(update);
  update();
  return root;
}

function buildCard(context: Context, first: Asset): Card {
  const link = `/library/${first.asset}`;
  const poster = h('img', { class: 'card-poster', alt: '', loading: 'lazy', decoding: 'async' });
  const duration = h('span', { class: 'card-duration' });
  const title = h('a', { class: 'asset-title', href: link });
  const badge = h('span', { class: 'badge' });
  const share = h('span', { class: 'tag' }, icon('link'), h('span', {}, t('library.open')));
  const size = h('span', {});
  const problem = h('p', { class: 'asset-problem', role: 'alert' });
  const lines = buildJobLines(context, true);
  const root = h('li', { class: 'asset-card', 'data-asset': first.asset },
    // The title is the link that keyboards and screen readers meet.
    h('a', { class: 'card-picture', href: link, tabindex: -1, 'aria-hidden': 'true' }, icon('film'), poster, duration),
    h('div', { class: 'card-body' },
      title,
      h('p', { class: 'asset-facts' }, badge, share, size),
      problem, lines.root));
  return {
    root,
    update(asset, jobs) {
      const status = statusOf(asset);
      setProp(root, 'data-state', status);
      setText(title, asset.title);
      setText(badge, t(`asset.${status}`));
      setProp(badge, 'data-state', status);
      share.hidden = !asset.open;
      setText(size, formatBytes(asset.bytes));
      const secs = asset.source?.duration_secs ?? null;
      duration.hidden = secs === null;
      if (secs !== null) setText(duration, formatUptime(secs));
      poster.hidden = asset.links.poster === null;
      const source = asset.links.poster === null ? null : mediaUrl(asset.links.poster);
      if (source !== null && poster.getAttribute('src') !== source) poster.src = source;
      problem.hidden = asset.problem === null;
      setText(problem, sentence(asset.problem ?? ''));
      // What the card says already is not said again.
      lines.update(jobs.map((job) => (job.problem === asset.problem ? { ...job, problem: null } : job)));
    },
  };
}
