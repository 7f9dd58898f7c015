/** Before the call: the own picture, the level of the microphone, devices, the name, and what is wrong. */

import type { ServerFacts } from '../../client/index.js';
import { busy } from '../shared/field.js';
import { freshId, h, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { readPreference, writePreference } from '../shared/preferences.js';
import { buildCheck } from './check.js';
import { buildDevicePicker } from '../shared/device-picker.js';
import type { Devices } from '../shared/devices.js';
import { IconToggle } from '../shared/icon-toggle.js';
import { LevelMeter } from '../shared/level.js';

/** The server's limit on names, in characters. */
const NAME_CHARS_MAX = 64;
const LEVEL_EVERY_MS = 60;

export interface PreJoinOptions {
  room: string;
  /** What is shown in place of the room's name once it is known. */
  title: Promise<string | null>;
  devices: Devices;
  /** What is known of the name: the account's, or of the last time. */
  name: string;
  server: Promise<ServerFacts | null>;
  join(choice: { name: string; isAudioOn: boolean; isVideoOn: boolean }): Promise<void>;
}

export interface PreJoin {
  root: HTMLElement;
  dispose(): void;
}

export function buildPreJoin(options: PreJoinOptions): PreJoin {
  const { devices } = options;
  const wanted = { audio: readPreference('call.audio') !== 'off', video: readPreference('call.video') !== 'off' };
  const preview = buildPreview(devices, wanted);
  // A device that is switched off is chosen for later.
  const picker = buildDevicePicker(devices, (kind) => !wanted[kind] && devices.close(kind));
  const check = buildCheck(devices, options.server);
  const nameId = freshId('name');
  const name = h('input', {
    id: nameId, name: 'name', class: 'input', type: 'text', required: true, maxlength: NAME_CHARS_MAX, autocomplete: 'name',
    value: options.name, placeholder: t('call.name-placeholder'),
  });
  const heading = h('h1', {});
  const show = (room: string): void => setText(heading, t('call.prejoin-title', { room }));
  show(options.room);
  void options.title.then((title) => title !== null && show(title));
  const join = h('button', { type: 'submit', class: 'button button-primary join', 'data-name': 'join' }, t('call.join'));
  const form = h('form', {
    class: 'card prejoin-form',
    onsubmit: (event: SubmitEvent) => {
      event.preventDefault();
      const text = name.value.trim();
      if (text === '') {
        name.focus();
        return;
      }
      writePreference('call.name', text);
      writePreference('call.audio', wanted.audio ? 'on' : 'off');
      writePreference('call.video', wanted.video ? 'on' : 'off');
      void busy(join, () => options.join({ name: text, isAudioOn: wanted.audio, isVideoOn: wanted.video }));
    },
  },
    heading,
    h('div', { class: 'field' }, h('label', { for: nameId }, t('call.name')), name),
    picker.root, check.root, join);
  void devices.openWanted(wanted);
  return {
    root: h('main', { class: 'prejoin' }, preview.root, form),
    dispose() {
      preview.dispose();
      picker.dispose();
      check.dispose();
    },
  };
}

function buildPreview(devices: Devices, wanted: { audio: boolean; video: boolean }) {
  const video = h('video', { class: 'preview-picture is-mirrored', playsinline: true, muted: true, autoplay: true, 'aria-label': t('call.preview') });
  video.muted = true;
  const off = h('p', { class: 'preview-off' });
  const bar = h('span', { class: 'level-bar' });
  const level = h('span', { class: 'level', role: 'img', 'aria-label': t('call.level') }, bar);
  const meter = new LevelMeter();
  const audioToggle = new IconToggle('audio', () => toggle('audio'));
  const videoToggle = new IconToggle('video', () => toggle('video'));
  function toggle(kind: 'audio' | 'video'): void {
    // What failed is off; the button then tries again.
    wanted[kind] = devices.faults[kind] !== null || !wanted[kind];
    if (kind === 'video' && !wanted.video) devices.close('video');
    else if (devices.tracks[kind] === null) void devices.open(kind);
    update();
  }
  let shown: MediaStreamTrack | null = null;
  function update(): void {
    const track = wanted.video ? devices.tracks.video : null;
    if (track !== shown) {
      shown = track;
      video.srcObject = track === null ? null : new MediaStream([track]);
    }
    video.hidden = track === null;
    off.hidden = track !== null;
    off.textContent = String(t(wanted.video && devices.faults.video !== null ? 'call.no-picture' : 'call.camera-off'));
    meter.follow(wanted.audio ? devices.tracks.audio : null);
    const isOn = { audio: wanted.audio && devices.faults.audio === null, video: wanted.video && devices.faults.video === null };
    const reason = devices.isSecure ? null : 'fault.insecure';
    audioToggle.show(isOn.audio ? 'microphone' : 'microphoneOff', isOn.audio ? 'call.mute' : 'call.unmute', isOn.audio, reason);
    videoToggle.show(isOn.video ? 'camera' : 'cameraOff', isOn.video ? 'call.stop-camera' : 'call.start-camera', isOn.video, reason);
  }
  const timer = setInterval(() => {
    setProp(level, 'data-level', meter.read().toFixed(2));
    bar.style.setProperty('--level', String(meter.read()));
  }, LEVEL_EVERY_MS);
  const stop = devices.listen(update);
  update();
  return {
    root: h('section', { class: 'preview' }, h('div', { class: 'preview-frame' }, video, off,
      h('div', { class: 'preview-bar' }, audioToggle.element, level, videoToggle.element))),
    dispose() {
      clearInterval(timer);
      stop();
      meter.close();
    },
  };
}

/** Says what is needed where nothing lets this person in. */
export function buildNoAccess(title: 'call.no-access' | 'call.invite-refused'): HTMLElement {
  return h('main', { class: 'narrow' }, h('section', { class: 'card sign-in', role: 'alert' },
    h('span', { class: 'card-icon is-key' }, icon('lock')),
    h('h1', {}, t(title)),
    h('p', { class: 'soft' }, t('call.no-access-text')),
    h('a', { class: 'button button-primary', href: '/sign-in' }, t('call.sign-in'))));
}
