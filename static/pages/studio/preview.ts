/** The picture as it goes out, the level of the sound, and the switch of the microphone. */

import { h, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { IconToggle } from '../shared/icon-toggle.js';
import { LevelMeter } from '../shared/level.js';
import type { StudioMedia } from './media.js';

const LEVEL_EVERY_MS = 60;

export interface Preview {
  root: HTMLElement;
  dispose(): void;
}

export function buildPreview(media: StudioMedia): Preview {
  const { devices } = media;
  const video = h('video', { class: 'preview-picture', playsinline: true, muted: true, autoplay: true, 'aria-label': t('studio.preview') });
  video.muted = true;
  const off = h('p', { class: 'preview-off' });
  const bar = h('span', { class: 'level-bar' });
  const level = h('span', { class: 'level', role: 'img', 'aria-label': t('studio.level') }, bar);
  const meter = new LevelMeter();
  const microphone = new IconToggle('audio', () => void media.toggleMicrophone());
  let shown: MediaStreamTrack | null = null;
  function update(): void {
    const track = media.video;
    if (track !== shown) {
      shown = track;
      video.srcObject = track === null ? null : new MediaStream([track]);
    }
    // Oneself as in a mirror, but no text the wrong way round.
    video.classList.toggle('is-mirrored', media.source === 'camera');
    video.hidden = track === null;
    off.hidden = track !== null;
    setText(off, t(devices.faults.video !== null ? 'call.no-picture' : 'studio.no-picture'));
    meter.follow(media.hasSound ? media.audio : null);
    const isOn = media.isMicrophoneOn && devices.tracks.audio !== null;
    microphone.show(isOn ? 'microphone' : 'microphoneOff', isOn ? 'call.mute' : 'call.unmute', isOn, devices.isSecure ? null : 'fault.insecure');
  }
  const timer = setInterval(() => {
    const now = meter.read();
    setProp(level, 'data-level', now.toFixed(2));
    bar.style.setProperty('--level', String(now));
  }, LEVEL_EVERY_MS);
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.key.toLowerCase() !== 'm') return;
    if ((event.target as HTMLElement).closest('input:not([type="radio"]):not([type="checkbox"]), textarea, select, dialog') !== null) return;
    event.preventDefault();
    void media.toggleMicrophone();
  };
  const wake = (): void => {
    media.wake();
    meter.wake();
  };
  document.addEventListener('keydown', onKey);
  for (const gesture of ['pointerdown', 'keydown'] as const) document.addEventListener(gesture, wake, { once: true });
  media.listen(update);
  update();
  return {
    root: h('div', { class: 'preview-frame studio-preview' }, video, off, h('div', { class: 'preview-bar' }, microphone.element, level)),
    dispose() {
      clearInterval(timer);
      document.removeEventListener('keydown', onKey);
      meter.close();
    },
  };
}
