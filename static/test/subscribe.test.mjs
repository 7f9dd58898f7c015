import assert from 'node:assert/strict';
import test from 'node:test';
import { StatsReducer } from '../node_modules/.cache/telstar-test/client.mjs';
import { camera, joined, person } from './call-double.mjs';
import { settle } from './doubles.mjs';
import { FakeChannel } from './rtc-double.mjs';

const two = [person('p2', { tracks: [camera('t2')] }), person('p3', { tracks: [camera('t3')] })];
const offer = (...mids) => JSON.stringify({ mids });
const slot = (mid, track, more = {}) => ({ mid, track, participant: null, flow: 'active', layer: 2, ...more });

test('offers_are_answered_in_order_with_their_version', async () => {
  const { platform, say, rtc } = await joined({ participants: two });
  await say('candidate', { connection: 'subscribe', candidate: 'candidate:early' });
  await say('offer', { version: 1, sdp: offer('0') });
  await say('offer', { version: 2, sdp: offer('0', '1') });
  const answers = platform.socket.sent.filter(({ type }) => type === 'answer');
  assert.deepEqual(answers.map(({ version }) => version), [1, 2]);
  assert.deepEqual(rtc.peers[0].log, ['remote offer', 'local answer', 'remote offer', 'local answer']);
  assert.equal(rtc.peers[0].candidates[0].candidate, 'candidate:early');
});

test('a_slot_gives_its_media_to_the_track_and_takes_it_away_again', async () => {
  const { call, say, rtc } = await joined({ participants: two });
  const seen = [];
  call.on('trackMedia', (track) => seen.push([track.id, track.mediaTrack?.id ?? null, track.flow]));
  await say('offer', { version: 1, sdp: offer('0') });
  const media = rtc.peers[0].transceivers[0].receiver.track;
  await say('slots', { version: 1, slots: [slot('0', 't2')] });
  assert.equal(call.track('t2').mediaTrack, media);
  assert.equal(call.track('t2').layer, 2);
  await say('slots', { version: 2, slots: [slot('0', 't3')] });
  assert.equal(call.track('t2').mediaTrack, null);
  assert.equal(call.track('t3').mediaTrack, media);
  // The one that loses the media hears of it first, so that nothing shows two people in one picture.
  assert.deepEqual(seen, [['t2', media.id, 'active'], ['t2', null, 'paused'], ['t3', media.id, 'active']]);
});

test('slots_may_come_before_the_offer_and_before_the_track', async () => {
  const { call, say } = await joined({ participants: [person('p2')] });
  await say('slots', { version: 1, slots: [slot('0', 't2', { flow: 'bandwidth', layer: null })] });
  await say('track-published', { participant: 'p2', track: camera('t2') });
  assert.deepEqual([call.track('t2').flow, call.track('t2').mediaTrack], ['bandwidth', null]);
  await say('offer', { version: 1, sdp: offer('0') });
  assert.notEqual(call.track('t2').mediaTrack, null);
});

test('an_older_list_of_slots_is_skipped', async () => {
  const { call, say } = await joined({ participants: two });
  await say('slots', { version: 5, slots: [slot('0', 't2')] });
  await say('slots', { version: 4, slots: [slot('0', 't3')] });
  assert.deepEqual([call.track('t2').mid, call.track('t3').mid], ['0', null]);
});

test('a_disconnected_receiver_asks_the_server_to_restart_ice', async () => {
  const { platform, say, rtc } = await joined({ participants: two });
  await say('offer', { version: 1, sdp: offer('0') });
  rtc.peers[0].become('connected');
  rtc.peers[0].become('disconnected');
  await platform.advance(2_000);
  assert.equal(platform.socket.sent.at(-1).type, 'restart-ice');
});

test('media_that_had_worked_and_failed_is_joined_anew_and_media_that_never_did_is_only_told', async () => {
  const never = await joined({ participants: two });
  const seen = [];
  never.call.on('mediaFailed', (event) => seen.push(event));
  await never.say('media-failed', { connection: 'subscribe', reason: 'no_path' });
  assert.deepEqual(seen, [{ connection: 'subscribe', reason: 'no_path' }]);
  await never.platform.advance(1_000);
  assert.equal(never.platform.socket.sent.filter(({ type }) => type === 'join').length, 1);

  const once = await joined({ participants: two });
  await once.say('offer', { version: 1, sdp: offer('0') });
  once.rtc.peers[0].become('connected');
  await once.say('media-failed', { connection: 'subscribe', reason: 'no_path' });
  assert.equal(once.call.state, 'reconnecting');
  await once.platform.advance(1_000);
  assert.deepEqual(once.platform.socket.sent.slice(-2).map(({ type }) => type), ['leave', 'join']);
});

test('lossy_data_names_its_sender', async () => {
  const { call, say, rtc } = await joined({ participants: two });
  await say('offer', { version: 1, sdp: offer('0') });
  const seen = [];
  call.on('lossy', ({ from, payload }) => seen.push([from, ...payload]));
  const channel = new FakeChannel('lossy', {});
  rtc.peers[0].ondatachannel({ channel });
  assert.equal(channel.binaryType, 'arraybuffer');
  channel.onmessage({ data: new Uint8Array([0, 0, 0, 2, 7, 7]).buffer });
  channel.onmessage({ data: new Uint8Array([0, 0]).buffer });
  channel.onmessage({ data: 'text' });
  assert.deepEqual(seen, [['p2', 7, 7]]);
});

test('statistics_are_rates_between_two_samples', () => {
  const reducer = new StatsReducer('subscribe');
  const sample = (timestamp, bytes, packets, lost) => new Map(Object.entries({
    in: { id: 'in', type: 'inbound-rtp', timestamp, kind: 'video', mid: '0', bytesReceived: bytes, packetsReceived: packets, packetsLost: lost, jitter: 0.004, framesPerSecond: 30, frameWidth: 640, frameHeight: 360, freezeCount: 1, totalFreezesDuration: 0.5, codecId: 'c' },
    c: { id: 'c', type: 'codec', mimeType: 'video/VP8' },
    t: { id: 't', type: 'transport', selectedCandidatePairId: 'p' },
    p: { id: 'p', type: 'candidate-pair', localCandidateId: 'l', currentRoundTripTime: 0.02 },
    l: { id: 'l', type: 'local-candidate', protocol: 'tcp', candidateType: 'host' },
  }));
  const first = reducer.reduce(sample(1_000, 1_000, 10, 0));
  assert.deepEqual([first.receivedBps, first.streams[0].loss], [0, null]);
  const second = reducer.reduce(sample(2_000, 126_000, 100, 10));
  assert.deepEqual([second.receivedBps, second.roundTripMs, second.transport, second.isRelayed], [1_000_000, 20, 'tcp', false]);
  const [stream] = second.streams;
  assert.deepEqual([stream.loss, stream.jitterMs, stream.frameRate, stream.width, stream.codec, stream.freezes, stream.freezeMs], [0.1, 4, 30, 640, 'VP8', 1, 500]);
  // A packet counted as lost that comes after all makes no negative share.
  assert.equal(reducer.reduce(sample(3_000, 126_000, 101, 9)).streams[0].loss, 0);
});

test('events_of_a_type_that_we_do_not_know_are_skipped', async () => {
  const { call, say } = await joined({ participants: two });
  await say('something-new', { field: 1 });
  await settle();
  assert.equal(call.state, 'connected');
});
