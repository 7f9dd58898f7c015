// Builds static/dist: hashed assets, pages that load nothing else, and the client library under its stable name.
// `--for-tests` only compiles the logic that the tests import.

import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const ROOT = dirname(fileURLToPath(import.meta.url));
const DIST = join(ROOT, 'dist');
const TEST_OUT = join(ROOT, 'node_modules', '.cache', 'telstar-test');

/** One entry per page: its script, its style sheet and the name of its HTML file. */
const PAGES = [
  { name: 'home', html: 'index.html' },
  { name: 'sign-in', html: 'sign-in.html' },
  { name: 'watch', html: 'watch.html' },
  { name: 'embed-watch', html: 'embed-watch.html' },
  { name: 'call', html: 'call.html' },
  { name: 'embed-call', html: 'embed-call.html' },
  { name: 'studio', html: 'studio.html' },
  { name: 'library', html: 'library.html' },
  { name: 'embed-vod', html: 'embed-vod.html' },
];

/** Modules without DOM that the tests import. */
const TESTED = {
  client: 'client/index.ts',
  'http-resource': 'client/http-resource.ts',
  sse: 'client/sse.ts',
  upload: 'client/upload.ts',
  'ice-fragment': 'client/ice-fragment.ts',
  'media-stats': 'client/media-stats.ts',
  'watch-logic': 'pages/watch/logic.ts',
  'watch-transport': 'pages/watch/transport.ts',
  'call-logic': 'pages/call/logic.ts',
  'studio-logic': 'pages/studio/logic.ts',
  'library-logic': 'pages/library/logic.ts',
  faults: 'pages/shared/faults.ts',
  format: 'pages/shared/format.ts',
  messages: 'pages/shared/messages.ts',
};

const BROWSERS = ['chrome109', 'firefox115', 'safari16.4'];

if (process.argv.includes('--for-tests')) {
  await buildForTests();
} else {
  await buildDist();
}

async function buildForTests() {
  await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: TESTED,
    outdir: TEST_OUT,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    target: 'node18',
    logLevel: 'warning',
  });
}

async function buildDist() {
  await rm(DIST, { recursive: true, force: true });
  await mkdir(join(DIST, 'assets'), { recursive: true });
  const worker = await hashed('node_modules/hls.js/dist/hls.worker.js', 'hls-worker', 'js', (text) =>
    text.replace(/\n?\/\/# sourceMappingURL=.*\s*$/, '\n'),
  );
  const frameTimer = await compiled('pages/studio/frame-timer.worker.ts', 'frame-timer');
  const licence = await hashed('node_modules/hls.js/LICENSE', 'hls-licence', 'txt');

  const result = await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: Object.fromEntries(
      PAGES.flatMap(({ name }) => [
        [`${name}`, `pages/${name}.ts`],
        [`${name}-style`, `pages/styles/${name}.css`],
      ]),
    ),
    outdir: DIST,
    entryNames: 'assets/[name]-[hash]',
    chunkNames: 'assets/[name]-[hash]',
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    target: BROWSERS,
    charset: 'utf8',
    legalComments: 'none',
    metafile: true,
    define: { __HLS_WORKER_PATH__: JSON.stringify(`/${worker}`), __FRAME_TIMER_PATH__: JSON.stringify(`/${frameTimer}`) },
    logLevel: 'warning',
  });
  await esbuild.build({
    absWorkingDir: ROOT,
    entryPoints: ['client/index.ts'],
    outfile: join(DIST, 'client', 'v1.js'),
    bundle: true,
    format: 'esm',
    target: BROWSERS,
    charset: 'utf8',
    banner: { js: '// @telstar/client v1, Apache-2.0' },
    logLevel: 'warning',
  });

  const outputs = outputsBySource(result.metafile);
  const manifest = { 'hls-worker': worker, 'frame-timer': frameTimer, 'hls-licence': licence };
  for (const { name, html } of PAGES) {
    const script = outputs.get(`pages/${name}.ts`);
    const style = outputs.get(`pages/styles/${name}.css`);
    manifest[`${name}.js`] = script.path;
    manifest[`${name}.css`] = style.path;
    await writePage(html, script, style);
  }
  await writeFile(join(DIST, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Copies a file under a name that contains its content's hash; returns the path relative to dist. */
async function hashed(source, name, extension, transform = (text) => text) {
  return put(transform(await readFile(join(ROOT, source), 'utf8')), name, extension);
}

/** A worker is a file of its own: a page with our policy runs no other. */
async function compiled(source, name) {
  const { outputFiles } = await esbuild.build({ absWorkingDir: ROOT, entryPoints: [source], bundle: true, write: false, minify: true, target: BROWSERS, logLevel: 'warning' });
  return put(outputFiles[0].text, name, 'js');
}

async function put(text, name, extension) {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8).toUpperCase();
  const path = `assets/${name}-${hash}.${extension}`;
  await writeFile(join(DIST, path), text);
  return path;
}

function outputsBySource(metafile) {
  const bySource = new Map();
  for (const [file, output] of Object.entries(metafile.outputs)) {
    if (output.entryPoint === undefined) continue;
    bySource.set(output.entryPoint, { path: distPath(file), chunks: staticImports(metafile, file) });
  }
  return bySource;
}

function distPath(file) {
  return relative(DIST, join(ROOT, file)).split('\\').join('/');
}

/** The chunks that a script needs before it runs, named in the page so that the browser fetches them at once. */
function staticImports(metafile, file, seen = new Set()) {
  for (const imported of metafile.outputs[file].imports) {
    if (imported.kind !== 'import-statement' || imported.external || seen.has(imported.path)) continue;
    seen.add(imported.path);
    staticImports(metafile, imported.path, seen);
  }
  return [...seen].map(distPath);
}

async function writePage(html, script, style) {
  const template = await readFile(join(ROOT, 'pages', html), 'utf8');
  const tags = [
    `<link rel="stylesheet" href="/${style.path}">`,
    ...script.chunks.map((chunk) => `<link rel="modulepreload" href="/${chunk}">`),
    `<script type="module" src="/${script.path}"></script>`,
  ];
  if (!template.includes('<!-- assets -->')) throw new Error(`${html} has no place for its assets`);
  await writeFile(join(DIST, html), template.replace('<!-- assets -->', tags.join('\n    ')));
}
