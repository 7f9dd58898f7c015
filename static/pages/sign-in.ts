/** `/sign-in#CODE`: exchanges the one-time code from the terminal for a session. */

import { Rest, TelstarError } from '../client/index.js';
import { copyBlock } from './shared/field.js';
import { h, replace, type Child } from './shared/dom.js';
import { buildHeader } from './shared/header.js';
import { t } from './shared/i18n.js';
import { icon } from './shared/icons.js';
import { inWords } from './shared/problems.js';
import { applyTheme } from './shared/theme.js';

applyTheme();
const rest = new Rest();
const card = h('section', { class: 'card sign-in', 'aria-live': 'polite' });
document.getElementById('app')?.append(buildHeader(), h('main', { class: 'narrow' }, card));
document.title = 'Telstar';

void start();
// A second link pasted into the same tab changes only the fragment, which loads no page.
addEventListener('hashchange', () => void start());

async function start(): Promise<void> {
  const code = location.hash.slice(1);
  // The code leaves the address bar and the history before anything else happens.
  history.replaceState(null, '', location.pathname);
  if (code === '') {
    show('key', h('h1', {}, t('sign-in.title')), h('p', { class: 'soft' }, t('sign-in.no-code')), howToSignIn());
    return;
  }
  await signIn(code);
}

async function signIn(code: string): Promise<void> {
  show(null, h('span', { class: 'spinner' }), h('p', {}, t('sign-in.working')));
  try {
    await rest.signIn(code);
    location.replace('/');
  } catch (error) {
    if (error instanceof TelstarError && error.isTransient) {
      const again = h('button', { type: 'button', class: 'button button-primary', onclick: () => void signIn(code) }, t('sign-in.again'));
      show('warning', h('h1', {}, t('sign-in.failed')), h('p', { class: 'soft' }, inWords(error)), again);
      return;
    }
    const isRefused = error instanceof TelstarError && [400, 401, 422].includes(error.status);
    show('warning', h('h1', {}, t('sign-in.failed')),
      h('p', { class: 'soft' }, isRefused ? t('sign-in.bad-code') : inWords(error)), howToSignIn());
  }
}

function howToSignIn(): HTMLElement {
  return h('div', {},
    h('p', { class: 'sign-in-how' }, t('sign-in.how')),
    copyBlock(t('sign-in.command'), 'command', 'telstar sign-in'),
    h('p', { class: 'field-note' }, t('sign-in.data-note')));
}

function show(iconName: 'key' | 'warning' | null, ...content: Child[]): void {
  replace(card, iconName === null ? null : h('span', { class: `card-icon is-${iconName}` }, icon(iconName)), ...content);
}
