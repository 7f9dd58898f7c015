/** A round button that is on or off; icon, label and state change together. */

import { h, setProp } from './dom.js';
import { t } from './i18n.js';
import { icon, type IconName } from './icons.js';
import type { MessageKey } from './messages.js';

export class IconToggle {
  readonly element: HTMLButtonElement;
  private shown = '';

  constructor(name: string, onClick: () => void) {
    this.element = h('button', { type: 'button', class: `call-button call-button-${name}`, 'data-name': name, onclick: onClick });
  }

  /** `isOn` is null for a button without a state. With a reason it is dimmed, and says it: it can still be reached by key and pointer. */
  show(iconName: IconName, label: MessageKey, isOn: boolean | null, reason: MessageKey | null = null): void {
    const next = `${iconName} ${label} ${String(isOn)} ${reason ?? ''}`;
    if (next === this.shown) return;
    this.shown = next;
    this.element.replaceChildren(icon(iconName));
    setProp(this.element, 'aria-label', t(reason ?? label));
    setProp(this.element, 'title', t(reason ?? label));
    setProp(this.element, 'aria-disabled', reason === null ? null : 'true');
    this.element.classList.toggle('is-off', isOn === false && reason === null);
    this.element.classList.toggle('is-on', isOn === true);
  }
}
