/** What the library decides, apart from any element. Tested in Node. */

import type { Asset, Job, Rendition } from '../../client/index.js';

export interface LibraryAddress {
  /** Null for the list. */
  asset: string | null;
  token: string | null;
  startMuted: boolean;
  /** Where to begin. */
  startSecs: number;
}

/** Null where the path names nothing of the library. */
export function parseAddress(path: string, query: string): LibraryAddress | null {
  const match = /^\/(?:library|embed\/vod)(?:\/([a-z0-9]{22}))?\/?$/.exec(path);
  if (match === null) return null;
  const params = new URLSearchParams(query);
  const muted = params.get('muted');
  const start = Number(params.get('start') ?? '0');
  return {
    asset: match[1] ?? null,
    token: params.get('t'),
    startMuted: muted !== null && muted !== '0' && muted !== 'false',
    startSecs: Number.isFinite(start) && start > 0 ? start : 0,
  };
}

/**
 * A link of the server as this page asks for it: of the page's own origin, which may be another than the configured one, and with
 * the playback token, if there is one and the link has none yet.
 */
export function mediaUrl(link: string, token: string | null = null): string {
  const path = link.replace(/^https?:\/\/[^/]+/i, '');
  if (token === null || /[?&]t=/.test(path)) return path;
  return `${path}${path.includes('?') ? '&' : '?'}t=${encodeURIComponent(token)}`;
}

/** What a card says of an asset: `playable` can be watched while the rest is being made. */
export type AssetStatus = 'processing' | 'playable' | 'ready' | 'failed';

export function statusOf({ state, playable, progress }: Pick<Asset, 'state' | 'playable' | 'progress'>): AssetStatus {
  return playable && (state === 'processing' || (state === 'ready' && progress < 1)) ? 'playable' : state;
}

/** Those that people want to see: under way first, then what waits, then what went wrong. */
export function openJobs(jobs: Iterable<Job>): Job[] {
  const order = ['leased', 'ready', 'blocked', 'failed', 'cancelled'];
  return [...jobs].filter((job) => job.state !== 'done').sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || a.job - b.job);
}

export function isUnderWay(job: Pick<Job, 'state'>): boolean {
  return job.state === 'leased' || job.state === 'ready' || job.state === 'blocked';
}

/** An older state of a job never takes the place of a newer one: answers and events may come in any order. */
export function isNewer(next: Pick<Job, 'updated_at' | 'progress'>, known: Pick<Job, 'updated_at' | 'progress'> | undefined): boolean {
  if (known === undefined || next.updated_at !== known.updated_at) return known === undefined || next.updated_at > known.updated_at;
  return next.progress >= known.progress;
}

/** `1080p`, `1080p60`; a portrait picture is named by its short side as well. */
export function qualityLabel({ width, height, fps }: Pick<Rendition, 'width' | 'height' | 'fps'>): string {
  const side = Math.min(width ?? Infinity, height ?? Infinity);
  if (!Number.isFinite(side)) return '';
  return `${side}p${fps !== null && fps > 35 ? Math.round(fps) : ''}`;
}

/** What the multivariant playlist is made of: a player reads it only once. */
export function playableNames(renditions: readonly Rendition[]): string {
  return renditions.map(({ name }) => name).sort().join(' ');
}

/** The pictures there are of an asset, the best first, each once. */
export function qualitiesOf(renditions: readonly Rendition[]): string[] {
  const side = ({ width, height }: Rendition): number => Math.min(width ?? 0, height ?? 0);
  const pictures = renditions.filter(({ kind }) => kind === 'video').sort((a, b) => side(b) - side(a) || (b.fps ?? 0) - (a.fps ?? 0));
  return [...new Set(pictures.map(qualityLabel))].filter((label) => label !== '');
}

const CODECS: Record<string, string> = {
  h264: 'H.264', hevc: 'HEVC', av1: 'AV1', vp8: 'VP8', vp9: 'VP9', mpeg2video: 'MPEG-2', mpeg4: 'MPEG-4', prores: 'ProRes', mjpeg: 'Motion JPEG',
  aac: 'AAC', mp3: 'MP3', opus: 'Opus', vorbis: 'Vorbis', ac3: 'AC-3', eac3: 'E-AC-3', dts: 'DTS', flac: 'FLAC', alac: 'ALAC',
  subrip: 'SRT', ass: 'ASS', webvtt: 'WebVTT', mov_text: 'MP4',
};

/** FFmpeg's name of a codec as its makers write it. */
export function codecLabel(codec: string): string {
  return CODECS[codec] ?? (codec.startsWith('pcm_') ? 'PCM' : codec);
}

/** Channels as people say them; null where that needs words. */
export function channelsLabel(channels: number): string | null {
  return { 6: '5.1', 8: '7.1' }[channels] ?? null;
}

/** The words of a problem begin small, to stand behind others; here they stand alone. */
export function sentence(words: string): string {
  const text = words.trim();
  return text === '' ? '' : `${text[0]?.toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? '' : '.'}`;
}

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

/** `0 B`, `1.2 MB`, `38 GB`: in thousands, as operating systems count files. */
export function formatBytes(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 9.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** How long something still takes, as roughly as people want to know it. */
export type Left = { key: 'library.left-secs' | 'library.left-minutes' | 'library.left-hours'; count: number };

export function left(secs: number): Left {
  if (secs < 55) return { key: 'library.left-secs', count: Math.max(1, secs < 10 ? Math.ceil(secs) : Math.ceil(secs / 5) * 5) };
  if (secs < 55 * 60) return { key: 'library.left-minutes', count: Math.max(1, Math.round(secs / 60)) };
  return { key: 'library.left-hours', count: Math.max(1, Math.round(secs / 3600)) };
}

/** 0 to 100. Only what is whole is a hundred. */
export function percent(share: number): number {
  return share >= 1 ? 100 : Math.max(0, Math.min(99, Math.floor(share * 100)));
}

/** A key that the player takes while nothing else is focused: seconds to move by. */
export function seekOf(key: string): number | null {
  const steps: Record<string, number> = { j: -10, l: 10, arrowleft: -5, arrowright: 5 };
  return steps[key.toLowerCase()] ?? null;
}
