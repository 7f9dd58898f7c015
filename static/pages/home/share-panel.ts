/** Who may watch: the link, open or private, links for a private room, and the sites that may embed the player. */

import type { Room } from '../../client/index.js';
import { copyBlock, copyField } from '../shared/field.js';
import { h, replace } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { openSwitch, originsForm, tokenBox } from '../shared/share-parts.js';
import { shareOrigins, type Context } from './context.js';

export interface SharePanel {
  root: HTMLElement;
  show(room: Room): void;
}

export function buildSharePanel(context: Context, first: Room): SharePanel {
  const origins = shareOrigins(context.server);
  const path = `/watch/${first.name}`;
  const openNote = h('p', { class: 'field-note' });
  const tokens = tokenBox((secs) => context.rest.createPlaybackToken(first.name, secs));
  const toggle = openSwitch(async (open) => context.rooms.put(await context.rest.updateRoom(first.name, { open })));
  const root = h('section', { class: 'card' },
    h('h2', {}, t('share.heading')),
    copyField(t('share.watch-link'), 'watch-link', origins.main + path),
    origins.network === null ? null : copyField(t('share.network-link'), 'network-link', origins.network + path, t('share.network-note')),
    h('label', { class: 'switch-row' }, h('span', {}, t('share.open')), toggle), openNote, tokens);
  function show(room: Room): void {
    toggle.checked = room.open;
    replace(openNote, room.open ? t('share.open-note') : t('share.private-note'));
    tokens.hidden = room.open;
  }
  show(first);
  return { root, show };
}

export function buildEmbedPanel(context: Context, room: Room): HTMLElement {
  const snippet = `<iframe src="${shareOrigins(context.server).main}/embed/watch/${room.name}" width="640" height="360" allow="autoplay; fullscreen; picture-in-picture" style="border:0"></iframe>`;
  const form = originsForm(t('embed.origins'), room.embed_origins, async (origins) => {
    const saved = await context.rest.updateRoom(room.name, { embed_origins: origins });
    context.rooms.put(saved);
    return saved.embed_origins;
  });
  return h('section', { class: 'card' }, h('h2', {}, t('embed.heading')), copyBlock(t('embed.snippet'), 'embed', snippet), form);
}
