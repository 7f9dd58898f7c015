/** One picture in the call: a person's camera or a screen, with the name, the microphone, the network and who speaks. */

import type { Flow, Quality } from '../../client/index.js';
import { h, replace, setProp, setText } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { icon } from '../shared/icons.js';
import type { MessageKey } from '../shared/messages.js';
import { initials, type TileFacts } from './logic.js';

export interface TileModel extends TileFacts {
  name: string;
  video: MediaStreamTrack | null;
  /** Null where there is no microphone to speak of. */
  isAudioOn: boolean | null;
  isSpeaking: boolean;
  isAway: boolean;
  quality: Quality | null;
  flow: Flow | null;
}

const QUALITY_BARS: Record<Quality, number> = { lost: 0, poor: 1, good: 2, excellent: 3 };

export class Tile {
  readonly root: HTMLElement;
  readonly frame: HTMLElement;
  readonly video: HTMLVideoElement;
  private readonly avatar = h('span', { class: 'tile-avatar', 'aria-hidden': 'true' });
  private readonly name = h('span', { class: 'tile-name' });
  private readonly microphone = h('span', { class: 'tile-microphone' });
  private readonly quality = h('span', { class: 'tile-quality', role: 'img' }, ...[1, 2, 3].map((bar) => h('span', { class: `bar bar-${bar}` })));
  private readonly note = h('span', { class: 'tile-note', hidden: true });
  private shownTrack: MediaStreamTrack | null = null;
  private shownAudio: boolean | null | undefined;
  private hasVideo = false;

  constructor(readonly key: string, onChoose: () => void) {
    this.video = h('video', { class: 'tile-picture', playsinline: true, autoplay: true, muted: true });
    // Sound is played by elements of its own; the property is what counts.
    this.video.muted = true;
    for (const event of ['loadeddata', 'emptied'] as const) this.video.addEventListener(event, () => this.showPicture());
    this.frame = h('div', { class: 'tile-frame' }, this.avatar, this.video, this.note,
      h('div', { class: 'tile-label' }, this.microphone, this.name, this.quality));
    this.root = h('article', { class: 'call-tile', tabindex: 0, 'data-key': key, onclick: onChoose,
      onkeydown: (event: KeyboardEvent) => {
        if (event.key !== 'Enter') return;
        event.preventDefault();
        onChoose();
      } }, this.frame);
  }

  show(model: TileModel): void {
    if (model.video !== this.shownTrack) {
      this.shownTrack = model.video;
      this.video.srcObject = model.video === null ? null : new MediaStream([model.video]);
      // Refused only where the page has no right to play at all; the picture then starts with the sound.
      if (model.video !== null) this.video.play().catch(() => {});
    }
    this.hasVideo = model.hasVideo;
    this.video.hidden = !model.hasVideo;
    this.showPicture();
    setText(this.avatar, initials(model.name));
    const name = model.isScreen ? t('call.screen-of', { name: model.name }) : model.isSelf ? t('call.you', { name: model.name }) : model.name;
    setText(this.name, name);
    setProp(this.root, 'aria-label', name);
    this.root.classList.toggle('is-screen', model.isScreen);
    this.root.classList.toggle('is-self', model.isSelf);
    this.root.classList.toggle('is-speaking', model.isSpeaking && !model.isScreen);
    this.video.classList.toggle('is-mirrored', model.isSelf && !model.isScreen);
    this.showAudio(model.isAudioOn);
    this.showQuality(model.quality);
    this.showNote(model);
    setProp(this.root, 'data-participant', model.participant);
    setProp(this.root, 'data-flow', model.flow);
    setProp(this.root, 'data-video', String(model.hasVideo));
    setProp(this.root, 'data-audio', model.isAudioOn === null ? null : String(model.isAudioOn));
  }

  /** Until the first picture has come there is more to see in a name than in a dark box. */
  private showPicture(): void {
    this.avatar.hidden = this.hasVideo && this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
  }

  private showAudio(isOn: boolean | null): void {
    if (isOn === this.shownAudio) return;
    this.shownAudio = isOn;
    this.microphone.hidden = isOn !== false;
    replace(this.microphone, icon('microphoneOff'), h('span', { class: 'visually-hidden' }, t('call.is-muted')));
  }

  private showQuality(quality: Quality | null): void {
    this.quality.hidden = quality === null;
    if (quality === null) return;
    setProp(this.quality, 'data-bars', QUALITY_BARS[quality]);
    setProp(this.quality, 'aria-label', t(`quality.${quality}` as MessageKey));
    setProp(this.quality, 'title', t(`quality.${quality}` as MessageKey));
  }

  private showNote({ isAway, flow, hasVideo }: TileModel): void {
    const key: MessageKey | null = isAway ? 'call.away' : !hasVideo ? null : flow === 'bandwidth' ? 'flow.bandwidth' : flow === 'codec' ? 'flow.codec' : null;
    this.note.hidden = key === null;
    if (key !== null) setText(this.note, t(key));
  }
}
