/**
 * The page's language. A `Message` given to `h()` as child or attribute stays bound: changing the language
 * rewrites the text in place, so nothing on the page is lost (a stream key that is shown once, for example).
 */

import { pickLanguage, translate, type Language, type MessageKey, type Params } from './messages.js';
import { readPreference, writePreference } from './preferences.js';

export class Message {
  constructor(
    readonly key: MessageKey,
    readonly params: Params | (() => Params) = {},
  ) {}

  toString(): string {
    return translate(current, this.key, typeof this.params === 'function' ? this.params() : this.params);
  }
}

let current: Language = pickLanguage(readPreference('language'), navigator.languages);
document.documentElement.lang = current;

const bindings = new Map<object, { node: WeakRef<object>; apply: Map<string, (node: object) => void> }>();
const alive = new FinalizationRegistry<object>((token) => bindings.delete(token));
const tokens = new WeakMap<object, object>();
const listeners = new Set<() => void>();

export function t(key: MessageKey, params?: Params | (() => Params)): Message {
  return new Message(key, params);
}

/** Calls `apply` now and again after each change of language, as long as the node lives. `slot` replaces an earlier binding. */
export function bind<N extends object>(node: N, slot: string, apply: (node: N) => void): void {
  let token = tokens.get(node);
  if (token === undefined) {
    token = {};
    tokens.set(node, token);
    alive.register(node, token);
    bindings.set(token, { node: new WeakRef(node), apply: new Map() });
  }
  bindings.get(token)?.apply.set(slot, apply as (node: object) => void);
  apply(node);
}

export function unbind(node: object, slot: string): void {
  const token = tokens.get(node);
  if (token !== undefined) bindings.get(token)?.apply.delete(slot);
}

export function language(): Language {
  return current;
}

export function setLanguage(next: Language): void {
  current = next;
  writePreference('language', next);
  document.documentElement.lang = next;
  for (const { node, apply } of bindings.values()) {
    const target = node.deref();
    if (target !== undefined) for (const update of apply.values()) update(target);
  }
  for (const listener of listeners) listener();
}

export function onLanguage(listener: () => void): void {
  listeners.add(listener);
}
