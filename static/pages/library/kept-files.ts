/**
 * Files that the browser lets a page come back to after a reload: handles of the File System Access API, kept in IndexedDB.
 * Only Chromium has them, and it may ask the person again; elsewhere the page has the file chosen once more.
 */

interface KeptHandle {
  readonly kind: 'file' | 'directory';
  getFile(): Promise<File>;
  queryPermission?(options: { mode: 'read' }): Promise<PermissionState>;
  requestPermission?(options: { mode: 'read' }): Promise<PermissionState>;
}

interface Picker {
  showOpenFilePicker?(options: { multiple: boolean }): Promise<KeptHandle[]>;
}

/** A file, and how to come back to it where the browser can. */
export interface PickedFile {
  file: File;
  handle: KeptHandle | null;
}

const DATABASE = 'telstar-files';
const STORE = 'handles';

export function canPick(): boolean {
  return typeof (window as unknown as Picker).showOpenFilePicker === 'function';
}

/** Empty where the person closes the browser's choice. */
export async function pick(): Promise<PickedFile[]> {
  try {
    const handles = (await (window as unknown as Picker).showOpenFilePicker?.({ multiple: true })) ?? [];
    return await Promise.all(handles.map(async (handle) => ({ file: await handle.getFile(), handle })));
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return [];
    throw error;
  }
}

/** What was dropped, folders left out. Has to be called within the event: the browser forgets the rest behind it. */
export function dropped(transfer: DataTransfer): Promise<PickedFile[]> {
  const items = [...transfer.items].filter((item) => item.kind === 'file' && item.webkitGetAsEntry()?.isDirectory !== true);
  return Promise.all(items.map(async (item) => {
    const file = item.getAsFile();
    const withHandle = item as DataTransferItem & { getAsFileSystemHandle?(): Promise<KeptHandle | null> };
    const handle = await (withHandle.getAsFileSystemHandle?.() ?? Promise.resolve(null)).catch(() => null);
    return { file, handle };
  })).then((files) => files.flatMap(({ file, handle }) => (file === null ? [] : [{ file, handle }])));
}

export async function keep(fingerprint: string, handle: KeptHandle): Promise<void> {
  await run('readwrite', (store) => store.put(handle, fingerprint)).catch(() => {});
}

export async function forget(fingerprint: string): Promise<void> {
  await run('readwrite', (store) => store.delete(fingerprint)).catch(() => {});
}

/** Whether the file can be had, at once or once the person agrees. */
export async function hasKept(fingerprint: string): Promise<'yes' | 'ask' | 'no'> {
  const handle = await read(fingerprint);
  if (handle === null) return 'no';
  const state = (await handle.queryPermission?.({ mode: 'read' })) ?? 'prompt';
  return state === 'granted' ? 'yes' : state === 'prompt' ? 'ask' : 'no';
}

/** The file, if it is still there. Asks the person where that is needed, so it has to be called by a click then. */
export async function comeBackTo(fingerprint: string): Promise<PickedFile | null> {
  const handle = await read(fingerprint);
  if (handle === null) return null;
  try {
    if ((await handle.requestPermission?.({ mode: 'read' })) === 'denied') return null;
    return { file: await handle.getFile(), handle };
  } catch {
    return null;
  }
}

async function read(fingerprint: string): Promise<KeptHandle | null> {
  try {
    return ((await run('readonly', (store) => store.get(fingerprint))) as KeptHandle | undefined) ?? null;
  } catch {
    return null;
  }
}

/** Rejects where the browser keeps nothing (a private window). */
async function run(mode: IDBTransactionMode, action: (store: IDBObjectStore) => IDBRequest): Promise<unknown> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = (await settled(opening)) as IDBDatabase;
  try {
    return await settled(action(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

function settled(request: IDBRequest): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
