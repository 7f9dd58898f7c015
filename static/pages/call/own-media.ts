/** One's own camera, microphone and screen in the call: devices on one side, published tracks on the other. */

import { TelstarError, type Call, type LocalTrack } from '../../client/index.js';
import type { Devices, InputKind } from '../shared/devices.js';
import { openScreen } from '../shared/screen.js';

export class OwnMedia {
  microphone: LocalTrack | null = null;
  camera: LocalTrack | null = null;
  screen: LocalTrack | null = null;
  private screenSound: LocalTrack | null = null;
  private readonly stops: (() => void)[] = [];
  private isClosed = false;

  constructor(
    private readonly call: Call,
    private readonly devices: Devices,
    private readonly changed: () => void,
  ) {
    this.stops.push(
      call.on('localTrack', (local) => this.trackChanged(local)),
      call.on('grants', ({ lost }) => lost.includes('publish') && this.barred()),
      devices.listen(() => this.devicesChanged()),
    );
  }

  get isAudioOn(): boolean {
    return this.microphone !== null && !this.microphone.isMuted;
  }

  get isVideoOn(): boolean {
    return this.camera !== null && !this.camera.isMuted;
  }

  get isSharing(): boolean {
    return this.screen !== null;
  }

  /** What is open is published at once, muted where it was switched off before. */
  start(isAudioOn: boolean, isVideoOn: boolean): void {
    const { audio, video } = this.devices.tracks;
    if (audio !== null) this.microphone = this.call.publish(audio, { source: 'microphone', muted: !isAudioOn });
    if (video !== null && isVideoOn) this.camera = this.call.publish(video, { source: 'camera' });
    this.changed();
  }

  async toggleAudio(): Promise<void> {
    if (this.microphone !== null) {
      await this.switchMicrophone(this.microphone);
      return;
    }
    const track = this.devices.tracks.audio ?? (await this.open('audio'));
    if (track === null) return;
    this.microphone = this.call.publish(track, { source: 'microphone' });
    this.changed();
  }

  async toggleVideo(): Promise<void> {
    if (this.isVideoOn && this.camera !== null) {
      const muted = this.camera.mute();
      // The light of the camera goes off as well.
      this.devices.close('video');
      await muted;
      return;
    }
    const track = await this.open('video');
    if (track === null) return;
    if (this.camera === null) {
      this.camera = this.call.publish(track, { source: 'camera' });
    } else {
      await this.camera.replace(track);
      await this.camera.unmute();
    }
    this.changed();
  }

  /** Resolves without sharing where the person closes the browser's choice. */
  async toggleScreen(): Promise<void> {
    if (this.screen !== null) {
      this.stopScreen();
      return;
    }
    const screen = await openScreen();
    if (screen === null) return;
    const { video, audio } = screen;
    if (this.isClosed || this.screen !== null) {
      // Somebody has left, or has asked twice, while the browser's choice was open.
      for (const track of [video, audio]) track?.stop();
      return;
    }
    // The browser's own bar can end it as well.
    video.addEventListener('ended', () => this.stopScreen());
    this.screen = this.call.publish(video, { source: 'screen' });
    if (audio !== null) this.screenSound = this.call.publish(audio, { source: 'screen-audio' });
    this.changed();
  }

  /** Another device was chosen. What is off stays off, and the device is remembered for later. */
  async replace(kind: InputKind, track: MediaStreamTrack): Promise<void> {
    if (this.isClosed || (kind === 'video' && !this.isVideoOn)) this.devices.close(kind);
    else if (kind === 'video') await this.camera?.replace(track);
    else if (this.microphone !== null) await this.microphone.replace(track);
    else this.microphone = this.call.publish(track, { source: 'microphone', muted: true });
    this.changed();
  }

  close(): void {
    this.isClosed = true;
    for (const stop of this.stops) stop();
    this.screen?.mediaTrack.stop();
    this.screenSound?.mediaTrack.stop();
  }

  private async switchMicrophone(microphone: LocalTrack): Promise<void> {
    if (!microphone.isMuted) {
      await microphone.mute();
      return;
    }
    if (microphone.mediaTrack.readyState === 'ended') {
      const track = await this.open('audio');
      if (track === null) return;
      await microphone.replace(track);
    }
    await microphone.unmute();
  }

  /** Null when the call is over by the time that the person has answered the browser. */
  private async open(kind: InputKind): Promise<MediaStreamTrack | null> {
    const track = await this.devices.open(kind);
    if (this.isClosed) {
      this.devices.close(kind);
      return null;
    }
    if (track === null) throw new TelstarError(this.devices.faults[kind] ?? 'no-device', 'nothing to send');
    return track;
  }

  /** The right is gone. Its return must not make anybody heard or seen who does not know of it, so everything goes off. */
  private barred(): void {
    this.microphone?.mute().catch(() => {});
    this.camera?.mute().catch(() => {});
    this.devices.close('video');
    if (this.screen !== null) this.stopScreen();
    this.changed();
  }

  private stopScreen(): void {
    for (const local of [this.screen, this.screenSound]) {
      if (local === null) continue;
      local.mediaTrack.stop();
      local.unpublish().catch(() => {});
    }
    this.screen = this.screenSound = null;
    this.changed();
  }

  private trackChanged(local: LocalTrack): void {
    if (!this.call.localTracks.has(local)) {
      // Refused, or taken back by the server: a right that ended.
      if (local === this.microphone) {
        this.microphone = null;
        this.devices.close('audio');
      }
      if (local === this.camera) {
        this.camera = null;
        this.devices.close('video');
      }
      if (local === this.screen) this.stopScreen();
    } else if (local === this.camera && local.isMuted && local.mutedBy === 'moderator') {
      this.devices.close('video');
    }
    this.changed();
  }

  /** A device that was unplugged sends nothing: the others are told. */
  private devicesChanged(): void {
    const { camera, microphone } = this;
    if (camera !== null && !camera.isMuted && camera.mediaTrack.readyState === 'ended') camera.mute().catch(() => {});
    if (microphone !== null && !microphone.isMuted && microphone.mediaTrack.readyState === 'ended') microphone.mute().catch(() => {});
    this.changed();
  }
}
