/** The list of rooms: what is live, who watches, since when. */

import type { Room } from '../../client/index.js';
import { copyButton, writeClipboard } from '../shared/copy.js';
import { busy } from '../shared/field.js';
import { h, replace, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { formatUptime } from '../shared/format.js';
import { everySecond } from '../shared/ticker.js';
import { toast } from '../shared/toast.js';
import { routeToHash, shareOrigins, type Context, type View } from './context.js';

interface Row {
  root: HTMLElement;
  update(room: Room): void;
}

export function buildRoomsView(context: Context): View {
  const summary = h('p', { class: 'soft', 'aria-live': 'polite' });
  const list = h('ul', { class: 'room-list' });
  const empty = h('section', { class: 'card empty', hidden: true },
    icon('broadcast'), h('h2', {}, t('rooms.empty')), h('p', { class: 'soft' }, t('rooms.empty-text')),
    goLiveButton(context));
  const loading = h('div', { class: 'loading' }, h('span', { class: 'spinner' }));
  const root = h('div', {},
    h('div', { class: 'view-head' },
      h('div', {}, h('h1', { tabindex: -1 }, t('rooms.title')), summary),
      goLiveButton(context)),
    loading, empty, list);

  const rows = new Map<string, Row>();
  function update(): void {
    const isKnown = context.rooms.rooms !== null;
    loading.hidden = isKnown;
    if (!isKnown) return;
    const rooms = context.rooms.sorted();
    empty.hidden = rooms.length > 0;
    setText(summary, t('rooms.live-count', { count: rooms.filter((room) => room.live.state === 'live').length }));
    for (const name of rows.keys()) {
      if (!rooms.some((room) => room.name === name)) rows.delete(name);
    }
    const wanted = rooms.map((room) => {
      let row = rows.get(room.name);
      if (row === undefined) {
        row = buildRow(context, room);
        rows.set(room.name, row);
      }
      row.update(room);
      return row.root;
    });
    // Rows stay in place while their order does, so that focus is not lost with each event.
    const isSame = wanted.length === list.children.length && wanted.every((row, index) => list.children[index] === row);
    if (!isSame) replace(list, ...wanted);
  }
  const stop = context.rooms.listen(update);
  update();
  return { root, title: t('rooms.title'), dispose: stop };
}

/** Only what is unusual is said. */
export function modeTag(): HTMLElement {
  return h('span', { class: 'tag', 'data-name': 'p2p' }, icon('people'), h('span', {}, t('rooms.p2p')));
}

function goLiveButton(context: Context): HTMLElement {
  return h('button', { type: 'button', class: 'button button-primary go-live', onclick: () => context.go({ view: 'go-live' }) },
    icon('broadcast'), h('span', {}, t('rooms.go-live')));
}

/** Others need an invite, and the server tells each only once: a click makes one. */
function copyCallLink(context: Context, room: string): HTMLElement {
  const button = h('button', {
    type: 'button', class: 'button button-quiet copy is-compact', title: t('rooms.copy-call-link'), 'aria-label': t('rooms.copy-call-link'), 'data-name': 'copy-call-link',
    onclick: () => void busy(button, async () => {
      const { url } = await context.rest.createInvite(room);
      if (await writeClipboard(url)) toast('info', t('rooms.call-link-copied'));
      else toast('error', url);
    }),
  }, icon('link'));
  return button;
}

function buildRow(context: Context, first: Room): Row {
  let room = first;
  const link = `${shareOrigins(context.server).main}/watch/${room.name}`;
  const title = h('a', { class: 'room-title', href: routeToHash({ view: 'room', name: room.name }) });
  const badge = h('span', { class: 'badge' });
  const lock = h('span', { class: 'tag' }, icon('lock'), h('span', {}, t('rooms.private')));
  const viewers = h('span', { class: 'room-fact' });
  const uptime = h('span', { class: 'room-fact' });
  everySecond(uptime, () => {
    const startedAt = room.live.started_at;
    const isOnAir = room.live.state !== 'offline' && startedAt !== null;
    uptime.hidden = !isOnAir;
    if (isOnAir) setText(uptime, t('room.uptime', { time: formatUptime((Date.now() - Date.parse(startedAt)) / 1000) }));
  });
  const root = h('li', { class: 'room-row', 'data-room': room.name },
    h('div', { class: 'room-main' },
      title,
      h('div', { class: 'room-facts' }, badge, lock, first.mode === 'p2p' ? modeTag() : null, viewers, uptime, h('span', { class: 'room-name mono' }, `/watch/${room.name}`))),
    h('div', { class: 'room-actions' },
      copyButton(() => link, 'rooms.copy-link', true),
      copyCallLink(context, room.name),
      h('a', { class: 'button button-quiet', href: `/call/${room.name}`, target: '_blank', 'data-name': 'start-call' }, t('rooms.start-call')),
      h('a', { class: 'button button-quiet', href: `/watch/${room.name}`, target: '_blank' }, t('rooms.watch')),
      h('a', { class: 'button button-quiet', href: routeToHash({ view: 'room', name: room.name }) }, t('rooms.manage'))));
  return {
    root,
    update(next) {
      room = next;
      const { state, viewers: count } = room.live;
      setText(title, room.title);
      setText(badge, t(`state.${state}`));
      setProp(badge, 'data-state', state);
      root.classList.toggle('is-live', state === 'live');
      lock.hidden = room.open;
      viewers.hidden = state === 'offline';
      setText(viewers, t('room.viewers', { count }));
    },
  };
}
