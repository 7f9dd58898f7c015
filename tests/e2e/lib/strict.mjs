// hls-parser (MIT) as an independent reader of playlists, in its strict mode.

import HLS from 'hls-parser';

HLS.setOptions({ strictMode: true });

/** What the parser says against a playlist, or null. */
export function strictError(text) {
  try {
    HLS.parse(text);
    return null;
  } catch (error) {
    return error.message;
  }
}
