// PyAV, which carries an FFmpeg of its own that speaks Enhanced RTMP and WHIP, unlike the one of Debian 12, and aiortc, which
// is built on it.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { E2E, OUT } from './paths.mjs';
import { run, start } from './process.mjs';

const PACKAGES = ['av==18.*', 'aiortc==1.16.*'];

/** A Python that can `import av, aiortc`: `TELSTAR_PYAV`, else one of our own under out/, made at the first use. */
export async function python() {
  if (process.env.TELSTAR_PYAV) return process.env.TELSTAR_PYAV;
  const folder = path.join(OUT, 'pyav');
  const own = path.join(folder, 'bin/python');
  if (!existsSync(own)) await run('pyav-venv', 'python3', ['-m', 'venv', folder]);
  await run('pyav-install', own, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PACKAGES]);
  return own;
}

/** The versions of PyAV and of the FFmpeg in it. */
export async function pyavVersion() {
  return run('pyav-version', await python(), ['-c', 'import av; print(av.__version__, "with FFmpeg", av.ffmpeg_version_info)']);
}

/** Publishes a file as it is, once and in real time. */
export async function publishEnhanced(url, file, { name = 'pyav' } = {}) {
  return start(name, await python(), [path.join(E2E, 'lib/publish_enhanced.py'), file, url]);
}

/** Pictures and beeps of a live playlist by its own times (lib/sync.mjs), from its start until `seconds` of it were read. */
export async function timelineOfPlaylist(playlist, seconds) {
  return JSON.parse(await run('hls-timeline', await python(), [path.join(E2E, 'lib/hls_timeline.py'), playlist, String(seconds)]));
}
