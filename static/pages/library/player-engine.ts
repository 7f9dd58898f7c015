/**
 * Plays the playlist of an asset: with hls.js, or with the browser's own player where Media Source Extensions are missing.
 * While the asset is being made its playlists are EVENT playlists: they grow at the end and are played from the beginning.
 */

import Hls, { type ErrorData } from 'hls.js';
import { qualityLabel } from './logic.js';

/** Set by the build: the worker's file of our own origin, since a page with our policy runs no worker from elsewhere. */
declare const __HLS_WORKER_PATH__: string;

/** A media error is first answered by rebuilding the buffers in place, but not twice within this time. */
const MEDIA_RECOVERY_EVERY_MS = 10_000;
/** Lower saves memory and data that nobody looks at; higher bears a worse connection. hls.js's own is 30 and 60 MB. */
const BUFFER_SECS = 40;

/** One entry of a menu. */
export interface Choice {
  id: number;
  /** The same in every playlist of the asset, and what people read: `720p`, or the track's name. */
  name: string;
}

export type MenuName = 'quality' | 'sound' | 'subtitle';

export interface Menu {
  choices: Choice[];
  /** The one that is on; -1 is automatic quality, or no subtitles. */
  current: number;
}

export interface VodEngineHandlers {
  /** The playlist was read. */
  onReady(): void;
  /** What there is to choose, or what is chosen, is another. */
  onMenus(): void;
  /** It cannot go on. `status` is that of the server's answer, 0 where there was none. */
  onFatal(reason: string, status: number): void;
}

export interface VodEngine {
  readonly name: 'hls.js' | 'native';
  load(url: string, startSecs: number): void;
  destroy(): void;
  menu(name: MenuName): Menu;
  choose(name: MenuName, id: number): void;
  /** The quality that is shown, also while that is chosen automatically. */
  shownQuality(): string;
}

export function newEngine(video: HTMLVideoElement, handlers: VodEngineHandlers): VodEngine | null {
  if (Hls.isSupported()) return new HlsVodEngine(video, handlers);
  return video.canPlayType('application/vnd.apple.mpegurl') === '' ? null : new NativeVodEngine(video, handlers);
}

class HlsVodEngine implements VodEngine {
  readonly name = 'hls.js';
  private readonly hls: Hls;
  private lastMediaRecovery = -Infinity;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly handlers: VodEngineHandlers,
  ) {
    this.hls = new Hls({
      enableWorker: true,
      workerPath: __HLS_WORKER_PATH__,
      lowLatencyMode: false,
      maxBufferLength: BUFFER_SECS,
      backBufferLength: BUFFER_SECS,
      // A small player needs no large picture.
      capLevelToPlayerSize: true,
    });
    const { Events } = Hls;
    this.hls.on(Events.MANIFEST_PARSED, () => handlers.onReady());
    for (const event of [Events.MANIFEST_PARSED, Events.LEVEL_SWITCHED, Events.AUDIO_TRACKS_UPDATED, Events.AUDIO_TRACK_SWITCHED, Events.SUBTITLE_TRACKS_UPDATED, Events.SUBTITLE_TRACK_SWITCH] as const) {
      this.hls.on(event, () => handlers.onMenus());
    }
    this.hls.on(Events.ERROR, (_event, data) => this.failed(data));
  }

  load(url: string, startSecs: number): void {
    // A playlist that still grows would else begin near its end, as a live one.
    this.hls.config.startPosition = startSecs;
    this.hls.attachMedia(this.video);
    this.hls.loadSource(url);
  }

  destroy(): void {
    this.hls.destroy();
  }

  menu(name: MenuName): Menu {
    switch (name) {
      case 'quality':
        return this.qualities();
      case 'sound':
        return { choices: this.hls.audioTracks.map(named), current: this.hls.audioTrack };
      case 'subtitle':
        return { choices: this.hls.subtitleTracks.map(named), current: this.hls.subtitleTrack };
    }
  }

  choose(name: MenuName, id: number): void {
    if (name === 'quality') this.hls.nextLevel = id;
    else if (name === 'sound') this.hls.audioTrack = id;
    else this.hls.subtitleTrack = id;
    this.handlers.onMenus();
  }

  private qualities(): Menu {
    const choices = this.hls.levels.map(({ width, height, frameRate, bitrate }, id) => ({
      id, bitrate, side: Math.min(width, height),
      name: qualityLabel({ width: width || null, height: height || null, fps: frameRate || null }),
    }));
    choices.sort((a, b) => b.side - a.side || b.bitrate - a.bitrate);
    // The same picture with another sound, or in another codec, is the same choice.
    const shown = choices.filter(({ name }, index) => name !== '' && choices.findIndex((other) => other.name === name) === index);
    return { choices: shown.map(({ id, name }) => ({ id, name })), current: this.hls.autoLevelEnabled ? -1 : this.hls.nextLevel };
  }

  shownQuality(): string {
    const level = this.hls.levels[this.hls.currentLevel];
    return level === undefined ? '' : qualityLabel({ width: level.width || null, height: level.height || null, fps: level.frameRate || null });
  }

  private failed(data: ErrorData): void {
    if (!data.fatal) return;
    const now = performance.now();
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && now - this.lastMediaRecovery > MEDIA_RECOVERY_EVERY_MS) {
      this.lastMediaRecovery = now;
      this.hls.recoverMediaError();
      return;
    }
    this.handlers.onFatal(data.details, data.response?.code ?? 0);
  }
}

function named({ name }: { name: string }, id: number): Choice {
  return { id, name };
}

function labelled({ label, language }: { label: string; language: string }, id: number): Choice {
  return { id, name: label || language };
}

/** Safari on phones. The quality is its own to choose. */
class NativeVodEngine implements VodEngine {
  readonly name = 'native';
  private readonly abort = new AbortController();
  private startSecs = 0;

  constructor(
    private readonly video: HTMLVideoElement,
    handlers: VodEngineHandlers,
  ) {
    const options = { signal: this.abort.signal };
    video.addEventListener('loadedmetadata', () => {
      if (this.startSecs > 0) video.currentTime = this.startSecs;
      handlers.onReady();
      handlers.onMenus();
    }, options);
    video.addEventListener('error', () => handlers.onFatal(`media error ${video.error?.code ?? 0}`, 0), options);
    for (const name of ['addtrack', 'removetrack', 'change'] as const) {
      video.textTracks.addEventListener(name, () => handlers.onMenus(), options);
      this.audioTracks?.addEventListener(name, () => handlers.onMenus(), options);
    }
  }

  load(url: string, startSecs: number): void {
    this.startSecs = startSecs;
    this.video.src = url;
    this.video.load();
  }

  destroy(): void {
    this.abort.abort();
    this.video.removeAttribute('src');
    this.video.load();
  }

  menu(name: MenuName): Menu {
    const [sounds, texts] = [Array.from(this.audioTracks ?? []), this.textTracks()];
    if (name === 'sound') return { choices: sounds.map(labelled), current: sounds.findIndex(({ enabled }) => enabled) };
    if (name === 'subtitle') return { choices: texts.map(labelled), current: texts.findIndex(({ mode }) => mode === 'showing') };
    return { choices: [], current: -1 };
  }

  choose(name: MenuName, id: number): void {
    if (name === 'sound') {
      Array.from(this.audioTracks ?? []).forEach((track, index) => {
        track.enabled = index === id;
      });
    } else if (name === 'subtitle') {
      this.textTracks().forEach((track, index) => {
        track.mode = index === id ? 'showing' : 'disabled';
      });
    }
  }

  shownQuality(): string {
    const { videoWidth: width, videoHeight: height } = this.video;
    return qualityLabel({ width: width || null, height: height || null, fps: null });
  }

  private textTracks(): TextTrack[] {
    return Array.from(this.video.textTracks).filter(({ kind }) => kind === 'subtitles' || kind === 'captions');
  }

  /** HTML has them; of the browsers only WebKit does. */
  private get audioTracks(): AudioTracks | undefined {
    return (this.video as HTMLVideoElement & { audioTracks?: AudioTracks }).audioTracks;
  }
}

type AudioTracks = EventTarget & Iterable<{ label: string; language: string; enabled: boolean }> & ArrayLike<{ label: string; language: string; enabled: boolean }>;
