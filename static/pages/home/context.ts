/** What the signed-in views share, and what a view is. */

import type { Account, Rest, ServerFacts } from '../../client/index.js';
import type { Message } from '../shared/i18n.js';
import type { RoomStore } from './rooms.js';

export interface Context {
  rest: Rest;
  account: Account;
  server: ServerFacts;
  rooms: RoomStore;
  /** Keys made since the page was opened, by room: the server tells a key once, and this page until it is left. */
  freshKeys: Map<string, string>;
  go(route: Route): void;
}

export type Route = { view: 'rooms' } | { view: 'go-live' } | { view: 'room'; name: string };

export interface View {
  root: HTMLElement;
  title: Message | string;
  /** Called when another view takes the place. */
  dispose(): void;
}

export function routeToHash(route: Route): string {
  if (route.view === 'rooms') return '#/';
  return route.view === 'go-live' ? '#/go-live' : `#/rooms/${encodeURIComponent(route.name)}`;
}

export function hashToRoute(hash: string): Route {
  if (hash === '#/go-live') return { view: 'go-live' };
  const match = /^#\/rooms\/([a-z0-9-]+)$/.exec(hash);
  return match?.[1] === undefined ? { view: 'rooms' } : { view: 'room', name: match[1] };
}

const LOOPBACK = /^https?:\/\/(localhost|127\.[\d.]+|\[::1\])(:|\/|$)/;

/** Where viewers find the server; `network` is set where the public address only works on this computer. */
export function shareOrigins(server: ServerFacts): { main: string; network: string | null } {
  const main = (server.public_url || location.origin).replace(/\/$/, '');
  if (!LOOPBACK.test(main)) return { main, network: null };
  return { main, network: server.addresses.find((origin) => !LOOPBACK.test(origin))?.replace(/\/$/, '') ?? null };
}
