import assert from 'node:assert/strict';
import test from 'node:test';
import * as logic from '../node_modules/.cache/telstar-test/library-logic.mjs';

const NAME = '0123456789abcdefghijkm';

test('addresses_name_the_list_or_an_asset_and_nothing_else', () => {
  const of = (path, query = '') => logic.parseAddress(path, query);
  assert.equal(of('/library').asset, null);
  assert.equal(of(`/library/${NAME}`).asset, NAME);
  assert.equal(of(`/embed/vod/${NAME}/`).asset, NAME);
  assert.deepEqual(of(`/embed/vod/${NAME}`, '?t=x&muted&start=12.5'), { asset: NAME, token: 'x', startMuted: true, startSecs: 12.5 });
  assert.equal(of(`/library/${NAME}`, '?start=-1').startSecs, 0);
  for (const path of ['/library/x', `/library/${NAME}/x`, `/libraryx`, `/watch/${NAME}`]) assert.equal(of(path), null, path);
});

test('media_is_asked_for_at_the_pages_own_origin_and_with_the_token_once', () => {
  assert.equal(logic.mediaUrl('/vod/a/index.m3u8'), '/vod/a/index.m3u8');
  assert.equal(logic.mediaUrl('https://live.example:8443/vod/a/index.m3u8', 'a.b'), '/vod/a/index.m3u8?t=a.b');
  assert.equal(logic.mediaUrl('/vod/a/0.jpg?v=1', 'x'), '/vod/a/0.jpg?v=1&t=x');
  assert.equal(logic.mediaUrl('/vod/a/0.jpg?t=y', 'x'), '/vod/a/0.jpg?t=y');
});

test('an_asset_that_plays_while_it_is_made_says_so', () => {
  const of = (state, playable, progress = 0.5) => logic.statusOf({ state, playable, progress });
  assert.equal(of('processing', false), 'processing');
  assert.equal(of('processing', true), 'playable');
  assert.equal(of('ready', true), 'playable');
  assert.equal(of('ready', true, 1), 'ready');
  assert.equal(of('failed', true), 'failed');
});

test('jobs_under_way_come_first_and_done_ones_not_at_all', () => {
  const jobs = ['failed', 'done', 'blocked', 'leased', 'ready'].map((state, job) => ({ job, state }));
  assert.deepEqual(logic.openJobs(jobs).map(({ state }) => state), ['leased', 'ready', 'blocked', 'failed']);
});

test('an_older_state_never_comes_back', () => {
  const at = (updated_at, progress = 0) => ({ updated_at, progress });
  assert.ok(logic.isNewer(at('2026-01-01T00:00:00.000Z'), undefined));
  assert.ok(!logic.isNewer(at('2026-01-01T00:00:00.000Z'), at('2026-01-01T00:00:00.001Z')));
  assert.ok(logic.isNewer(at('2026-01-01T00:00:00.001Z', 0), at('2026-01-01T00:00:00.000Z', 0.9)), 'another attempt begins at nothing');
  assert.ok(!logic.isNewer(at('x', 0.1), at('x', 0.2)));
});

test('qualities_are_listed_once_the_best_first', () => {
  const video = (width, height, fps, name) => ({ kind: 'video', name, width, height, fps });
  const list = [video(426, 240, 30, 'v240'), video(1280, 720, 60, 'v720'), { kind: 'audio', width: null, height: null }, video(1280, 720, 60, 'v720-hevc'), video(720, 1280, 30, 'v-copy')];
  assert.deepEqual(logic.qualitiesOf(list), ['720p60', '720p', '240p']);
});

test('codecs_and_problems_are_said_as_people_write_them', () => {
  assert.deepEqual(['h264', 'pcm_s16le', 'wmv3'].map(logic.codecLabel), ['H.264', 'PCM', 'wmv3']);
  assert.deepEqual(['the file is empty', 'Ended.', ' '].map(logic.sentence), ['The file is empty.', 'Ended.', '']);
});

test('qualities_sizes_and_times_are_said_as_people_say_them', () => {
  assert.equal(logic.qualityLabel({ width: 1920, height: 1080, fps: 25 }), '1080p');
  assert.equal(logic.qualityLabel({ width: 720, height: 1280, fps: 59.94 }), '720p60');
  assert.equal(logic.qualityLabel({ width: null, height: null, fps: null }), '');
  assert.deepEqual([0, 999, 1_000, 1_234_567, 38_400_000_000, 999_600].map(logic.formatBytes), ['0 B', '999 B', '1.0 KB', '1.2 MB', '38 GB', '1.0 MB']);
  assert.deepEqual([0.2, 12, 70, 3_000, 7_000].map((secs) => [logic.left(secs).key.split('-')[1], logic.left(secs).count]), [['secs', 1], ['secs', 15], ['minutes', 1], ['minutes', 50], ['hours', 2]]);
  assert.deepEqual([0, 0.999, 1, -1].map(logic.percent), [0, 99, 100, 0]);
});
