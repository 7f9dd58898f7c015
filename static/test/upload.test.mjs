import assert from 'node:assert/strict';
import test from 'node:test';
import { memoryStorage, Uploader } from '../node_modules/.cache/telstar-test/client.mjs';
import { base64 } from '../node_modules/.cache/telstar-test/upload.mjs';
import { FakePlatform, settle } from './doubles.mjs';
import { FakeUploads, fileOf } from './upload-double.mjs';

function setUp(options = {}) {
  const [platform, server] = [new FakePlatform(), new FakeUploads()];
  const uploader = new Uploader({ platform, transport: server, chunkBytes: 4, now: () => platform.now, ...options });
  return { platform, server, uploader };
}

/** Time goes by in small steps, each long enough for what is under way to come to its end. */
async function pass(platform, ms) {
  const until = platform.now + ms;
  do {
    await platform.advance(Math.min(250, until - platform.now));
    for (let turn = 0; turn < 10; turn += 1) await settle();
  } while (platform.now < until);
}

test('a_file_goes_out_in_chunks_and_becomes_an_asset', async () => {
  const { platform, server, uploader } = setUp();
  const done = [];
  uploader.on('done', (upload) => done.push(upload.asset));
  const upload = uploader.add(fileOf('abcdefghij', '회의 1.mp4'));
  await pass(platform, 0);
  assert.equal(upload.state, 'done');
  assert.deepEqual(done, ['asset-of-u1']);
  assert.deepEqual(server.log, ['POST', 'PATCH 4 @0', 'PATCH 4 @4', 'PATCH 2 @8']);
  assert.equal(server.uploads.get('u1').bytes, 'abcdefghij');
  assert.match(server.uploads.get('u1').metadata, new RegExp(`^title ${Buffer.from('회의 1').toString('base64').replaceAll('+', '\\+')},filename `));
  assert.ok(server.requests.every(({ headers }) => headers['tus-resumable'] === '1.0.0'));
});

test('what_broke_off_goes_on_behind_what_the_server_has', async () => {
  const { platform, server, uploader } = setUp();
  server.faults = [undefined, { keeps: 3 }];
  const upload = uploader.add(fileOf('abcdefgh'));
  await pass(platform, 0);
  assert.equal(upload.state, 'retrying');
  assert.equal(upload.error.code, 'network');
  await pass(platform, 1_000);
  assert.equal(upload.state, 'done');
  assert.deepEqual(server.log, ['POST', 'PATCH 4 @0', 'HEAD', 'PATCH 4 @3', 'PATCH 1 @7']);
});

test('a_server_that_restarts_is_waited_for_however_long_it_takes', async () => {
  const { platform, server, uploader } = setUp();
  server.faults = [undefined, ...Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? 'lost' : 503))];
  const upload = uploader.add(fileOf('abcd'));
  await pass(platform, 10_000);
  assert.equal(upload.state, 'retrying');
  await pass(platform, 600_000);
  assert.equal(upload.state, 'done');
});

test('the_network_that_is_back_ends_the_wait', async () => {
  const { platform, server, uploader } = setUp();
  server.faults = ['lost'];
  const upload = uploader.add(fileOf('abcd'));
  await pass(platform, 0);
  assert.equal(upload.state, 'retrying');
  platform.changeNetwork();
  await pass(platform, 0);
  assert.equal(upload.state, 'done');
});

test('what_no_other_try_would_mend_fails_and_can_be_tried_by_hand', async () => {
  const { platform, server, uploader } = setUp();
  server.faults = [{ status: 507, code: 'disk_full', detail: 'The disk is full.' }];
  const upload = uploader.add(fileOf('abcd'));
  await pass(platform, 0);
  assert.deepEqual([upload.state, upload.error.code], ['failed', 'disk_full']);
  upload.resume();
  await pass(platform, 0);
  assert.equal(upload.state, 'done');
});

test('a_paused_upload_stands_still_and_goes_on_where_it_was', async () => {
  const { platform, server, uploader } = setUp();
  server.isHolding = true;
  const upload = uploader.add(fileOf('abcdefgh'));
  await pass(platform, 0);
  server.release();
  server.isHolding = true;
  await pass(platform, 0);
  upload.pause();
  await pass(platform, 60_000);
  const before = server.requests.length;
  assert.equal(upload.state, 'paused');
  server.release();
  await pass(platform, 60_000);
  assert.equal(server.requests.length, before);
  upload.resume();
  await pass(platform, 0);
  assert.equal(upload.state, 'done');
  assert.equal(server.uploads.get('u1').bytes, 'abcdefgh');
});

test('after_a_reload_the_same_file_goes_on_and_another_does_not', async () => {
  const storage = memoryStorage();
  const first = setUp({ storage });
  first.server.isHolding = true;
  const upload = first.uploader.add(fileOf('abcdefgh'));
  await pass(first.platform, 0);
  first.server.release();
  first.server.isHolding = true;
  await pass(first.platform, 0);
  upload.pause();
  // What was on its way arrives all the same.
  first.server.release();
  await pass(first.platform, 0);
  assert.equal(first.server.uploads.get('u1').bytes, 'abcd');

  const second = setUp({ storage, transport: first.server });
  assert.deepEqual(second.uploader.unfinished().map(({ name, size }) => [name, size]), [['film.mp4', 8]]);
  const before = first.server.requests.length;
  const again = second.uploader.add(fileOf('abcdefgh'));
  assert.deepEqual(second.uploader.unfinished(), []);
  await pass(second.platform, 0);
  assert.equal(again.state, 'done');
  assert.equal(first.server.log[before], 'HEAD');
  assert.equal(first.server.uploads.size, 1);
  assert.deepEqual(storage.keys(), []);

  second.uploader.add(fileOf('abcdefgh', 'film.mp4', 2));
  await pass(second.platform, 0);
  assert.equal(first.server.uploads.size, 2, 'it was changed in between');
});

test('an_upload_that_has_expired_is_sent_again_from_the_beginning', async () => {
  const { platform, server, uploader } = setUp();
  server.faults = [undefined, undefined, 'lost'];
  const upload = uploader.add(fileOf('abcdefgh'));
  await pass(platform, 0);
  server.uploads.clear();
  await pass(platform, 5_000);
  assert.equal(upload.state, 'done');
  assert.equal(server.uploads.get('u2').bytes, 'abcdefgh');
});

test('cancelling_gives_it_up_at_the_server_and_forgets_it', async () => {
  const storage = memoryStorage();
  const { platform, server, uploader } = setUp({ storage });
  server.faults = [undefined, 'lost'];
  const upload = uploader.add(fileOf('abcdefgh'));
  await pass(platform, 0);
  await upload.cancel();
  await settle();
  assert.equal(server.uploads.size, 0);
  assert.deepEqual(storage.keys(), []);
  assert.equal(upload.state, 'cancelled');
});

test('so_many_files_go_out_at_once_and_the_others_wait_for_their_turn', async () => {
  const { platform, server, uploader } = setUp({ atOnce: 2 });
  server.isHolding = true;
  const uploads = ['a', 'b', 'c'].map((name) => uploader.add(fileOf('abcd', name)));
  await settle();
  assert.deepEqual(uploads.map(({ state }) => state), ['uploading', 'uploading', 'waiting']);
  server.release();
  await pass(platform, 0);
  await pass(platform, 0);
  assert.deepEqual(uploads.map(({ state }) => state), ['done', 'done', 'done']);
});

test('a_path_that_is_silent_is_given_up_and_tried_again', async () => {
  const { platform, server, uploader } = setUp();
  server.isHolding = true;
  const upload = uploader.add(fileOf('abcd'));
  await pass(platform, 61_000);
  assert.equal(upload.state, 'retrying');
  server.release();
  await pass(platform, 61_000);
  assert.equal(upload.state, 'done');
});

test('parts_go_side_by_side_and_become_one', async () => {
  const { platform, server, uploader } = setUp({ parts: 2, chunkBytes: 64 * 1024 * 1024 });
  const text = 'ab'.repeat(32 * 1024 * 1024);
  const upload = uploader.add(fileOf(text));
  await pass(platform, 0);
  assert.equal(upload.state, 'done');
  assert.equal(upload.asset, 'asset-of-u3');
  assert.equal(server.uploads.get('u3').bytes.length, text.length);
  assert.ok(server.uploads.get('u1').isPart && server.uploads.get('u2').isPart);
});

test('text_becomes_base64_as_node_has_it', () => {
  for (const text of ['', 'a', 'ab', 'abc', '회의 영상.mp4', '🎬', 'a%b']) {
    assert.equal(base64(text), Buffer.from(text).toString('base64'), text);
  }
  assert.equal(base64('\ud800'), Buffer.from('\ufffd').toString('base64'));
});
