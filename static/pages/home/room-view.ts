/** One room: how to send to it, what arrives, who may watch, and its end. */

import { TelstarError, type Room, type RoomTopicState, type Subscription } from '../../client/index.js';
import { busy } from '../shared/field.js';
import { h, replace, setProp, setText } from '../shared/dom.js';
import { confirmDialog } from '../shared/dialog.js';
import { t, type Message } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { inWords } from '../shared/problems.js';
import { formatUptime } from '../shared/format.js';
import { everySecond } from '../shared/ticker.js';
import { titleField } from '../shared/title-field.js';
import { toast } from '../shared/toast.js';
import type { Context, View } from './context.js';
import { buildEncoderPanel } from './encoder-panel.js';
import { modeTag } from './rooms-view.js';
import { buildEmbedPanel, buildSharePanel } from './share-panel.js';
import { buildStatusPanel } from './status-panel.js';

export function buildRoomView(context: Context, name: string): View {
  const root = h('div', {}, h('div', { class: 'loading' }, h('span', { class: 'spinner' })));
  let subscription: Subscription<RoomTopicState> | null = null;
  let stop = (): void => {};
  let isDisposed = false;
  const view: View = {
    root,
    title: name,
    dispose() {
      isDisposed = true;
      subscription?.close();
      stop();
    },
  };

  const setTitle = (title: string): void => {
    if (view.title === title) return;
    view.title = title;
    document.title = `${title} · Telstar`;
  };
  const showProblem = (title: Message, text: Message | string): void => {
    stop();
    replace(root, backLink(), h('section', { class: 'card empty', role: 'alert' }, icon('warning'),
      h('h1', { tabindex: -1 }, title), h('p', { class: 'soft' }, text)));
  };
  context.rest.room(name).then(
    (room) => {
      if (isDisposed) return;
      const page = buildPage(context, room);
      replace(root, ...page.nodes);
      setTitle(room.title);
      root.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
      subscription = context.rooms.follow(name, (state) => page.showState(state), () => showProblem(t('room.gone'), t('room.gone-text')));
      stop = context.rooms.listen(() => {
        const current = context.rooms.rooms?.get(name);
        if (current === undefined) return;
        page.showRoom(current);
        setTitle(current.title);
      });
    },
    (error: unknown) => {
      if (isDisposed) return;
      const isGone = error instanceof TelstarError && error.status === 404;
      showProblem(isGone ? t('room.gone') : t('home.failed'), isGone ? t('room.gone-text') : inWords(error));
    },
  );
  return view;
}

interface Page {
  nodes: Node[];
  showState(state: RoomTopicState): void;
  showRoom(room: Room): void;
}

function buildPage(context: Context, first: Room): Page {
  const head = buildHead(context, first);
  const status = buildStatusPanel(first.live);
  const share = buildSharePanel(context, first);
  const embed = buildEmbedPanel(context, first);
  const nodes = [
    backLink(),
    head.root,
    h('div', { class: 'room-grid' },
      h('div', { class: 'room-column' }, status.root, buildEncoderPanel(context, first)),
      h('div', { class: 'room-column' }, share.root, embed, deletePanel(context, first))),
  ];
  return {
    nodes,
    showState(state) {
      head.showState(state);
      status.show(state);
    },
    showRoom(room) {
      head.showTitle(room.title);
      share.show(room);
    },
  };
}

function backLink(): HTMLElement {
  return h('a', { class: 'back', href: '#/' }, icon('back'), h('span', {}, t('room.all-rooms')));
}

function buildHead(context: Context, room: Room) {
  const title = h('h1', { tabindex: -1 }, room.title);
  const heading = titleField(title, t('go-live.room-title'), async (text) => {
    const renamed = await context.rest.updateRoom(room.name, { title: text });
    context.rooms.put(renamed);
    return renamed.title;
  });
  const badge = h('span', { class: 'badge' });
  const viewers = h('span', {});
  const uptime = h('span', {});
  let live = room.live;
  everySecond(uptime, () => {
    const startedAt = live.started_at;
    uptime.hidden = live.state === 'offline' || startedAt === null;
    if (startedAt !== null) setText(uptime, t('room.uptime', { time: formatUptime((Date.now() - Date.parse(startedAt)) / 1000) }));
  });
  const root = h('div', { class: 'view-head' },
    h('div', { class: 'room-heading' },
      heading,
      h('p', { class: 'watch-facts' }, badge, room.mode === 'p2p' ? modeTag() : null, viewers, uptime)),
    h('div', { class: 'room-actions' },
      h('a', { class: 'button button-quiet', href: `/call/${room.name}`, target: '_blank' }, icon('camera'), h('span', {}, t('rooms.start-call'))),
      room.mode === 'p2p' ? null : h('a', { class: 'button button-quiet', href: `/studio/${room.name}`, target: '_blank' }, icon('broadcast'), h('span', {}, t('room.open-studio'))),
      h('a', { class: 'button button-quiet', href: `/watch/${room.name}`, target: '_blank' }, icon('external'), h('span', {}, t('room.open-watch')))));
  const showState = (state: RoomTopicState | Room['live']): void => {
    live = state;
    setText(badge, t(`state.${state.state}`));
    setProp(badge, 'data-state', state.state);
    viewers.hidden = state.state === 'offline';
    setText(viewers, t('room.viewers', { count: state.viewers }));
  };
  showState(room.live);
  return { root, showState, showTitle: (text: string) => setText(title, text) };
}

function deletePanel(context: Context, room: Room): HTMLElement {
  const button = h('button', {
    type: 'button', class: 'button button-danger',
    onclick: () => void busy(button, async () => {
      const isSure = await confirmDialog({
        title: t('delete.title', { title: room.title }),
        text: t('delete.confirm-text'),
        confirm: t('delete.confirm'),
      });
      if (!isSure) return;
      await context.rest.deleteRoom(room.name);
      context.rooms.remove(room.name);
      context.freshKeys.delete(room.name);
      toast('info', t('delete.done'));
      context.go({ view: 'rooms' });
    }),
  }, icon('trash'), h('span', {}, t('delete.button')));
  return h('section', { class: 'card' },
    h('h2', {}, t('delete.heading')), h('p', { class: 'soft' }, t('delete.text')), button);
}
