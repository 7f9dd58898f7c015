import assert from 'node:assert/strict';
import test from 'node:test';
import { codecOrder, encodingsFor, layersFor, withDemand, withStartBitrate } from '../node_modules/.cache/telstar-test/client.mjs';
import { joined, types } from './call-double.mjs';
import { settle } from './doubles.mjs';
import { FakeTrack } from './rtc-double.mjs';

const hd = () => new FakeTrack('video', { width: 1280, height: 720, frameRate: 30 });
const publishes = ({ platform }) => platform.socket.sent.filter(({ type }) => type === 'publish');

test('what_is_added_while_an_offer_is_under_way_goes_into_one_next_offer', async () => {
  const setup = await joined();
  setup.call.publish(hd());
  await settle();
  setup.call.publish(new FakeTrack('audio'));
  setup.call.publish(hd(), { source: 'screen' });
  await settle();
  assert.equal(publishes(setup).length, 1);
  await setup.answerPublish();
  assert.deepEqual(publishes(setup).map(({ tracks }) => tracks.map(({ mid, source }) => [mid, source])), [[['0', 'camera']], [['1', 'microphone'], ['2', 'screen']]]);
  await setup.answerPublish();
  assert.deepEqual([...setup.call.localTracks].map(({ id }) => id), ['t1', 't2', 't3']);
  assert.deepEqual(setup.rtc.peers[0].log, ['local offer', 'remote answer', 'local offer', 'remote answer']);
});

test('a_camera_is_sent_in_three_layers_of_vp8_and_a_screen_in_one', async () => {
  const setup = await joined();
  setup.call.publish(hd());
  setup.call.publish(hd(), { source: 'screen' });
  setup.call.publish(hd(), { codec: 'H264' });
  await settle();
  const [camera, screen, h264] = setup.rtc.peers[0].transceivers;
  assert.deepEqual(camera.sender.encodings.map(({ rid, scaleResolutionDownBy }) => [rid, scaleResolutionDownBy]), [['l', 4], ['m', 2], ['h', 1]]);
  assert.deepEqual(screen.sender.encodings.map(({ rid }) => rid), [undefined]);
  assert.equal(camera.codecs[0].mimeType, 'video/VP8');
  assert.equal(h264.codecs[0].mimeType, 'video/H264');
  assert.deepEqual(publishes(setup)[0].tracks.map(({ layers }) => layers?.length), [3, undefined, 3]);
});

test('muting_stops_sending_at_once_and_keeps_the_sender', async () => {
  const setup = await joined();
  const media = hd();
  const local = setup.call.publish(media);
  await settle();
  await setup.answerPublish();
  const { sender } = setup.rtc.peers[0].transceivers[0];
  void local.mute();
  assert.equal(sender.track, null);
  await settle();
  assert.deepEqual(types(setup.platform.socket).slice(-1), ['mute']);
  void local.unmute();
  await settle();
  assert.equal(sender.track, media);
  assert.equal(setup.rtc.peers[0].transceivers.length, 1);
  assert.equal(publishes(setup).length, 1);
});

test('muting_before_the_answer_is_told_after_it', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  void local.mute();
  await settle();
  await setup.answerPublish();
  const { id, ...mute } = setup.platform.socket.sent.at(-1);
  assert.deepEqual(mute, { type: 'mute', track: 't1', muted: true });
});

test('another_device_takes_the_place_without_an_offer_and_tells_its_size', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  const portrait = new FakeTrack('video', { width: 720, height: 1280, frameRate: 30 });
  void local.replace(portrait);
  await settle();
  assert.equal(setup.rtc.peers[0].transceivers[0].sender.track, portrait);
  const { type, layers } = setup.platform.socket.sent.at(-1);
  assert.equal(type, 'update-track');
  assert.deepEqual(layers.map(({ width, height }) => [width, height]), [[180, 320], [360, 640], [720, 1280]]);
  assert.equal(publishes(setup).length, 1);
});

test('unpublishing_tells_the_server_and_the_next_track_takes_over_its_section', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  await local.unpublish();
  await settle();
  assert.equal(setup.platform.socket.sent.find(({ type }) => type === 'unpublish').track, 't1');
  assert.equal(setup.rtc.peers[0].transceivers[0].direction, 'inactive');
  setup.platform.socket.reply('unpublish');
  await setup.answerPublish();
  setup.call.publish(hd());
  await settle();
  const [transceiver, ...more] = setup.rtc.peers[0].transceivers;
  assert.deepEqual([transceiver.direction, more.length], ['sendonly', 0]);
  assert.deepEqual(publishes(setup).at(-1).tracks.map(({ mid }) => mid), ['0']);
});

test('a_track_unpublished_before_its_answer_is_taken_back_once_it_has_a_name', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  await local.unpublish();
  assert.equal(setup.platform.socket.sent.some(({ type }) => type === 'unpublish'), false);
  await setup.answerPublish();
  assert.equal(setup.platform.socket.sent.find(({ type }) => type === 'unpublish').track, 't1');
});

test('a_refused_track_is_rolled_back_and_its_owner_hears_why', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  setup.platform.socket.deliver({ re: publishes(setup)[0].id, ok: false, error: { code: 'too_many_tracks', detail: 'no more' } });
  await assert.rejects(local.ready, (error) => error.code === 'too_many_tracks');
  assert.deepEqual(setup.rtc.peers[0].log, ['local offer', 'local rollback']);
  assert.equal(setup.call.localTracks.size, 0);
  setup.call.publish(new FakeTrack('audio'));
  await settle();
  assert.deepEqual(publishes(setup).at(-1).tracks.map(({ kind }) => kind), ['audio']);
});

test('demand_pauses_and_resumes_layers_one_change_after_another', async () => {
  const setup = await joined();
  setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  const { sender } = setup.rtc.peers[0].transceivers[0];
  const active = () => sender.encodings.filter((encoding) => encoding.active).map(({ rid }) => rid);
  await setup.say('demand', { tracks: [{ track: 't1', wanted: true, rids: ['l'] }] });
  assert.deepEqual(active(), ['l']);
  sender.refuseNext = 1;
  void setup.say('demand', { tracks: [{ track: 't1', wanted: true, rids: ['l', 'm', 'h'] }] });
  await setup.say('demand', { tracks: [{ track: 't1', wanted: false, rids: [] }] });
  await settle();
  assert.deepEqual(active(), []);
  await setup.say('demand', { tracks: [{ track: 't1', wanted: true, rids: ['l', 'm'] }] });
  assert.deepEqual(active(), ['l', 'm']);
});

test('demand_that_changes_nothing_touches_nothing', () => {
  const parameters = { encodings: [{ rid: 'l', active: true }, { rid: 'm', active: false }] };
  assert.equal(withDemand(parameters, true, ['l']), null);
  assert.deepEqual(withDemand(parameters, true, ['m']).encodings.map(({ active }) => active), [false, true]);
  // Without simulcast only whether it is wanted counts.
  assert.equal(withDemand({ encodings: [{}] }, true, []), null);
  assert.equal(withDemand({ encodings: [{}] }, false, []).encodings[0].active, false);
});

test('layers_and_bitrates_follow_the_size', () => {
  const sizes = (width, height, options = {}) => layersFor({ width, height, frameRate: 30 }, { source: 'camera', ...options });
  assert.deepEqual(sizes(1920, 1080).map(({ rid, height }) => [rid, height]), [['l', 270], ['m', 540], ['h', 1080]]);
  assert.deepEqual(sizes(640, 360).map(({ rid, height }) => [rid, height]), [['l', 180], ['m', 360]]);
  assert.equal(sizes(320, 180).length, 1);
  assert.equal(sizes(1280, 720, { simulcast: false }).length, 1);
  assert.equal(sizes(1280, 720)[2].bitrate_bps, 1_700_000);
  const ascending = sizes(1280, 720).map(({ bitrate_bps: bps }) => bps);
  assert.deepEqual(ascending, [...ascending].sort((a, b) => a - b));
  assert.ok(ascending[0] < 200_000);
  assert.equal(sizes(1280, 720, { maxBitrateBps: 600_000 })[2].bitrate_bps, 600_000);
  assert.deepEqual(encodingsFor(sizes(1280, 720), 'VP9').map(({ scalabilityMode }) => scalabilityMode), ['L1T1', 'L1T1', 'L1T1']);
});

test('the_chosen_codec_comes_first_and_none_is_lost', () => {
  const codecs = ['video/VP9', 'video/rtx', 'video/VP8'].map((mimeType) => ({ mimeType, clockRate: 90_000 }));
  assert.deepEqual(codecOrder(codecs, 'video').map(({ mimeType }) => mimeType), ['video/VP8', 'video/VP9', 'video/rtx']);
  assert.deepEqual(codecOrder(codecs, 'video', 'AV1'), codecs);
});

test('candidates_go_both_ways_and_wait_for_what_they_belong_to', async () => {
  const setup = await joined();
  setup.call.publish(hd());
  await settle();
  const [peer] = setup.rtc.peers;
  await setup.say('candidate', { connection: 'publish', candidate: 'candidate:early' });
  assert.deepEqual(peer.candidates, []);
  peer.onicecandidate({ candidate: { candidate: 'candidate:ours' } });
  peer.onicecandidate({ candidate: null });
  assert.deepEqual(setup.platform.socket.sent.filter(({ type }) => type === 'candidate').map(({ connection, candidate }) => [connection, candidate]), [['publish', 'candidate:ours'], ['publish', '']]);
  await setup.answerPublish();
  await setup.say('candidate', { connection: 'publish', candidate: '' });
  assert.deepEqual(peer.candidates.map(({ candidate }) => candidate), ['candidate:early', '']);
});

test('ice_is_restarted_when_a_connection_stays_disconnected_and_not_before', async () => {
  const setup = await joined();
  setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  const [peer] = setup.rtc.peers;
  setup.platform.socket.answersPings = true;
  peer.become('connected');
  peer.become('disconnected');
  assert.equal(setup.call.state, 'reconnecting');
  await setup.platform.advance(1_900);
  peer.become('connected');
  await setup.platform.advance(5_000);
  assert.equal(peer.iceRestarts, 0);
  peer.become('disconnected');
  await setup.platform.advance(2_000);
  assert.equal(peer.iceRestarts, 1);
  assert.deepEqual(publishes(setup).at(-1).tracks, []);
  await setup.platform.advance(5_000);
  assert.equal(peer.iceRestarts, 2);
  peer.become('connected');
  assert.equal(setup.call.state, 'connected');
});

test('lossy_data_opens_its_channel_at_the_first_use_and_names_its_receivers', async () => {
  const setup = await joined();
  assert.equal(setup.call.sendLossy(new Uint8Array([9])), false);
  await settle();
  assert.deepEqual(publishes(setup)[0].tracks, []);
  const [channel] = setup.rtc.peers[0].channels;
  assert.deepEqual([channel.label, channel.init], ['lossy', { ordered: false, maxRetransmits: 0 }]);
  channel.readyState = 'open';
  assert.equal(setup.call.sendLossy(new Uint8Array([9, 8]), { to: ['p2', 'p258'] }), true);
  assert.deepEqual([...channel.sent[0]], [2, 0, 0, 0, 2, 0, 0, 1, 2, 9, 8]);
  channel.bufferedAmount = 1_000_000;
  assert.equal(setup.call.sendLossy(new Uint8Array([9])), false);
});

test('a_sender_that_had_worked_and_failed_publishes_its_tracks_again', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  setup.rtc.peers[0].become('connected');
  // The server ends the tracks before it says why.
  await setup.say('track-unpublished', { participant: 'p1', track: 't1' });
  await setup.say('media-failed', { connection: 'publish', reason: 'no_path' });
  assert.deepEqual([setup.rtc.peers[0].isClosed, setup.rtc.peers.length], [true, 2]);
  await setup.answerPublish();
  await setup.platform.advance(1_000);
  assert.equal(local.id, 't2');
  assert.equal(setup.call.localTracks.has(local), true);
});

test('a_track_that_the_server_ends_without_a_failure_is_over', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  await setup.say('track-unpublished', { participant: 'p1', track: 't1' });
  await setup.platform.advance(1_000);
  assert.equal(setup.call.localTracks.has(local), false);
  assert.equal(setup.platform.socket.sent.some(({ type }) => type === 'unpublish'), false);
});

test('a_track_that_is_refused_on_another_connection_is_over_as_well', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  setup.rtc.peers[0].become('connected');
  await setup.say('media-failed', { connection: 'publish', reason: 'no_path' });
  const seen = [];
  setup.call.on('localTrack', (track) => seen.push(setup.call.localTracks.has(track)));
  setup.platform.socket.deliver({ re: publishes(setup).at(-1).id, ok: false, error: { code: 'too_many_tracks' } });
  await settle();
  assert.deepEqual([setup.call.localTracks.has(local), seen], [false, [false]]);
});

test('an_answer_that_the_browser_cannot_read_refuses_its_tracks_and_not_the_next_ones', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  const [peer] = setup.rtc.peers;
  const takes = peer.setRemoteDescription.bind(peer);
  peer.setRemoteDescription = async () => {
    peer.setRemoteDescription = takes;
    throw new Error('InvalidAccessError');
  };
  const next = setup.call.publish(new FakeTrack('audio'));
  await setup.answerPublish();
  await assert.rejects(local.ready, ({ code }) => code === 'bad_sdp');
  assert.deepEqual(publishes(setup).at(-1).tracks.map(({ kind }) => kind), ['audio']);
  await setup.answerPublish();
  assert.equal(await next.ready, next);
});

test('a_section_that_was_never_offered_is_there_for_the_next_track', async () => {
  const setup = await joined();
  const first = setup.call.publish(hd());
  setup.call.unpublish(first);
  setup.call.publish(hd());
  await settle();
  const [transceiver, ...more] = setup.rtc.peers[0].transceivers;
  assert.deepEqual([transceiver.direction, more.length], ['sendonly', 0]);
  assert.deepEqual(publishes(setup).map(({ tracks }) => tracks.length), [1]);
});

test('muting_and_unmuting_at_once_tells_what_counts_in_the_end', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  local.mute().catch(() => {});
  local.unmute().catch(() => {});
  await settle();
  assert.deepEqual(setup.platform.socket.sent.filter(({ type }) => type === 'mute').map(({ muted }) => muted), [false, false]);
  assert.notEqual(setup.rtc.peers[0].transceivers[0].sender.track, null);
});

test('a_call_that_is_over_takes_no_track_and_makes_no_connection', async () => {
  const setup = await joined();
  setup.call.leave();
  assert.throws(() => setup.call.publish(hd()), ({ code }) => code === 'closed');
  assert.equal(setup.call.sendLossy(new Uint8Array([1])), false);
  setup.call.probe();
  assert.equal(setup.rtc.peers.length, 0);
});

test('an_answer_tells_chromium_where_to_begin_for_each_codec_of_pictures', () => {
  const lines = ['v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 useinbandfec=1', 'm=video 9 UDP/TLS/RTP/SAVPF 96 97 102',
    'a=rtpmap:96 VP8/90000', 'a=rtpmap:97 rtx/90000', 'a=fmtp:97 apt=96', 'a=rtpmap:102 H264/90000', 'a=fmtp:102 packetization-mode=1', ''];
  const start = 'x-google-start-bitrate=1000';
  const expected = lines.flatMap((line) => (line.includes('VP8') ? [line, `a=fmtp:96 ${start}`] : line.startsWith('a=fmtp:102') ? [`${line};${start}`] : [line]));
  assert.equal(withStartBitrate(lines.join('\r\n')), expected.join('\r\n'));
  assert.equal(withStartBitrate('{}'), '{}');
});
