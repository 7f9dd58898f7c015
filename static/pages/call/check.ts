/**
 * What can be known before joining: whether the page may use devices, whether WebRTC is there, whether the socket opens.
 * The path of the media needs a connection of a participant, so it is judged right after joining, see `room.ts`.
 */

import { Client, socketUrl, type ServerFacts } from '../../client/index.js';
import { checkLine, faultLine } from '../shared/check-line.js';
import { h, replace } from '../shared/dom.js';
import type { Fault } from '../shared/faults.js';
import { t } from '../shared/i18n.js';
import type { Devices } from '../shared/devices.js';

/** Lower: a slow network looks blocked. Higher: people wait without a word. A guess. */
const SOCKET_TIMEOUT_MS = 6_000;

/** Opens the socket without a credential and closes it again. */
export function socketOpens(): Promise<boolean> {
  return new Promise((resolve) => {
    const client = new Client({ url: socketUrl(location.origin) });
    const done = (isOpen: boolean): void => {
      clearTimeout(timer);
      stop();
      client.close();
      resolve(isOpen);
    };
    const timer = setTimeout(() => done(false), SOCKET_TIMEOUT_MS);
    const stop = client.onConnection((state) => {
      if (state === 'open') done(true);
      else if (state === 'closed') done(false);
    });
    client.connect();
  });
}

export interface CheckView {
  root: HTMLElement;
  dispose(): void;
}

/** A line per finding; when all is well, one line that says so. */
export function buildCheck(devices: Devices, server: Promise<ServerFacts | null>): CheckView {
  const list = h('ul', { class: 'check-list', 'aria-live': 'polite' });
  let socket: boolean | null = null;
  let httpsUrl: string | null = null;
  const update = (): void => {
    const faults = findings(devices, socket);
    const isBusy = socket === null;
    const lines = faults.map((fault) => faultLine(fault, httpsUrl));
    if (lines.length === 0) lines.push(isBusy ? checkLine('wait', 'check.running') : checkLine('good', 'check.good'));
    replace(list, ...lines);
    list.dataset['faults'] = isBusy ? 'running' : faults.join(' ');
  };
  const stop = devices.listen(update);
  void socketOpens().then((isOpen) => {
    socket = isOpen;
    update();
  });
  void server.then((facts) => {
    httpsUrl = facts?.https_url ?? null;
    update();
  });
  update();
  return { root: h('section', { class: 'check-box', 'aria-label': t('check.heading') }, list), dispose: stop };
}

function findings(devices: Devices, socket: boolean | null): Fault[] {
  const faults = new Set<Fault>();
  if (!devices.isSecure) faults.add('insecure');
  if (typeof RTCPeerConnection === 'undefined') faults.add('no-webrtc');
  for (const fault of Object.values(devices.faults)) if (fault !== null) faults.add(fault);
  if (socket === false) faults.add('socket');
  return [...faults];
}
