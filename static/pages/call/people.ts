/** Who is in the call, and what an administrator of the room may do about it. */

import type { Call, RemoteParticipant, Rest } from '../../client/index.js';
import { writeClipboard } from '../shared/copy.js';
import { confirmDialog } from '../shared/dialog.js';
import { busy, copyField } from '../shared/field.js';
import { h, replace, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import { toast } from '../shared/toast.js';
import { buildPanel } from './panels.js';

export interface PeoplePanel {
  root: HTMLElement;
  update(): void;
}

export function buildPeoplePanel(call: Call, rest: Rest): PeoplePanel {
  const list = h('ul', { class: 'people-list' });
  const invite = buildInvite(call, rest);
  const { root, heading } = buildPanel('aside', 'people', 'side-panel people', t('people.heading'), list, invite);
  let shown = '';
  function update(): void {
    const isAdmin = call.self.grants.includes('admin');
    const others = [...call.participants.values()];
    invite.hidden = !isAdmin;
    const next = JSON.stringify([isAdmin, call.self.name, others.map((person) => [person.id, person.name, person.isAway, person.grants, [...person.tracks.values()].map(({ id, isMuted }) => [id, isMuted])])]);
    if (next === shown) return;
    shown = next;
    const focused = document.activeElement?.getAttribute('data-action') ?? null;
    setText(heading, t('people.count', { count: others.length + 1 }));
    replace(list, h('li', {}, h('span', { class: 'person-name' }, t('call.you', { name: call.self.name }))), ...others.map((person) => item(call, person, isAdmin)));
    // The list is made anew; whoever moves by keyboard stays on the same button.
    if (focused !== null) list.querySelector<HTMLElement>(`[data-action="${CSS.escape(focused)}"]`)?.focus();
  }
  update();
  return { root, update };
}

function item(call: Call, person: RemoteParticipant, isAdmin: boolean): HTMLElement {
  const microphone = person.track('microphone');
  const tags = [
    person.isAway ? h('span', { class: 'person-tag' }, t('call.away')) : null,
    !person.grants.includes('publish') ? h('span', { class: 'person-tag' }, t('people.listens')) : null,
    microphone?.isMuted === true ? h('span', { class: 'person-tag' }, t('call.is-muted')) : null,
  ];
  const mute = h('button', {
    type: 'button', class: 'button button-quiet is-small', 'data-action': `mute ${person.id}`, 'aria-label': t('people.mute-who', { name: person.name }),
    onclick: () => void busy(mute, async () => {
      const live = [...person.tracks.values()].filter((track) => track.kind === 'audio' && !track.isMuted);
      for (const track of live) await call.muteTrack(track);
    }),
  }, t('people.mute'));
  mute.disabled = microphone === null || microphone.isMuted;
  const mayPublish = person.grants.includes('publish');
  const grant = h('button', {
    type: 'button', class: 'button button-quiet is-small', 'data-action': `grant ${person.id}`,
    'aria-label': t(mayPublish ? 'people.bar-who' : 'people.allow-who', { name: person.name }), title: t(mayPublish ? 'people.bar-who' : 'people.allow-who', { name: person.name }),
    onclick: () => void busy(grant, () => {
      const others = person.grants.filter((each) => each !== 'publish');
      return call.updateParticipant(person.id, { grants: mayPublish ? others : [...others, 'publish'] });
    }),
  }, t(mayPublish ? 'people.bar' : 'people.allow'));
  const remove = h('button', {
    type: 'button', class: 'button button-danger is-small', 'data-action': `remove ${person.id}`, 'aria-label': t('people.remove-who', { name: person.name }),
    onclick: () => void busy(remove, async () => {
      const isSure = await confirmDialog({ title: t('people.remove-title', { name: person.name }), text: t('people.remove-text'), confirm: t('people.remove') });
      if (isSure) await call.remove(person.id);
    }),
  }, t('people.remove'));
  return h('li', { 'data-person': person.id },
    h('span', { class: 'person-name' }, person.name), ...tags,
    isAdmin ? h('span', { class: 'person-actions' }, mute, grant, remove) : null);
}

/** An invite is shown by the server only once, so it is made when it is wanted. */
function buildInvite(call: Call, rest: Rest): HTMLElement {
  const result = h('div', { 'aria-live': 'polite' });
  const button = h('button', {
    type: 'button', class: 'button button-quiet', 'data-name': 'invite',
    onclick: () => void busy(button, async () => {
      const { url } = await rest.createInvite(call.room);
      replace(result, copyField(t('people.invite-link'), 'invite-link', url, t('people.invite-note')));
      if (await writeClipboard(url)) toast('info', t('people.invite-copied'));
    }),
  }, icon('link'), h('span', {}, t('people.invite')));
  return h('div', { class: 'people-invite' }, button, result);
}
