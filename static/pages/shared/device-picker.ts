/** The lists of cameras, microphones and loudspeakers, before the call and in it. */

import { freshId, h, replace } from './dom.js';
import { t } from './i18n.js';
import { icon } from './icons.js';
import type { MessageKey } from './messages.js';
import { playTestSound } from './test-sound.js';
import { canChooseOutput, type DeviceKind, type Devices, type InputKind } from './devices.js';

export interface DevicePicker {
  root: HTMLElement;
  dispose(): void;
}

/** `opened` is called with each track that a choice has opened. Where nothing is heard, there is no loudspeaker to choose. */
export function buildDevicePicker(devices: Devices, opened: (kind: InputKind, track: MediaStreamTrack) => void, isHearing = true): DevicePicker {
  const rows = [
    row(devices, 'videoinput', 'call.camera', (id) => void open('video', id)),
    row(devices, 'audioinput', 'call.microphone', (id) => void open('audio', id)),
    ...(isHearing && canChooseOutput() ? [row(devices, 'audiooutput', 'call.speaker', (id) => devices.chooseOutput(id), testButton(devices))] : []),
  ];
  async function open(kind: InputKind, id: string): Promise<void> {
    const track = await devices.open(kind, id);
    if (track !== null) opened(kind, track);
  }
  const update = (): void => rows.forEach((each) => void each.update());
  const stop = devices.listen(update);
  update();
  return { root: h('div', { class: 'device-picker' }, ...rows.map(({ root }) => root)), dispose: stop };
}

function testButton(devices: Devices): HTMLElement {
  return h('button', {
    type: 'button', class: 'icon-button is-framed', 'data-name': 'test-sound', 'aria-label': t('settings.test-sound'), title: t('settings.test-sound'),
    onclick: () => void playTestSound(devices.current('audiooutput')),
  }, icon('volume'));
}

function row(devices: Devices, kind: DeviceKind, label: MessageKey, choose: (id: string) => void, action: HTMLElement | null = null) {
  const id = freshId('device');
  const select = h('select', { id, class: 'input', name: kind, onchange: () => choose(select.value) });
  const root = h('div', { class: 'field' }, h('label', { for: id }, t(label)), action === null ? select : h('div', { class: 'field-row' }, select, action));
  let shown = '';
  async function update(): Promise<void> {
    const list = await devices.list(kind);
    const next = list.map((device) => `${device.deviceId} ${device.label}`).join('\n');
    if (next !== shown || select.childElementCount === 0) {
      shown = next;
      replace(select, ...(list.length === 0
        ? [h('option', { value: '' }, t('call.no-device'))]
        : list.map((device, index) => h('option', { value: device.deviceId }, device.label || t('call.device-number', { number: index + 1 })))));
    }
    select.disabled = list.length === 0;
    const current = devices.current(kind);
    if (list.some((device) => device.deviceId === current)) select.value = current;
  }
  return { root, update };
}
