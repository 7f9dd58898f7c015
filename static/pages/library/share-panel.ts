/** Who may watch an asset, and who may put its player into other pages. */

import type { Asset } from '../../client/index.js';
import { shareOrigins } from '../home/context.js';
import { t } from '../shared/i18n.js';
import { embedPanel, sharePanel, type SharePanel } from '../shared/share-parts.js';
import type { Context } from './context.js';

export function buildSharePanel(context: Context, first: Asset): SharePanel<Asset> {
  return sharePanel(first, {
    origins: shareOrigins(context.server),
    path: `/library/${first.asset}`,
    notes: { open: t('library.open-note'), private: t('library.private-note') },
    makeToken: (secs) => context.rest.createAssetPlaybackToken(first.asset, secs),
    setOpen: async (open) => context.assets.put(await context.rest.updateAsset(first.asset, { open })),
  });
}

export function buildEmbedPanel(context: Context, asset: Asset): HTMLElement {
  const page = `${shareOrigins(context.server).main}/embed/vod/${asset.asset}`;
  return embedPanel(page, t('library.embed-origins'), asset.embed_origins, async (origins) => {
    const saved = await context.rest.updateAsset(asset.asset, { embed_origins: origins });
    context.assets.put(saved);
    return saved.embed_origins;
  });
}
