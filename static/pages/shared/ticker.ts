/** One clock for all uptimes on a page. A node that has left the page is forgotten. */

type Entry = { node: WeakRef<Element>; update: (node: Element) => void; wasShown: boolean };

const entries = new Set<Entry>();
let timer: number | undefined;

export function everySecond<E extends Element>(node: E, update: (node: E) => void): void {
  entries.add({ node: new WeakRef(node), update: update as (node: Element) => void, wasShown: false });
  update(node);
  timer ??= setInterval(tick, 1_000);
}

function tick(): void {
  for (const entry of entries) {
    const node = entry.node.deref();
    if (node === undefined || (entry.wasShown && !node.isConnected)) {
      entries.delete(entry);
      continue;
    }
    entry.wasShown ||= node.isConnected;
    entry.update(node);
  }
}
