/** `/embed/vod/{asset}`: the player alone, filling its frame. */

import { Rest } from '../client/index.js';
import { h } from './shared/dom.js';
import { t } from './shared/i18n.js';
import { followAsset } from './library/follow.js';
import { parseAddress } from './library/logic.js';
import { buildVodPlayer } from './library/player-view.js';

const app = document.getElementById('app') ?? document.body;
const address = parseAddress(location.pathname, location.search);
if (address === null || address.asset === null) {
  app.append(h('p', { class: 'embed-error' }, t('vod.denied')));
} else {
  const rest = new Rest(address.token === null ? {} : { token: address.token });
  const view = buildVodPlayer(rest, address);
  app.append(h('main', { class: 'embed' }, view.root));
  followAsset(rest, address.asset, (asset) => {
    if (asset !== null) document.title = asset.title;
    view.show(asset);
  });
}
