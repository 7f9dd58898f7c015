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

test('a_receiver_that_had_worked_and_failed_is_made_anew_with_the_same_wishes', async () => {
  const { call, platform, say, rtc } = await joined({ participants: two });
  await say('offer', { version: 1, sdp: offer('0') });
  await say('slots', { version: 7, slots: [slot('0', 't2')] });
  call.track('t2').want({ width: 320, height: 180 });
  rtc.peers[0].become('connected');
  await say('media-failed', { connection: 'subscribe', reason: 'no_path' });
  assert.equal(rtc.peers[0].isClosed, true);
  assert.equal(call.track('t2').mediaTrack, null);
  assert.deepEqual(platform.socket.sent.slice(-2).map(({ type, track }) => [type, track]), [['restart-ice', undefined], ['update-subscription', 't2']]);
  await say('offer', { version: 1, sdp: offer('0') });
  await say('slots', { version: 1, slots: [slot('0', 't2')] });
  assert.equal(call.track('t2').mediaTrack, rtc.peers[1].transceivers[0].receiver.track);
});

test('a_connection_that_never_worked_is_told_and_tried_again_on_another_network', async () => {
  const { call, platform, say } = await joined({ participants: two });
  const seen = [];
  call.on('mediaFailed', ({ connection, reason }) => seen.push([connection, reason]));
  await say('media-failed', { connection: 'subscribe', reason: 'no_path' });
  assert.deepEqual(seen, [['subscribe', 'no_path']]);
  assert.notEqual(platform.socket.sent.at(-1).type, 'restart-ice');
  platform.changeNetwork();
  assert.equal(platform.socket.sent.at(-1).type, 'restart-ice');
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

test('a_change_of_layer_is_told_apart_from_other_media_and_nothing_is_told_of_a_track_that_has_ended', async () => {
  const { call, say } = await joined({ participants: two });
  const seen = [];
  for (const name of ['trackMedia', 'trackFlow', 'trackUnpublished']) call.on(name, ({ id, flow, layer }) => seen.push([name, id, flow, layer]));
  await say('offer', { version: 1, sdp: offer('0') });
  await say('slots', { version: 1, slots: [slot('0', 't2')] });
  await say('slots', { version: 2, slots: [slot('0', 't2', { layer: 0 })] });
  await say('slots', { version: 3, slots: [slot('0', 't2', { flow: 'bandwidth', layer: null })] });
  await say('track-unpublished', { participant: 'p2', track: 't2' });
  await say('slots', { version: 4, slots: [slot('0', null, { flow: 'paused', layer: null })] });
  assert.deepEqual(seen, [
    ['trackMedia', 't2', 'active', 2], ['trackFlow', 't2', 'active', 2], ['trackFlow', 't2', 'active', 0],
    ['trackFlow', 't2', 'bandwidth', null], ['trackUnpublished', 't2', 'bandwidth', null],
  ]);
});

test('while_the_socket_is_away_only_one_restart_of_ice_waits', async () => {
  const { platform, say, rtc } = await joined({ participants: two });
  await say('offer', { version: 1, sdp: offer('0') });
  rtc.peers[0].become('connected');
  platform.socket.fail();
  rtc.peers[0].become('disconnected');
  await platform.advance(20_000);
  platform.socket.accept();
  await settle();
  platform.socket.reply('resume', { session: { id: 'c1', secret: 's2' }, unknown: [] });
  await settle();
  assert.deepEqual(platform.socket.sent.map(({ type }) => type).filter((type) => type !== 'resume'), ['restart-ice']);
});

test('a_path_that_outlived_a_change_of_network_is_not_restarted_again_and_again', async () => {
  const { platform, say, rtc } = await joined({ participants: two });
  await say('offer', { version: 1, sdp: offer('0') });
  rtc.peers[0].become('connected');
  platform.changeNetwork();
  platform.socket.reply('restart-ice');
  platform.socket.answersPings = true;
  await platform.advance(30_000);
  assert.equal(platform.socket.sent.filter(({ type }) => type === 'restart-ice').length, 1);
});

test('an_offer_that_cannot_be_read_keeps_no_later_one_from_being_answered', async () => {
  const { platform, say, rtc } = await joined({ participants: two });
  await say('offer', { version: 1, sdp: offer('0') });
  const [peer] = rtc.peers;
  const takes = peer.setRemoteDescription.bind(peer);
  peer.setRemoteDescription = async (description) => {
    if (description.sdp === 'nonsense') throw new Error('InvalidAccessError');
    return takes(description);
  };
  // Both at once, so that the second waits behind the first.
  for (const [seq, sdp] of [[2, 'nonsense'], [3, offer('0', '1')]]) platform.socket.deliver({ seq, topic: 'call:demo', type: 'offer', version: seq, sdp });
  await settle();
  assert.deepEqual(platform.socket.sent.filter(({ type }) => type === 'answer').map(({ version }) => version), [1, 3]);
});
