import assert from 'node:assert/strict';
import test from 'node:test';
import { callState } from '../node_modules/.cache/telstar-test/client.mjs';
import { answerJoin, camera, joined, person, start, types } from './call-double.mjs';
import { settle } from './doubles.mjs';
import { FakeTrack } from './rtc-double.mjs';

test('authenticate_join_and_publish_are_sent_without_waiting_for_one_another', async () => {
  const { platform, call } = start();
  call.publish(new FakeTrack('audio'));
  call.publish(new FakeTrack('video', { width: 1280, height: 720 }));
  await settle();
  platform.socket.accept();
  await settle();
  assert.deepEqual(types(platform.socket), ['authenticate', 'join', 'publish']);
  const [, join, publish] = platform.socket.sent;
  assert.deepEqual([join.room, join.name, join.kind, join.auto_subscribe], ['demo', 'Me', 'browser', true]);
  assert.deepEqual(publish.tracks.map(({ kind, source }) => [kind, source]), [['audio', 'microphone'], ['video', 'camera']]);
  assert.deepEqual(publish.tracks[1].layers.map(({ rid, width, height }) => [rid, width, height]), [['l', 320, 180], ['m', 640, 360], ['h', 1280, 720]]);
});

test('an_offer_that_is_ready_late_follows_the_join', async () => {
  const { platform, call } = start();
  platform.socket.accept();
  call.publish(new FakeTrack('audio'));
  await settle();
  assert.deepEqual(types(platform.socket), ['authenticate', 'join', 'publish']);
});

test('the_state_of_the_room_is_known_after_joining_and_follows_the_events', async () => {
  const { call, say } = await joined({ participants: [person('p2', { tracks: [camera('t9')] })] });
  assert.equal((await call.ready).self.id, 'p1');
  assert.equal(call.title, 'Demo');
  assert.deepEqual([...call.participants.keys()], ['p2']);
  const seen = [];
  for (const name of ['participantJoined', 'participantUpdated', 'trackPublished', 'trackUpdated', 'trackUnpublished']) call.on(name, ({ id }) => seen.push([name, id]));
  call.on('participantLeft', ({ participant, reason }) => seen.push(['left', participant.id, reason]));
  await say('participant-joined', { participant: person('p3') });
  await say('track-published', { participant: 'p3', track: camera('t10') });
  await say('track-updated', { participant: 'p3', track: camera('t10', { muted: true, muted_by: 'self' }) });
  assert.equal(call.track('t10').isMuted, true);
  await say('participant-updated', { participant: person('p2', { name: 'New', state: 'away' }) });
  assert.equal(call.participants.get('p2').isAway, true);
  await say('track-unpublished', { participant: 'p3', track: 't10' });
  await say('participant-left', { participant: 'p2', reason: 'removed' });
  assert.deepEqual(seen, [
    ['participantJoined', 'p3'], ['trackPublished', 't10'], ['trackUpdated', 't10'], ['participantUpdated', 'p2'],
    ['trackUnpublished', 't10'], ['trackUnpublished', 't9'], ['left', 'p2', 'removed'],
  ]);
  assert.deepEqual([...call.participants.keys()], ['p3']);
});

test('a_refused_join_ends_the_call_with_the_servers_code', async () => {
  for (const code of ['forbidden', 'not_found', 'room_full']) {
    const { platform, call, seen } = start();
    platform.socket.accept();
    await settle();
    platform.socket.reply('authenticate');
    platform.socket.deliver({ re: platform.socket.sent[1].id, ok: false, error: { code, detail: 'words' } });
    await settle();
    await assert.rejects(call.ready, (error) => error.code === code);
    assert.deepEqual(seen, [['state', 'left'], ['left', code]]);
    await platform.advance(60_000);
    assert.equal(types(platform.sockets[0]).filter((type) => type === 'join').length, 1);
  }
});

test('a_refusal_that_is_not_about_the_room_is_tried_again', async () => {
  const { platform, seen } = start();
  platform.socket.accept();
  await settle();
  platform.socket.reply('authenticate');
  platform.socket.deliver({ re: platform.socket.sent[1].id, ok: false, error: { code: 'unavailable' } });
  await platform.advance(1_000);
  assert.equal(types(platform.socket).filter((type) => type === 'join').length, 2);
  await answerJoin(platform.socket);
  assert.deepEqual(seen.at(-1), ['state', 'connected']);
});

test('what_was_published_with_a_join_that_is_tried_again_is_published_with_the_next', async () => {
  const { platform, call } = start();
  const local = call.publish(new FakeTrack('audio'));
  platform.socket.accept();
  await settle();
  platform.socket.reply('authenticate');
  const refuse = (type, code) => platform.socket.deliver({ re: platform.socket.sent.find((message) => message.type === type).id, ok: false, error: { code } });
  refuse('join', 'rate_limited');
  refuse('publish', 'not_joined');
  await settle();
  assert.equal(call.localTracks.size, 1);
  await platform.advance(1_000);
  assert.deepEqual(types(platform.socket), ['authenticate', 'join', 'publish', 'join', 'publish']);
  call.leave();
  await assert.rejects(local.ready, (error) => error.code === 'left');
});

test('a_token_that_is_refused_ends_the_call', async () => {
  const { platform, call, seen } = start();
  platform.socket.accept();
  await settle();
  platform.socket.deliver({ re: platform.socket.sent[0].id, ok: false, error: { code: 'unauthorised', detail: 'expired' } });
  await settle();
  assert.deepEqual(seen.at(-1), ['left', 'unauthorised']);
  await assert.rejects(call.ready);
});

test('removal_and_the_like_are_final_and_a_server_that_stops_is_joined_again', async () => {
  for (const reason of ['removed', 'duplicate-identity', 'room-deleted', 'credential-ended']) {
    const { platform, seen, say, rtc, call } = await joined();
    call.publish(new FakeTrack('audio'));
    await say('left', { reason });
    assert.deepEqual(seen.at(-1), ['left', reason]);
    assert.ok(rtc.peers.every(({ isClosed }) => isClosed));
    await platform.advance(4_000);
    assert.equal(types(platform.socket).filter((type) => type === 'join').length, 1);
  }
  const { platform, seen, say } = await joined();
  await say('left', { reason: 'shutdown' });
  assert.deepEqual(seen.at(-1), ['state', 'reconnecting']);
  await platform.advance(1_000);
  assert.equal(types(platform.socket).filter((type) => type === 'join').length, 2);
});

test('a_moderator_mutes_and_only_the_owner_unmutes', async () => {
  const { platform, rtc, call, say, answerPublish } = await joined();
  const local = call.publish(new FakeTrack('audio'));
  await settle();
  await answerPublish();
  assert.equal(local.id, 't1');
  await say('track-updated', { participant: 'p1', track: camera('t1', { kind: 'audio', source: 'microphone', muted: true, muted_by: 'moderator' }) });
  assert.deepEqual([local.isMuted, local.mutedBy], [true, 'moderator']);
  assert.equal(rtc.peers[0].transceivers[0].sender.track, null);
  await say('track-updated', { participant: 'p1', track: camera('t1', { muted: false }) });
  assert.equal(local.isMuted, true);
  void local.unmute();
  await settle();
  assert.deepEqual(platform.socket.sent.at(-1).type, 'mute');
  assert.deepEqual([platform.socket.sent.at(-1).track, platform.socket.sent.at(-1).muted], ['t1', false]);
});

test('moderation_and_data_are_requests', async () => {
  const { platform, call, say } = await joined({ participants: [person('p2', { tracks: [camera('t9')] })] });
  void call.muteTrack(call.track('t9'));
  void call.remove('p2');
  void call.sendData({ hello: 1 }, { to: ['p2'], label: 'greeting' });
  void call.updateSelf({ name: 'Other' });
  void call.report(true);
  const sent = platform.socket.sent.slice(-5).map(({ id, ...rest }) => rest);
  assert.deepEqual(sent, [
    { type: 'mute', track: 't9', muted: true }, { type: 'remove', participant: 'p2' },
    { type: 'send-data', data: { hello: 1 }, to: ['p2'], label: 'greeting' }, { type: 'update-participant', name: 'Other' }, { type: 'report', enabled: true },
  ]);
  const seen = [];
  call.on('data', (event) => seen.push(event));
  call.on('bandwidth', ({ estimate_bps: bps }) => seen.push(bps));
  await say('data', { from: 'p2', label: 'x', data: [1] });
  await say('bandwidth', { estimate_bps: 5, allocated_bps: 4, sent_bps: 3, round_trip_ms: null, loss: null });
  assert.deepEqual(seen, [{ from: 'p2', label: 'x', data: [1] }, 5]);
});

test('a_track_is_wanted_in_full_settings_and_each_wish_is_sent_once', async () => {
  const { platform, call } = await joined({ participants: [person('p2', { tracks: [camera('t9')] })] });
  const track = call.track('t9');
  track.want({ width: 640, height: 360 });
  track.want({ width: 640, height: 360 });
  track.want({ paused: true });
  const sent = platform.socket.sent.filter(({ type }) => type === 'update-subscription').map(({ id, type, ...rest }) => rest);
  assert.deepEqual(sent, [
    { track: 't9', enabled: true, paused: false, width: 640, height: 360, frame_rate: 0, priority: 128 },
    { track: 't9', enabled: true, paused: true, width: 640, height: 360, frame_rate: 0, priority: 128 },
  ]);
});

test('one_call_at_a_time_and_leaving_makes_room_for_the_next', async () => {
  const { platform, client, call, seen } = await joined();
  assert.throws(() => client.join('other'), (error) => error.code === 'already_joined');
  call.leave();
  assert.equal(platform.socket.sent.at(-1).type, 'leave');
  assert.deepEqual(seen.at(-1), ['left', 'left']);
  client.join('other');
  assert.equal(platform.socket.sent.at(-1).room, 'other');
});

test('the_state_is_one_word_made_of_the_facts', () => {
  const facts = { socket: 'open', isJoined: true, wasJoined: true, isLeft: false, peers: ['connected', 'none'] };
  assert.equal(callState(facts), 'connected');
  assert.equal(callState({ ...facts, peers: ['connecting', 'new'] }), 'connected');
  assert.equal(callState({ ...facts, peers: ['connected', 'disconnected'] }), 'reconnecting');
  assert.equal(callState({ ...facts, socket: 'lost' }), 'reconnecting');
  assert.equal(callState({ ...facts, isJoined: false }), 'reconnecting');
  assert.equal(callState({ ...facts, isJoined: false, wasJoined: false, socket: 'lost' }), 'connecting');
  assert.equal(callState({ ...facts, isLeft: true }), 'left');
});

test('leaving_and_closing_leave_no_timer_behind', async () => {
  const { platform, client, call, rtc } = await joined();
  call.publish(new FakeTrack('audio'));
  await settle();
  rtc.peers[0].become('connected');
  rtc.peers[0].become('disconnected');
  client.close();
  assert.equal(platform.timerCount, 0);
});
