/** What rooms and assets are shared with: the link, the switch that opens them, links that expire, and the sites that may embed them. */

import type { PlaybackToken } from '../../client/index.js';
import { busy, copyBlock, copyField } from './field.js';
import { freshId, h, replace, setProp } from './dom.js';
import { language, t, type Message } from './i18n.js';
import { icon } from './icons.js';
import { normaliseOrigin } from './format.js';
import { report } from './problems.js';
import { toast } from './toast.js';

const HOUR_SECS = 3_600;
const EXPIRIES = [
  { secs: HOUR_SECS, key: 'share.expires-hour' },
  { secs: 24 * HOUR_SECS, key: 'share.expires-day' },
  { secs: 7 * 24 * HOUR_SECS, key: 'share.expires-week' },
  { secs: 30 * 24 * HOUR_SECS, key: 'share.expires-month' },
] as const;

/** What of a room or an asset decides who may watch it. */
interface Shared {
  open: boolean;
}

/** What `sharePanel` is about. */
export interface ShareSubject {
  /** Where viewers find the server, and in the local network, where that is another address. */
  origins: { main: string; network: string | null };
  /** The page to watch it on. */
  path: string;
  notes: { open: Message; private: Message };
  makeToken(expiresInSecs: number): Promise<PlaybackToken>;
  setOpen(open: boolean): Promise<void>;
}

export interface SharePanel<Subject extends Shared> {
  root: HTMLElement;
  show(subject: Subject): void;
}

/** Who may watch: the link, open or private, and links for what is private. */
export function sharePanel<Subject extends Shared>(first: Subject, { origins, path, notes, makeToken, setOpen }: ShareSubject): SharePanel<Subject> {
  const openNote = h('p', { class: 'field-note' });
  const tokens = tokenBox(makeToken);
  const toggle = openSwitch(setOpen);
  const root = h('section', { class: 'card', 'data-name': 'share' },
    h('h2', {}, t('share.heading')),
    copyField(t('share.watch-link'), 'watch-link', origins.main + path),
    origins.network === null ? null : copyField(t('share.network-link'), 'network-link', origins.network + path, t('share.network-note')),
    h('label', { class: 'switch-row' }, h('span', {}, t('share.open')), toggle), openNote, tokens);
  function show({ open }: Subject): void {
    // While it is being saved it is the person's.
    if (!toggle.disabled) toggle.checked = open;
    replace(openNote, open ? notes.open : notes.private);
    tokens.hidden = open;
  }
  show(first);
  return { root, show };
}

/** How it is put into other pages: `page` is what they frame. `save` answers the origins that are in force from then on. */
export function embedPanel(page: string, label: Message, first: string[], save: (origins: string[]) => Promise<string[]>): HTMLElement {
  const snippet = `<iframe src="${page}" width="640" height="360" allow="autoplay; fullscreen; picture-in-picture" style="border:0"></iframe>`;
  return h('section', { class: 'card', 'data-name': 'embed' },
    h('h2', {}, t('embed.heading')), copyBlock(t('embed.snippet'), 'embed', snippet), originsForm(label, first, save));
}

/** Whether whoever has the link may watch. `save` makes it so; a failure puts the switch back. */
function openSwitch(save: (open: boolean) => Promise<void>): HTMLInputElement {
  const toggle = h('input', {
    type: 'checkbox', role: 'switch', class: 'switch', name: 'open',
    onchange: () => {
      const open = toggle.checked;
      toggle.disabled = true;
      save(open).catch((error: unknown) => {
        toggle.checked = !open;
        report(error);
      }).finally(() => {
        toggle.disabled = false;
        toggle.focus();
      });
    },
  });
  return toggle;
}

/** What is private is watched with a link that carries a playback token and expires. */
function tokenBox(make: (expiresInSecs: number) => Promise<PlaybackToken>): HTMLElement {
  const id = freshId('expires');
  const select = h('select', { id, class: 'input' }, ...EXPIRIES.map(({ secs, key }) => h('option', { value: secs }, t(key))));
  select.value = String(24 * HOUR_SECS);
  const result = h('div', { 'aria-live': 'polite' });
  const create = h('button', {
    type: 'button', class: 'button button-quiet', 'data-name': 'make-playback-link',
    onclick: () => void busy(create, async () => {
      const { watch_url: url, expires_at: until } = await make(Number(select.value));
      const date = (): string => new Intl.DateTimeFormat(language(), { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(until));
      replace(result, copyField(t('share.private-link'), 'private-link', url, t('share.expires-at', () => ({ date: date() }))));
    }),
  }, icon('link'), h('span', {}, t('share.make-link')));
  return h('div', { class: 'token-box' },
    h('div', { class: 'field' }, h('label', { for: id }, t('share.expires')), h('div', { class: 'field-row' }, select, create)), result);
}

/** `save` answers what is in force from then on. */
function originsForm(label: Message, first: string[], save: (origins: string[]) => Promise<string[]>): HTMLElement {
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
  let origins = first;

  async function change(button: HTMLButtonElement, next: string[]): Promise<void> {
    await busy(button, async () => {
      origins = await save(next);
      input.value = '';
      showList();
      toast('info', t('embed.saved'));
    });
  }
  function showList(): void {
    replace(list, ...origins.map((origin) => {
      const remove = h('button', {
        type: 'button', class: 'icon-button', 'aria-label': t('embed.remove', { origin }), title: t('embed.remove', { origin }),
        onclick: () => void change(remove, origins.filter((other) => other !== origin)),
      }, icon('close'));
      return h('li', {}, h('span', { class: 'mono' }, origin), remove);
    }));
    list.hidden = origins.length === 0;
  }
  showList();
  return h('form', {
    class: 'field', novalidate: true,
    onsubmit: (event: SubmitEvent) => {
      event.preventDefault();
      const origin = normaliseOrigin(input.value);
      setError(origin === null);
      if (origin !== null && !origins.includes(origin)) void change(add, [...origins, origin]);
      else input.focus();
    },
  },
    h('label', { for: id }, label), h('p', { class: 'field-note is-before' }, t('embed.origins-note')),
    list, h('div', { class: 'field-row' }, input, add), error);
}
