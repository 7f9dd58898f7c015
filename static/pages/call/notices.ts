/** The strips over the pictures: reconnecting, a path that does not carry media, sound that waits for a click. */

import { h } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';
import type { Fault } from './logic.js';

/** A reconnect shorter than this is not worth a word. */
const RECONNECTING_AFTER_MS = 1_500;

export interface Notices {
  root: HTMLElement;
  update(facts: { isReconnecting: boolean; fault: Fault | null; tried: readonly string[]; isSoundBlocked: boolean }): void;
  dispose(): void;
}

export function buildNotices(unblock: () => void): Notices {
  const reconnecting = h('div', { class: 'notice is-warning', role: 'status', hidden: true, 'data-name': 'reconnecting' }, h('span', { class: 'spinner is-small' }), h('span', {}, t('call.reconnecting')));
  const text = h('span', {});
  const fault = h('div', { class: 'notice is-warning', role: 'status', hidden: true, 'data-name': 'fault' }, icon('warning'), text,
    h('button', { type: 'button', class: 'icon-button', 'aria-label': t('toast.close'), onclick: () => dismiss() }, icon('close')));
  const sound = h('div', { class: 'notice', hidden: true, 'data-name': 'sound' },
    h('button', { type: 'button', class: 'button button-primary', onclick: unblock }, icon('muted'), h('span', {}, t('player.tap-to-unmute'))));
  let timer: number | undefined;
  let shown: Fault | null = null;
  let dismissed: Fault | null = null;
  function dismiss(): void {
    dismissed = shown;
    fault.hidden = true;
  }
  return {
    root: h('div', { class: 'notices' }, reconnecting, fault, sound),
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
        if (shown !== null) text.replaceChildren(String(t(`fault.${shown}` as MessageKey, { tried: facts.tried.join(', ') })));
        fault.dataset['fault'] = shown ?? '';
      }
      fault.hidden = shown === null || shown === dismissed;
      sound.hidden = !facts.isSoundBlocked;
    },
    dispose: () => clearTimeout(timer),
  };
}
