// The examples of docs/client.md and of the package's page compile against the library as it is.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const STATIC = fileURLToPath(new URL('..', import.meta.url));
const OUT = join(STATIC, 'node_modules', '.cache', 'telstar-docs');

async function examples(file) {
  const text = await readFile(join(STATIC, file), 'utf8');
  return [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((match) => match[1]);
}

test('the_examples_of_the_manual_compile', async () => {
  await rm(OUT, { recursive: true, force: true });
  await mkdir(OUT, { recursive: true });
  const blocks = [...(await examples('../docs/client.md')), ...(await examples('client/README.md'))];
  assert.ok(blocks.length >= 6);
  await Promise.all(blocks.map((block, index) => writeFile(join(OUT, `example-${index}.ts`), block)));
  const config = {
    extends: '../../../tsconfig.base.json',
    compilerOptions: { lib: ['ES2022', 'DOM', 'DOM.Iterable'], types: [], noUnusedLocals: false, paths: { '@telstar/client': ['../../../client/index.ts'] } },
    include: ['*.ts'],
  };
  await writeFile(join(OUT, 'tsconfig.json'), JSON.stringify(config));
  try {
    execFileSync(process.execPath, [join(STATIC, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', OUT], { encoding: 'utf8' });
  } catch (error) {
    assert.fail(error.stdout);
  }
});

test('the_package_installs_and_compiles_without_the_types_of_the_dom', async () => {
  const app = join(OUT, 'app');
  await rm(app, { recursive: true, force: true });
  await mkdir(app, { recursive: true });
  const run = (command, ...args) => execFileSync(command, args, { cwd: app, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const file = run(process.execPath, join(STATIC, 'package.mjs'), app).trim();
  await writeFile(join(app, 'package.json'), '{ "name": "app", "version": "1.0.0", "type": "module" }');
  run('npm', 'install', '--offline', '--no-audit', '--no-fund', '--ignore-scripts', file);
  // What an app writes that has no page: a track is whatever its WebRTC package gives.
  await writeFile(join(app, 'app.ts'), `
    import { connect, Rest, TelstarError, type Call, type MediaTrack, type Rtc } from '@telstar/client';
    export function start(token: string, rtc: Rtc, track: MediaTrack): Call {
      const call = connect({ url: 'wss://host/ws', token, rtc }).join('demo');
      call.on('trackMedia', ({ mediaTrack }) => mediaTrack?.kind);
      call.on('grants', ({ lost }) => lost.length);
      call.publish(track).ready.catch((error: TelstarError) => error.code);
      return call;
    }
    export const rooms = new Rest({ baseUrl: 'https://host', token: 'x' }).rooms();
  `);
  for (const [module, moduleResolution] of [['NodeNext', 'NodeNext'], ['ESNext', 'Bundler']]) {
    const compilerOptions = { target: 'ES2022', lib: ['ES2022'], types: [], module, moduleResolution, strict: true, skipLibCheck: false, noEmit: true };
    await writeFile(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }));
    try {
      run(process.execPath, join(STATIC, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', '.');
    } catch (error) {
      assert.fail(error.stdout);
    }
  }
  await writeFile(join(app, 'run.js'), "import { connect, Rest } from '@telstar/client'; console.log(typeof connect, typeof Rest);");
  assert.equal(run(process.execPath, 'run.js').trim(), 'function function');
});

test('the_package_has_the_version_of_the_server', async () => {
  const [app, client] = await Promise.all(['package.json', 'client/package.json'].map(async (file) => JSON.parse(await readFile(join(STATIC, file), 'utf8')).version));
  const server = /\[workspace\.package\]\s+version = "([^"]+)"/.exec(await readFile(join(STATIC, '..', 'Cargo.toml'), 'utf8'))[1];
  assert.deepEqual([app, client], [server, server]);
});
