/** Where files are dropped and chosen, and the uploads that are under way or were begun before a reload. */

import { fingerprintOf, memoryStorage, type Upload, type Uploader, type UploadRecord, type UploadStorage } from '../../client/index.js';
import { freshId, h, replace } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { report } from '../shared/problems.js';
import { toast } from '../shared/toast.js';
import * as kept from './kept-files.js';
import { formatBytes, percent } from './logic.js';
import { buildUploadRow, type UploadRow } from './upload-row.js';

/** How long an upload that is done stays in the list: until the eye has found the asset. */
const DONE_SHOWN_MS = 4_000;

/** What was begun is remembered for each account of this browser. Where nothing can be kept, it lasts as long as the page. */
export function storageOf(account: string | number): UploadStorage {
  const prefix = `telstar.${account}.`;
  let localStorage: Storage;
  try {
    ({ localStorage } = window);
  } catch {
    return memoryStorage();
  }
  return {
    get: (key) => localStorage.getItem(prefix + key),
    set: (key, value) => localStorage.setItem(prefix + key, value),
    remove: (key) => localStorage.removeItem(prefix + key),
    keys: () => Object.keys(localStorage).filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)),
  };
}

export function buildUploadsView(uploader: Uploader): HTMLElement {
  const id = freshId('files');
  const input = h('input', { id, type: 'file', class: 'visually-hidden', multiple: true, tabindex: -1, 'aria-hidden': 'true', name: 'files' });
  const choose = h('button', { type: 'button', class: 'button button-primary', 'data-name': 'choose-files', onclick: () => void chooseFiles() }, icon('upload'), h('span', {}, t('upload.choose')));
  const zone = h('section', { class: 'drop-zone', 'aria-label': t('upload.heading') },
    icon('film'),
    h('p', { class: 'drop-title' }, t('upload.drop')),
    h('p', { class: 'soft small' }, t('upload.drop-text')),
    choose, input);
  const list = h('ul', { class: 'upload-list', 'aria-label': t('upload.heading') });
  const before = h('section', { class: 'card unfinished', hidden: true });
  const root = h('div', { class: 'uploads' }, zone, before, list);

  const rows = new Map<Upload, UploadRow>();
  /** Whose file is to be chosen next, if it is one that was begun before. */
  let wanted: UploadRecord | null = null;

  function take(files: readonly kept.PickedFile[]): void {
    for (const { file, handle } of files) {
      const fingerprint = fingerprintOf(file);
      if (wanted !== null && fingerprint !== wanted.fingerprint) {
        toast('error', t('upload.other-file', { name: wanted.name }));
        continue;
      }
      if (file.size === 0) {
        toast('error', t('upload.empty', { name: file.name }));
        continue;
      }
      if (handle !== null) void kept.keep(fingerprint, handle);
      uploader.add(file);
    }
    wanted = null;
  }

  async function chooseFiles(record: UploadRecord | null = null): Promise<void> {
    wanted = record;
    try {
      if (kept.canPick()) take(await kept.pick());
      else input.click();
    } catch (error) {
      report(error);
    }
  }
  input.addEventListener('change', () => {
    take([...(input.files ?? [])].map((file) => ({ file, handle: null })));
    // The same file can be chosen again.
    input.value = '';
  });

  input.addEventListener('cancel', () => {
    wanted = null;
  });

  // A file that misses the zone must not replace the page.
  for (const name of ['dragover', 'drop'] as const) addEventListener(name, (event) => event.preventDefault());
  addEventListener('dragenter', () => zone.classList.add('is-aimed'));
  addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) zone.classList.remove('is-aimed');
  });
  addEventListener('drop', (event) => {
    zone.classList.remove('is-aimed');
    wanted = null;
    if (event.dataTransfer !== null) void kept.dropped(event.dataTransfer).then(take, report);
  });
  addEventListener('beforeunload', (event) => {
    if (uploader.uploads.some((upload) => upload.isRunning)) event.preventDefault();
  });

  async function goOn(record: UploadRecord): Promise<void> {
    const file = await kept.comeBackTo(record.fingerprint);
    if (file !== null && fingerprintOf(file.file) === record.fingerprint) {
      take([file]);
      return;
    }
    void kept.forget(record.fingerprint);
    toast('error', t('upload.file-gone', { name: record.name }));
    showUnfinished();
  }

  function unfinishedRow(record: UploadRecord, isKept: boolean): HTMLElement {
    const again = !isKept
      ? h('button', { type: 'button', class: 'button button-quiet is-small', onclick: () => void chooseFiles(record) }, t('upload.choose-again'))
      : h('button', { type: 'button', class: 'button button-quiet is-small', onclick: () => void goOn(record) }, t('upload.go-on'));
    const forget = h('button', {
      type: 'button', class: 'icon-button', 'aria-label': t('upload.forget', { name: record.name }), title: t('upload.forget', { name: record.name }),
      onclick: () => {
        void kept.forget(record.fingerprint);
        uploader.forget(record.fingerprint);
      },
    }, icon('close'));
    return h('li', { class: 'unfinished-row', 'data-name': record.name },
      h('span', { class: 'unfinished-name' }, record.name),
      h('span', { class: 'soft small' }, t('upload.sent-before', { percent: percent(record.size === 0 ? 0 : record.sentBytes / record.size), size: formatBytes(record.size) })),
      again, forget);
  }

  let shownUnfinished = '';
  function showUnfinished(): void {
    const records = uploader.unfinished();
    const shown = records.map(({ fingerprint }) => fingerprint).join('\n');
    if (shown === shownUnfinished) return;
    shownUnfinished = shown;
    before.hidden = records.length === 0;
    void Promise.all(records.map(async ({ fingerprint }) => (await kept.hasKept(fingerprint)) !== 'no')).then((areKept) => {
      if (shown !== shownUnfinished) return;
      const items = records.map((record, index) => unfinishedRow(record, areKept[index] === true));
      const text = areKept.every(Boolean) ? t('upload.unfinished-kept') : t('upload.unfinished-text');
      replace(before, h('h2', {}, t('upload.unfinished')), h('p', { class: 'soft' }, text), h('ul', { class: 'unfinished-list' }, ...items));
    });
  }

  function update(): void {
    for (const [upload, row] of rows) {
      if (uploader.uploads.includes(upload) && upload.state !== 'cancelled') continue;
      row.root.remove();
      rows.delete(upload);
    }
    for (const upload of uploader.uploads) {
      if (upload.state === 'cancelled') continue;
      let row = rows.get(upload);
      if (row === undefined) {
        row = buildUploadRow(upload);
        rows.set(upload, row);
        list.append(row.root);
      }
      row.update();
    }
    list.hidden = rows.size === 0;
    showUnfinished();
  }
  uploader.on('change', update);
  uploader.on('done', (upload) => {
    void kept.forget(upload.fingerprint);
    setTimeout(() => uploader.dismiss(upload), DONE_SHOWN_MS);
  });
  update();
  return root;
}
