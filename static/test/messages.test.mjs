import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { LANGUAGES, pickLanguage, translate } from '../node_modules/.cache/telstar-test/messages.mjs';

const STATIC = fileURLToPath(new URL('..', import.meta.url));
const texts = Object.fromEntries(await Promise.all(LANGUAGES.map(async (language) => [language, JSON.parse(await readFile(join(STATIC, 'i18n', `${language}.json`), 'utf8'))])));

const forms = (text) => (typeof text === 'string' ? [text] : Object.values(text));
const placeholders = (text) => [...new Set(forms(text).flatMap((form) => [...form.matchAll(/\{(\w+)\}/g)].map((match) => match[1])))].sort();

test('every_language_has_the_same_keys_with_the_same_placeholders', () => {
  for (const language of LANGUAGES) {
    assert.deepEqual(Object.keys(texts[language]), Object.keys(texts.en), language);
    for (const [key, text] of Object.entries(texts[language])) {
      assert.deepEqual(placeholders(text), placeholders(texts.en[key]), `${language} ${key}`);
      for (const form of forms(text)) assert.notEqual(form.trim(), '', `${language} ${key}`);
    }
  }
});

test('every_text_is_used_by_some_page', async () => {
  const files = (await readdir(join(STATIC, 'pages'), { recursive: true })).filter((name) => name.endsWith('.ts'));
  const source = (await Promise.all(files.map((name) => readFile(join(STATIC, 'pages', name), 'utf8')))).join('\n');
  // Keys that are put together from a prefix and a value of the wire.
  const made = [/^state\./, /^status\./, /^problem\./, /^warning\./, /^fault\./, /^left\./, /^quality\./, /^source\./, /^asset\./, /^job-kind\./, /^job-state\./];
  const unused = Object.keys(texts.en).filter((key) => !made.some((prefix) => prefix.test(key)) && !source.includes(`'${key}'`));
  assert.deepEqual(unused, []);
});

test('numbers_and_plurals_follow_the_language', () => {
  assert.equal(translate('en', 'room.viewers', { count: 1 }), '1 viewer');
  assert.equal(translate('en', 'room.viewers', { count: 1234 }), '1,234 viewers');
  assert.equal(translate('ko', 'room.viewers', { count: 1 }), '1명 시청 중');
  assert.match(translate('en', 'warning.keyframe_interval', { seconds: 8.3 }), /^Keyframe every 8\.3 s: set 2 s in OBS/);
});

test('a_value_cannot_smuggle_in_a_placeholder', () => {
  assert.equal(translate('en', 'delete.title', { title: '{count}', count: 9 }), 'Delete “{count}”?');
});

test('the_stored_language_comes_before_the_browsers_and_english_is_last', () => {
  assert.equal(pickLanguage(null, ['ko-KR', 'en']), 'ko');
  assert.equal(pickLanguage('en', ['ko-KR']), 'en');
  assert.equal(pickLanguage('xx', ['fr', 'ko']), 'ko');
  assert.equal(pickLanguage(null, ['fr']), 'en');
});
