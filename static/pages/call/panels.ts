/** The panels beside the pictures: one at a time, opened by its button or key, closed by its own button, the key or Escape. */

import { h, type Child } from '../shared/dom.js';
import { t, type Message } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';

export type PanelName = 'people' | 'settings' | 'stats' | 'help';

/** A panel with a heading and the button that closes it. */
export function buildPanel(tag: 'aside' | 'section', name: PanelName, className: string, label: Message, ...children: Child[]): { root: HTMLElement; heading: HTMLElement } {
  const heading = h('h2', {}, label);
  const close = h('button', { type: 'button', class: 'icon-button panel-close', 'aria-label': t('call.close-panel'), title: t('call.close-panel'), 'data-name': `close-${name}` }, icon('close'));
  const root = h(tag, { class: className, hidden: true, tabindex: -1, 'aria-label': label }, h('div', { class: 'panel-head' }, heading, close), ...children);
  return { root, heading };
}

export class Panels {
  open: PanelName | null = null;

  constructor(
    readonly all: Record<PanelName, HTMLElement>,
    /** Where the focus goes back to. */
    private readonly opener: (name: PanelName) => HTMLElement | null,
    private readonly changed: (open: PanelName | null) => void,
  ) {
    for (const [name, panel] of Object.entries(all)) {
      panel.querySelector('.panel-close')?.addEventListener('click', () => this.toggle(name as PanelName));
    }
  }

  toggle(name: PanelName): void {
    const was = this.open;
    this.open = was === name ? null : name;
    for (const [each, element] of Object.entries(this.all)) element.hidden = this.open !== each;
    if (this.open !== null) this.all[name].focus();
    // Where the button is out of sight (phones have no keys to explain), the focus stays in the call.
    else this.opener(name)?.focus();
    this.changed(this.open);
  }

  close(): void {
    if (this.open !== null) this.toggle(this.open);
  }
}
