/** A copy button that says that it has copied. */

import { h, setProp, setText } from './dom.js';
import { t } from './i18n.js';
import { icon } from './icons.js';
import type { MessageKey } from './messages.js';
import { toast } from './toast.js';

const FEEDBACK_MS = 1_800;

export function copyButton(value: () => string, label: MessageKey = 'copy.copy', isCompact = false): HTMLButtonElement {
  const text = h('span', { class: isCompact ? 'visually-hidden' : '' }, t(label));
  const holder = h('span', { class: 'copy-icon' }, icon('copy'));
  let timer: number | undefined;
  const button = h('button', { type: 'button', class: `button button-quiet copy${isCompact ? ' is-compact' : ''}`, 'aria-live': 'polite', onclick: () => void run() }, holder, text);
  if (isCompact) setProp(button, 'title', t(label));
  async function run(): Promise<void> {
    if (!(await writeClipboard(value()))) {
      toast('error', t('copy.failed'));
      return;
    }
    holder.replaceChildren(icon('check'));
    setText(text, t('copy.copied'));
    button.classList.add('is-done');
    clearTimeout(timer);
    timer = setTimeout(() => {
      holder.replaceChildren(icon('copy'));
      setText(text, t(label));
      button.classList.remove('is-done');
    }, FEEDBACK_MS);
  }
  return button;
}

/** The asynchronous clipboard exists only in a secure context; a page on a LAN address over HTTP falls back to the old way. */
export async function writeClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h('textarea', { class: 'visually-hidden', readonly: true });
    area.value = text;
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    const isDone = document.execCommand('copy');
    area.remove();
    return isDone;
  }
}
