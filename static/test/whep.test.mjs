import assert from 'node:assert/strict';
import test from 'node:test';
import { WhepPlayer } from '../node_modules/.cache/telstar-test/client.mjs';
import { settle } from './doubles.mjs';
import { CREATED, listen, methods, offered, RESTARTED, surroundings } from './whip-double.mjs';

const NOT_LIVE = [409, { code: 'not_live' }, { 'retry-after': '2' }];

async function playing(answers, options = {}) {
  const around = surroundings(answers);
  const player = new WhepPlayer({ url: '/whep/demo', ...around, ...options });
  const told = listen(player);
  player.start();
  await offered(around.platform);
  return { player, told, ...around };
}

test('a_player_offers_to_receive_and_tells_what_to_play_once_it_is_connected', async () => {
  const { player, told, platform, rtc } = await playing([CREATED], { token: 't1' });
  assert.deepEqual(methods(platform), ['POST /whep/demo']);
  const [request] = platform.requests;
  assert.deepEqual([request.headers['content-type'], request.headers.authorization, request.credentials], ['application/sdp', 'Bearer t1', 'same-origin']);
  assert.match(request.body, /^v=0\r\ns=offer/);
  assert.deepEqual(rtc.peer.transceivers.map(({ kind, direction }) => [kind, direction]), [['video', 'recvonly'], ['audio', 'recvonly']]);
  assert.deepEqual(told, ['connecting']);
  rtc.peer.become('connected');
  assert.deepEqual(told, ['connecting', 'media 2', 'connected']);
  assert.equal(player.tracks.length, 2);
});

test('while_nothing_is_live_it_comes_again_when_the_server_says', async () => {
  const { told, platform } = await playing([NOT_LIVE, NOT_LIVE, CREATED]);
  assert.deepEqual(told, ['connecting', 'waiting not_live', 'retry not_live 2000']);
  await platform.advance(1_999);
  assert.equal(platform.requests.length, 1);
  await platform.advance(1 + 250);
  assert.equal(platform.requests.length, 2);
  assert.equal(told.at(-1), 'retry not_live 2000');
});

test('who_knows_that_something_is_live_need_not_wait', async () => {
  const { player, told, platform, rtc } = await playing([NOT_LIVE, CREATED]);
  player.retryNow();
  await offered(platform);
  rtc.peer.become('connected');
  assert.deepEqual(told.slice(-2), ['media 2', 'connected']);
});

test('a_refusal_ends_it_and_what_may_pass_does_not', async () => {
  for (const [answer, end] of [
    [[401, { code: 'unauthorised' }], 'closed unauthorised'],
    [[406], 'closed http_406'],
    [[409, { code: 'wrong_mode' }], 'closed wrong_mode'],
    [[404, { code: 'not_found' }], 'closed not_found'],
    [[503, { code: 'unavailable' }, { 'retry-after': '5' }], 'retry unavailable 5000'],
    [[429, { code: 'too_many_requests' }, { 'retry-after': '999999' }], 'retry too_many_requests 60000'],
    [[201, 'v=0'], 'retry bad_reply 250'],
    [undefined, 'retry network 250'],
  ]) {
    const { told, platform } = await playing(answer === undefined ? [] : [answer]);
    assert.equal(told.at(-1), end);
    assert.equal(platform.timerCount, end.startsWith('closed') ? 0 : 1, end);
  }
});

test('late_candidates_go_in_one_patch_under_the_tag_of_the_session', async () => {
  const { platform, rtc } = await playing([CREATED, [204]]);
  rtc.peer.gather('candidate:9 1 udp 1 192.0.2.9 5000 typ srflx');
  rtc.peer.gather('candidate:10 1 udp 1 192.0.2.10 5000 typ relay');
  await settle();
  assert.equal(platform.requests.length, 1, 'not before all are known');
  rtc.peer.gather(null);
  await settle();
  const patch = platform.requests[1];
  assert.deepEqual([patch.method, patch.url, patch.headers['if-match'], patch.headers['content-type']], ['PATCH', '/whx/abc', '"one"', 'application/trickle-ice-sdpfrag']);
  assert.equal(patch.body, 'a=group:BUNDLE 0 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=ice-ufrag:cli1\r\na=ice-pwd:cli1-password\r\na=candidate:9 1 udp 1 192.0.2.9 5000 typ srflx\r\na=candidate:10 1 udp 1 192.0.2.10 5000 typ relay\r\na=end-of-candidates\r\n');
});

test('a_server_that_takes_no_fragments_gets_none', async () => {
  const { platform, rtc } = await playing([[201, CREATED[1], { location: 'abc' }]]);
  rtc.peer.gather('candidate:9 1 udp 1 192.0.2.9 5000 typ srflx');
  rtc.peer.gather(null);
  await settle();
  assert.equal(platform.requests.length, 1);
});

test('a_path_that_stays_away_gets_an_ice_restart_and_the_same_media_goes_on', async () => {
  const { told, platform, rtc } = await playing([CREATED, RESTARTED]);
  rtc.peer.become('connected');
  rtc.peer.become('disconnected');
  await platform.advance(2_000 + 250);
  const patch = platform.requests[1];
  assert.deepEqual([patch.method, patch.url, patch.headers['if-match']], ['PATCH', '/whx/abc', '"*"']);
  assert.match(patch.body, /a=ice-ufrag:cli2\r\n/);
  assert.equal(rtc.peer.iceRestarts, 1);
  const { sdp } = rtc.peer.remoteDescription;
  assert.match(sdp, /s=answer[^]*a=ice-ufrag:srv2\r\na=ice-pwd:srv2-password\r\n[^]*a=candidate:2 [^]*m=audio[^]*a=ice-ufrag:srv2/);
  assert.doesNotMatch(sdp, /srv1|candidate:1/);
  rtc.peer.become('connected');
  assert.deepEqual(told, ['connecting', 'media 2', 'connected', 'reconnecting', 'connected']);
  assert.equal(rtc.peers.length, 1);
});

test('a_session_that_the_server_has_ended_is_made_anew_at_once', async () => {
  const { told, platform, rtc } = await playing([CREATED, [404], CREATED]);
  rtc.peer.become('connected');
  rtc.peer.become('failed');
  await platform.advance(600);
  assert.deepEqual(methods(platform), ['POST /whep/demo', 'PATCH /whx/abc', 'POST /whep/demo']);
  rtc.peer.become('connected');
  assert.deepEqual(told, ['connecting', 'media 2', 'connected', 'reconnecting', 'retry gone 0', 'media 2', 'connected']);
  assert.equal(rtc.peers[0].isClosed, true);
});

test('an_unanswered_restart_is_tried_again_before_the_session_is_given_up', async () => {
  const { told, platform, rtc } = await playing([CREATED]);
  rtc.peer.become('connected');
  rtc.peer.become('failed');
  await platform.advance(250);
  assert.equal(rtc.peer.log.at(-1), 'local rollback');
  await platform.advance(5_250);
  assert.deepEqual(methods(platform).slice(1), ['PATCH /whx/abc', 'PATCH /whx/abc']);
  await platform.advance(5_000);
  assert.ok(told.includes('retry unreachable 250'), String(told));
});

test('a_path_that_never_comes_about_is_told', async () => {
  for (const become of [async ({ rtc }) => rtc.peer.become('failed'), async ({ platform }) => platform.advance(4_000)]) {
    const around = await playing([CREATED, [200]], { connectTimeoutMs: 4_000 });
    await become(around);
    await settle();
    assert.deepEqual(around.told, ['connecting', 'retry unreachable 250']);
    assert.equal(methods(around.platform).at(-1), 'DELETE /whx/abc');
  }
});

test('stopping_deletes_the_session_and_starts_nothing_anew', async () => {
  const { player, told, platform, rtc } = await playing([CREATED, [200]]);
  rtc.peer.become('connected');
  await player.stop();
  assert.equal(methods(platform).at(-1), 'DELETE /whx/abc');
  assert.equal(platform.requests.at(-1).keepalive, undefined);
  assert.deepEqual([told.at(-1), rtc.peer.isClosed, platform.timerCount], ['closed', true, 0]);
});

test('a_page_that_goes_away_deletes_its_session_with_a_request_that_outlives_it', async () => {
  const { platform, player } = await playing([CREATED, [200]]);
  platform.hidePage();
  await settle();
  assert.deepEqual([methods(platform).at(-1), platform.requests.at(-1).keepalive, player.state], ['DELETE /whx/abc', true, 'closed']);
});

test('an_answer_that_comes_too_late_leaves_no_session_behind', async () => {
  let answer;
  const { player, platform } = await playing([new Promise((resolve) => { answer = resolve; }), [200]]);
  await player.stop();
  answer(CREATED);
  await settle();
  assert.deepEqual(methods(platform), ['POST /whep/demo', 'DELETE /whx/abc']);
});

test('a_changed_network_restarts_at_once', async () => {
  const { platform, rtc } = await playing([CREATED, RESTARTED]);
  rtc.peer.become('connected');
  platform.changeNetwork();
  await offered(platform);
  assert.equal(methods(platform).at(-1), 'PATCH /whx/abc');
});
