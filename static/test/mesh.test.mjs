import assert from 'node:assert/strict';
import test from 'node:test';
import { answerJoin, joined, person, start } from './call-double.mjs';
import { settle } from './doubles.mjs';
import { FakeTrack } from './rtc-double.mjs';

const signals = ({ platform }) => platform.socket.sent.filter(({ type }) => type === 'signal');
const descriptions = (setup) => signals(setup).filter(({ description }) => description !== undefined).map(({ to, description }) => [to, description.type]);
const peerOf = ({ rtc }) => rtc.peers.at(-1);

/** In a p2p call as `self`, with a camera, beside `other`. */
async function meshed(self, other) {
  const setup = await joined({ mode: 'p2p', self });
  setup.call.publish(new FakeTrack('video', { width: 1280, height: 720 }));
  await setup.say('participant-joined', { participant: person(other) });
  return setup;
}

test('each_of_the_others_is_offered_a_connection_and_told_what_the_tracks_are', async () => {
  const setup = await joined({ mode: 'p2p', self: 'p9' });
  const local = setup.call.publish(new FakeTrack('audio'));
  await local.ready;
  for (const id of ['p2', 'p3']) await setup.say('participant-joined', { participant: person(id) });
  assert.deepEqual(descriptions(setup), [['p2', 'offer'], ['p3', 'offer']]);
  const told = setup.platform.socket.sent.filter(({ type }) => type === 'send-data');
  assert.deepEqual(told.map(({ to, label, data }) => [to, label, data]), [
    [['p2'], 'telstar.tracks', [{ mid: '0', kind: 'audio', source: 'microphone', name: '', muted: false }]],
    [['p3'], 'telstar.tracks', [{ mid: '0', kind: 'audio', source: 'microphone', name: '', muted: false }]],
  ]);
  assert.equal(setup.platform.socket.sent.some(({ type }) => type === 'publish'), false);
});

test('a_track_published_before_the_mode_was_known_moves_over', async () => {
  const setup = start();
  const local = setup.call.publish(new FakeTrack('audio'));
  await settle();
  setup.platform.socket.accept();
  await settle();
  const publish = setup.platform.socket.sent.find(({ type }) => type === 'publish');
  await answerJoin(setup.platform.socket, { mode: 'p2p', self: 'p9', participants: [person('p2')] });
  setup.platform.socket.deliver({ re: publish.id, ok: false, error: { code: 'wrong_mode' } });
  await settle();
  assert.equal(await local.ready, local);
  assert.deepEqual(descriptions(setup), [['p2', 'offer']]);
  assert.equal(setup.call.localTracks.size, 1);
});

test('when_both_offer_at_once_the_polite_side_gives_in', async () => {
  const setup = await meshed('p7', 'p2');
  assert.equal(peerOf(setup).signalingState, 'have-local-offer');
  await setup.say('signal', { from: 'p2', description: { type: 'offer', sdp: '{"mids":["9"]}' } });
  assert.deepEqual(peerOf(setup).log, ['local offer', 'implicit rollback', 'remote offer', 'local answer']);
  assert.deepEqual(descriptions(setup).at(-1), ['p2', 'answer']);
});

test('who_came_first_is_offered_the_connection_and_adds_its_tracks_to_it', async () => {
  const setup = await meshed('p2', 'p7');
  assert.deepEqual(descriptions(setup), []);
  await setup.say('signal', { from: 'p7', description: { type: 'offer', sdp: '{"mids":["9"]}' } });
  await settle();
  assert.deepEqual(peerOf(setup).log, ['remote offer', 'local answer', 'local offer']);
  assert.deepEqual(descriptions(setup), [['p7', 'answer'], ['p7', 'offer']]);
});

test('when_both_offer_at_once_the_impolite_side_ignores_the_other', async () => {
  const setup = await meshed('p2', 'p7');
  await setup.say('signal', { from: 'p7', description: { type: 'offer', sdp: '{"mids":["9"]}' } });
  await settle();
  const before = peerOf(setup).log.length;
  await setup.say('signal', { from: 'p7', description: { type: 'offer', sdp: '{"mids":["9", "10"]}' } });
  assert.equal(peerOf(setup).log.length, before);
  await setup.say('signal', { from: 'p7', description: { type: 'answer', sdp: '{}' } });
  assert.equal(peerOf(setup).signalingState, 'stable');
  await setup.say('signal', { from: 'p7', candidate: { candidate: 'candidate:2', sdpMLineIndex: 0 } });
  assert.deepEqual(peerOf(setup).candidates.map(({ candidate }) => candidate), ['candidate:2']);
  assert.equal(setup.call.state, 'connected');
});

test('a_candidate_of_an_offer_that_was_ignored_is_no_failure', async () => {
  const setup = await meshed('p2', 'p7');
  await setup.say('signal', { from: 'p7', description: { type: 'offer', sdp: '{"mids":["9"]}' } });
  await settle();
  await setup.say('signal', { from: 'p7', description: { type: 'offer', sdp: '{"mids":["9", "10"]}' } });
  peerOf(setup).addIceCandidate = async () => {
    throw new Error('OperationError');
  };
  await setup.say('signal', { from: 'p7', candidate: { candidate: 'candidate:1', sdpMLineIndex: 0 } });
  await setup.platform.advance(1_000);
  assert.equal(peerOf(setup).iceRestarts, 0);
});

test('tracks_of_the_other_side_are_known_by_what_it_tells', async () => {
  const setup = await meshed('p7', 'p2');
  await setup.say('data', { from: 'p2', label: 'telstar.tracks', data: [{ mid: '9', kind: 'video', source: 'screen', name: '', muted: false }, null, { kind: 3 }] });
  await setup.say('signal', { from: 'p2', description: { type: 'offer', sdp: '{"mids":["9"]}' } });
  const track = setup.call.track('p2/9');
  assert.deepEqual([track.source, track.flow, track.mediaTrack === peerOf(setup).transceivers.at(-1).receiver.track], ['screen', 'active', true]);
  await setup.say('data', { from: 'p2', label: 'telstar.tracks', data: [] });
  assert.equal(setup.call.track('p2/9'), null);
});

test('muting_is_told_to_the_others_and_stops_sending', async () => {
  const setup = await meshed('p7', 'p2');
  const [local] = setup.call.localTracks;
  void local.mute();
  await settle();
  assert.equal(peerOf(setup).transceivers[0].sender.track, null);
  assert.deepEqual(setup.platform.socket.sent.at(-1).data.map(({ muted }) => muted), [true]);
});

test('who_leaves_takes_the_connection_along_and_who_comes_gets_one', async () => {
  const setup = await meshed('p7', 'p2');
  const first = peerOf(setup);
  await setup.say('participant-left', { participant: 'p2', reason: 'left' });
  assert.equal(first.isClosed, true);
  await setup.say('participant-joined', { participant: person('p9') });
  assert.equal(setup.rtc.peers.length, 2);
  await setup.say('signal', { from: 'p9', description: { type: 'offer', sdp: '{"mids":["0"]}' } });
  assert.deepEqual(descriptions(setup).find(([to]) => to === 'p9'), ['p9', 'answer']);
});
