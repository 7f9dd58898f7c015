/** Light or dark: the system's choice until the person makes one. The style sheets read `data-theme` of the root element. */

import { readPreference, writePreference } from './preferences.js';

const root = document.documentElement;

export function applyTheme(): void {
  const stored = readPreference('theme');
  if (stored === 'light' || stored === 'dark') root.dataset['theme'] = stored;
}

export function isDark(): boolean {
  const chosen = root.dataset['theme'];
  return chosen === undefined ? matchMedia('(prefers-color-scheme: dark)').matches : chosen === 'dark';
}

export function toggleTheme(): void {
  const next = isDark() ? 'light' : 'dark';
  root.dataset['theme'] = next;
  writePreference('theme', next);
}
