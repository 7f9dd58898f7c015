/** Who may watch: the link, open or private, links for a private room, and the sites that may embed the player. */

import type { Room } from '../../client/index.js';
import { busy, copyBlock, copyField } from '../shared/field.js';
import { freshId, h, replace, setProp } from '../shared/dom.js';
import { language, t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { normaliseOrigin } from '../shared/format.js';
import { report } from '../shared/problems.js';
import { toast } from '../shared/toast.js';
import { shareOrigins, type Context } from './context.js';

const HOUR_SECS = 3_600;
const EXPIRIES = [
  { secs: HOUR_SECS, key: 'share.expires-hour' },
  { secs: 24 * HOUR_SECS, key: 'share.expires-day' },
  { secs: 7 * 24 * HOUR_SECS, key: 'share.expires-week' },
  { secs: 30 * 24 * HOUR_SECS, key: 'share.expires-month' },
] as const;

export interface SharePanel {
  root: HTMLElement;
  show(room: Room): void;
}

export function buildSharePanel(context: Context, first: Room): SharePanel {
  const origins = shareOrigins(context.server);
  const path = `/watch/${first.name}`;
  const toggle = h('input', { type: 'checkbox', role: 'switch', class: 'switch', name: 'open' });
  const openNote = h('p', { class: 'field-note' });
  const tokenBox = buildTokenBox(context, first.name);
  toggle.addEventListener('change', () => {
    const open = toggle.checked;
    toggle.disabled = true;
    context.rest.updateRoom(first.name, { open }).then(
      (room) => context.rooms.put(room),
      (error: unknown) => {
        toggle.checked = !open;
        report(error);
      },
    ).finally(() => {
      toggle.disabled = false;
      toggle.focus();
    });
  });
  const root = h('section', { class: 'card' },
    h('h2', {}, t('share.heading')),
    copyField(t('share.watch-link'), 'watch-link', origins.main + path),
    origins.network === null ? null : copyField(t('share.network-link'), 'network-link', origins.network + path, t('share.network-note')),
    h('label', { class: 'switch-row' }, h('span', {}, t('share.open')), toggle), openNote, tokenBox);
  function show(room: Room): void {
    toggle.checked = room.open;
    replace(openNote, room.open ? t('share.open-note') : t('share.private-note'));
    tokenBox.hidden = room.open;
  }
  show(first);
  return { root, show };
}

/** A private room is watched with a link that carries a playback token and expires. */
function buildTokenBox(context: Context, room: string): HTMLElement {
  const id = freshId('expires');
  const select = h('select', { id, class: 'input' }, ...EXPIRIES.map(({ secs, key }) => h('option', { value: secs }, t(key))));
  select.value = String(24 * HOUR_SECS);
  const result = h('div', { 'aria-live': 'polite' });
  const create = h('button', {
    type: 'button', class: 'button button-quiet', 'data-name': 'make-playback-link',
    onclick: () => void busy(create, async () => {
      const { watch_url: url, expires_at: until } = await context.rest.createPlaybackToken(room, Number(select.value));
      const date = (): string => new Intl.DateTimeFormat(language(), { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(until));
      replace(result, copyField(t('share.private-link'), 'private-link', url, t('share.expires-at', () => ({ date: date() }))));
    }),
  }, icon('link'), h('span', {}, t('share.make-link')));
  return h('div', { class: 'token-box' },
    h('div', { class: 'field' }, h('label', { for: id }, t('share.expires')), h('div', { class: 'field-row' }, select, create)), result);
}

export function buildEmbedPanel(context: Context, room: Room): HTMLElement {
  const snippet = `<iframe src="${shareOrigins(context.server).main}/embed/watch/${room.name}" width="640" height="360" allow="autoplay; fullscreen; picture-in-picture" style="border:0"></iframe>`;
  const list = h('ul', { class: 'origin-list' });
  const id = freshId('origin');
  const errorId = freshId('error');
  const input = h('input', {
    id, class: 'input', type: 'text', inputmode: 'url', placeholder: 'https://example.com', autocomplete: 'off', spellcheck: 'false',
    'aria-describedby': errorId, oninput: () => setError(false),
  });
  const error = h('p', { id: errorId, class: 'field-error', hidden: true }, t('embed.bad-origin'));
  const setError = (isShown: boolean): void => {
    error.hidden = !isShown;
    setProp(input, 'aria-invalid', isShown ? 'true' : null);
  };
  const add = h('button', { type: 'submit', class: 'button button-quiet' }, t('embed.add'));
  let origins = room.embed_origins;

  async function save(button: HTMLButtonElement, next: string[]): Promise<void> {
    await busy(button, async () => {
      const saved = await context.rest.updateRoom(room.name, { embed_origins: next });
      context.rooms.put(saved);
      origins = saved.embed_origins;
      input.value = '';
      showList();
      toast('info', t('embed.saved'));
    });
  }
  function showList(): void {
    replace(list, ...origins.map((origin) => {
      const remove = h('button', {
        type: 'button', class: 'icon-button', 'aria-label': t('embed.remove', { origin }), title: t('embed.remove', { origin }),
        onclick: () => void save(remove, origins.filter((other) => other !== origin)),
      }, icon('close'));
      return h('li', {}, h('span', { class: 'mono' }, origin), remove);
    }));
    list.hidden = origins.length === 0;
  }
  showList();
  const form = h('form', {
    class: 'field', novalidate: true,
    onsubmit: (event: SubmitEvent) => {
      event.preventDefault();
      const origin = normaliseOrigin(input.value);
      setError(origin === null);
      if (origin !== null && !origins.includes(origin)) void save(add, [...origins, origin]);
      else input.focus();
    },
  },
    h('label', { for: id }, t('embed.origins')), h('p', { class: 'field-note is-before' }, t('embed.origins-note')),
    list, h('div', { class: 'field-row' }, input, add), error);
  return h('section', { class: 'card' }, h('h2', {}, t('embed.heading')), copyBlock(t('embed.snippet'), 'embed', snippet), form);
}
