// Reads playlists that another program has seen, with hls-parser in strict mode: the third reader besides the
// conformance client's own and quick-m3u8. Usage: node scripts/playlists.mjs FOLDER

import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { strictError } from '../lib/strict.mjs';

const folder = process.argv[2];
if (!folder) throw new Error('usage: node scripts/playlists.mjs FOLDER');
const files = readdirSync(folder).filter((name) => name.endsWith('.m3u8'));
const wrong = files.flatMap((name) => {
  const text = readFileSync(path.join(folder, name), 'utf8');
  const error = strictError(text);
  return error ? [`${name}: ${error}\n${text}`] : [];
});
for (const complaint of wrong.slice(0, 5)) console.error(complaint);
console.log(`hls-parser, strict: ${files.length} playlists, ${wrong.length} refused`);
if (!files.length) console.error(`there is no playlist in ${folder}`);
process.exitCode = wrong.length || !files.length ? 1 : 0;
