/** `application/trickle-ice-sdpfrag` (RFC 8840 §9) and what WHIP and WHEP make of it (RFC 9725 §4.3). Pure: text in, text out. */

export interface IceCredentials {
  ufrag: string;
  password: string;
}

/** One side's credentials and what it has gathered for them. */
export interface IceFragment extends IceCredentials {
  /** Without `a=`: `candidate:…`. */
  candidates: string[];
}

/** The first credentials of an SDP or a fragment: with BUNDLE all sections have the same. Null where there are none. */
export function credentialsOf(sdp: string): IceCredentials | null {
  const ufrag = /^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1];
  const password = /^a=ice-pwd:(\S+)/m.exec(sdp)?.[1];
  return ufrag === undefined || password === undefined ? null : { ufrag, password };
}

/** What a server's answer to an ICE restart says. Null where it is no fragment. */
export function readFragment(text: string): IceFragment | null {
  const credentials = credentialsOf(text);
  if (credentials === null) return null;
  return { ...credentials, candidates: Array.from(text.matchAll(/^a=(candidate:[^\r\n]+)/gm), ([, candidate]) => candidate ?? '') };
}

/**
 * What we gathered, under the first section of our offer, which is the one that all others are bundled into.
 * Null where the offer has no section.
 */
export function writeFragment(offer: string, candidates: readonly string[], isComplete: boolean): string | null {
  const section = /^m=.*$[^]*?(?=^m=|$(?![^]))/m.exec(offer)?.[0];
  const mid = /^a=mid:(\S+)/m.exec(section ?? '')?.[1];
  const credentials = credentialsOf(section ?? '') ?? credentialsOf(offer);
  if (section === undefined || mid === undefined || credentials === null) return null;
  const group = /^a=group:BUNDLE .*$/m.exec(offer)?.[0].trimEnd();
  const lines = [
    ...(group === undefined ? [] : [group]),
    section.split(/\r?\n/)[0] ?? '',
    `a=mid:${mid}`,
    `a=ice-ufrag:${credentials.ufrag}`,
    `a=ice-pwd:${credentials.password}`,
    ...candidates.map((candidate) => `a=${candidate}`),
    ...(isComplete ? ['a=end-of-candidates'] : []),
  ];
  return `${lines.join('\r\n')}\r\n`;
}

/** The answer so far with the server's new credentials and candidates: a restart changes nothing else (RFC 9725 §4.3.3). */
export function restartedAnswer(answer: string, fresh: IceFragment): string {
  const sections = answer.split(/(?=^m=)/m);
  const candidates = [...new Set(fresh.candidates)].map((candidate) => `a=${candidate}\r\n`).join('');
  return sections.map((section, index) => {
    const kept = section
      .replace(/^a=(?:candidate:.*|end-of-candidates)\r?\n/gm, '')
      .replace(/^a=ice-ufrag:[^\r\n]*/gm, () => `a=ice-ufrag:${fresh.ufrag}`)
      .replace(/^a=ice-pwd:[^\r\n]*/gm, () => `a=ice-pwd:${fresh.password}`);
    return index === 1 ? kept + candidates : kept;
  }).join('');
}
