/** The strip at the top of every page but the embedded one: the mark, the language, the theme. */

import { h, setProp, type Child } from './dom.js';
import { language, setLanguage, t } from './i18n.js';
import { icon, logo } from './icons.js';
import { LANGUAGE_NAMES, LANGUAGES, type Language } from './messages.js';
import { isDark, toggleTheme } from './theme.js';

export function buildHeader(...actions: Child[]): HTMLElement {
  return h('header', { class: 'header' },
    h('a', { class: 'brand', href: '/', 'aria-label': t('header.home') }, logo(), h('span', {}, 'Telstar')),
    h('div', { class: 'header-actions' }, ...actions, languageSwitch(), themeSwitch()));
}

function languageSwitch(): HTMLElement {
  const select = h('select', {
    class: 'language', 'aria-label': t('header.language'),
    onchange: () => setLanguage(select.value as Language),
  });
  for (const code of LANGUAGES) select.append(h('option', { value: code, lang: code }, LANGUAGE_NAMES[code]));
  select.value = language();
  return h('span', { class: 'language-switch' }, icon('globe'), select);
}

function themeSwitch(): HTMLElement {
  const button = h('button', { type: 'button', class: 'icon-button', onclick: () => { toggleTheme(); show(); } });
  const show = (): void => {
    button.replaceChildren(icon(isDark() ? 'sun' : 'moon'));
    setProp(button, 'aria-label', t(isDark() ? 'header.light' : 'header.dark'));
    setProp(button, 'title', t(isDark() ? 'header.light' : 'header.dark'));
  };
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
  show();
  return button;
}
