/** The bar over the picture, and the keys that do the same. */

import { h, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { formatLatency } from '../shared/format.js';
import { autoHide, IconButton, onKeys, restoreVolume, toggleFullscreen, togglePictureInPicture } from '../shared/player-parts.js';
import { writePreference } from '../shared/preferences.js';
import type { Player } from './player.js';
import { transportOf, type TransportChoice } from './transport.js';

export interface Controls {
  bar: HTMLElement;
  update(isLive: boolean, viewers: number | null): void;
}

export function buildControls(root: HTMLElement, player: Player, transports: TransportChoice, toggleInfo: () => void): Controls {
  const { video } = player;
  restoreVolume(video);
  const togglePlay = (): void => (video.paused ? void player.play() : player.pause());
  const toggleMute = (): void => (video.muted ? player.unmute() : void (video.muted = true));
  const toggleFull = (): void => void toggleFullscreen(root, video);

  const play = new IconButton('play', togglePlay);
  const mute = new IconButton('mute', toggleMute);
  const full = new IconButton('fullscreen', toggleFull);
  const pip = new IconButton('pip', () => void togglePictureInPicture(video));
  const back = new IconButton('back', () => player.seekBack());
  const transport = buildTransport(player, transports);
  const info = new IconButton('info', toggleInfo);
  const volume = h('input', {
    type: 'range', class: 'volume', min: 0, max: 1, step: 0.05, 'aria-label': t('player.volume'),
    oninput: () => {
      video.volume = Number(volume.value);
      video.muted = video.volume === 0;
    },
  });
  const live = h('button', { type: 'button', class: 'live-button', onclick: () => player.jumpToLive() },
    h('span', { class: 'live-dot' }), h('span', {}, t('player.live')));
  const latency = h('span', { class: 'latency', title: t('player.latency-title') });
  const viewerCount = h('span', {});
  const viewers = h('span', { class: 'bar-viewers', hidden: true }, icon('eye'), viewerCount);
  const bar = h('div', { class: 'controls', role: 'group', 'aria-label': t('player.controls') },
    play.element, mute.element, volume, live, latency, h('span', { class: 'spring' }), viewers,
    back.element, transport.root, info.element, pip.element, full.element);
  back.show('rewind', 'player.back');
  info.show('info', 'player.info');
  pip.show('pip', 'player.pip');

  video.addEventListener('click', togglePlay);
  video.addEventListener('dblclick', toggleFull);
  autoHide(root, video);
  onKeys(root, { k: togglePlay, ' ': togglePlay, m: toggleMute, f: toggleFull, l: () => player.jumpToLive(), j: () => player.seekBack(), i: toggleInfo });

  return {
    bar,
    update(isLive, count) {
      // Off air there is nothing to play, to look at or to take out of the page.
      play.element.hidden = info.element.hidden = back.element.hidden = !player.isLoaded;
      transport.update();
      pip.element.hidden = !player.isLoaded || !document.pictureInPictureEnabled;
      play.show(video.paused ? 'play' : 'pause', video.paused ? 'player.play' : 'player.pause');
      const isSilent = video.muted || video.volume === 0;
      mute.show(isSilent ? 'muted' : 'volume', isSilent ? 'player.unmute' : 'player.mute');
      const isFull = document.fullscreenElement === root;
      full.show(isFull ? 'exitFullscreen' : 'fullscreen', isFull ? 'player.exit-fullscreen' : 'player.fullscreen');
      volume.value = String(video.muted ? 0 : video.volume);
      const isBehind = player.isBehind();
      live.hidden = !isLive;
      live.classList.toggle('is-behind', isBehind);
      live.disabled = !isBehind;
      setProp(live, 'aria-label', t(isBehind ? 'player.jump-to-live' : 'player.at-live-edge'));
      const secs = isLive ? player.latencySecs() : null;
      latency.hidden = secs === null;
      if (secs !== null) setText(latency, t('player.latency', { seconds: formatLatency(secs) }));
      viewers.hidden = count === null || !isLive;
      if (count !== null) setText(viewerCount, String(count));
    },
  };
}

/** Low latency or compatible. It shows what plays, also where that was not the viewer's choice. */
function buildTransport(player: Player, transports: TransportChoice) {
  const select = h('select', {
    class: 'transport-choice', name: 'transport', 'aria-label': t('player.transport'),
    onchange: () => {
      const chosen = transportOf(select.value);
      if (chosen === null) return;
      writePreference('transport', chosen);
      player.chooseTransport(chosen);
    },
  }, h('option', { value: 'webrtc' }, t('player.low-latency')), h('option', { value: 'hls' }, t('player.compatible')));
  const root = h('span', { class: 'transport' }, icon('bolt'), select);
  return {
    root,
    update(): void {
      root.hidden = !player.isLoaded || !transports.canWebRtc;
      if (select.value !== player.transport) select.value = player.transport;
      setProp(root, 'title', t(transports.fallback === null ? 'player.transport' : 'player.fallback'));
      setProp(root, 'data-transport', player.transport);
    },
  };
}
