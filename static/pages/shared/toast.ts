/** Short notices at the edge of the page. Errors stay longer and are announced at once. */

import { h, type Child } from './dom.js';
import { t } from './i18n.js';
import { icon } from './icons.js';

const SHOWN_MS = { info: 3_500, error: 8_000 } as const;
/** More than this many at once and the oldest goes. */
const SHOWN_MAX = 3;

let region: HTMLElement | null = null;

export function toast(kind: keyof typeof SHOWN_MS, text: Child): void {
  if (region === null || !region.isConnected) {
    region = h('div', { class: 'toasts', popover: 'manual' });
    document.body.append(region);
  }
  const close = h('button', { type: 'button', class: 'icon-button', 'aria-label': t('toast.close') }, icon('close'));
  const item = h('div', { class: `toast toast-${kind}`, role: kind === 'error' ? 'alert' : 'status' },
    icon(kind === 'error' ? 'warning' : 'check'), h('span', { class: 'toast-text' }, text), close);
  const remove = (): void => item.remove();
  close.addEventListener('click', remove);
  region.append(item);
  // As a popover it lies above an open dialog; shown again it moves to the top.
  if (typeof region.showPopover === 'function') {
    if (region.matches(':popover-open')) region.hidePopover();
    region.showPopover();
  } else {
    region.removeAttribute('popover');
  }
  while (region.childElementCount > SHOWN_MAX) region.firstElementChild?.remove();
  setTimeout(remove, SHOWN_MS[kind]);
}
