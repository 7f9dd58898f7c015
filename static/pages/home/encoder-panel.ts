/** How to go live: OBS's two boxes over RTMP or over WHIP, one ffmpeg line, this browser, and the room's stream keys. */

import type { Room, StreamKey } from '../../client/index.js';
import { busy, copyBlock, copyField } from '../shared/field.js';
import { confirmDialog } from '../shared/dialog.js';
import { freshId, h, replace, setProp } from '../shared/dom.js';
import { language, t, type Message } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { report } from '../shared/problems.js';
import { readPreference, writePreference } from '../shared/preferences.js';
import { toast } from '../shared/toast.js';
import { shareOrigins, type Context } from './context.js';

/** Stands in the ffmpeg line where the key is no longer known to the page. */
const KEY_PLACEHOLDER = 'YOUR-STREAM-KEY';

export function buildEncoderPanel(context: Context, { name: room, mode }: Room): HTMLElement {
  // The same key in the box of each way: RTMP names it a stream key, WHIP a bearer token.
  const keyBoxes = [['encoder.key', h('div', {})], ['encoder.bearer', h('div', {})]] as const;
  const keyList = h('div', { class: 'keys' });
  const command = h('div', {});
  const server = context.server.rtmp_url ?? '';
  const encrypted = context.server.rtmps_url;
  let keys: StreamKey[] = [];

  function show(): void {
    const fresh = context.freshKeys.get(room);
    for (const [label, box] of keyBoxes) {
      const name = label === 'encoder.key' ? 'stream-key' : 'bearer-token';
      replace(box, fresh === undefined ? knownKey(label, keys, replaceKey, addKey) : copyField(t(label), name, fresh, t('encoder.key-once')));
    }
    replace(command, copyBlock(t('encoder.ffmpeg'), 'ffmpeg', ffmpegLine(server, fresh ?? KEY_PLACEHOLDER)));
    replace(keyList, ...(keys.length === 0 ? [] : [keysDetails(keys, removeKey, addKey)]));
  }
  async function load(): Promise<void> {
    keys = await context.rest.streamKeys(room);
    show();
  }
  async function addKey(button: HTMLButtonElement): Promise<void> {
    await busy(button, async () => {
      context.freshKeys.set(room, (await context.rest.createStreamKey(room)).key);
      await load();
      toast('info', t('encoder.key-made'));
    });
  }
  /** The new key exists before the old one goes, so that a failure in between locks nobody out. */
  async function replaceKey(button: HTMLButtonElement): Promise<void> {
    const isSure = await confirmDialog({ title: t('encoder.replace-title'), text: t('encoder.replace-text'), confirm: t('encoder.replace') });
    if (!isSure) return;
    await busy(button, async () => {
      const old = keys;
      context.freshKeys.set(room, (await context.rest.createStreamKey(room)).key);
      for (const key of old) await context.rest.deleteStreamKey(room, key.id);
      await load();
      toast('info', t('encoder.key-replaced'));
    });
  }
  async function removeKey(button: HTMLButtonElement, key: StreamKey): Promise<void> {
    const isSure = await confirmDialog({ title: t('keys.revoke-title', { hint: key.hint }), text: t('keys.revoke-text'), confirm: t('keys.revoke') });
    if (!isSure) return;
    await busy(button, async () => {
      await context.rest.deleteStreamKey(room, key.id);
      if (context.freshKeys.get(room)?.startsWith(key.hint.replace(/…$/, ''))) context.freshKeys.delete(room);
      await load();
    });
  }
  show();
  load().catch(report);

  const obs = h('div', {},
    h('ol', { class: 'steps' }, h('li', {}, t('encoder.step-settings')), h('li', {}, t('encoder.step-paste')), h('li', {}, t('encoder.step-keyframes'))),
    copyField(t('encoder.server'), 'server', server),
    encrypted === null ? null : copyField(t('encoder.server-tls'), 'server-tls', encrypted), keyBoxes[0][1]);
  const whip = h('div', {},
    h('ol', { class: 'steps' }, h('li', {}, t('encoder.whip-settings')), h('li', {}, t('encoder.whip-paste')), h('li', {}, t('encoder.whip-output'))),
    copyField(t('encoder.server'), 'whip-url', `${shareOrigins(context.server).main}/whip/${room}`, t('encoder.whip-note')), keyBoxes[1][1]);
  const browser = h('div', {},
    h('p', {}, t('encoder.browser-text')),
    h('a', { class: 'button button-primary', href: `/studio/${room}`, target: '_blank', 'data-name': 'studio' }, icon('camera'), h('span', {}, t('encoder.open-studio'))));
  return h('section', { class: 'card encoder' },
    h('h2', {}, t('encoder.heading')),
    server === '' ? h('p', { class: 'warning', role: 'alert' }, icon('warning'), h('span', {}, t('encoder.off'))) : null,
    // Where browsers send to each other, WebRTC does not come through the server.
    tabs([['OBS Studio', obs], ['ffmpeg', command], ...(mode === 'p2p' ? [] : [[t('encoder.whip'), whip], [t('encoder.browser'), browser]] satisfies Tab[])]),
    keyList);
}

/** No key in sight: it was told earlier, or there is none. */
function knownKey(
  label: 'encoder.key' | 'encoder.bearer',
  keys: StreamKey[],
  replaceKey: (button: HTMLButtonElement) => Promise<void>,
  addKey: (button: HTMLButtonElement) => Promise<void>,
): HTMLElement {
  const last = keys.at(-1);
  const button = h('button', {
    type: 'button', class: 'button button-quiet', 'data-name': 'replace-key',
    onclick: () => void (last === undefined ? addKey(button) : replaceKey(button)),
  }, icon('key'), h('span', {}, last === undefined ? t('encoder.make-key') : t('encoder.replace-lost')));
  return h('div', { class: 'field' },
    h('span', { class: 'label' }, t(label)),
    h('div', { class: 'field-row' },
      h('span', { class: 'input mono is-hint' }, last === undefined ? t('encoder.no-key') : last.hint), button),
    h('p', { class: 'field-note' }, last === undefined ? t('encoder.no-key-note') : t('encoder.hidden-key-note')));
}

function keysDetails(
  keys: StreamKey[],
  remove: (button: HTMLButtonElement, key: StreamKey) => Promise<void>,
  add: (button: HTMLButtonElement) => Promise<void>,
): HTMLElement {
  const addButton = h('button', { type: 'button', class: 'button button-quiet is-small', onclick: () => void add(addButton) },
    icon('plus'), h('span', {}, t('keys.add')));
  return h('details', { class: 'details' },
    h('summary', {}, t('keys.heading', { count: keys.length })),
    h('ul', { class: 'key-list' }, ...keys.map((key) => keyItem(key, remove))),
    addButton);
}

function keyItem(key: StreamKey, remove: (button: HTMLButtonElement, key: StreamKey) => Promise<void>): HTMLElement {
  const date = (iso: string): string => new Intl.DateTimeFormat(language(), { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(iso));
  const used = key.last_used_at;
  const button = h('button', { type: 'button', class: 'button button-danger is-small', onclick: () => void remove(button, key) }, t('keys.revoke'));
  return h('li', {},
    h('div', {},
      h('div', {}, h('span', { class: 'mono' }, key.hint), key.label ? h('span', { class: 'key-label' }, key.label) : null),
      h('p', { class: 'small soft' }, used === null ? t('keys.never-used') : t('keys.last-used', () => ({ date: date(used) })))),
    button);
}

/** The times in a keyframe expression are seconds, so the line gives 2 s keyframes at any frame rate. */
function ffmpegLine(server: string, key: string): string {
  return `ffmpeg -re -i video.mp4 -c:v libx264 -preset veryfast -pix_fmt yuv420p -force_key_frames "expr:gte(t,n_forced*2)" -c:a aac -f flv "${server}/${key}"`;
}

type Tab = [label: string | Message, panel: HTMLElement];

/** Tabs after the ARIA authoring practices: arrows move, only the chosen tab is in the tab order. */
function tabs(items: Tab[]): HTMLElement {
  const group = freshId('tabs');
  const buttons = items.map(([label], index) => h('button', {
    type: 'button', role: 'tab', class: 'tab', id: `${group}-${index}`, 'aria-controls': `${group}-panel-${index}`,
    onclick: () => choose(index),
    onkeydown: (event: KeyboardEvent) => {
      const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
      if (step === 0) return;
      const next = (index + step + items.length) % items.length;
      choose(next);
      buttons[next]?.focus();
    },
  }, label));
  items.forEach(([, panel], index) => {
    for (const [name, value] of Object.entries({ role: 'tabpanel', id: `${group}-panel-${index}`, 'aria-labelledby': `${group}-${index}` })) {
      setProp(panel, name, value);
    }
  });
  function choose(chosen: number): void {
    buttons.forEach((button, index) => {
      setProp(button, 'aria-selected', String(index === chosen));
      setProp(button, 'tabindex', index === chosen ? 0 : -1);
    });
    items.forEach(([, panel], index) => {
      panel.hidden = index !== chosen;
    });
    writePreference('encoder-tab', String(chosen));
  }
  const stored = Number(readPreference('encoder-tab'));
  choose(stored in items ? stored : 0);
  return h('div', { class: 'tabs' }, h('div', { role: 'tablist', class: 'tab-list', 'aria-label': t('encoder.kind') }, ...buttons), ...items.map(([, panel]) => panel));
}
