/** `/watch/{room}`. */

import { copyButton } from './shared/copy.js';
import { h, setText } from './shared/dom.js';
import { buildHeader } from './shared/header.js';
import { t } from './shared/i18n.js';
import { formatUptime } from './shared/format.js';
import { applyTheme } from './shared/theme.js';
import { parseAddress } from './watch/logic.js';
import type { WatchSession } from './watch/session.js';
import { buildPlayer } from './watch/view.js';

applyTheme();
const app = document.getElementById('app') ?? document.body;
const address = parseAddress(location.pathname, location.search);

if (address === null) {
  app.append(buildHeader(), h('main', { class: 'narrow' }, h('h1', {}, t('cover.denied')), h('p', {}, t('cover.denied-text'))));
} else {
  const title = h('h1', { class: 'watch-title' }, address.room);
  const badge = h('span', { class: 'badge' });
  const viewers = h('span', { class: 'watch-viewers' });
  const uptime = h('span', { class: 'watch-uptime' });
  const details = (session: WatchSession): void => {
    const { state, room } = session;
    badge.dataset['state'] = state;
    setText(badge, t(`state.${state}`));
    if (room !== null) {
      setText(title, room.title);
      document.title = `${room.title} · Telstar`;
    }
    const isLive = state === 'live' && room !== null;
    viewers.hidden = uptime.hidden = !isLive;
    if (!isLive) return;
    setText(viewers, t('room.viewers', { count: room.viewers }));
    uptime.hidden = room.started_at === null;
    if (room.started_at !== null) {
      setText(uptime, t('room.uptime', { time: formatUptime((Date.now() - Date.parse(room.started_at)) / 1000) }));
    }
  };
  const { root } = buildPlayer(address, details);
  app.append(
    buildHeader(),
    h('main', { class: 'watch' },
      root,
      h('div', { class: 'watch-details' },
        h('div', { class: 'watch-heading' }, title,
          h('p', { class: 'watch-facts' }, badge, viewers, uptime)),
        copyButton(() => location.href, 'watch.copy-link'))),
  );
}
