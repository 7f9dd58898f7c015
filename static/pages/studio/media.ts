/** What is sent: camera, screen or both as one picture, microphone and screen sound as one sound. */

import type { Devices } from '../shared/devices.js';
import { readPreference, writePreference } from '../shared/preferences.js';
import { openScreen, type Screen } from '../shared/screen.js';
import { presetOf, type Preset, type Source } from './logic.js';
import { PictureMix } from './picture-mix.js';
import { SoundMix } from './sound-mix.js';

export class StudioMedia {
  source: Source = 'camera';
  preset: Preset = presetOf(readPreference('studio.preset'));
  isMicrophoneOn = readPreference('studio.audio') !== 'off';
  private screen: Screen | null = null;
  private mix: PictureMix | null = null;
  private mixedCamera: MediaStreamTrack | null = null;
  private readonly sound = new SoundMix();
  private readonly listeners = new Set<() => void>();
  private readonly stop: () => void;
  private isClosed = false;

  constructor(readonly devices: Devices) {
    this.stop = devices.listen(() => this.update());
  }

  listen(listener: () => void): void {
    this.listeners.add(listener);
  }

  /** Opens camera and microphone, with one question to the person. */
  async open(): Promise<void> {
    await this.devices.resizeCamera(this.preset);
    await this.devices.openWanted({ audio: this.isMicrophoneOn, video: this.source !== 'screen' });
    this.update();
  }

  /** The picture as it goes out; null where there is none. */
  get video(): MediaStreamTrack | null {
    if (this.source === 'camera') return this.devices.tracks.video;
    return this.mix?.track ?? this.screen?.video ?? null;
  }

  get audio(): MediaStreamTrack | null {
    return this.sound.track;
  }

  get hasSound(): boolean {
    return !this.sound.isEmpty;
  }

  /** False where the person closed the browser's choice of a screen: then all stays as it was. */
  async choose(source: Source): Promise<boolean> {
    if (source !== 'camera' && this.screen === null) {
      const screen = await openScreen({ width: { max: this.preset.width }, height: { max: this.preset.height }, frameRate: { ideal: this.preset.frameRate } });
      if (screen === null) return false;
      if (this.isClosed) {
        stopScreen(screen);
        return false;
      }
      this.screen = screen;
      // The browser's own bar can end it as well.
      screen.video.addEventListener('ended', () => this.screen === screen && void this.choose('camera'));
    }
    this.source = source;
    if (source === 'camera') this.closeScreen();
    if (source === 'screen') this.devices.close('video');
    else if (this.devices.tracks.video === null) await this.devices.open('video');
    this.update();
    return true;
  }

  async setPreset(preset: Preset): Promise<void> {
    this.preset = preset;
    writePreference('studio.preset', preset.name);
    this.closeMix();
    await this.screen?.video.applyConstraints({ width: { max: preset.width }, height: { max: preset.height }, frameRate: { ideal: preset.frameRate } }).catch(() => {});
    await this.devices.resizeCamera(preset);
    this.update();
  }

  async toggleMicrophone(): Promise<void> {
    const isMissing = this.devices.tracks.audio === null;
    this.isMicrophoneOn = isMissing || !this.isMicrophoneOn;
    writePreference('studio.audio', this.isMicrophoneOn ? 'on' : 'off');
    if (isMissing) await this.devices.open('audio');
    this.update();
  }

  /** To be called by what the person does, so that the browser lets the sound run. */
  wake(): void {
    this.sound.wake();
  }

  close(): void {
    this.isClosed = true;
    this.stop();
    this.closeScreen();
    this.closeMix();
    this.sound.close();
    this.devices.closeAll();
  }

  private update(): void {
    if (this.isClosed) return;
    const { audio, video } = this.devices.tracks;
    this.sound.set('microphone', this.isMicrophoneOn ? audio : null);
    this.sound.set('screen', this.screen?.audio ?? null);
    this.updateMix(video);
    for (const listener of [...this.listeners]) listener();
  }

  private updateMix(camera: MediaStreamTrack | null): void {
    if (this.source !== 'both' || this.screen === null) {
      this.closeMix();
      return;
    }
    if (this.mix === null) this.mix = new PictureMix(this.screen.video, camera, this.preset);
    else if (camera !== this.mixedCamera) this.mix.showCamera(camera);
    this.mixedCamera = camera;
  }

  private closeMix(): void {
    this.mix?.close();
    this.mix = this.mixedCamera = null;
  }

  private closeScreen(): void {
    const { screen } = this;
    this.screen = null;
    if (screen !== null) stopScreen(screen);
  }
}

function stopScreen({ video, audio }: Screen): void {
  video.stop();
  audio?.stop();
}
