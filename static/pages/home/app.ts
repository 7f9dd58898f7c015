/** The signed-in page: header, connection notice, and one view at a time by the fragment of the address. */

import type { Account, Rest, ServerFacts } from '../../client/index.js';
import { h, replace } from '../shared/dom.js';
import { buildHeader } from '../shared/header.js';
import { onLanguage, t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { report } from '../shared/problems.js';
import { hashToRoute, routeToHash, type Context, type Route, type View } from './context.js';
import { buildGoLiveView } from './go-live-view.js';
import { buildRoomView } from './room-view.js';
import { RoomStore } from './rooms.js';
import { buildRoomsView } from './rooms-view.js';

/** A reconnect shorter than this is not worth a notice. */
const NOTICE_AFTER_MS = 1_500;

export function startApp(app: HTMLElement, session: { rest: Rest; account: Account; server: ServerFacts }): void {
  const rooms = new RoomStore(() => void reloadIfSignedOut(session.rest));
  // The list comes by the socket; this covers a proxy that lets none through.
  session.rest.rooms().then((list) => rooms.start(list), report);
  const context: Context = {
    ...session,
    rooms,
    freshKeys: new Map(),
    go(route) {
      const hash = routeToHash(route);
      if (location.hash === hash) show();
      else location.hash = hash;
    },
  };
  const main = h('main', { class: 'main' });
  const notice = connectionNotice(rooms);
  replace(app, buildHeader(libraryLink(), accountMenu(context)), notice, main);

  let view: View | null = null;
  const setTitle = (): void => {
    if (view !== null) document.title = `${String(view.title)} · Telstar`;
  };
  function show(): void {
    const isFirst = view === null;
    view?.dispose();
    view = buildView(hashToRoute(location.hash), context);
    replace(main, view.root);
    setTitle();
    window.scrollTo(0, 0);
    // Keyboard and screen reader users follow to the new view; the first one starts at the top of the page as usual.
    if (!isFirst) main.querySelector<HTMLElement>('h1')?.focus();
  }
  addEventListener('hashchange', show);
  onLanguage(setTitle);
  show();
}

function buildView(route: Route, context: Context): View {
  switch (route.view) {
    case 'rooms':
      return buildRoomsView(context);
    case 'go-live':
      return buildGoLiveView(context);
    case 'room':
      return buildRoomView(context, route.name);
  }
}

function libraryLink(): HTMLElement {
  return h('a', { class: 'header-link', href: '/library', 'aria-label': t('header.library'), title: t('header.library') }, icon('film'), h('span', {}, t('header.library')));
}

function accountMenu(context: Context): HTMLElement {
  const button = h('button', {
    type: 'button', class: 'icon-button', 'aria-label': t('header.sign-out'), title: t('header.sign-out'),
    onclick: () => void signOut(context),
  }, icon('signOut'));
  return h('span', { class: 'account' }, h('span', { class: 'account-name' }, context.account.name), button);
}

/** A refused topic alone proves nothing, and a reload for nothing would never end. */
async function reloadIfSignedOut(rest: Rest): Promise<void> {
  try {
    if ((await rest.currentAccount()) === null) location.reload();
  } catch {
    // Not reachable: the connection notice says so already.
  }
}

async function signOut(context: Context): Promise<void> {
  try {
    await context.rest.signOut();
    context.rooms.close();
    location.replace('/');
  } catch (error) {
    report(error);
  }
}

function connectionNotice(rooms: RoomStore): HTMLElement {
  const notice = h('div', { class: 'connection-notice', role: 'status', hidden: true }, t('home.connection-lost'));
  let timer: number | undefined;
  rooms.listen(() => {
    if (rooms.connection === 'open') {
      clearTimeout(timer);
      timer = undefined;
      notice.hidden = true;
    } else if (rooms.connection === 'lost') {
      timer ??= setTimeout(() => {
        notice.hidden = false;
      }, NOTICE_AFTER_MS);
    }
  });
  return notice;
}
