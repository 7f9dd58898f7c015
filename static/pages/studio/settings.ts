/** What to send and how: the source, the devices, the quality, the codec. What a stream cannot change stands still while it is on. */

import { buildDevicePicker } from '../shared/device-picker.js';
import { freshId, h } from '../shared/dom.js';
import { formatBitrate } from '../shared/format.js';
import { t } from '../shared/i18n.js';
import type { MessageKey } from '../shared/messages.js';
import { readPreference, writePreference } from '../shared/preferences.js';
import { report } from '../shared/problems.js';
import { canShareScreen } from '../shared/screen.js';
import type { Codec } from './broadcast.js';
import { presetOf, PRESETS, type Source } from './logic.js';
import type { StudioMedia } from './media.js';

export interface Settings {
  root: HTMLElement;
  codec(): Codec;
  simulcast(): boolean;
  update(isOn: boolean): void;
  dispose(): void;
}

const SOURCES: [Source, MessageKey][] = [['camera', 'studio.camera'], ['screen', 'studio.screen'], ['both', 'studio.both']];
const CODECS: [Codec, MessageKey][] = [['auto', 'studio.codec-auto'], ['H264', 'studio.codec-h264'], ['VP8', 'studio.codec-vp8']];

export function buildSettings(media: StudioMedia): Settings {
  const source = buildSource(media);
  // A device that is switched off is chosen for later.
  const picker = buildDevicePicker(media.devices, (kind) => kind === 'video' && media.source === 'screen' && media.devices.close('video'), false);
  const preset = select('preset', 'studio.quality', PRESETS.map(({ name, bitrateBps }) => [name, h('option', { value: name }, `${name} · ${formatBitrate(bitrateBps)}`)]), media.preset.name);
  preset.select.addEventListener('change', () => media.setPreset(presetOf(preset.select.value)).catch(report));
  const codec = select('codec', 'studio.codec', CODECS.map(([value, label]) => [value, h('option', { value }, t(label))]), readPreference('studio.codec') ?? 'auto');
  codec.select.addEventListener('change', () => writePreference('studio.codec', codec.select.value));
  const simulcast = h('input', {
    type: 'checkbox', name: 'simulcast', checked: readPreference('studio.simulcast') !== 'off',
    onchange: () => writePreference('studio.simulcast', simulcast.checked ? 'on' : 'off'),
  });
  const sizes = h('label', { class: 'check' }, simulcast, h('span', {}, t('studio.simulcast'), h('span', { class: 'check-note' }, t('studio.simulcast-note'))));
  return {
    root: h('div', { class: 'studio-settings' }, source.root, picker.root, preset.root, codec.root, sizes),
    codec: () => codec.select.value as Codec,
    simulcast: () => simulcast.checked,
    update(isOn) {
      source.update();
      preset.select.disabled = codec.select.disabled = isOn;
      simulcast.disabled = isOn || media.source !== 'camera';
    },
    dispose: () => picker.dispose(),
  };
}

function buildSource(media: StudioMedia) {
  const name = freshId('source');
  const inputs = SOURCES.map(([value, label]) => {
    const input = h('input', { type: 'radio', name, value, onchange: () => void choose(value) });
    return { value, input, root: h('label', { class: 'segment' }, input, h('span', {}, t(label))) };
  });
  async function choose(value: Source): Promise<void> {
    try {
      await media.choose(value);
    } catch (error) {
      report(error);
    }
    update();
  }
  function update(): void {
    for (const { value, input } of inputs) {
      input.checked = media.source === value;
      input.disabled = !media.devices.isSecure || (value !== 'camera' && !canShareScreen());
    }
  }
  const note = canShareScreen() || !media.devices.isSecure ? null : h('p', { class: 'field-note' }, t('studio.no-screen'));
  const root = h('fieldset', { class: 'segments' }, h('legend', { class: 'label' }, t('studio.source')), h('div', { class: 'segment-row' }, ...inputs.map((each) => each.root)), note);
  return { root, update };
}

function select(name: string, label: MessageKey, options: [string, HTMLOptionElement][], chosen: string) {
  const id = freshId(name);
  const element = h('select', { id, name, class: 'input' }, ...options.map(([, option]) => option));
  element.value = options.some(([value]) => value === chosen) ? chosen : (options[0]?.[0] ?? '');
  return { select: element, root: h('div', { class: 'field' }, h('label', { for: id }, t(label)), element) };
}
