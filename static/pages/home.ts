/** `/`: for a guest what this is, for an account its rooms. */

import { Rest } from '../client/index.js';
import { startApp } from './home/app.js';
import { buildLanding } from './home/landing.js';
import { h, replace } from './shared/dom.js';
import { buildHeader } from './shared/header.js';
import { t } from './shared/i18n.js';
import { inWords } from './shared/problems.js';
import { applyTheme } from './shared/theme.js';

applyTheme();
const app = document.getElementById('app') ?? document.body;
const rest = new Rest();
void start();

async function start(): Promise<void> {
  try {
    const [account, server] = await Promise.all([rest.currentAccount(), rest.server()]);
    if (account === null) replace(app, buildHeader(), buildLanding(server));
    else startApp(app, { rest, account, server });
  } catch (error) {
    const again = h('button', { type: 'button', class: 'button button-primary', onclick: () => void start() }, t('home.try-again'));
    replace(app, buildHeader(), h('main', { class: 'narrow' }, h('section', { class: 'card sign-in', role: 'alert' },
      h('h1', {}, t('home.failed')), h('p', { class: 'soft' }, inWords(error)), again)));
  }
}
