import assert from 'node:assert/strict';
import test from 'node:test';
import { WhipPublisher } from '../node_modules/.cache/telstar-test/client.mjs';
import { settle } from './doubles.mjs';
import { FakeTrack } from './rtc-double.mjs';
import { CREATED, listen, methods, offered, surroundings } from './whip-double.mjs';

const HD = { width: 1280, height: 720, frameRate: 30 };

async function sending(answers, options = {}) {
  const around = surroundings(answers);
  const publisher = new WhipPublisher({ url: '/whip/demo', video: new FakeTrack('video', HD), audio: new FakeTrack('audio'), ...around, ...options });
  const told = listen(publisher);
  publisher.start();
  await offered(around.platform);
  return { publisher, told, ...around };
}

test('picture_and_sound_are_offered_in_one_stream', async () => {
  const { rtc } = await sending([CREATED]);
  assert.deepEqual(rtc.peer.transceivers.map(({ kind, direction, init }) => [kind, direction, init.streams]), [['video', 'sendonly', ['stream']], ['audio', 'sendonly', ['stream']]]);
});

test('h264_comes_first_where_it_can_be_sent_unless_another_codec_is_chosen', async () => {
  const first = async (codec, codecs) => {
    const around = surroundings([CREATED]);
    if (codecs !== undefined) around.rtc.codecs = codecs;
    const publisher = new WhipPublisher({ url: '/whip/demo', video: new FakeTrack('video', HD), ...around, videoOptions: { codec } });
    publisher.start();
    await offered(around.platform);
    return around.rtc.peer.transceivers[0].codecs[0].mimeType;
  };
  assert.deepEqual([await first('auto'), await first('VP8'), await first('H264')], ['video/H264', 'video/VP8', 'video/H264']);
  assert.equal(await first('auto', [{ mimeType: 'video/VP9' }, { mimeType: 'video/VP8' }]), 'video/VP8');
});

test('a_camera_is_sent_in_several_sizes_and_a_screen_in_one', async () => {
  const encodings = async (videoOptions) => (await sending([CREATED], { videoOptions })).rtc.peer.transceivers[0].init.sendEncodings;
  assert.deepEqual((await encodings({ maxBitrateBps: 2_000_000 })).map(({ rid, maxBitrate }) => [rid, maxBitrate]), [['l', 164_938], ['m', 574_349], ['h', 2_000_000]]);
  assert.deepEqual(await encodings({ simulcast: false, maxBitrateBps: 2_000_000, maxFrameRate: 30 }), [{ maxBitrate: 2_000_000, maxFramerate: 30 }]);
  assert.deepEqual(await encodings({ isScreen: true, maxBitrateBps: 3_000_000 }), [{ maxBitrate: 3_000_000 }]);
});

test('another_source_goes_out_without_negotiation_and_under_its_own_limits', async () => {
  const { publisher, rtc, platform } = await sending([CREATED], { videoOptions: { maxBitrateBps: 2_000_000 } });
  rtc.peer.become('connected');
  await settle();
  const screen = new FakeTrack('video', HD);
  await publisher.replace(screen, { isScreen: true, maxBitrateBps: 4_000_000 });
  const { sender } = rtc.peer.transceivers[0];
  assert.equal(sender.track, screen);
  assert.deepEqual(sender.encodings.map(({ rid, active, maxBitrate }) => [rid, active, maxBitrate]), [['l', false, 329_876], ['m', false, 1_148_698], ['h', true, 4_000_000]]);
  assert.equal(sender.preference, 'maintain-resolution');
  await publisher.replace(new FakeTrack('video', HD), { isScreen: false, maxBitrateBps: 2_000_000 });
  assert.deepEqual(sender.encodings.map(({ active }) => active), [true, true, true]);
  assert.equal(sender.preference, 'balanced');
  assert.equal(platform.requests.length, 1);
});

test('a_room_that_somebody_else_sends_to_is_told_and_not_waited_for', async () => {
  const { told, platform } = await sending([[409, { code: 'in_use' }, { 'retry-after': '2' }]]);
  assert.deepEqual([told.at(-1), platform.timerCount], ['closed in_use', 0]);
});

test('after_a_lost_connection_the_own_earlier_session_is_waited_for', async () => {
  const { told, platform, rtc } = await sending([CREATED, [404], [409, { code: 'in_use' }, { 'retry-after': '2' }], CREATED]);
  rtc.peer.become('connected');
  rtc.peer.become('failed');
  await platform.advance(600);
  assert.equal(told.at(-1), 'retry in_use 2000');
  await platform.advance(2_500);
  rtc.peer.become('connected');
  assert.equal(told.at(-1), 'connected');
});

test('each_offer_asks_for_its_token', async () => {
  let asked = 0;
  const { platform } = await sending([[503], CREATED], { token: async () => `token-${++asked}` });
  await platform.advance(1_000);
  assert.deepEqual(platform.requests.map(({ headers }) => headers.authorization), ['Bearer token-1', 'Bearer token-2']);
});

test('a_source_that_is_chosen_while_connecting_is_sent_by_the_next_connection', async () => {
  const { publisher, rtc, platform } = await sending([[503], CREATED]);
  const other = new FakeTrack('video', HD);
  await publisher.replace(other);
  await platform.advance(1_000);
  assert.equal(rtc.peer.transceivers[0].sender.track, other);
  assert.deepEqual(methods(platform), ['POST /whip/demo', 'POST /whip/demo']);
});
