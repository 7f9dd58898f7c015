/** Builds elements. Text always goes in as text nodes, so nothing that a user typed can become markup. */

import { bind, Message, unbind } from './i18n.js';

export type Child = Node | string | Message | null | undefined | false;

type Value = string | number | boolean | Message | null | undefined | ((event: never) => void);
export type Props = Record<string, Value>;

/** `on…` adds a listener, `class`/`for`/`aria-…` set attributes, `true` an empty attribute; false, null and undefined set nothing. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props?: Props, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) setProp(element, name, value);
  append(element, ...children);
  return element;
}

export function setProp(element: Element, name: string, value: Value): void {
  if (typeof value === 'function') {
    element.addEventListener(name.slice(2).toLowerCase(), value as EventListener);
  } else if (value instanceof Message) {
    bind(element, name, (target) => target.setAttribute(name, String(value)));
  } else if (value === false || value === null || value === undefined) {
    unbind(element, name);
    element.removeAttribute(name);
  } else {
    unbind(element, name);
    element.setAttribute(name, value === true ? '' : String(value));
  }
}

export function append(parent: Node, ...children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : textNode(child));
  }
}

export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, ...children);
}

/** Writes only when the text differs, so that live regions do not repeat themselves. */
export function setText(element: Element, text: string | Message): void {
  if (text instanceof Message) {
    bind(element, 'text', (target) => {
      const next = String(text);
      if (target.textContent !== next) target.textContent = next;
    });
  } else {
    unbind(element, 'text');
    if (element.textContent !== text) element.textContent = text;
  }
}

function textNode(text: string | Message): Text {
  if (!(text instanceof Message)) return document.createTextNode(text);
  const node = document.createTextNode('');
  bind(node, 'text', (target) => {
    target.data = String(text);
  });
  return node;
}

let lastId = 0;

/** An id for a label and its field. */
export function freshId(prefix: string): string {
  lastId += 1;
  return `${prefix}-${lastId}`;
}
