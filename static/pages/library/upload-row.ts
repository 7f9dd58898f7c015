/** One upload: how far it is, and what can be done with it. */

import type { Upload } from '../../client/index.js';
import { h, setProp, setText } from '../shared/dom.js';
import { t, type Message } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { inWords } from '../shared/problems.js';
import * as kept from './kept-files.js';
import { formatBytes, left, percent } from './logic.js';

export interface UploadRow {
  root: HTMLElement;
  update(): void;
}

export function buildUploadRow(upload: Upload): UploadRow {
  const { name } = upload.source;
  const bar = h('progress', { class: 'bar', max: 1, value: 0, 'aria-label': t('upload.progress', { name }) });
  const facts = h('span', { class: 'upload-facts' });
  const state = h('span', { class: 'upload-state', role: 'status' });
  const pause = h('button', {
    type: 'button', class: 'icon-button', 'data-name': 'pause',
    onclick: () => (upload.state === 'paused' || upload.state === 'failed' ? upload.resume() : upload.pause()),
  });
  const cancel = h('button', {
    type: 'button', class: 'icon-button', 'data-name': 'cancel', 'aria-label': t('upload.cancel', { name }), title: t('upload.cancel', { name }),
    onclick: () => {
      void kept.forget(upload.fingerprint);
      void upload.cancel();
    },
  }, icon('close'));
  const root = h('li', { class: 'upload-row', 'data-name': name },
    h('div', { class: 'upload-head' }, h('span', { class: 'upload-name' }, name), pause, cancel),
    bar,
    h('div', { class: 'upload-foot' }, state, facts));

  let shownButton = '';
  function update(): void {
    setProp(root, 'data-state', upload.state);
    bar.value = upload.progress;
    setText(state, stateWords(upload));
    setText(facts, factsOf(upload));
    const isResting = upload.state === 'paused' || upload.state === 'failed';
    const button = upload.state === 'failed' ? 'retry' : isResting ? 'play' : 'pause';
    pause.hidden = upload.state === 'done' || upload.state === 'joining';
    cancel.hidden = upload.state === 'done';
    if (button === shownButton) return;
    shownButton = button;
    pause.replaceChildren(icon(button));
    const label = button === 'retry' ? t('upload.retry', { name }) : button === 'play' ? t('upload.resume', { name }) : t('upload.pause', { name });
    setProp(pause, 'aria-label', label);
    setProp(pause, 'title', label);
  }
  return { root, update };
}

function stateWords(upload: Upload): Message | string {
  switch (upload.state) {
    case 'waiting':
      return t('upload.waiting');
    case 'uploading':
      return t('upload.uploading', { percent: percent(upload.progress) });
    case 'retrying':
      return t('upload.retrying');
    case 'joining':
      return t('upload.joining');
    case 'paused':
      return t('upload.paused', { percent: percent(upload.progress) });
    case 'done':
      return t('upload.done');
    case 'failed':
      return upload.error === null ? t('problem.unexpected') : inWords(upload.error);
    case 'cancelled':
      return '';
  }
}

/** `12 MB / 40 MB · 2.1 MB/s · 1 min left`. */
function factsOf(upload: Upload): string {
  const { rate, etaSecs, size } = upload;
  const parts = [upload.state === 'done' ? formatBytes(size) : `${formatBytes(upload.sentBytes)} / ${formatBytes(size)}`];
  if (rate !== null) parts.push(`${formatBytes(rate)}/s`);
  if (etaSecs !== null) parts.push(String(t(left(etaSecs).key, { count: left(etaSecs).count })));
  return parts.join(' · ');
}
