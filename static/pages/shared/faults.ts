/** What can be wrong with devices and paths. Each has its words as `fault.…`. Knows no DOM. */

export type Fault = 'insecure' | 'no-webrtc' | 'denied' | 'no-device' | 'in-use' | 'socket' | 'unreachable' | 'unreachable-direct' | 'tcp-only';

/** What `getUserMedia` threw, by name (W3C mediacapture-main §10.2). */
export function deviceFault(name: string): Fault {
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied';
  if (name === 'NotReadableError' || name === 'AbortError') return 'in-use';
  return 'no-device';
}
