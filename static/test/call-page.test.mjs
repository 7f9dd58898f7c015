import assert from 'node:assert/strict';
import test from 'node:test';
import {
  gridShape, initials, isSpeaking, isWithoutPath, mainTile, mediaFault, parseCallAddress, plotMax, polyline, tileOrder,
} from '../node_modules/.cache/telstar-test/call-logic.mjs';
import { deviceFault } from '../node_modules/.cache/telstar-test/faults.mjs';

test('call_addresses_are_read_with_their_invite_or_token', () => {
  assert.deepEqual(parseCallAddress('/call/demo', '#invite=inv_x'), { room: 'demo', invite: 'inv_x', token: null });
  assert.deepEqual(parseCallAddress('/embed/call/demo', '#token=a.b.c'), { room: 'demo', invite: null, token: 'a.b.c' });
  assert.deepEqual(parseCallAddress('/call/demo', ''), { room: 'demo', invite: null, token: null });
  for (const path of ['/call/', '/call/UPPER', '/watch/demo', '/call/a/b']) assert.equal(parseCallAddress(path, ''), null);
});

test('the_grid_takes_the_shape_that_gives_the_largest_pictures', () => {
  for (const [tiles, width, height, columns, rows] of [[1, 1280, 720, 1, 1], [2, 1280, 720, 2, 1], [3, 1280, 720, 2, 2], [4, 1280, 720, 2, 2], [5, 1280, 720, 3, 2], [9, 1280, 720, 3, 3], [2, 390, 700, 1, 2], [4, 390, 700, 1, 4], [9, 390, 700, 2, 5], [0, 100, 100, 1, 1]]) {
    const shape = gridShape(tiles, width, height, 8);
    assert.deepEqual([shape.columns, shape.rows], [columns, rows], `${tiles} in ${width}x${height}`);
    assert.ok(shape.columns * shape.width + 8 * (shape.columns - 1) <= width && shape.rows * shape.height + 8 * (shape.rows - 1) <= height);
    const ratio = shape.width / shape.height;
    assert.ok(ratio < 1.79 && ratio > (width < height ? 0.74 : 1.32), `${tiles} in ${width}x${height}: ${ratio}`);
  }
});

const tile = (key, more = {}) => ({ key, participant: key, isScreen: false, isSelf: false, hasVideo: true, ...more });

test('screens_come_first_and_the_others_keep_their_order', () => {
  const tiles = [tile('self', { isSelf: true }), tile('b'), tile('a'), tile('screen', { isScreen: true })];
  assert.deepEqual(tileOrder(tiles).map(({ key }) => key), ['screen', 'self', 'b', 'a']);
});

test('the_large_picture_is_the_chosen_one_then_a_screen_then_who_speaks', () => {
  const tiles = [tile('self', { isSelf: true }), tile('a', { hasVideo: false }), tile('b')];
  assert.equal(mainTile(tiles, null, null), 'b');
  assert.equal(mainTile(tiles, null, 'a'), 'a');
  assert.equal(mainTile([...tiles, tile('s', { isScreen: true })], null, 'a'), 's');
  assert.equal(mainTile([...tiles, tile('s', { isScreen: true })], 'self', 'a'), 'self');
  assert.equal(mainTile([tiles[0]], null, 'self'), 'self');
  assert.equal(mainTile([], null, null), null);
});

test('each_fault_has_its_own_name', () => {
  assert.deepEqual(['NotAllowedError', 'NotReadableError', 'NotFoundError', 'OverconstrainedError'].map(deviceFault), ['denied', 'in-use', 'no-device', 'no-device']);
  const facts = { mode: 'sfu', peers: ['connected', 'none'], hasFailed: false, transports: ['udp'], waitedMs: 20_000 };
  assert.equal(mediaFault(facts), null);
  assert.equal(mediaFault({ ...facts, transports: ['tcp'] }), 'tcp-only');
  assert.equal(mediaFault({ ...facts, peers: ['connecting', 'none'] }), 'unreachable');
  assert.equal(mediaFault({ ...facts, peers: ['connecting', 'none'], waitedMs: 2_000 }), null);
  assert.equal(mediaFault({ ...facts, peers: ['none', 'none'], transports: [] }), null);
  assert.equal(mediaFault({ ...facts, peers: ['failed', 'none'], hasFailed: true }), 'unreachable');
  // Between browsers no server's port or address is to blame, and TCP is nothing unusual.
  assert.equal(mediaFault({ ...facts, mode: 'p2p', peers: ['connecting'] }), 'unreachable-direct');
  assert.equal(mediaFault({ ...facts, mode: 'p2p', transports: ['tcp'] }), null);
});

test('time_without_a_path_counts_only_while_a_connection_is_wanted', () => {
  assert.deepEqual([['none', 'none'], ['new'], [], ['connecting'], ['connecting', 'connected'], ['failed']].map(isWithoutPath), [false, false, false, true, false, true]);
});

test('breathing_is_not_speech', () => {
  assert.deepEqual([20, 50, 51, 127, undefined].map(isSpeaking), [true, true, false, false, false]);
});

test('initials_work_in_any_script', () => {
  assert.deepEqual(['Ada Lovelace', '홍길동', 'x', ' ', '👩‍🚀 Z'].map(initials), ['AL', '홍', 'X', '?', '👩Z']);
});

test('the_plot_ends_at_the_right_edge_and_its_top_is_a_round_figure', () => {
  const box = { width: 100, height: 10, spanMs: 1_000, now: 2_000, max: 100 };
  assert.equal(polyline([{ at: 500, value: 1 }, { at: 1_500, value: 50 }, { at: 2_000, value: 200 }], box), '50.0,5.0 100.0,0.0');
  assert.deepEqual([plotMax([]), plotMax([1_300_000]), plotMax([6_000_000])], [100_000, 2_000_000, 10_000_000]);
});
