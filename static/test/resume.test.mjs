import assert from 'node:assert/strict';
import test from 'node:test';
import { answerJoin, camera, joined, person, start, types } from './call-double.mjs';
import { settle } from './doubles.mjs';
import { FakeTrack } from './rtc-double.mjs';

/** Cuts the socket and opens the next one. */
async function cut(platform) {
  platform.socket.fail();
  await platform.advance(1_000);
  platform.socket.accept();
  await settle();
}

test('a_lost_socket_is_resumed_with_the_last_seq_and_the_unanswered_requests', async () => {
  const { platform, call, say, seen, rtc } = await joined({ participants: [person('p2')] });
  await say('participant-joined', { participant: person('p3') });
  await say('participant-joined', { participant: person('p4') });
  const answered = call.sendData('one').then(() => 'ok');
  const lost = call.sendData('two').then(() => 'ok');
  const [one, two] = platform.socket.sent.slice(-2);
  await cut(platform);
  assert.deepEqual(seen.at(-1), ['state', 'reconnecting']);
  const during = call.sendData('three').then(() => 'ok');
  const [resume] = platform.socket.sent;
  assert.deepEqual(resume, { type: 'resume', id: resume.id, session: 'c1', secret: 's1', seq: 2, pending: [one.id, two.id] });
  assert.equal(platform.socket.sent.length, 1);

  platform.socket.reply('resume', { session: { id: 'c1', secret: 's2' }, unknown: [two.id] });
  await settle();
  assert.deepEqual(platform.socket.sent.slice(1).map(({ data }) => data), ['two', 'three']);
  assert.equal(platform.socket.sent[1].id, two.id);
  for (const { id } of [one, ...platform.socket.sent.slice(1)]) platform.socket.deliver({ re: id, ok: true });
  assert.deepEqual(await Promise.all([answered, lost, during]), ['ok', 'ok', 'ok']);
  assert.deepEqual(seen.at(-1), ['state', 'connected']);
  assert.equal(seen.filter(([what]) => what === 'joined').length, 1);
  assert.ok(rtc.peers.every(({ isClosed }) => !isClosed));

  // The new secret counts from now on.
  await cut(platform);
  assert.equal(platform.socket.sent[0].secret, 's2');
});

test('events_that_the_server_repeats_are_dropped_and_the_missed_ones_are_not', async () => {
  const { platform, call, say } = await joined();
  await say('participant-joined', { participant: person('p2') });
  await cut(platform);
  platform.socket.reply('resume', { session: { id: 'c1', secret: 's2' }, unknown: [] });
  await settle();
  const seen = [];
  call.on('participantJoined', ({ id }) => seen.push(id));
  call.on('participantUpdated', ({ id }) => seen.push(`${id} again`));
  for (const [seq, id] of [[1, 'p2'], [2, 'p3'], [2, 'p3'], [3, 'p4']]) {
    platform.socket.deliver({ seq, topic: 'call:demo', type: 'participant-joined', participant: person(id) });
  }
  assert.deepEqual(seen, ['p3', 'p4']);
});

test('a_publish_on_a_path_that_died_silently_is_sent_again_with_the_session', async () => {
  const { platform, call, rtc, answerPublish } = await joined();
  const local = call.publish(new FakeTrack('audio'));
  await settle();
  const [publish] = platform.socket.sent.slice(-1);
  // Nothing comes any more, and no close event says so: only the unanswered ping does.
  await platform.advance(14_000);
  assert.equal(platform.sockets.length, 2);
  assert.deepEqual([call.localTracks.has(local), rtc.peers[0].log], [true, ['local offer']]);
  platform.socket.accept();
  await settle();
  assert.deepEqual(platform.socket.sent[0].pending, [publish.id]);
  platform.socket.reply('resume', { session: { id: 'c1', secret: 's2' }, unknown: [publish.id] });
  await settle();
  assert.deepEqual(platform.socket.sent.at(-1), publish);
  await answerPublish();
  assert.deepEqual([local.id, call.localTracks.has(local), rtc.peers.length], ['t1', true, 1]);
});

test('media_goes_on_while_the_socket_is_away', async () => {
  const { platform, call, rtc, answerPublish } = await joined();
  call.publish(new FakeTrack('video', { width: 1280, height: 720 }));
  await settle();
  await answerPublish();
  rtc.peers[0].become('connected');
  await cut(platform);
  platform.socket.reply('resume', { session: { id: 'c1', secret: 's2' }, unknown: [] });
  await settle();
  assert.equal(rtc.peers.length, 1);
  assert.equal(rtc.peers[0].isClosed, false);
  assert.deepEqual(types(platform.socket), ['resume']);
});

test('a_session_that_is_gone_is_joined_anew_with_the_same_tracks', async () => {
  const { platform, call, seen, rtc, answerPublish } = await joined({ participants: [person('p2'), person('p3')] });
  const local = call.publish(new FakeTrack('audio'));
  await settle();
  await answerPublish();
  call.participants.get('p2');
  const failed = call.sendData('x').then(() => 'ok', (error) => error.code);
  const gone = [];
  call.on('participantLeft', ({ participant }) => gone.push(participant.id));
  call.on('participantJoined', ({ id }) => gone.push(`+${id}`));
  await cut(platform);
  platform.socket.deliver({ re: platform.socket.sent[0].id, ok: false, error: { code: 'gone' } });
  await settle();
  assert.equal(await failed, 'gone');
  assert.deepEqual(types(platform.socket), ['resume', 'authenticate', 'join', 'publish']);
  assert.deepEqual([rtc.peers[0].isClosed, rtc.peers[1].isClosed, local.id], [true, false, null]);
  await answerJoin(platform.socket, { participants: [person('p3'), person('p8')], self: 'p7', secret: 's9' });
  assert.deepEqual(gone, ['p2', '+p8']);
  assert.equal(call.self.id, 'p7');
  assert.deepEqual(seen.at(-1), ['state', 'connected']);
  const request = platform.socket.sent.findLast(({ type }) => type === 'publish');
  platform.socket.deliver({ re: request.id, ok: true, sdp: '{}', tracks: [{ mid: '0', track: 't50' }] });
  await settle();
  assert.equal(local.id, 't50');
});

test('wishes_while_the_socket_is_away_are_said_once_after_it', async () => {
  const { platform, call } = await joined({ participants: [person('p2', { tracks: [camera('t9')] })] });
  platform.socket.fail();
  for (let width = 16; width <= 16 * 400; width += 16) call.track('t9').want({ width, height: 90 });
  await platform.advance(1_000);
  platform.socket.accept();
  await settle();
  platform.socket.reply('resume', { session: { id: 'c1', secret: 's2' }, unknown: [] });
  await settle();
  assert.deepEqual(platform.socket.sent.slice(1).map(({ type, width }) => [type, width]), [['update-subscription', 6_400]]);
});

test('wishes_about_tracks_are_repeated_after_joining_anew', async () => {
  const participants = [person('p2', { tracks: [camera('t9'), camera('t10')] })];
  const { platform, call } = await joined({ participants });
  call.track('t9').want({ width: 320, height: 180 });
  call.report(true).catch(() => {});
  await cut(platform);
  platform.socket.deliver({ re: platform.socket.sent[0].id, ok: false, error: { code: 'gone' } });
  await settle();
  await answerJoin(platform.socket, { participants, self: 'p7' });
  assert.deepEqual(platform.socket.sent.slice(3).map(({ type, track, width }) => [type, track, width]), [['update-subscription', 't9', 320], ['report', undefined, undefined]]);
});

test('a_socket_lost_before_the_join_was_answered_begins_from_the_start', async () => {
  const { platform, call, seen, rtc } = start();
  call.publish(new FakeTrack('audio'));
  await settle();
  platform.socket.accept();
  await settle();
  await cut(platform);
  assert.deepEqual(types(platform.socket), ['authenticate', 'join', 'publish']);
  assert.equal(rtc.peers[0].isClosed, true);
  await answerJoin(platform.socket);
  assert.deepEqual(seen.at(-1), ['state', 'connected']);
});

test('with_a_session_a_dead_path_is_noticed_while_there_is_time_to_resume', async () => {
  const { platform } = await joined();
  await platform.advance(5_000);
  assert.equal(platform.socket.sent.at(-1).type, 'ping');
  await platform.advance(5_500);
  assert.equal(platform.sockets.length, 2);
});

test('a_resume_that_is_not_answered_is_tried_on_another_socket', async () => {
  const { platform, call } = await joined();
  const late = call.sendData('x').then(() => 'ok');
  const { id } = platform.socket.sent.at(-1);
  await cut(platform);
  await platform.advance(12_000);
  assert.equal(platform.sockets.length, 3);
  platform.socket.accept();
  await settle();
  assert.deepEqual(platform.socket.sent[0].pending, [id]);
  platform.socket.reply('resume', { session: { id: 'c1', secret: 's2' }, unknown: [id] });
  await settle();
  platform.socket.deliver({ re: id, ok: true });
  assert.equal(await late, 'ok');
});

test('a_network_change_skips_the_delay_and_restarts_ice_where_it_had_worked', async () => {
  const { platform, call, client, rtc } = await joined();
  call.publish(new FakeTrack('audio'));
  await settle();
  rtc.peers[0].become('connected');
  platform.socket.fail();
  platform.changeNetwork();
  assert.equal(platform.sockets.length, 2);
  assert.equal(rtc.peers[0].iceRestarts, 1);
  client.close();
});

test('leaving_while_the_session_is_being_resumed_keeps_nobody_waiting', async () => {
  const { platform, client, call } = await joined();
  await cut(platform);
  const { socket } = platform;
  call.leave();
  await settle();
  // The server may have resumed on it already: 1000 leaves the call, 4000 would keep its place for 40 s.
  assert.equal(socket.closedWith, 1000);
  const next = client.join('demo', { name: 'Me' });
  await platform.advance(1_000);
  platform.socket.accept();
  await settle();
  await answerJoin(platform.socket, { self: 'p5' });
  assert.equal(next.self.id, 'p5');
});

test('a_number_that_means_somebody_else_after_a_restart_of_the_server_is_another_participant', async () => {
  const { platform, call } = await joined({ participants: [person('p2'), person('p3')] });
  const seen = [];
  call.on('participantLeft', ({ participant }) => seen.push(`-${participant.name}`));
  call.on('participantJoined', ({ name }) => seen.push(`+${name}`));
  await cut(platform);
  platform.socket.deliver({ re: platform.socket.sent[0].id, ok: false, error: { code: 'gone' } });
  await settle();
  await answerJoin(platform.socket, { participants: [person('p2', { identity: 'guest:new', name: 'NEW' }), person('p3')] });
  assert.deepEqual(seen, ['-P2', '+NEW']);
});
