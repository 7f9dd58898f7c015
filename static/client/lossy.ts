/** The frames of the data channel `lossy`: unordered, never repeated. Up: receivers and payload; down: sender and payload. */

import { TelstarError } from './errors.js';

export const LOSSY_LABEL = 'lossy';
export const LOSSY_INIT = { ordered: false, maxRetransmits: 0 } as const;
/** The server refuses more. A message above about 1,100 bytes is split by SCTP, and one lost piece loses it. */
export const LOSSY_BYTES_MAX = 16 * 1024;
const RECEIVERS_MAX = 255;

/** `p7` is 7 on the wire. */
export function participantNumber(id: string): number {
  const number = /^p(\d+)$/.exec(id)?.[1];
  if (number === undefined || Number(number) > 0xffff_ffff) throw new TelstarError('bad_participant', `not a participant id: ${id}`);
  return Number(number);
}

/** No receivers means everybody. */
export function encodeLossy(payload: Uint8Array, to: readonly string[] = []): Uint8Array {
  if (payload.byteLength > LOSSY_BYTES_MAX) throw new TelstarError('too_large', `lossy data is limited to ${LOSSY_BYTES_MAX} bytes`);
  if (to.length > RECEIVERS_MAX) throw new TelstarError('too_large', `lossy data goes to at most ${RECEIVERS_MAX} participants by name`);
  const frame = new Uint8Array(1 + 4 * to.length + payload.byteLength);
  const view = new DataView(frame.buffer);
  view.setUint8(0, to.length);
  to.forEach((id, index) => view.setUint32(1 + 4 * index, participantNumber(id)));
  frame.set(payload, 1 + 4 * to.length);
  return frame;
}

/** Null for a frame that is too short. */
export function decodeLossy(frame: ArrayBuffer): { from: string; payload: Uint8Array } | null {
  if (frame.byteLength < 4) return null;
  return { from: `p${new DataView(frame).getUint32(0)}`, payload: new Uint8Array(frame, 4) };
}
