/** From the address to the studio: who may send to the room and with what, the room's state, and an end that leaves nothing on. */

import { Client, Rest, socketUrl, TelstarError, type RoomTopicState, type ServerFacts } from '../../client/index.js';
import { Devices } from '../shared/devices.js';
import { h, replace } from '../shared/dom.js';
import { buildHeader } from '../shared/header.js';
import { t, type Message } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { inWords } from '../shared/problems.js';
import { Broadcast } from './broadcast.js';
import { publishStudioFacts } from './facts.js';
import { parseStudioAddress, type StudioAddress } from './logic.js';
import { StudioMedia } from './media.js';
import { buildStudio } from './view.js';

/** A stream outlives this only where its connection breaks after it, and then a new token is asked for. */
const TOKEN_LIFETIME_SECS = 86_400;
/** A token that ends sooner than this is not worth beginning with. */
const TOKEN_REST_MS = 3_600_000;
/** Whom the server sees in the room. Not the account: who sends from here may be in the call as well. */
const IDENTITY = 'studio';

export function startStudioPage(app: HTMLElement): void {
  const address = parseStudioAddress(location.pathname, location.hash);
  if (address === null) {
    replace(app, buildHeader(), noAccess(t('studio.refused-gone'), false));
    return;
  }
  document.title = `${address.room} · Telstar`;
  addEventListener('hashchange', () => location.reload());
  void enter(app, address);
}

async function enter(app: HTMLElement, address: StudioAddress): Promise<void> {
  const rest = new Rest(address.token === null ? {} : { token: address.token });
  const server = new Rest().server().catch(() => null);
  try {
    let name: string | null = null;
    if (address.token === null) {
      const account = await rest.currentAccount();
      if (account === null) {
        replace(app, buildHeader(), noAccess(t('studio.sign-in-first'), true));
        return;
      }
      ({ name } = account);
    }
    const credential = new Credential(rest, address, name);
    // Asked for at once: whoever may not send hears of it before choosing a camera.
    await credential.token();
    show(app, address, credential, rest, server);
  } catch (error) {
    const isRefusal = error instanceof TelstarError && [401, 403, 404].includes(error.status);
    replace(app, buildHeader(), noAccess(isRefusal ? t('studio.no-right') : inWords(error), false));
  }
}

/** What the stream is sent with: the token of the address, or one that the signed-in owner makes for this page. */
class Credential {
  private made: { token: string; endsAt: number } | null = null;

  constructor(
    private readonly rest: Rest,
    private readonly address: StudioAddress,
    private readonly name: string | null,
  ) {}

  async token(): Promise<string | null> {
    const { address, made } = this;
    if (address.token !== null) return address.token;
    if (made !== null && made.endsAt - Date.now() > TOKEN_REST_MS) return made.token;
    const { token, expires_at } = await this.rest.createRoomToken({
      room: address.room,
      identity: IDENTITY,
      ...(this.name === null ? {} : { name: this.name }),
      grants: ['ingest'],
      expires_in_secs: TOKEN_LIFETIME_SECS,
    });
    this.made = { token, endsAt: Date.parse(expires_at) };
    return token;
  }
}

function show(app: HTMLElement, address: StudioAddress, credential: Credential, rest: Rest, server: Promise<ServerFacts | null>): void {
  const { room } = address;
  const media = new StudioMedia(new Devices());
  const broadcast = new Broadcast(`/whip/${room}`, () => credential.token(), media, () => view.update());
  const view = buildStudio({ name: room, title: room }, media, broadcast, server, address.token === null);
  const client = new Client({ url: socketUrl(location.origin), ...(address.token === null ? {} : { token: address.token }) });
  client.subscribe<RoomTopicState>(`room:${room}`, { onState: (state) => view.showRoom(state) });
  client.connect();
  addEventListener('online', () => client.retryNow());
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && client.retryNow());
  publishStudioFacts(broadcast, media);
  replace(app, buildHeader(), view.root);
  // A closed tab ends the stream for everybody, so it is asked about.
  addEventListener('beforeunload', (event) => {
    if (broadcast.isOn) event.preventDefault();
  });
  addEventListener('pagehide', () => {
    void broadcast.stop();
    view.dispose();
    media.close();
    client.close();
  });
  // Brought back from the browser's memory it shows a studio without devices.
  addEventListener('pageshow', (event) => event.persisted && location.reload());
  void media.open();
  // The title comes with the room's state as well; this is for a proxy that lets no socket through.
  rest.room(room).then((found) => view.showRoom({ ...found, ...found.live }), () => {});
}

function noAccess(text: Message | string, canSignIn: boolean): HTMLElement {
  return h('main', { class: 'narrow' }, h('section', { class: 'card sign-in', role: 'alert' },
    h('span', { class: 'card-icon' }, icon('lock')),
    h('h1', {}, t('studio.no-access')),
    h('p', { class: 'soft' }, text),
    h('a', { class: 'button button-primary', href: canSignIn ? '/sign-in' : '/' }, t(canSignIn ? 'call.sign-in' : 'call.to-home'))));
}
