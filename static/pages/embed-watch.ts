/** `/embed/watch/{room}`: the player alone, filling its frame. */

import { h } from './shared/dom.js';
import { t } from './shared/i18n.js';
import { parseAddress } from './watch/logic.js';
import { buildPlayer } from './watch/view.js';

const app = document.getElementById('app') ?? document.body;
const address = parseAddress(location.pathname, location.search);
if (address === null) {
  app.append(h('p', { class: 'embed-error' }, t('cover.denied')));
} else {
  const { root } = buildPlayer(address, ({ room }) => {
    if (room !== null) document.title = room.title;
  });
  app.append(h('main', { class: 'embed' }, root));
}
