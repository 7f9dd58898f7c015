import assert from 'node:assert/strict';
import test from 'node:test';
import { fitInside, healthOf, insetBox, parseStudioAddress, presetOf, PRESETS, refusalOf, SteadyHealth } from '../node_modules/.cache/telstar-test/studio-logic.mjs';

test('studio_addresses_are_read_with_their_token', () => {
  assert.deepEqual(parseStudioAddress('/studio/demo', ''), { room: 'demo', token: null });
  assert.deepEqual(parseStudioAddress('/studio/demo/', '#token=a.b.c'), { room: 'demo', token: 'a.b.c' });
  for (const path of ['/studio/', '/studio/UPPER', '/call/demo', '/studio/a/b']) assert.equal(parseStudioAddress(path, ''), null, path);
});

test('an_unknown_preset_is_the_usual_one', () => {
  assert.equal(presetOf(null).name, '720p');
  assert.equal(presetOf('8k').name, '720p');
  for (const preset of PRESETS) assert.equal(presetOf(preset.name), preset);
  assert.deepEqual([...PRESETS].sort((a, b) => b.bitrateBps - a.bitrateBps), PRESETS, 'from the best to the least');
});

test('a_picture_of_another_shape_is_whole_and_in_the_middle', () => {
  const frame = { width: 1280, height: 720 };
  assert.deepEqual(fitInside({ width: 1920, height: 1080 }, frame), { x: 0, y: 0, width: 1280, height: 720 });
  assert.deepEqual(fitInside({ width: 1600, height: 1200 }, frame), { x: 160, y: 0, width: 960, height: 720 });
  assert.deepEqual(fitInside({ width: 0, height: 0 }, frame), { x: 0, y: 0, width: 0, height: 0 });
});

test('the_camera_lies_in_the_corner_in_its_own_shape', () => {
  const frame = { width: 1280, height: 720 };
  assert.deepEqual(insetBox({ width: 1280, height: 720 }, frame), { x: 947, y: 521, width: 307, height: 173 });
  const upright = insetBox({ width: 720, height: 1280 }, frame);
  assert.deepEqual([upright.width, upright.height], [162, 288]);
  assert.ok(upright.x + upright.width < frame.width && upright.y + upright.height < frame.height);
  assert.equal(insetBox({ width: 0, height: 0 }, frame).width, 0);
});

const well = {
  state: 'connected', hasVideo: true, source: 'camera', target: { frameRate: 30, bitrateBps: 2_500_000 },
  stats: { loss: 0, limitedBy: 'none', frameRate: 30, videoBps: 2_400_000, roundTripMs: 20, availableBps: 4_000_000 },
};
const health = (stats, more = {}) => {
  const { level, reason } = healthOf({ ...well, ...more, stats: stats === null ? null : { ...well.stats, ...stats } });
  return `${level} ${reason}`;
};

test('health_names_the_one_reason_that_most_needs_saying', () => {
  assert.equal(health({}), 'good none');
  assert.equal(health(null), 'poor lost');
  assert.equal(health({}, { state: 'reconnecting' }), 'poor lost');
  assert.equal(health({ loss: 0.03 }), 'strained loss');
  assert.equal(health({ loss: 0.2, limitedBy: 'bandwidth' }), 'poor loss');
  assert.equal(health({ limitedBy: 'bandwidth', videoBps: 1_500_000 }), 'strained bandwidth');
  assert.equal(health({ limitedBy: 'bandwidth', videoBps: 400_000 }), 'poor bandwidth');
  assert.equal(health({ limitedBy: 'cpu' }), 'strained cpu');
  assert.equal(health({ limitedBy: 'cpu', frameRate: 10 }), 'poor cpu');
  assert.equal(health({ frameRate: 20 }), 'strained frames');
  assert.equal(health({ frameRate: 10 }), 'poor frames');
  assert.equal(health({ frameRate: 0 }, { hasVideo: false }), 'good none');
  assert.equal(health({ roundTripMs: 600 }), 'strained delay');
});

test('a_screen_that_stands_still_is_well_unless_the_path_is_narrow', () => {
  assert.equal(health({ frameRate: 1, videoBps: 20_000 }, { source: 'screen' }), 'good none');
  assert.equal(health({ frameRate: 1, videoBps: 20_000, availableBps: 100_000 }, { source: 'screen' }), 'strained bandwidth');
  assert.equal(health({ frameRate: 10 }, { source: 'both' }), 'poor frames', 'what is drawn does not stand still');
});

test('health_changes_its_words_only_when_it_stays_so_and_at_once_when_the_connection_goes', () => {
  const steady = new SteadyHealth();
  const add = (level, reason) => steady.add({ level, reason }).reason;
  assert.deepEqual([add('strained', 'cpu'), add('strained', 'cpu'), add('strained', 'cpu')], ['none', 'none', 'cpu']);
  assert.deepEqual([add('good', 'none'), add('strained', 'cpu'), add('good', 'none')], ['cpu', 'cpu', 'cpu']);
  assert.equal(add('poor', 'lost'), 'lost');
  assert.equal(add('good', 'none'), 'none');
});

test('each_refusal_has_its_own_words', () => {
  for (const [error, expected] of [
    [{ code: 'in_use', status: 409 }, 'in-use'], [{ code: 'wrong_mode', status: 409 }, 'p2p'], [{ code: 'unauthorised', status: 401 }, 'not-allowed'], [{ code: 'forbidden', status: 403 }, 'not-allowed'],
    [{ code: 'not_found', status: 404 }, 'gone'], [{ code: 'x', status: 422 }, 'unsupported'], [{ code: 'bad_sdp', status: 0 }, 'unsupported'],
    [{ code: 'unreachable', status: 0 }, 'unreachable'], [{ code: 'network', status: 0 }, 'network'], [{ code: 'no_webrtc', status: 0 }, 'no-webrtc'], [{ code: 'unavailable', status: 503 }, null],
  ]) assert.equal(refusalOf(error), expected, error.code);
});
