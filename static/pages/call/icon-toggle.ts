/** A round button that is on or off; icon, label and state change together. */

import { h, setProp } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon, type IconName } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';

export class IconToggle {
  readonly element: HTMLButtonElement;
  private shown = '';

  constructor(name: string, onClick: () => void) {
    this.element = h('button', { type: 'button', class: `call-button call-button-${name}`, 'data-name': name, onclick: onClick });
  }

  /** `isOn` is null for a button without a state. */
  show(iconName: IconName, label: MessageKey, isOn: boolean | null): void {
    const next = `${iconName} ${label} ${String(isOn)}`;
    if (next === this.shown) return;
    this.shown = next;
    this.element.replaceChildren(icon(iconName));
    setProp(this.element, 'aria-label', t(label));
    setProp(this.element, 'title', t(label));
    this.element.classList.toggle('is-off', isOn === false);
    this.element.classList.toggle('is-on', isOn === true);
  }
}
