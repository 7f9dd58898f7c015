/** Numbers as people read them. Knows no DOM; units that need words are messages elsewhere. */

/** `3:07`, `1:02:33`, `3d 04:05:06` is `76:05:06`: hours go on, as broadcasters count. */
export function formatUptime(totalSecs: number): string {
  const secs = Math.max(0, Math.floor(totalSecs));
  const hours = Math.floor(secs / 3600);
  const minutes = Math.floor((secs % 3600) / 60);
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(secs % 60)}` : `${minutes}:${two(secs % 60)}`;
}

/** `2.5 Mb/s`, `160 kb/s`. */
export function formatBitrate(bitrateBps: number): string {
  if (bitrateBps >= 10_000_000) return `${Math.round(bitrateBps / 1_000_000)} Mb/s`;
  if (bitrateBps >= 1_000_000) return `${(bitrateBps / 1_000_000).toFixed(1)} Mb/s`;
  return `${Math.round(bitrateBps / 1_000)} kb/s`;
}

/** `30`, `29.97`, `23.98`. */
export function formatFrameRate(frameRate: number): string {
  return String(Math.round(frameRate * 100) / 100);
}

export function formatSecs(secs: number): string {
  return secs.toFixed(1);
}

/** `2.1`, and below one second `0.18`: there the next digit tells something. */
export function formatLatency(secs: number): string {
  return secs.toFixed(secs < 0.995 ? 2 : 1);
}

/** `48 kHz`, `44.1 kHz`. */
export function formatSampleRate(hz: number): string {
  return `${Math.round(hz / 100) / 10} kHz`;
}

/**
 * What a person may type as an origin, as the browser writes it: `example.com` is `https://example.com`.
 * Null where it names no web origin.
 */
export function normaliseOrigin(typed: string): string | null {
  const text = typed.trim();
  if (text === '') return null;
  const match = /^(?:(https?):\/\/)?([a-z0-9.-]+|\[[0-9a-f:]+\])(?::(\d{1,5}))?\/?$/i.exec(text);
  if (match === null) return null;
  const scheme = (match[1] ?? 'https').toLowerCase();
  const port = match[3];
  const isDefault = port === undefined || (scheme === 'https' && port === '443') || (scheme === 'http' && port === '80');
  return `${scheme}://${(match[2] ?? '').toLowerCase()}${isDefault ? '' : `:${port}`}`;
}
