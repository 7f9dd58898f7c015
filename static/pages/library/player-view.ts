/** The player of an asset as it looks. Used by the asset's page and by the one that others frame. */

import type { Asset, Rest } from '../../client/index.js';
import { h, replace, setProp } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';
import { left, mediaUrl, percent, playableNames, qualitiesOf, sentence, statusOf, type LibraryAddress } from './logic.js';
import { buildVodControls } from './player-controls.js';
import { VodPlayer } from './player.js';

type Cover = 'none' | 'spinner' | 'processing' | 'failed' | 'denied' | 'blocked' | 'start' | 'unsupported';

export interface VodView {
  root: HTMLElement;
  player: VodPlayer;
  /** The asset as it is now; null where there is none for us. */
  show(asset: Asset | null): void;
}

export function buildVodPlayer(rest: Rest, address: LibraryAddress): VodView {
  const video = h('video', { class: 'picture', playsinline: true, preload: 'metadata', 'aria-label': t('vod.video') });
  video.muted = address.startMuted;
  const cover = h('div', { class: 'cover' });
  const unmute = h('button', { type: 'button', class: 'unmute', hidden: true }, icon('muted'), h('span', {}, t('player.tap-to-unmute')));
  const root = h('div', { class: 'player', id: 'player', tabindex: -1, 'data-state': 'vod' }, video, cover, unmute);
  let asset: Asset | null = null;
  let storyboard: string | null = null;
  let shownCover = '';
  let isReady = false;
  const player = new VodPlayer(video, () => {
    if (isReady) update();
  });
  const controls = buildVodControls(root, player);
  root.insertBefore(controls.bar, unmute);
  unmute.addEventListener('click', () => player.unmute());
  isReady = true;

  function update(): void {
    const next = chooseCover(asset, player);
    // Progress is a part of what is shown.
    const key = next === 'processing' && asset !== null ? `${next} ${percent(asset.progress)} ${asset.eta_secs === null ? '' : left(asset.eta_secs).count}` : next;
    if (key !== shownCover) {
      shownCover = key;
      cover.dataset['cover'] = next === 'start' ? 'blocked' : next;
      replace(cover, ...coverContent(next, asset, () => void player.play()));
    }
    controls.update();
    unmute.hidden = !(player.isMutedByBrowser && video.muted && player.playback === 'playing');
    root.classList.toggle('has-picture', next === 'none' || next === 'spinner');
    setProp(root, 'data-playback', player.playback);
    setProp(root, 'data-engine', player.engine?.name ?? 'none');
    setProp(root, 'data-quality', player.engine?.shownQuality() ?? '');
  }

  async function loadStoryboard(url: string): Promise<void> {
    storyboard = url;
    try {
      const thumbnails = await rest.storyboard(mediaUrl(url, address.token));
      if (storyboard !== url) return;
      controls.seekBar.setThumbnails(thumbnails.map((one) => ({ ...one, url: mediaUrl(one.url, address.token) })));
    } catch {
      // The bar works without them; another try comes with the next state of the asset.
      if (storyboard === url) storyboard = null;
    }
  }

  /** Nothing of the asset before is left. */
  function reset(): void {
    player.unload();
    storyboard = null;
    controls.seekBar.setThumbnails([]);
    video.removeAttribute('poster');
  }

  return {
    root,
    player,
    show(next) {
      if (asset !== null && next?.asset !== asset.asset) reset();
      asset = next;
      if (next !== null) {
        if (next.links.poster !== null && !player.isLoaded) video.poster = mediaUrl(next.links.poster, address.token);
        if (next.playable) player.load(mediaUrl(next.links.playlist, address.token), playableNames(next.renditions), qualitiesOf(next.renditions), address.startSecs);
        if (next.links.storyboard !== null && storyboard === null) void loadStoryboard(next.links.storyboard);
      }
      update();
    },
  };
}

function chooseCover(asset: Asset | null, player: VodPlayer): Cover {
  if (asset === null || player.playback === 'refused') return 'denied';
  if (player.playback === 'unsupported') return 'unsupported';
  if (!player.isLoaded) return statusOf(asset) === 'failed' ? 'failed' : 'processing';
  if (player.playback === 'blocked') return 'blocked';
  const hasBegun = player.video.currentTime > 0 || !player.video.paused;
  if (player.playback === 'paused' && !hasBegun) return 'start';
  return player.playback === 'loading' || player.playback === 'buffering' ? 'spinner' : 'none';
}

function coverContent(cover: Cover, asset: Asset | null, play: () => void): Node[] {
  const words = (title: MessageKey, text: Node | null): Node[] => [
    h('p', { class: 'cover-title' }, t(title)),
    ...(text === null ? [] : [text]),
  ];
  const text = (key: MessageKey): Node => h('p', { class: 'cover-text' }, t(key));
  switch (cover) {
    case 'none':
      return [];
    case 'spinner':
      return [h('span', { class: 'spinner', 'aria-hidden': 'true' })];
    case 'blocked':
    case 'start':
      return [h('button', { type: 'button', class: 'big-play', 'aria-label': t('player.play'), onclick: play }, icon('play'))];
    case 'processing':
      return [h('span', { class: 'spinner', 'aria-hidden': 'true' }), ...words('vod.processing', text('vod.processing-text')), processingBar(asset)];
    case 'failed':
      return [icon('warning'), ...words('vod.failed', h('p', { class: 'cover-text' }, sentence(asset?.problem ?? '')))];
    case 'denied':
      return [icon('lock'), ...words('vod.denied', text('vod.denied-text'))];
    case 'unsupported':
      return [icon('warning'), ...words('vod.unsupported', text('cover.unsupported-text'))];
  }
}

function processingBar(asset: Asset | null): Node {
  const share = asset?.progress ?? 0;
  const eta = asset?.eta_secs ?? null;
  return h('p', { class: 'cover-progress' },
    h('progress', { max: 1, value: share, 'aria-label': t('vod.processing') }),
    h('span', {}, `${percent(share)} %`),
    eta === null ? null : h('span', {}, t(left(eta).key, { count: left(eta).count })));
}
