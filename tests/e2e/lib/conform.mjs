// The LL-HLS conformance client (tests/conformance) at a playlist: `TELSTAR_CONFORMANCE` names its built executable, without
// it cargo builds it.

import { REPO } from './paths.mjs';
import { start } from './process.mjs';

const SECONDS = process.env.CONFORMANCE_SECONDS ?? '20';

/** Whether it found nothing, and its words where it did. `course` is `asset` for what is whole. */
export async function examine(playlist, { course = 'live' } = {}) {
  const test = ['any_server', '--nocapture'];
  const built = process.env.TELSTAR_CONFORMANCE;
  const [command, words] = built ? [built, test] : ['cargo', ['test', '--quiet', '--locked', '--test', 'conformance', '--', ...test]];
  const lines = [];
  const client = start('conformance', command, words, { cwd: REPO, env: { CONFORMANCE_URL: playlist, CONFORMANCE_SECONDS: SECONDS, CONFORMANCE_COURSE: course }, onLine: (line) => lines.push(line) });
  const { code } = await client.exited;
  return { ok: code === 0, seconds: Number(SECONDS), ...(code !== 0 && { words: lines.filter((line) => !line.startsWith('not judged')).slice(0, 30) }) };
}
