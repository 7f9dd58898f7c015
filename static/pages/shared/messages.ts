/** Looks messages up and fills them in. Knows no DOM; the language is an argument. */

import en from '../../i18n/en.json';
import ko from '../../i18n/ko.json';

export type Language = 'en' | 'ko';
export const LANGUAGES: readonly Language[] = ['en', 'ko'];
export const LANGUAGE_NAMES: Record<Language, string> = { en: 'English', ko: '한국어' };

export type MessageKey = keyof typeof en;
export type Params = Record<string, string | number>;

/** A text, or its plural forms chosen by the parameter `count`. */
type Text = string | { one?: string; other: string };

const TEXTS: Record<Language, Record<string, Text>> = { en, ko };

export function isMessageKey(key: string): key is MessageKey {
  return Object.hasOwn(en, key);
}

export function translate(language: Language, key: MessageKey, params: Params = {}): string {
  const text = TEXTS[language][key] ?? TEXTS.en[key] ?? key;
  return fill(language, typeof text === 'string' ? text : plural(language, text, params), params);
}

function plural(language: Language, forms: { one?: string; other: string }, params: Params): string {
  const count = typeof params['count'] === 'number' ? params['count'] : 0;
  const isOne = new Intl.PluralRules(language).select(count) === 'one';
  return isOne && forms.one !== undefined ? forms.one : forms.other;
}

function fill(language: Language, text: string, params: Params): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? new Intl.NumberFormat(language, { maximumFractionDigits: 2 }).format(value) : value;
  });
}

/** The first of the browser's languages that we speak. */
export function pickLanguage(stored: string | null, preferred: readonly string[]): Language {
  const known = [stored ?? '', ...preferred].map((tag) => tag.toLowerCase().split('-')[0]);
  return (known.find((tag) => LANGUAGES.includes(tag as Language)) as Language | undefined) ?? 'en';
}
