/** From the address to the call: who may come in and with what, the page before the call, the call, and after it. */

import { connect, Rest, socketUrl, TelstarError, type Client, type ServerFacts } from '../../client/index.js';
import { h, replace } from '../shared/dom.js';
import { buildHeader } from '../shared/header.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { isMessageKey } from '../shared/messages.js';
import { readPreference } from '../shared/preferences.js';
import { inWords } from '../shared/problems.js';
import { Devices } from '../shared/devices.js';
import { parseCallAddress, type CallAddress } from './logic.js';
import { buildNoAccess, buildPreJoin } from './prejoin.js';
import { buildRoom } from './room.js';

/** Where asking again gets the same answer. */
const NO_RETURN = new Set(['room-deleted', 'not_found', 'forbidden', 'unauthorised', 'credential-ended']);

interface Choice {
  name: string;
  isAudioOn: boolean;
  isVideoOn: boolean;
}

export function startCallPage(app: HTMLElement, isEmbed: boolean): void {
  const address = parseCallAddress(location.pathname, location.hash);
  document.title = `${address?.room ?? ''} · Telstar`;
  if (address === null) {
    replace(app, isEmbed ? null : buildHeader(), buildNoAccess('call.no-access'));
    return;
  }
  // Another invite pasted into the same tab changes only the fragment, which loads no page.
  addEventListener('hashchange', () => location.reload());
  void new CallPage(app, isEmbed, address).start();
}

class CallPage {
  private readonly devices = new Devices();
  private readonly rest: Rest;
  private readonly server: Promise<ServerFacts | null>;
  private token: string | null;
  private accountName = '';
  private dispose: () => void = () => {};

  constructor(
    private readonly app: HTMLElement,
    private readonly isEmbed: boolean,
    private readonly address: CallAddress,
  ) {
    this.token = address.token;
    this.rest = new Rest(address.token === null ? {} : { token: address.token });
    this.server = new Rest().server().catch(() => null);
    addEventListener('pagehide', () => this.dispose());
    // Brought back from the browser's memory it shows a call that was left.
    addEventListener('pageshow', (event) => {
      if (event.persisted) location.reload();
    });
  }

  async start(): Promise<void> {
    if (this.token === null && this.address.invite === null) {
      const account = await this.rest.currentAccount().catch(() => null);
      if (account === null) {
        this.show(buildNoAccess('call.no-access'), () => {});
        return;
      }
      this.accountName = account.name;
    }
    this.showPreJoin();
  }

  private showPreJoin(): void {
    const view = buildPreJoin({
      room: this.address.room,
      title: this.title(),
      devices: this.devices,
      name: readPreference('call.name') ?? this.accountName,
      server: this.server,
      join: (choice) => this.join(choice),
    });
    this.show(view.root, () => view.dispose());
  }

  /** What the room is called, for who may know it: a guest of a closed room may once the invite is redeemed. */
  private async title(): Promise<string | null> {
    // With nothing but an invite the question would be refused, and stand as an error in the browser's console.
    if (this.token === null && this.address.invite !== null) return null;
    const room = await this.rest.room(this.address.room).catch(() => null);
    if (room === null) return null;
    document.title = `${room.title} · Telstar`;
    return room.title;
  }

  private async join(choice: Choice): Promise<void> {
    if (this.token === null && this.address.invite !== null) {
      try {
        this.token = (await this.rest.redeemInvite(this.address.invite, choice.name)).token;
      } catch (error) {
        if (!(error instanceof TelstarError) || error.isTransient || error.status === 429) throw error;
        this.devices.closeAll();
        this.show(buildNoAccess('call.invite-refused'), () => {});
        return;
      }
    }
    this.enter(choice);
  }

  private enter(choice: Choice): void {
    const client: Client = connect({ url: socketUrl(location.origin), ...(this.token === null ? {} : { token: this.token }) });
    const call = client.join(this.address.room, { name: choice.name });
    const rest = new Rest(this.token === null ? {} : { token: this.token });
    const view = buildRoom({ ...choice, call, devices: this.devices, rest, leave: () => call.leave() });
    const onShown = (): void => {
      if (document.visibilityState === 'visible') client.retryNow();
    };
    document.addEventListener('visibilitychange', onShown);
    this.show(view.root, () => {
      document.removeEventListener('visibilitychange', onShown);
      view.dispose();
      client.close();
      this.devices.closeAll();
    });
    let wasIn = false;
    call.on('joined', ({ title }) => {
      wasIn = true;
      document.title = `${title} · Telstar`;
    });
    call.on('left', ({ reason }) => this.showLeft(reason, choice, wasIn));
  }

  private showLeft(reason: string, choice: Choice, wasIn: boolean): void {
    const again = h('button', {
      type: 'button', class: 'button button-primary', 'data-name': 'rejoin',
      onclick: () => void this.rejoin(choice),
    }, t(wasIn ? 'call.rejoin' : 'home.try-again'));
    const key = `left.${reason}`;
    const text = isMessageKey(key) ? t(key) : inWords(new TelstarError(reason, reason));
    const canReturn = !NO_RETURN.has(reason);
    const heading = h('h1', { tabindex: -1 }, t(wasIn ? 'call.left-title' : 'call.refused-title'));
    this.show(h('main', { class: 'narrow' }, h('section', { class: 'card sign-in', role: 'status', 'data-reason': reason },
      h('span', { class: 'card-icon' }, icon(reason === 'left' ? 'check' : 'warning')),
      heading, h('p', { class: 'soft' }, text),
      h('div', { class: 'left-actions' },
        canReturn ? again : null,
        this.isEmbed || this.accountName === '' ? null : h('a', { class: 'button button-quiet', href: '/' }, t('call.to-home'))))), () => {});
    (canReturn ? again : heading).focus();
  }

  private async rejoin(choice: Choice): Promise<void> {
    await this.devices.openWanted({ audio: choice.isAudioOn, video: choice.isVideoOn });
    this.enter(choice);
  }

  private show(view: HTMLElement, dispose: () => void): void {
    this.dispose();
    this.dispose = dispose;
    const isCall = view.classList.contains('call');
    document.body.classList.toggle('is-in-call', isCall);
    replace(this.app, this.isEmbed || isCall ? null : buildHeader(), view);
  }
}
