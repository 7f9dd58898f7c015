/** *Go live*: title a new room, or take one that exists. The room's own page goes on from there. */

import type { CallMode, NewRoom, Room } from '../../client/index.js';
import { busy } from '../shared/field.js';
import { freshId, h, replace, setProp } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';
import type { Context, View } from './context.js';

/** The server's limit on titles, in characters. */
const TITLE_CHARS_MAX = 100;

export function buildGoLiveView(context: Context): View {
  const existing = h('section', { class: 'card', hidden: true });
  const root = h('div', { class: 'column' },
    h('a', { class: 'back', href: '#/' }, icon('back'), h('span', {}, t('room.all-rooms'))),
    h('h1', { tabindex: -1 }, t('go-live.title')),
    h('p', { class: 'soft lead' }, t('go-live.text')),
    newRoomForm(context),
    existing);
  let shown = '';
  const update = (): void => {
    const rooms = context.rooms.sorted();
    const next = rooms.map((room) => `${room.name} ${room.title} ${room.live.state}`).join('\n');
    existing.hidden = rooms.length === 0;
    if (next === shown) return;
    shown = next;
    replace(existing, h('h2', {}, t('go-live.existing')), h('ul', { class: 'pick-list' }, ...rooms.map((room) => pick(context, room))));
  };
  const stop = context.rooms.listen(update);
  update();
  return { root, title: t('go-live.title'), dispose: stop };
}

function newRoomForm(context: Context): HTMLElement {
  const titleId = freshId('title');
  const errorId = freshId('error');
  const title = h('input', {
    id: titleId, name: 'title', class: 'input', type: 'text', required: true, maxlength: TITLE_CHARS_MAX, autocomplete: 'off',
    placeholder: t('go-live.placeholder'), 'aria-describedby': errorId,
    oninput: () => setError(false),
  });
  const error = h('p', { id: errorId, class: 'field-error', hidden: true }, t('go-live.title-missing'));
  const setError = (isShown: boolean): void => {
    error.hidden = !isShown;
    setProp(title, 'aria-invalid', isShown ? 'true' : null);
  };
  const isPrivate = h('input', { type: 'checkbox', name: 'private' });
  const mode = modeChoice();
  const submit = h('button', { type: 'submit', class: 'button button-primary' }, t('go-live.create'));
  const form = h('form', {
    class: 'card', novalidate: true,
    onsubmit: (event: SubmitEvent) => {
      event.preventDefault();
      const text = title.value.trim();
      if (text === '') {
        setError(true);
        title.focus();
        return;
      }
      void busy(submit, () => createRoom(context, { title: text, open: !isPrivate.checked, mode: mode.chosen() }));
    },
  },
    h('h2', {}, t('go-live.new')),
    h('div', { class: 'field' }, h('label', { for: titleId }, t('go-live.room-title')), title, error),
    h('label', { class: 'check' }, isPrivate, h('span', {}, t('go-live.private'), h('span', { class: 'check-note' }, t('go-live.private-note')))),
    mode.root, submit);
  return form;
}

/** How the media of the room's calls travels; it stays as the room was made. */
function modeChoice(): { root: HTMLElement; chosen(): CallMode } {
  const option = (value: CallMode, label: MessageKey, note: MessageKey) => {
    const input = h('input', { type: 'radio', name: 'mode', value, checked: value === 'sfu' });
    return { input, root: h('label', { class: 'check' }, input, h('span', {}, t(label), h('span', { class: 'check-note' }, t(note)))) };
  };
  const sfu = option('sfu', 'go-live.mode-sfu', 'go-live.mode-sfu-note');
  const p2p = option('p2p', 'go-live.mode-p2p', 'go-live.mode-p2p-note');
  return {
    root: h('fieldset', { class: 'choices' }, h('legend', { class: 'label' }, t('go-live.mode')), sfu.root, p2p.root),
    chosen: () => (p2p.input.checked ? 'p2p' : 'sfu'),
  };
}

async function createRoom(context: Context, wanted: NewRoom): Promise<void> {
  const room = await context.rest.createRoom(wanted);
  context.rooms.put(room);
  // Without a key the room's page offers to make one, so a failure here loses nothing.
  const key = await context.rest.createStreamKey(room.name).catch(() => null);
  if (key !== null) context.freshKeys.set(room.name, key.key);
  context.go({ view: 'room', name: room.name });
}

function pick(context: Context, room: Room): HTMLElement {
  const badge = h('span', { class: 'badge', 'data-state': room.live.state }, t(`state.${room.live.state}`));
  return h('li', {}, h('button', { type: 'button', class: 'pick', onclick: () => context.go({ view: 'room', name: room.name }) },
    h('span', { class: 'pick-title' }, room.title), badge));
}
