/** Small choices kept in the browser. Storage may be blocked (a framed page, private browsing); then they last as long as the page. */

const fallback = new Map<string, string>();

export function readPreference(name: string): string | null {
  try {
    return localStorage.getItem(`telstar.${name}`);
  } catch {
    return fallback.get(name) ?? null;
  }
}

export function writePreference(name: string, value: string): void {
  fallback.set(name, value);
  try {
    localStorage.setItem(`telstar.${name}`, value);
  } catch {
    // Kept in `fallback` for this page.
  }
}
