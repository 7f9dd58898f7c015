// Rules of the house, read from the sources.

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const STATIC = fileURLToPath(new URL('..', import.meta.url));
const LINES_MAX = 400;

async function sources(folder, extension) {
  const names = await readdir(join(STATIC, folder), { recursive: true });
  const files = names.filter((name) => name.endsWith(extension)).map((name) => join(STATIC, folder, name));
  return Promise.all(files.map(async (file) => ({ file, name: relative(STATIC, file).split(sep).join('/'), text: await readFile(file, 'utf8') })));
}

const importsOf = (text) => [...text.matchAll(/(?:from|import)\s+'([^']+)'/g)].map((match) => match[1]);

test('the_client_imports_nothing_from_outside_itself', async () => {
  for (const { file, name, text } of await sources('client', '.ts')) {
    for (const imported of importsOf(text)) {
      assert.ok(imported.startsWith('./'), `${name} imports ${imported}`);
      assert.equal(dirname(resolve(dirname(file), imported)), join(STATIC, 'client'));
    }
  }
});

test('pages_reach_the_server_only_through_the_client', async () => {
  for (const { name, text } of await sources('pages', '.ts')) {
    for (const imported of importsOf(text)) {
      const isClient = /client\//.test(imported);
      assert.ok(!isClient || imported.endsWith('client/index.js'), `${name} imports ${imported}`);
      if (!imported.startsWith('.')) assert.equal(imported, 'hls.js', name);
    }
    assert.doesNotMatch(text, /\bfetch\(|new WebSocket|XMLHttpRequest|EventSource/, name);
  }
});

test('nothing_that_the_content_security_policy_forbids_is_written', async () => {
  for (const { name, text } of await sources('pages', '.ts')) {
    assert.doesNotMatch(text, /innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/, name);
  }
  for (const { name, text } of await sources('pages', '.html')) {
    assert.doesNotMatch(text, /<script|<style|\sstyle=|\son[a-z]+=/, name);
  }
  for (const { name, text } of await sources('pages/styles', '.css')) {
    assert.doesNotMatch(text, /url\(\s*["']?https?:/, name);
  }
});

test('files_stay_short_enough_to_read', async () => {
  const all = (await Promise.all([['client', '.ts'], ['pages', '.ts'], ['pages', '.css'], ['test', '.mjs']].map(([folder, extension]) => sources(folder, extension)))).flat();
  for (const { name, text } of all.filter((source) => !source.name.endsWith('.generated.ts'))) {
    assert.ok(text.split('\n').length <= LINES_MAX, `${name} is longer than ${LINES_MAX} lines`);
  }
});
