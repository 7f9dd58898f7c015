/** What both players' bars are made of: the live one's and that of the library. */

import { h, setProp } from './dom.js';
import { t } from './i18n.js';
import { icon, type IconName } from './icons.js';
import type { MessageKey } from './messages.js';
import { readPreference, writePreference } from './preferences.js';

/** Without a move of the pointer for this long the bar goes away while playing. */
const HIDE_AFTER_MS = 2_600;

/** A button whose icon and label change together. */
export class IconButton {
  readonly element: HTMLButtonElement;
  private shown: string | null = null;

  constructor(name: string, onClick: () => void) {
    this.element = h('button', { type: 'button', class: `control control-${name}`, onclick: onClick });
  }

  show(iconName: IconName, label: MessageKey): void {
    if (this.shown === iconName + label) return;
    this.shown = iconName + label;
    this.element.replaceChildren(icon(iconName));
    setProp(this.element, 'aria-label', t(label));
    setProp(this.element, 'title', t(label));
  }
}

export function restoreVolume(video: HTMLVideoElement): void {
  const stored = Number(readPreference('volume') ?? '1');
  if (stored >= 0 && stored <= 1) video.volume = stored;
  video.addEventListener('volumechange', () => {
    if (!video.muted) writePreference('volume', String(video.volume));
  });
}

export function autoHide(root: HTMLElement, video: HTMLVideoElement): void {
  let timer: number | undefined;
  const wake = (): void => {
    root.classList.remove('is-quiet');
    clearTimeout(timer);
    timer = setTimeout(() => {
      const hasKeyboardFocus = root.querySelector('.controls :focus-visible') !== null;
      if (!video.paused && !hasKeyboardFocus) root.classList.add('is-quiet');
    }, HIDE_AFTER_MS);
  };
  for (const name of ['pointermove', 'pointerdown', 'keydown', 'focusin'] as const) root.addEventListener(name, wake);
  root.addEventListener('pointerleave', () => {
    if (!video.paused) root.classList.add('is-quiet');
  });
  video.addEventListener('playing', wake);
  video.addEventListener('pause', () => root.classList.remove('is-quiet'));
}

export async function toggleFullscreen(root: HTMLElement, video: HTMLVideoElement): Promise<void> {
  if (document.fullscreenElement !== null) {
    await document.exitFullscreen();
    return;
  }
  const phoneVideo = video as HTMLVideoElement & { webkitEnterFullscreen?: () => void };
  // iPhones put only a video element on the full screen, not its surroundings.
  if (typeof root.requestFullscreen === 'function') await root.requestFullscreen().catch(() => {});
  else phoneVideo.webkitEnterFullscreen?.();
}

export async function togglePictureInPicture(video: HTMLVideoElement): Promise<void> {
  if (document.pictureInPictureElement !== null) await document.exitPictureInPicture();
  else await video.requestPictureInPicture().catch(() => {});
}

/** Whoever plays, as far as browsers decide whether it may. */
export interface Starting {
  readonly video: HTMLVideoElement;
  /** Muted by us because the browser plays nothing aloud without a click. */
  isMutedByBrowser: boolean;
}

/**
 * Browsers let a page play aloud only after the viewer did something, but muted always (HTML, "allowed to play"). False: not even so,
 * and a click has to come first.
 */
export async function startPlaying(player: Starting): Promise<boolean> {
  const { video } = player;
  try {
    await video.play();
  } catch (error) {
    // AbortError: a newer load has taken over and starts by itself.
    if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return true;
    if (video.muted) return false;
    player.isMutedByBrowser = true;
    video.muted = true;
    return startPlaying(player);
  }
  return true;
}

/** `isOn` says whether the keys are the player's now. */
export function onKeys(root: HTMLElement, keys: Record<string, () => void>, isOn: () => boolean = () => true): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !isOn()) return;
    const target = event.target as HTMLElement;
    const field = target.closest('input, textarea, select');
    // A slider needs only the keys that move it.
    const isSlider = field instanceof HTMLInputElement && field.type === 'range';
    if (field !== null && (!isSlider || event.key.startsWith('Arrow'))) return;
    // Space on a focused button presses that button.
    if (event.key === ' ' && target.closest('button, a') !== null) return;
    const action = keys[event.key.toLowerCase()];
    if (action === undefined) return;
    event.preventDefault();
    root.classList.remove('is-quiet');
    action();
  });
}
