/** A storyboard: WebVTT whose cues name a part of a sheet of small pictures (Media Fragments §4.2.2). Knows no DOM. */

import { resolve } from './http-resource.js';

export interface Thumbnail {
  startSecs: number;
  endSecs: number;
  /** The sheet. */
  url: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** What is not understood is left out. `base` is the storyboard's own address. */
export function parseStoryboard(text: string, base: string): Thumbnail[] {
  const thumbnails: Thumbnail[] = [];
  for (const block of text.replace(/\r\n?/g, '\n').split(/\n{2,}/)) {
    const lines = block.split('\n');
    const at = lines.findIndex((line) => line.includes('-->'));
    if (at < 0) continue;
    const [start, end] = (lines[at] ?? '').split('-->').map(secsOf);
    const match = /^(.*)#xywh=(?:pixel:)?(\d+),(\d+),(\d+),(\d+)$/.exec((lines[at + 1] ?? '').trim());
    if (start == null || end == null || end <= start || match === null) continue;
    const [x, y, width, height] = match.slice(2).map(Number) as [number, number, number, number];
    thumbnails.push({ startSecs: start, endSecs: end, url: resolve(match[1] ?? '', base), x, y, width, height });
  }
  return thumbnails;
}

/** The one that is shown at a time, or the last before it. */
export function thumbnailAt(thumbnails: readonly Thumbnail[], secs: number): Thumbnail | null {
  let [low, high] = [0, thumbnails.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((thumbnails[middle]?.startSecs ?? 0) <= secs) low = middle + 1;
    else high = middle;
  }
  return thumbnails[Math.max(0, low - 1)] ?? null;
}

/** `00:01:02.500`, `01:02.500`. Settings may follow. */
function secsOf(text: string): number | null {
  const match = /^(?:(\d+):)?(\d{2}):(\d{2})[.,](\d{3})/.exec(text.trim());
  if (match === null) return null;
  const [hours, minutes, secs, millis] = match.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number];
  return hours * 3600 + minutes * 60 + secs + millis / 1000;
}
