/** One finding of a check: what is good, under way or wrong, and what helps. */

import { h } from './dom.js';
import type { Fault } from './faults.js';
import { t } from './i18n.js';
import { icon } from './icons.js';
import type { MessageKey } from './messages.js';

export function checkLine(kind: 'good' | 'wait' | 'fault', key: MessageKey, extra: HTMLElement | null = null): HTMLElement {
  const mark = kind === 'wait' ? h('span', { class: 'spinner is-small' }) : icon(kind === 'good' ? 'check' : 'warning');
  return h('li', { class: `check-line is-${kind}` }, mark, h('span', {}, t(key), extra === null ? null : ' ', extra));
}

export function faultLine(fault: Fault, httpsUrl: string | null): HTMLElement {
  const link = fault === 'insecure' && httpsUrl !== null
    ? h('a', { href: secureAddress(httpsUrl), 'data-name': 'secure-link' }, t('check.open-secure'))
    : null;
  return checkLine('fault', `fault.${fault}` as MessageKey, link);
}

/** The same page over HTTPS, with what its fragment gives. */
export function secureAddress(httpsUrl: string): string {
  return `${httpsUrl.replace(/\/$/, '')}${location.pathname}${location.search}${location.hash}`;
}
