import assert from 'node:assert/strict';
import test from 'node:test';
import { isFrozen, isReasonToRetry, lacksRendition, liveLatencySecs, parseAddress, placeBack, playlistUrl, StallMeter, viewState } from '../node_modules/.cache/telstar-test/watch-logic.mjs';

test('the_view_follows_the_server_while_it_can_be_heard', () => {
  const base = { connection: 'open', isRefused: false, room: { state: 'live' }, isPlaying: false };
  const cases = [
    [{}, 'live'],
    [{ room: { state: 'offline' }, isPlaying: true }, 'offline'],
    [{ room: { state: 'offline', has_call: true } }, 'waiting'],
    [{ room: { state: 'live', has_call: true } }, 'live'],
    [{ room: { state: 'waiting' } }, 'waiting'],
    [{ room: { state: 'reconnecting' }, isPlaying: true }, 'reconnecting'],
    [{ room: null }, 'connecting'],
    [{ room: null, connection: 'lost' }, 'connecting'],
    [{ connection: 'lost' }, 'reconnecting'],
    [{ connection: 'lost', isPlaying: true }, 'live'],
    [{ room: null, connection: 'lost', isPlaying: true }, 'live'],
    [{ isRefused: true, room: null }, 'denied'],
  ];
  for (const [change, expected] of cases) assert.equal(viewState({ ...base, ...change }), expected, JSON.stringify(change));
});

test('a_changed_number_of_viewers_does_not_hurry_an_engine_that_waits', () => {
  assert.equal(isReasonToRetry('live', 'event'), false);
  assert.equal(isReasonToRetry('live', 'subscribed'), true);
  for (const before of [null, 'offline', 'waiting', 'reconnecting']) assert.equal(isReasonToRetry(before, 'event'), true, before);
});

test('a_picture_is_frozen_after_seven_seconds_or_two_target_durations_unless_media_arrives', () => {
  const cases = [
    [{ stillMs: 7_100 }, true],
    [{ stillMs: 6_900 }, false],
    [{ stillMs: 19_000, targetDurationSecs: 10 }, false],
    [{ stillMs: 21_000, targetDurationSecs: 10 }, true],
    [{ stillMs: 7_100, sinceGrowthMs: 500 }, false],
    [{ stillMs: 22_000, sinceGrowthMs: 500 }, true],
  ];
  for (const [change, expected] of cases) {
    const standstill = { sinceGrowthMs: 60_000, targetDurationSecs: null, ...change };
    assert.equal(isFrozen(standstill), expected, JSON.stringify(change));
  }
});

test('a_track_that_appears_later_is_known_by_its_rendition_report', () => {
  const [video, audio, h264] = ['video', 'audio', 'h264'].map((name) => `http://host/live/demo/${name}/index.m3u8?t=a/b`);
  assert.equal(lacksRendition(['../audio/index.m3u8'], [video]), true, 'sound joins a picture');
  assert.equal(lacksRendition(['../video/index.m3u8'], [audio]), true, 'a picture joins sound');
  assert.equal(lacksRendition(['../audio/index.m3u8'], [video, audio]), false, 'both were there');
  assert.equal(lacksRendition([], [video]), false, 'one track alone');
  assert.equal(lacksRendition(['../audio/index.m3u8', '../h264/index.m3u8'], [video, audio]), false, 'the picture in H.264 is for others');
  assert.equal(lacksRendition(['../video/index.m3u8', '../audio/index.m3u8'], [h264, audio]), false, 'the source is not decoded here');
});

test('the_playback_token_goes_into_the_playlist_address', () => {
  assert.equal(playlistUrl('/live/demo/index.m3u8', null), '/live/demo/index.m3u8');
  assert.equal(playlistUrl('/live/demo/index.m3u8', 'a+b'), '/live/demo/index.m3u8?t=a%2Bb');
  assert.equal(playlistUrl('/live/demo/index.m3u8?x=1', 'a'), '/live/demo/index.m3u8?x=1&t=a');
});

test('page_addresses_are_read_and_others_refused', () => {
  assert.deepEqual(parseAddress('/watch/demo', '?t=abc&muted=1'), { room: 'demo', token: 'abc', isEmbed: false, engine: 'auto', transport: null, startMuted: true });
  assert.deepEqual(parseAddress('/embed/watch/demo', '?engine=native'), { room: 'demo', token: null, isEmbed: true, engine: 'native', transport: 'hls', startMuted: false });
  assert.deepEqual(['webrtc', 'hls', 'x'].map((name) => parseAddress('/watch/demo', `?transport=${name}`).transport), ['webrtc', 'hls', null]);
  for (const path of ['/watch/', '/watch', '/watch/a/b', '/other/demo', '/watch/%E0%A4%A']) assert.equal(parseAddress(path, ''), null, path);
});

test('going_back_ends_where_the_playlist_begins', () => {
  const at = (currentTime, start) => ({ currentTime, seekable: { length: 1, start: () => start } });
  assert.equal(placeBack(at(100, 0), 10), 90);
  assert.equal(placeBack(at(100, 92), 10), 96, 'with room for what falls out of the window meanwhile');
  assert.equal(placeBack(at(100, 99), 10), 100, 'never forward');
  assert.equal(placeBack({ currentTime: 5, seekable: { length: 0 } }, 10), 5);
});

test('a_wrong_clock_is_not_believed', () => {
  assert.equal(liveLatencySecs(1.8, 1.2), 1.8);
  assert.equal(liveLatencySecs(300, 1.2), 1.2);
  assert.equal(liveLatencySecs(-40, 1.2), 1.2);
  assert.equal(liveLatencySecs(null, 1.2), 1.2);
  assert.equal(liveLatencySecs(1.8, null), 1.8);
  assert.equal(liveLatencySecs(null, null), null);
  assert.equal(liveLatencySecs(0.9, -0.2), 0.9);
});

/** Samples every 250 ms; `times` are the element's clock. */
function feed(meter, start, times, isExpected = true) {
  times.forEach((time, index) => meter.sample(start + index * 250, time, isExpected));
  return start + times.length * 250;
}

test('smooth_play_has_no_stall', () => {
  const meter = new StallMeter();
  feed(meter, 0, [0, 0, 0, 0, 0, 0.1, 0.35, 0.6, 0.85, 1.1]);
  assert.equal(meter.count, 0);
});

test('waiting_before_the_first_picture_is_no_stall', () => {
  const meter = new StallMeter();
  meter.waiting(0);
  feed(meter, 0, [0, 0, 0, 0, 0, 0]);
  meter.waiting(1_600);
  assert.equal(meter.count, 0);
});

test('a_waiting_event_counts_once_and_lasts_until_the_picture_moves', () => {
  const meter = new StallMeter();
  let now = feed(meter, 0, [0, 0.25, 0.5]);
  meter.waiting(now);
  meter.waiting(now + 100);
  now = feed(meter, now + 250, [0.5, 0.5]);
  const moved = now;
  now = feed(meter, now, [0.75, 1]);
  assert.equal(meter.count, 1);
  assert.equal(meter.totalMs(now), moved - 750);
  assert.equal(meter.isStalled(), false);
});

test('nudges_and_a_new_engine_within_an_outage_are_one_stall', () => {
  const meter = new StallMeter();
  let now = feed(meter, 0, [0, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5]);
  now = feed(meter, now, [0.6, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0, 0, 0, 0, 0]);
  meter.waiting(now);
  feed(meter, now, [5, 5.25, 5.5, 5.75]);
  assert.equal(meter.count, 1);
  assert.equal(meter.isStalled(), false);
});

test('a_freeze_without_an_event_is_a_stall_from_its_beginning', () => {
  const meter = new StallMeter();
  feed(meter, 0, [0, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5]);
  assert.equal(meter.count, 1);
  assert.equal(meter.totalMs(1_500), 1_000);
});

test('a_pause_is_no_stall', () => {
  const meter = new StallMeter();
  const now = feed(meter, 0, [0, 0.25, 0.5]);
  const later = feed(meter, now, Array.from({ length: 20 }, () => 0.5), false);
  feed(meter, later, [0.5, 0.75, 1]);
  assert.equal(meter.count, 0);
});

test('a_jump_of_the_viewer_is_no_stall', () => {
  const meter = new StallMeter();
  const now = feed(meter, 0, [0, 0.25, 0.5]);
  meter.soughtByViewer(now);
  meter.waiting(now + 300);
  assert.equal(meter.count, 0);
});

test('going_off_air_ends_a_stall_and_the_next_start_is_a_start', () => {
  const meter = new StallMeter();
  const now = feed(meter, 0, [0, 0.25, 0.5]);
  meter.waiting(now);
  meter.stop(now + 500);
  meter.waiting(now + 1_000);
  feed(meter, now + 1_000, [0, 0, 0, 0, 0, 0, 0.25]);
  assert.equal(meter.count, 1);
  assert.equal(meter.totalMs(now + 5_000), 500);
});
