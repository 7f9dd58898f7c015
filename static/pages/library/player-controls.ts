/** The bar over the picture of an asset, and the keys that do the same. */

import { h, replace, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon, type IconName } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';
import { formatUptime } from '../shared/format.js';
import { autoHide, IconButton, onKeys, restoreVolume, toggleFullscreen, togglePictureInPicture } from '../shared/player-parts.js';
import { seekOf } from './logic.js';
import type { Menu, MenuName } from './player-engine.js';
import type { VodPlayer } from './player.js';
import { buildSeekBar, type SeekBar } from './seek-bar.js';

export interface VodControls {
  bar: HTMLElement;
  seekBar: SeekBar;
  update(): void;
}

export function buildVodControls(root: HTMLElement, player: VodPlayer): VodControls {
  const { video } = player;
  restoreVolume(video);
  const togglePlay = (): void => (video.paused ? void player.play() : player.pause());
  const toggleMute = (): void => (video.muted ? player.unmute() : void (video.muted = true));
  const toggleFull = (): void => void toggleFullscreen(root, video);
  const toggleSubtitles = (): void => {
    const menu = player.engine?.menu('subtitle');
    if (menu === undefined || menu.choices.length === 0) return;
    player.choose('subtitle', menu.current >= 0 ? '' : (menu.choices[0]?.name ?? ''));
  };

  const play = new IconButton('play', togglePlay);
  const mute = new IconButton('mute', toggleMute);
  const full = new IconButton('fullscreen', toggleFull);
  const pip = new IconButton('pip', () => void togglePictureInPicture(video));
  pip.show('pip', 'player.pip');
  const volume = h('input', {
    type: 'range', class: 'volume', min: 0, max: 1, step: 0.05, 'aria-label': t('player.volume'),
    oninput: () => {
      video.volume = Number(volume.value);
      video.muted = video.volume === 0;
    },
  });
  const time = h('span', { class: 'vod-time' });
  const seekBar = buildSeekBar(player);
  const subtitles = new SelectMenu('subtitles', 'subtitles', 'vod.subtitles', (name) => player.choose('subtitle', name));
  const sounds = new SelectMenu('sounds', 'music', 'vod.sound', (name) => player.choose('sound', name));
  const qualities = new SelectMenu('qualities', 'settings', 'vod.quality', (name) => player.choose('quality', name));
  const bar = h('div', { class: 'controls vod-controls', role: 'group', 'aria-label': t('player.controls') },
    seekBar.root,
    h('div', { class: 'vod-buttons' },
      play.element, mute.element, volume, time, h('span', { class: 'spring' }),
      subtitles.root, sounds.root, qualities.root, pip.element, full.element));

  video.addEventListener('click', togglePlay);
  video.addEventListener('dblclick', toggleFull);
  autoHide(root, video);
  const moves = ['j', 'l', 'arrowleft', 'arrowright'].map((key): [string, () => void] => [key, () => player.seek(video.currentTime + (seekOf(key) ?? 0))]);
  onKeys(root, { k: togglePlay, ' ': togglePlay, m: toggleMute, f: toggleFull, c: toggleSubtitles, ...Object.fromEntries(moves) }, () => player.isLoaded);

  function update(): void {
    bar.hidden = !player.isLoaded || player.playback === 'refused' || player.playback === 'unsupported';
    play.show(video.paused ? 'play' : 'pause', video.paused ? 'player.play' : 'player.pause');
    const isSilent = video.muted || video.volume === 0;
    mute.show(isSilent ? 'muted' : 'volume', isSilent ? 'player.unmute' : 'player.mute');
    volume.value = String(video.muted ? 0 : video.volume);
    const isFull = document.fullscreenElement === root;
    full.show(isFull ? 'exitFullscreen' : 'fullscreen', isFull ? 'player.exit-fullscreen' : 'player.fullscreen');
    pip.element.hidden = !document.pictureInPictureEnabled;
    setText(time, `${formatUptime(video.currentTime)} / ${formatUptime(player.durationSecs)}`);
    seekBar.update();
    showMenus();
  }

  function showMenus(): void {
    const menu = (name: MenuName): Menu => player.engine?.menu(name) ?? { choices: [], current: -1 };
    const texts = menu('subtitle');
    subtitles.show([['', t('vod.subtitles-off')], ...tracksOf(texts)], currentOf(texts), texts.choices.length > 0);
    const tracks = menu('sound');
    sounds.show(tracksOf(tracks), currentOf(tracks), tracks.choices.length > 1);
    const levels = menu('quality');
    const shown = player.engine?.shownQuality() ?? '';
    const automatic = shown === '' ? t('vod.quality-auto') : t('vod.quality-auto-now', { quality: shown });
    // Of a player that chooses by itself there are none.
    const names = levels.choices.length === 0 ? [] : [...new Set([...player.qualities, ...levels.choices.map(({ name }) => name)])];
    qualities.show([['', automatic], ...names.map((name): [string, Label] => [name, name])], currentOf(levels), names.length > 1);
  }

  return { bar, seekBar, update };
}

type Label = string | ReturnType<typeof t>;

function tracksOf({ choices }: Menu): [string, Label][] {
  return choices.map(({ name }) => [name, name]);
}

function currentOf({ choices, current }: Menu): string {
  return choices.find(({ id }) => id === current)?.name ?? '';
}

/** A native list behind an icon: keyboards, screen readers and phones know how to use it. */
class SelectMenu {
  readonly root: HTMLElement;
  private readonly select: HTMLSelectElement;
  private shown = '';

  constructor(name: string, iconName: IconName, label: MessageKey, onChoose: (name: string) => void) {
    const select = h('select', { class: 'transport-choice', name, 'aria-label': t(label), onchange: () => onChoose(select.value) });
    this.select = select;
    this.root = h('span', { class: `transport menu-${name}`, title: t(label), hidden: true }, icon(iconName), select);
  }

  show(options: readonly [string, Label][], current: string, isOffered: boolean): void {
    this.root.hidden = !isOffered;
    // Options are built again only when they differ: an open list would close.
    const shown = options.map(([value, label]) => `${value} ${String(label)}`).join('\n');
    if (shown !== this.shown) {
      this.shown = shown;
      replace(this.select, ...options.map(([value, label]) => h('option', { value }, label)));
    }
    if (this.select.value !== current) this.select.value = current;
    setProp(this.root, 'data-value', current);
  }
}
