/** A title that its owner changes where it stands: a field takes its place meanwhile. */

import { freshId, h, setText } from './dom.js';
import { busy } from './field.js';
import { t, type Message } from './i18n.js';

/** As long as the server takes. */
const LENGTH_MAX = 100;

/** `save` answers the title that is in force from then on. */
export function titleField(title: HTMLElement, label: Message, save: (title: string) => Promise<string>): HTMLElement {
  const id = freshId('rename');
  const input = h('input', { id, class: 'input', type: 'text', maxlength: LENGTH_MAX, required: true, autocomplete: 'off' });
  const submit = h('button', { type: 'submit', class: 'button button-primary' }, t('room.save'));
  const rename = h('button', { type: 'button', class: 'button button-quiet is-small', onclick: () => edit(true) }, t('room.rename'));
  const form = h('form', {
    class: 'rename', hidden: true,
    onsubmit: (event: SubmitEvent) => {
      event.preventDefault();
      void busy(submit, async () => {
        setText(title, await save(input.value.trim()));
        edit(false);
      });
    },
    onkeydown: (event: KeyboardEvent) => {
      if (event.key === 'Escape') edit(false);
    },
  },
    h('label', { for: id, class: 'visually-hidden' }, label), input, submit,
    h('button', { type: 'button', class: 'button button-quiet', onclick: () => edit(false) }, t('dialog.cancel')));
  const shown = h('div', { class: 'title-row' }, title, rename);
  function edit(isEditing: boolean): void {
    form.hidden = !isEditing;
    shown.hidden = isEditing;
    if (isEditing) {
      input.value = title.textContent ?? '';
      input.select();
    } else {
      rename.focus();
    }
  }
  return h('div', {}, shown, form);
}
