import assert from 'node:assert/strict';
import test from 'node:test';
import { hasWebRtc, TransportChoice, transportOf, WebRtcJudge } from '../node_modules/.cache/telstar-test/watch-transport.mjs';

test('webrtc_is_chosen_where_it_can_be_and_the_viewer_has_not_chosen_otherwise', () => {
  for (const [wish, can, expected] of [[null, true, 'webrtc'], ['hls', true, 'hls'], ['webrtc', true, 'webrtc'], [null, false, 'hls'], ['webrtc', false, 'hls']]) {
    assert.equal(new TransportChoice(wish, can).current, expected, `${wish} ${can}`);
  }
});

test('what_has_failed_comes_back_only_by_choice', () => {
  const choice = new TransportChoice(null, true);
  choice.fallBack('codec');
  assert.deepEqual([choice.current, choice.fallback], ['hls', 'codec']);
  choice.choose('webrtc');
  assert.deepEqual([choice.current, choice.fallback], ['webrtc', null]);
});

test('only_the_two_names_are_read', () => {
  assert.deepEqual(['webrtc', 'hls', 'WebRTC', '', null].map(transportOf), ['webrtc', 'hls', null, null, null]);
  assert.deepEqual([hasWebRtc({}), hasWebRtc({ RTCPeerConnection: class {} })], [false, true]);
});

const sample = (state, more = {}) => ({ state, error: null, videoPackets: 0, frames: null, ...more });
const good = { videoPackets: 100, frames: 10 };

test('a_path_that_does_not_come_about_is_given_up_after_some_seconds', () => {
  const judge = new WebRtcJudge();
  assert.equal(judge.verdict(0, sample('connecting')), null);
  assert.equal(judge.verdict(6_000, sample('connecting')), null);
  assert.equal(judge.verdict(6_001, sample('connecting')), 'unreachable');
});

test('a_refusal_is_given_up_at_once_and_named', () => {
  assert.equal(new WebRtcJudge().verdict(0, sample('closed', { error: 'not_found' })), 'not_found');
});

test('nothing_live_is_waited_for_and_the_way_to_it_begins_afterwards', () => {
  const judge = new WebRtcJudge();
  judge.verdict(0, sample('connecting'));
  assert.equal(judge.verdict(1_000, sample('waiting')), null);
  assert.equal(judge.verdict(9_000, sample('waiting')), null);
  assert.equal(judge.verdict(9_500, sample('connecting')), null);
  assert.equal(judge.verdict(12_000, sample('connected', good)), null);
  const never = new WebRtcJudge();
  never.verdict(0, sample('waiting'));
  assert.equal(never.verdict(10_001, sample('waiting')), 'not offered');
});

test('media_that_is_not_decoded_is_given_up_and_sound_alone_is_not', () => {
  const judge = new WebRtcJudge();
  judge.verdict(0, sample('connected', { videoPackets: 1 }));
  assert.equal(judge.verdict(5_001, sample('connected', { videoPackets: 500, frames: 0 })), 'codec');
  const sound = new WebRtcJudge();
  sound.verdict(0, sample('connected'));
  assert.equal(sound.verdict(60_000, sample('connected')), null);
});

test('a_picture_that_was_there_may_be_away_for_longer', () => {
  const judge = new WebRtcJudge();
  judge.verdict(0, sample('connected', good));
  assert.equal(judge.verdict(1_000, sample('reconnecting', good)), null);
  assert.equal(judge.verdict(20_000, sample('reconnecting', good)), null);
  for (let lost = 0; lost < 3; lost += 1) judge.noteLost();
  assert.equal(judge.verdict(20_500, sample('reconnecting')), 'unreachable');
});
