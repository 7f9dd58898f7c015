/** Values to copy, and buttons that wait for the server. */

import { copyButton } from './copy.js';
import { freshId, h, type Child } from './dom.js';
import type { Message } from './i18n.js';
import { report } from './problems.js';

/** A labelled value that cannot be edited, with its copy button. The name helps tests and password managers alike. */
export function copyField(label: Message, name: string, value: string, note?: Child): HTMLElement {
  const id = freshId('field');
  const input = h('input', {
    id, name, value, type: 'text', class: 'input mono', readonly: true, spellcheck: 'false', autocomplete: 'off',
    onfocus: () => input.select(),
  });
  return h('div', { class: 'field' },
    h('label', { for: id }, label),
    h('div', { class: 'field-row' }, input, copyButton(() => value)),
    note ? h('p', { class: 'field-note' }, note) : null);
}

/** A block of text to copy: a command, a snippet. */
export function copyBlock(label: Message, name: string, text: string): HTMLElement {
  const id = freshId('block');
  return h('div', { class: 'field' },
    h('div', { class: 'field-head' }, h('span', { id, class: 'label' }, label), copyButton(() => text)),
    h('pre', { class: 'code', tabindex: 0, 'aria-labelledby': id, 'data-name': name }, h('code', {}, text)));
}

/** Runs `action` once at a time; the button is off meanwhile and a failure is shown. */
export async function busy(button: HTMLButtonElement, action: () => Promise<void>): Promise<void> {
  if (button.disabled) return;
  button.disabled = true;
  button.setAttribute('aria-busy', 'true');
  try {
    await action();
  } catch (error) {
    report(error);
  } finally {
    button.disabled = false;
    button.removeAttribute('aria-busy');
  }
}
