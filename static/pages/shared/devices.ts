/** Cameras, microphones and loudspeakers: opened, switched, remembered. One track per kind at a time. */

import { readPreference, writePreference } from './preferences.js';
import { deviceFault, type Fault } from './faults.js';

export type DeviceKind = 'videoinput' | 'audioinput' | 'audiooutput';
export type InputKind = 'audio' | 'video';

export interface PictureSize {
  width: number;
  height: number;
  frameRate: number;
}

/** What is asked of a camera; it gives what it has. */
const CAMERA: PictureSize = { width: 1280, height: 720, frameRate: 30 };
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class Devices {
  readonly tracks: Record<InputKind, MediaStreamTrack | null> = { audio: null, video: null };
  readonly faults: Record<InputKind, Fault | null> = { audio: null, video: null };
  private readonly listeners = new Set<() => void>();
  private camera = CAMERA;

  constructor() {
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.changed());
  }

  /** Browsers offer devices only to pages that came over TLS or from this computer. */
  get isSecure(): boolean {
    return window.isSecureContext && navigator.mediaDevices !== undefined;
  }

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Opens what is wanted with one question to the person, and each for itself where that fails. */
  async openWanted(wanted: Record<InputKind, boolean>): Promise<void> {
    if (!this.isSecure) {
      this.faults.audio = this.faults.video = 'insecure';
      this.changed();
      return;
    }
    const kinds = (['audio', 'video'] as const).filter((kind) => wanted[kind]);
    if (kinds.length === 0) return;
    try {
      const stream = await navigator.mediaDevices.getUserMedia(Object.fromEntries(kinds.map((kind) => [kind, this.constraints(kind)])));
      for (const track of stream.getTracks()) this.keep(track.kind as InputKind, track);
    } catch {
      await Promise.all(kinds.map((kind) => this.open(kind)));
    }
    this.changed();
  }

  /** Null, with the fault noted, where there is none to open. */
  async open(kind: InputKind, deviceId?: string): Promise<MediaStreamTrack | null> {
    if (deviceId !== undefined) writePreference(`device.${kind}`, deviceId);
    if (!this.isSecure) {
      this.faults[kind] = 'insecure';
      this.changed();
      return null;
    }
    try {
      // Phones open one camera at a time, so the old one goes first.
      if (kind === 'video') this.close('video');
      const stream = await navigator.mediaDevices.getUserMedia({ [kind]: this.constraints(kind) });
      const track = stream.getTracks()[0] ?? null;
      if (track !== null) this.keep(kind, track);
      return track;
    } catch (error) {
      this.faults[kind] = deviceFault(error instanceof Error ? error.name : '');
      return null;
    } finally {
      this.changed();
    }
  }

  /** Switches the device off, light and all. */
  close(kind: InputKind): void {
    this.tracks[kind]?.stop();
    this.tracks[kind] = null;
    this.changed();
  }

  closeAll(): void {
    this.close('audio');
    this.close('video');
  }

  async list(kind: DeviceKind): Promise<MediaDeviceInfo[]> {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    return all.filter((device) => device.kind === kind && device.deviceId !== '');
  }

  current(kind: DeviceKind): string {
    if (kind === 'audiooutput') return readPreference('device.output') ?? '';
    return this.tracks[kind === 'videoinput' ? 'video' : 'audio']?.getSettings().deviceId ?? '';
  }

  /** Asks the camera for another size, now and whenever one is opened. */
  async resizeCamera(size: PictureSize): Promise<void> {
    this.camera = size;
    // A camera that cannot keeps what it has.
    await this.tracks.video?.applyConstraints(wished(size)).catch(() => {});
    this.changed();
  }

  chooseOutput(deviceId: string): void {
    writePreference('device.output', deviceId);
    this.changed();
  }

  private constraints(kind: InputKind): MediaTrackConstraints {
    const stored = readPreference(`device.${kind}`);
    const wish = stored === null || stored === '' ? {} : { deviceId: { ideal: stored } };
    return { ...(kind === 'video' ? wished(this.camera) : MICROPHONE), ...wish };
  }

  private keep(kind: InputKind, track: MediaStreamTrack): void {
    const old = this.tracks[kind];
    if (old !== null && old !== track) old.stop();
    this.tracks[kind] = track;
    this.faults[kind] = null;
    // Unplugged, or taken away by the system.
    track.addEventListener('ended', () => {
      if (this.tracks[kind] !== track) return;
      this.tracks[kind] = null;
      this.faults[kind] = 'no-device';
      this.changed();
    });
  }

  private changed(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

function wished({ width, height, frameRate }: PictureSize): MediaTrackConstraints {
  return { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } };
}

/** Whether this browser lets a page choose the loudspeaker. */
export function canChooseOutput(): boolean {
  return 'setSinkId' in HTMLMediaElement.prototype;
}

export async function routeOutput(element: HTMLMediaElement, deviceId: string): Promise<void> {
  const target = element as HTMLMediaElement & { setSinkId?: (id: string) => Promise<void> };
  // The device may be unplugged by now; then the sound stays where it is.
  await target.setSinkId?.(deviceId).catch(() => {});
}
