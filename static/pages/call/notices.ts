/** The strips over the pictures: reconnecting, a path that does not carry media, a right that was taken away, nobody there, sound that waits for a click. */

import { h, replace, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';
import type { Fault } from '../shared/faults.js';

/** What a right that is missing means for who is in the call. */
export type Missing = 'publish' | 'subscribe' | null;

/** A reconnect shorter than this is not worth a word. */
const RECONNECTING_AFTER_MS = 1_500;

export interface Notices {
  root: HTMLElement;
  update(facts: { isReconnecting: boolean; fault: Fault | null; tried: readonly string[]; missing: Missing; isAlone: boolean; canInvite: boolean; isSoundBlocked: boolean }): void;
  dispose(): void;
}

export function buildNotices(actions: { unblock(): void; invite(): void }): Notices {
  const reconnecting = h('div', { class: 'notice is-warning', role: 'status', hidden: true, 'data-name': 'reconnecting' }, h('span', { class: 'spinner is-small' }), h('span', {}, t('call.reconnecting')));
  const text = h('span', {});
  const fault = h('div', { class: 'notice is-warning', role: 'status', hidden: true, 'data-name': 'fault' }, icon('warning'), text,
    h('button', { type: 'button', class: 'icon-button', 'aria-label': t('toast.close'), onclick: () => dismiss() }, icon('close')));
  const sound = h('div', { class: 'notice', hidden: true, 'data-name': 'sound' },
    h('button', { type: 'button', class: 'button button-primary', onclick: () => actions.unblock() }, icon('muted'), h('span', {}, t('player.tap-to-unmute'))));
  const right = h('span', {});
  const rights = h('div', { class: 'notice', role: 'status', hidden: true, 'data-name': 'rights' }, icon('lock'), right);
  const invite = h('button', { type: 'button', class: 'button button-primary is-small', 'data-name': 'invite-others', onclick: () => actions.invite() }, t('people.invite-others'));
  const alone = h('div', { class: 'notice', role: 'status', hidden: true, 'data-name': 'alone' }, icon('people'), h('span', {}, t('call.alone')), invite);
  let timer: number | undefined;
  let shown: Fault | null = null;
  let dismissed: Fault | null = null;
  function dismiss(): void {
    dismissed = shown;
    fault.hidden = true;
  }
  return {
    root: h('div', { class: 'notices' }, reconnecting, fault, rights, alone, sound),
    update(facts) {
      if (!facts.isReconnecting) {
        clearTimeout(timer);
        timer = undefined;
        reconnecting.hidden = true;
      } else {
        timer ??= setTimeout(() => {
          reconnecting.hidden = false;
        }, RECONNECTING_AFTER_MS);
      }
      if (facts.fault !== shown) {
        shown = facts.fault;
        fault.dataset['fault'] = shown ?? '';
        // Only where there is one server that everything goes through does its address say who is wrong.
        if (shown === 'unreachable' && facts.tried.length > 0) replace(text, t('fault.unreachable'), ' ', t('fault.tried', { tried: facts.tried.join(', ') }));
        else if (shown !== null) replace(text, t(`fault.${shown}` as MessageKey));
      }
      fault.hidden = shown === null || shown === dismissed;
      rights.hidden = facts.missing === null;
      if (facts.missing !== null) setText(right, t(facts.missing === 'publish' ? 'rights.no-publish' : 'rights.no-subscribe'));
      alone.hidden = !facts.isAlone;
      invite.hidden = !facts.canInvite;
      sound.hidden = !facts.isSoundBlocked;
    },
    dispose: () => clearTimeout(timer),
  };
}
