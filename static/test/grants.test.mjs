import assert from 'node:assert/strict';
import test from 'node:test';
import { camera, joined, person, types } from './call-double.mjs';
import { settle } from './doubles.mjs';
import { FakeTrack } from './rtc-double.mjs';

const two = [person('p2', { tracks: [camera('t2')] })];
const hd = () => new FakeTrack('video', { width: 1280, height: 720 });
const offer = (...mids) => JSON.stringify({ mids });

/** What the server says and does when the grants of `p1` change: its tracks end first. */
async function grant({ say }, grants, ended = []) {
  for (const track of ended) await say('track-unpublished', { participant: 'p1', track });
  await say('grants', { grants });
  await say('participant-updated', { participant: person('p1', { grants }) });
}

test('a_lost_right_to_publish_closes_the_connection_and_keeps_the_tracks_for_its_return', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  await setup.answerPublish();
  const seen = [];
  setup.call.on('grants', ({ gained, lost }) => seen.push({ gained, lost, peers: setup.call.peers }));
  await grant(setup, ['subscribe'], ['t1']);
  await setup.platform.advance(2_000);
  assert.deepEqual(seen, [{ gained: [], lost: ['publish'], peers: ['none', 'none'] }]);
  assert.deepEqual([setup.rtc.peers[0].isClosed, local.id, setup.call.localTracks.has(local)], [true, null, true]);
  assert.equal(setup.call.sendLossy(new Uint8Array([1])), false);
  assert.equal(setup.rtc.peers.length, 1);

  await local.mute();
  await grant(setup, ['publish', 'subscribe']);
  const again = setup.platform.socket.sent.at(-1);
  assert.deepEqual([again.type, again.tracks[0].kind, again.tracks[0].muted], ['publish', 'video', true]);
  await setup.answerPublish();
  assert.equal(local.id, 't2');
  assert.equal(setup.rtc.peers.length, 2);
});

test('what_is_published_without_the_right_is_refused_at_once', async () => {
  const setup = await joined();
  await grant(setup, ['subscribe']);
  const local = setup.call.publish(hd());
  await assert.rejects(local.ready, ({ code }) => code === 'forbidden');
  await grant(setup, ['publish', 'subscribe']);
  assert.deepEqual([setup.call.localTracks.size, setup.rtc.peers.length], [0, 0]);
});

test('a_track_still_being_negotiated_when_the_right_goes_is_refused_and_not_published_later', async () => {
  const setup = await joined();
  const local = setup.call.publish(hd());
  await settle();
  const request = setup.platform.socket.sent.find(({ type }) => type === 'publish');
  setup.platform.socket.deliver({ re: request.id, ok: false, error: { code: 'forbidden' } });
  await settle();
  await grant(setup, ['subscribe']);
  await assert.rejects(local.ready, ({ code }) => code === 'forbidden');
  await grant(setup, ['publish', 'subscribe']);
  assert.equal(setup.platform.socket.sent.filter(({ type }) => type === 'publish').length, 1);
});

test('a_lost_right_to_subscribe_closes_the_connection_and_the_next_offer_makes_another', async () => {
  const setup = await joined({ participants: two });
  const { call, rtc, say, platform } = setup;
  await say('offer', { version: 1, sdp: offer('0') });
  await say('slots', { version: 7, slots: [{ mid: '0', track: 't2', participant: 'p2', flow: 'active', layer: 2 }] });
  call.track('t2').want({ width: 320, height: 180 });
  const seen = [];
  call.on('trackMedia', ({ id, mediaTrack }) => seen.push([id, mediaTrack?.id ?? null]));
  await grant(setup, ['publish']);
  assert.deepEqual([rtc.peers[0].isClosed, call.track('t2').mediaTrack, call.track('t2').flow], [true, null, 'paused']);
  await say('candidate', { connection: 'subscribe', candidate: 'candidate:late' });
  assert.equal(rtc.peers.length, 1);

  await grant(setup, ['publish', 'subscribe']);
  assert.deepEqual([platform.socket.sent.at(-1).type, platform.socket.sent.at(-1).width], ['update-subscription', 320]);
  await say('offer', { version: 1, sdp: offer('0') });
  await say('slots', { version: 1, slots: [{ mid: '0', track: 't2', participant: 'p2', flow: 'active', layer: 0 }] });
  const media = rtc.peers[1].transceivers[0].receiver.track;
  assert.deepEqual(seen, [['t2', null], ['t2', media.id]]);
  assert.equal(types(platform.socket).at(-1), 'answer');
});

test('without_the_right_a_p2p_call_stops_sending_and_goes_on_with_it', async () => {
  const setup = await joined({ mode: 'p2p', self: 'p9' });
  setup.call.publish(hd());
  await setup.say('participant-joined', { participant: person('p2') });
  const peer = setup.rtc.peers.at(-1);
  await setup.say('grants', { grants: ['subscribe'] });
  assert.equal(peer.transceivers[0].isStopped, true);
  assert.equal(peer.isClosed, false);
  await setup.say('participant-joined', { participant: person('p3') });
  assert.equal(setup.rtc.peers.at(-1).transceivers.length, 0);
  await setup.say('grants', { grants: ['publish', 'subscribe'] });
  assert.deepEqual([peer, setup.rtc.peers.at(-1)].map(({ transceivers }) => transceivers.filter(({ isStopped }) => !isStopped).length), [1, 1]);
});
