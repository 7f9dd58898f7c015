/** What a guest sees at `/`. */

import type { ServerFacts } from '../../client/index.js';
import { copyBlock } from '../shared/field.js';
import { h } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon, type IconName } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';

export function buildLanding(server: ServerFacts): HTMLElement {
  return h('main', { class: 'landing' },
    h('section', { class: 'hero' },
      h('h1', {}, t('landing.title')),
      h('p', { class: 'hero-text' }, t('landing.text')),
      h('ul', { class: 'hero-points' },
        point('broadcast', 'landing.point-push'),
        point('play', 'landing.point-watch'),
        point('people', 'landing.point-call'),
        point('link', 'landing.point-embed'))),
    h('div', { class: 'landing-cards' },
      h('section', { class: 'card' },
        h('h2', {}, t('landing.operator')),
        h('p', { class: 'soft' }, t('landing.operator-text')),
        copyBlock(t('sign-in.command'), 'command', 'telstar sign-in')),
      h('section', { class: 'card' },
        h('h2', {}, t('landing.viewer')),
        h('p', { class: 'soft' }, t('landing.viewer-text')))),
    h('p', { class: 'landing-version' }, `Telstar ${server.version}`));
}

function point(iconName: IconName, key: MessageKey): HTMLElement {
  return h('li', {}, icon(iconName), h('span', {}, t(key)));
}
