/** Who may watch a room, and who may put its player into other pages. */

import type { Room } from '../../client/index.js';
import { t } from '../shared/i18n.js';
import { embedPanel, sharePanel, type SharePanel } from '../shared/share-parts.js';
import { shareOrigins, type Context } from './context.js';

export function buildSharePanel(context: Context, first: Room): SharePanel<Room> {
  return sharePanel(first, {
    origins: shareOrigins(context.server),
    path: `/watch/${first.name}`,
    notes: { open: t('share.open-note'), private: t('share.private-note') },
    makeToken: (secs) => context.rest.createPlaybackToken(first.name, secs),
    setOpen: async (open) => context.rooms.put(await context.rest.updateRoom(first.name, { open })),
  });
}

export function buildEmbedPanel(context: Context, room: Room): HTMLElement {
  const page = `${shareOrigins(context.server).main}/embed/watch/${room.name}`;
  return embedPanel(page, t('embed.origins'), room.embed_origins, async (origins) => {
    const saved = await context.rest.updateRoom(room.name, { embed_origins: origins });
    context.rooms.put(saved);
    return saved.embed_origins;
  });
}
