/** Asks before something that cannot be undone. */

import { h } from './dom.js';
import { t, type Message } from './i18n.js';

export interface Question {
  title: Message;
  text: Message;
  confirm: Message;
}

export function confirmDialog(question: Question): Promise<boolean> {
  return new Promise((resolve) => {
    let answer = false;
    const dialog = h('dialog', { class: 'dialog', 'aria-labelledby': 'dialog-title', 'aria-describedby': 'dialog-text' },
      h('h2', { id: 'dialog-title' }, question.title),
      h('p', { id: 'dialog-text', class: 'soft' }, question.text),
      h('div', { class: 'dialog-actions' },
        h('button', { type: 'button', class: 'button button-quiet', autofocus: true, onclick: () => dialog.close() }, t('dialog.cancel')),
        h('button', { type: 'button', class: 'button button-danger is-final', onclick: () => { answer = true; dialog.close(); } }, question.confirm)));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answer);
    });
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog) dialog.close();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
