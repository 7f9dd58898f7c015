// The server that a script is about: ours, or with `E2E_SERVER=mediamtx` MediaMTX (`MEDIAMTX_BIN`), which speaks the same
// WHIP, WHEP, RTMP and HLS. What fails with both is the script's or the client's doing.

import path from 'node:path';
import { mediamtx } from './peers.mjs';
import { Telstar } from './server.mjs';

export const isOurs = process.env.E2E_SERVER !== 'mediamtx';

/** Starts it. Its `room(name)` has `rtmp`, `whip`, `whep`, `playlist` and `key`, the bearer of WHIP. */
export async function openServer(options = {}) {
  if (isOurs) return Telstar.launch(options);
  // The record of the run names the binary that was tested.
  process.env.TELSTAR_BIN = path.resolve(process.env.MEDIAMTX_BIN);
  return mediamtx({ webrtc: true });
}
