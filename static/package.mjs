// Packs @telstar/client for npm: `node package.mjs FOLDER` writes FOLDER/telstar-client-VERSION.tgz and prints its path.

import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const ROOT = dirname(fileURLToPath(import.meta.url));
const STAGE = join(ROOT, 'node_modules', '.cache', 'telstar-package');

const target = resolve(process.argv[2] ?? '.');
const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));

await rm(STAGE, { recursive: true, force: true });
await mkdir(STAGE, { recursive: true });
await mkdir(target, { recursive: true });
// Not minified: whoever uses it can read and debug it, and bundles it anyway.
await esbuild.build({ absWorkingDir: ROOT, entryPoints: ['client/index.ts'], outfile: join(STAGE, 'index.js'), bundle: true, format: 'esm', target: 'es2022', charset: 'utf8', logLevel: 'warning' });
execFileSync(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(ROOT, 'client', 'tsconfig.types.json')], { stdio: ['ignore', 'inherit', 'inherit'] });
const manifest = JSON.parse(await readFile(join(ROOT, 'client', 'package.json'), 'utf8'));
await writeFile(join(STAGE, 'package.json'), `${JSON.stringify({ ...manifest, version }, null, 2)}\n`);
await copyFile(join(ROOT, 'client', 'README.md'), join(STAGE, 'README.md'));
await copyFile(join(ROOT, '..', 'LICENSE'), join(STAGE, 'LICENSE'));
const packed = execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--offline', '--pack-destination', target], { cwd: STAGE, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
console.log(join(target, packed.trim().split('\n').at(-1)));
