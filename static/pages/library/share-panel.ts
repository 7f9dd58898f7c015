/** Who may watch an asset: the link, open or private, links for a private one, and the sites that may embed it. */

import type { Asset } from '../../client/index.js';
import { shareOrigins } from '../home/context.js';
import { copyBlock, copyField } from '../shared/field.js';
import { h, replace } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { openSwitch, originsForm, tokenBox } from '../shared/share-parts.js';
import type { Context } from './context.js';

export interface SharePanel {
  root: HTMLElement;
  show(asset: Asset): void;
}

export function buildSharePanel(context: Context, first: Asset): SharePanel {
  const origins = shareOrigins(context.server);
  const path = `/library/${first.asset}`;
  const openNote = h('p', { class: 'field-note' });
  const tokens = tokenBox((secs) => context.rest.createAssetPlaybackToken(first.asset, secs));
  const toggle = openSwitch(async (open) => context.assets.put(await context.rest.updateAsset(first.asset, { open })));
  const root = h('section', { class: 'card', 'data-name': 'share' },
    h('h2', {}, t('share.heading')),
    copyField(t('share.watch-link'), 'watch-link', origins.main + path),
    origins.network === null ? null : copyField(t('share.network-link'), 'network-link', origins.network + path, t('share.network-note')),
    h('label', { class: 'switch-row' }, h('span', {}, t('share.open')), toggle), openNote, tokens);
  function show(asset: Asset): void {
    // While it is being saved it is the person's.
    if (!toggle.disabled) toggle.checked = asset.open;
    replace(openNote, asset.open ? t('library.open-note') : t('library.private-note'));
    tokens.hidden = asset.open;
  }
  show(first);
  return { root, show };
}

export function buildEmbedPanel(context: Context, asset: Asset): HTMLElement {
  const snippet = `<iframe src="${shareOrigins(context.server).main}/embed/vod/${asset.asset}" width="640" height="360" allow="autoplay; fullscreen; picture-in-picture" style="border:0"></iframe>`;
  const form = originsForm(t('library.embed-origins'), asset.embed_origins, async (origins) => {
    const saved = await context.rest.updateAsset(asset.asset, { embed_origins: origins });
    context.assets.put(saved);
    return saved.embed_origins;
  });
  return h('section', { class: 'card', 'data-name': 'embed' }, h('h2', {}, t('embed.heading')), copyBlock(t('embed.snippet'), 'embed', snippet), form);
}
