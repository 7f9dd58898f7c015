/** The buttons under the pictures, and the keys that do the same. */

import { h } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import type { MessageKey } from '../shared/messages.js';
import { IconToggle } from '../shared/icon-toggle.js';
import { canShareScreen } from '../shared/screen.js';
import type { Layout } from './stage.js';

export interface ToolbarActions {
  audio(): void;
  video(): void;
  screen(): void;
  layout(): void;
  people(): void;
  settings(): void;
  stats(): void;
  help(): void;
  leave(): void;
}

export interface ToolbarFacts {
  /** Why nothing can be sent; null where it can. */
  sendingBarred: MessageKey | null;
  isAudioOn: boolean;
  isVideoOn: boolean;
  isSharing: boolean;
  /** What is on the screen now. */
  layout: Layout;
  open: string | null;
}

/** Everything by one key; the help line names them. */
export const KEYS = { m: 'audio', v: 'video', s: 'screen', g: 'layout', p: 'people', d: 'settings', i: 'stats', '?': 'help' } as const satisfies Record<string, keyof ToolbarActions>;

export interface Toolbar {
  root: HTMLElement;
  update(facts: ToolbarFacts): void;
  dispose(): void;
}

export function buildToolbar(actions: ToolbarActions): Toolbar {
  const button = (name: keyof ToolbarActions): IconToggle => new IconToggle(name, () => actions[name]());
  const audio = button('audio');
  const video = button('video');
  const screen = button('screen');
  const layout = button('layout');
  const people = button('people');
  const settings = button('settings');
  const stats = button('stats');
  const help = button('help');
  const leave = button('leave');
  leave.show('hangUp', 'call.leave', null);
  help.show('help', 'call.help', null);
  const canShare = canShareScreen();
  const root = h('div', { class: 'call-bar', role: 'toolbar', 'aria-label': t('call.controls') },
    audio.element, video.element, screen.element, h('span', { class: 'bar-gap' }),
    layout.element, people.element, settings.element, stats.element, help.element, h('span', { class: 'bar-gap' }), leave.element);
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const target = event.target as HTMLElement;
    if (target.closest('input, textarea, select, dialog') !== null) return;
    const name = KEYS[event.key.toLowerCase() as keyof typeof KEYS];
    if (name === undefined) return;
    event.preventDefault();
    actions[name]();
  };
  document.addEventListener('keydown', onKey);
  return {
    root,
    update({ sendingBarred, isAudioOn, isVideoOn, isSharing, layout: shape, open }) {
      screen.element.hidden = !canShare;
      audio.show(isAudioOn ? 'microphone' : 'microphoneOff', isAudioOn ? 'call.mute' : 'call.unmute', isAudioOn, sendingBarred);
      video.show(isVideoOn ? 'camera' : 'cameraOff', isVideoOn ? 'call.stop-camera' : 'call.start-camera', isVideoOn, sendingBarred);
      screen.show('screen', isSharing ? 'call.stop-screen' : 'call.start-screen', isSharing ? true : null, sendingBarred);
      layout.show(shape === 'grid' ? 'speakerLayout' : 'grid', shape === 'grid' ? 'call.to-speaker' : 'call.to-grid', null);
      people.show('people', 'call.people', open === 'people' ? true : null);
      settings.show('settings', 'call.settings', open === 'settings' ? true : null);
      stats.show('chart', 'call.stats', open === 'stats' ? true : null);
    },
    dispose: () => document.removeEventListener('keydown', onKey),
  };
}
