/** `/library` and `/library/{asset}`: for an account its assets and uploads, for others the player of what they may watch. */

import { Rest, TelstarError, Uploader, type Account, type ServerFacts } from '../client/index.js';
import { backLink, buildAssetView } from './library/asset-view.js';
import type { Context } from './library/context.js';
import { followAsset } from './library/follow.js';
import { buildFresh } from './library/fresh.js';
import { buildGrid } from './library/grid.js';
import { mediaUrl, parseAddress, type LibraryAddress } from './library/logic.js';
import { buildVodPlayer } from './library/player-view.js';
import { AssetStore } from './library/store.js';
import { buildUploadsView, storageOf } from './library/uploads-view.js';
import { h, replace, setText } from './shared/dom.js';
import { buildHeader } from './shared/header.js';
import { t } from './shared/i18n.js';
import { icon } from './shared/icons.js';
import { inWords, report } from './shared/problems.js';
import { applyTheme } from './shared/theme.js';

/** A reconnect shorter than this is not worth a notice. */
const NOTICE_AFTER_MS = 1_500;

applyTheme();
const app = document.getElementById('app') ?? document.body;
const address = parseAddress(location.pathname, location.search);
document.title = `${String(t('library.title'))} · Telstar`;
if (address === null) replace(app, buildHeader(), notFound());
else void start(address);

async function start(where: LibraryAddress): Promise<void> {
  const rest = new Rest();
  try {
    const [account, server] = await Promise.all([rest.currentAccount(), rest.server()]);
    if (account !== null && (await showOwn(where, rest, account, server))) return;
    if (where.asset === null) replace(app, buildHeader(), signInFirst());
    else showViewer(where, where.asset);
  } catch (error) {
    const again = h('button', { type: 'button', class: 'button button-primary', onclick: () => void start(where) }, t('home.try-again'));
    replace(app, buildHeader(), h('main', { class: 'narrow' }, h('section', { class: 'card sign-in', role: 'alert' },
      h('h1', {}, t('home.failed')), h('p', { class: 'soft' }, inWords(error)), again)));
  }
}

/** False where the asset is not the account's: then it is a viewer like others. */
async function showOwn(where: LibraryAddress, rest: Rest, account: Account, server: ServerFacts): Promise<boolean> {
  const found = where.asset === null ? null : await Promise.all([rest.asset(where.asset), rest.assetJobs(where.asset)]).catch(notOurs);
  if (found === undefined) return false;
  const assets = new AssetStore(rest, account.id, report, () => location.reload());
  const context: Context = { rest, account, server, assets, uploader: new Uploader({ storage: storageOf(account.id) }) };
  const content = found === null
    ? h('div', {}, h('div', { class: 'view-head' }, h('h1', { tabindex: -1 }, t('library.title'))), buildUploadsView(context.uploader), buildFresh(context), buildGrid(context))
    // A token is for those who have no account.
    : buildAssetView(context, { ...where, token: null }, ...found);
  replace(app, buildHeader(h('a', { class: 'header-link', href: '/', 'aria-label': t('header.rooms'), title: t('header.rooms') }, icon('broadcast'), h('span', {}, t('header.rooms')))), connectionNotice(assets), h('main', { class: 'main' }, content));
  return true;
}

function notOurs(error: unknown): undefined {
  if (error instanceof TelstarError && [401, 403, 404].includes(error.status)) return undefined;
  throw error;
}

function showViewer(where: LibraryAddress, name: string): void {
  const rest = new Rest(where.token === null ? {} : { token: where.token });
  const view = buildVodPlayer(rest, where);
  const title = h('h1', { class: 'watch-title' });
  const download = h('a', { class: 'button button-quiet', download: true, hidden: true }, icon('download'), h('span', {}, t('library.download')));
  replace(app, buildHeader(), h('main', { class: 'main' }, h('div', { class: 'asset' }, view.root, h('div', { class: 'view-head asset-head' }, title, download))));
  followAsset(rest, name, (asset) => {
    view.show(asset);
    setText(title, asset?.title ?? '');
    if (asset !== null) document.title = `${asset.title} · Telstar`;
    const source = asset?.links.source ?? null;
    download.hidden = source === null;
    if (source !== null) download.href = mediaUrl(source);
  });
}

function connectionNotice(assets: AssetStore): HTMLElement {
  const notice = h('div', { class: 'connection-notice', role: 'status', hidden: true }, t('home.connection-lost'));
  let timer: number | undefined;
  assets.listen(() => {
    if (assets.connection === 'open') {
      clearTimeout(timer);
      timer = undefined;
      notice.hidden = true;
    } else if (assets.connection === 'lost') {
      timer ??= setTimeout(() => {
        notice.hidden = false;
      }, NOTICE_AFTER_MS);
    }
  });
  return notice;
}

function signInFirst(): HTMLElement {
  return h('main', { class: 'narrow' }, h('section', { class: 'card sign-in' },
    h('h1', {}, t('library.title')), h('p', { class: 'soft' }, t('library.sign-in')),
    h('a', { class: 'button button-primary', href: '/sign-in' }, t('sign-in.title'))));
}

function notFound(): HTMLElement {
  return h('main', { class: 'main' }, backLink(), h('section', { class: 'card empty', role: 'alert' }, icon('warning'),
    h('h1', {}, t('vod.denied')), h('p', { class: 'soft' }, t('vod.denied-text'))));
}
