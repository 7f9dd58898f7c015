/** What a language is called in the language of the page. */

import { language } from './i18n.js';

/** Null for what names no language (`und`, `mul`, `zxx`) or is no tag of BCP 47. */
export function languageName(tag: string): string | null {
  if (tag === '' || ['und', 'mul', 'mis', 'zxx'].includes(tag)) return null;
  try {
    return new Intl.DisplayNames([language()], { type: 'language', fallback: 'none' }).of(tag) ?? null;
  } catch {
    return null;
  }
}
