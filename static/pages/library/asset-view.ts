/** The page of one asset for its owner: the player, what it is, who may watch, what was done to it, and its end. */

import type { Asset, Job } from '../../client/index.js';
import { busy } from '../shared/field.js';
import { confirmDialog } from '../shared/dialog.js';
import { h, replace, setProp, setText } from '../shared/dom.js';
import { onLanguage, t, type Message } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { formatBitrate, formatFrameRate, formatUptime } from '../shared/format.js';
import { languageName } from '../shared/languages.js';
import { titleField } from '../shared/title-field.js';
import type { Context } from './context.js';
import { buildJobsPanel } from './jobs-panel.js';
import { channelsLabel, codecLabel, formatBytes, mediaUrl, sentence, statusOf, type LibraryAddress } from './logic.js';
import { buildVodPlayer } from './player-view.js';
import { buildEmbedPanel, buildSharePanel } from './share-panel.js';

export function buildAssetView(context: Context, address: LibraryAddress, first: Asset, firstJobs: readonly Job[]): HTMLElement {
  const name = first.asset;
  const view = buildVodPlayer(context.rest, address);
  const head = buildHead(context, first);
  const facts = buildFacts();
  const share = buildSharePanel(context, first);
  const jobs = buildJobsPanel(context, first);
  jobs.setJobs(firstJobs);
  const remove = buildDelete(context, first);
  const root = h('div', { class: 'asset' },
    backLink(), view.root, head.root,
    h('div', { class: 'room-grid' },
      h('div', { class: 'room-column' }, facts.root, jobs.root),
      h('div', { class: 'room-column' }, share.root, buildEmbedPanel(context, first), remove)));

  function show(asset: Asset): void {
    document.title = `${asset.title} · Telstar`;
    view.show(asset);
    head.show(asset);
    facts.show(asset);
    share.show(asset);
    jobs.showAsset(asset);
  }
  const gone = (): void => {
    view.show(null);
    end();
    replace(root, backLink(), h('section', { class: 'card empty', role: 'alert' }, icon('warning'),
      h('h1', { tabindex: -1 }, t('vod.denied')), h('p', { class: 'soft' }, t('vod.denied-text'))));
  };
  const again = (): void => {
    void Promise.all([context.rest.asset(name), context.rest.assetJobs(name)]).then(([asset, list]) => {
      show(asset);
      jobs.setJobs(list);
    }, () => {});
  };
  const end = context.assets.follow(name, { onAsset: show, onJob: (job) => jobs.showJob(job), onGone: gone, onStale: again });
  show(first);
  return root;
}

export function backLink(): HTMLElement {
  return h('a', { class: 'back', href: '/library' }, icon('back'), h('span', {}, t('library.all')));
}

function buildHead(context: Context, first: Asset) {
  const title = h('h1', { class: 'watch-title', tabindex: -1 }, first.title);
  const badge = h('span', { class: 'badge' });
  const heading = titleField(title, t('library.asset-title'), async (text) => {
    const asset = await context.rest.updateAsset(first.asset, { title: text });
    context.assets.put(asset);
    return asset.title;
  });
  const download = h('a', { class: 'button button-quiet', 'data-name': 'download', download: true }, icon('download'), h('span', {}, t('library.download')));
  const root = h('div', { class: 'view-head asset-head' },
    h('div', { class: 'room-heading' }, heading, h('p', { class: 'watch-facts' }, badge)),
    h('div', { class: 'room-actions' }, download));
  return {
    root,
    show(asset: Asset): void {
      const status = statusOf(asset);
      setText(title, asset.title);
      setText(badge, t(`asset.${status}`));
      setProp(badge, 'data-state', status);
      download.hidden = asset.links.source === null;
      setProp(download, 'href', asset.links.source === null ? null : mediaUrl(asset.links.source));
    },
  };
}

function buildFacts() {
  const list = h('dl', { class: 'tiles' });
  const notes = h('ul', { class: 'asset-notes' });
  const root = h('section', { class: 'card', 'data-name': 'facts' }, h('h2', {}, t('library.facts')), list, notes);
  let shown: Asset | null = null;
  onLanguage(() => {
    if (shown !== null) view.show(shown);
  });
  const view = {
    root,
    show(asset: Asset): void {
      shown = asset;
      const { source } = asset;
      const video = source?.video ?? null;
      const sounds = source?.audio.map(({ codec, language, channels }) => `${codecLabel(codec)} ${channelWords(channels)}${inLanguage(language)}`).join(', ') ?? '';
      const texts = source?.subtitles.map(({ codec, language }) => `${codecLabel(codec)}${inLanguage(language)}`).join(', ') ?? '';
      const rows: [Message, string | null][] = [
        [t('library.fact-duration'), source === null ? null : formatUptime(source.duration_secs)],
        [t('library.fact-picture'), video === null ? null : `${codecLabel(video.codec)}, ${video.width} × ${video.height}, ${formatFrameRate(video.fps)} fps${video.hdr ? ', HDR' : ''}${video.interlaced ? `, ${String(t('library.interlaced'))}` : ''}`],
        [t('library.fact-bitrate'), video === null || video.bps === 0 ? null : formatBitrate(video.bps)],
        [t('library.fact-sound'), sounds || null],
        [t('library.fact-subtitles'), texts || null],
        [t('library.fact-size'), formatBytes(asset.bytes)],
        [t('library.fact-kept'), asset.kept_bytes === asset.bytes ? null : formatBytes(asset.kept_bytes)],
      ];
      replace(list, ...rows.flatMap(([label, value]) => (value === null ? [] : [h('div', { class: 'tile' }, h('dt', {}, label), h('dd', {}, value))])));
      // In the words of whoever looked at the file: they name codecs and tracks, and are the same in every language.
      const words = [asset.problem, source?.encoded_because ?? null, ...(source?.left_out ?? [])].filter((text) => text !== null);
      replace(notes, ...words.map((text) => h('li', { class: 'soft small' }, sentence(text))));
      notes.hidden = words.length === 0;
    },
  };
  return view;
}

function channelWords(channels: number): string {
  if (channels === 1) return String(t('library.mono'));
  return channels === 2 ? String(t('library.stereo')) : (channelsLabel(channels) ?? String(t('library.channels', { count: channels })));
}

function inLanguage(tag: string): string {
  const name = languageName(tag);
  return name === null ? '' : ` (${name})`;
}

function buildDelete(context: Context, asset: Asset): HTMLElement {
  const button = h('button', {
    type: 'button', class: 'button button-danger', 'data-name': 'delete',
    onclick: () => void busy(button, async () => {
      const isSure = await confirmDialog({
        title: t('delete.title', { title: asset.title }),
        text: t('library.delete-text'),
        confirm: t('library.delete'),
      });
      if (!isSure) return;
      await context.rest.deleteAsset(asset.asset);
      location.assign('/library');
    }),
  }, icon('trash'), h('span', {}, t('library.delete')));
  return h('section', { class: 'card' }, h('h2', {}, t('library.delete')), h('p', { class: 'soft' }, t('library.delete-text')), button);
}
