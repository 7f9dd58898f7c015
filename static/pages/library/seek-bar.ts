/** The bar that shows where the player is, what is loaded, and, under the pointer or the finger, what is to be seen there. */

import { thumbnailAt, type Thumbnail } from '../../client/index.js';
import { h, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { formatUptime } from '../shared/format.js';
import type { VodPlayer } from './player.js';

/** Steps of the slider: a tenth of a second, and with the page keys a twentieth of the whole. */
const STEP_SECS = 0.1;

export interface SeekBar {
  root: HTMLElement;
  update(): void;
  /** Small pictures; each address is loaded once it is shown. */
  setThumbnails(thumbnails: Thumbnail[]): void;
}

export function buildSeekBar(player: VodPlayer): SeekBar {
  let thumbnails: Thumbnail[] = [];
  /** While the viewer drags, the slider is the viewer's. */
  let isDragging = false;
  const slider = h('input', {
    type: 'range', class: 'seek-slider', min: 0, max: 0, step: STEP_SECS, value: 0, 'aria-label': t('vod.seek'),
    oninput: () => {
      isDragging = true;
      player.seek(Number(slider.value));
      showPreview(Number(slider.value));
    },
    onchange: () => {
      isDragging = false;
      hidePreview();
    },
  });
  const loaded = h('progress', { class: 'seek-loaded', max: 1, value: 0, 'aria-hidden': 'true' });
  const picture = h('img', { class: 'seek-picture', alt: '' });
  const frame = h('span', { class: 'seek-frame' }, picture);
  const time = h('span', { class: 'seek-time' });
  const preview = h('span', { class: 'seek-preview', hidden: true, 'aria-hidden': 'true' }, frame, time);
  const root = h('div', { class: 'seek' }, loaded, slider, preview);

  slider.addEventListener('pointermove', (event) => {
    const { left, width } = slider.getBoundingClientRect();
    if (width > 0) showPreview(((event.clientX - left) / width) * player.durationSecs);
  });
  slider.addEventListener('pointerleave', hidePreview);
  slider.addEventListener('blur', hidePreview);

  function showPreview(atSecs: number): void {
    const duration = player.durationSecs;
    if (duration <= 0) return;
    const secs = Math.max(0, Math.min(duration, atSecs));
    setText(time, formatUptime(secs));
    const thumbnail = thumbnailAt(thumbnails, secs);
    frame.hidden = thumbnail === null;
    if (thumbnail !== null) {
      if (picture.getAttribute('src') !== thumbnail.url) picture.src = thumbnail.url;
      frame.style.width = `${thumbnail.width}px`;
      frame.style.height = `${thumbnail.height}px`;
      picture.style.transform = `translate(${-thumbnail.x}px, ${-thumbnail.y}px)`;
    }
    preview.hidden = false;
    // Inside the bar, however near its ends.
    const { width } = root.getBoundingClientRect();
    const half = preview.getBoundingClientRect().width / 2;
    const middle = Math.max(half, Math.min(width - half, (secs / duration) * width));
    preview.style.transform = `translateX(${middle - half}px)`;
  }

  function hidePreview(): void {
    preview.hidden = true;
  }

  return {
    root,
    update(): void {
      const { video, durationSecs } = player;
      setProp(slider, 'max', durationSecs);
      slider.disabled = durationSecs <= 0;
      if (!isDragging) slider.value = String(video.currentTime);
      setProp(slider, 'aria-valuetext', t('vod.position', { time: formatUptime(video.currentTime), total: formatUptime(durationSecs) }));
      loaded.value = durationSecs > 0 ? loadedEnd(video) / durationSecs : 0;
    },
    setThumbnails(next): void {
      thumbnails = next;
    },
  };
}

/** The end of what is loaded around the place that plays. */
function loadedEnd({ buffered, currentTime }: HTMLVideoElement): number {
  for (let index = 0; index < buffered.length; index += 1) {
    if (buffered.start(index) <= currentTime + 0.5 && currentTime <= buffered.end(index)) return buffered.end(index);
  }
  return currentTime;
}
