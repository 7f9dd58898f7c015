// The pure parts of WHIP and WHEP: fragments, headers, statistics.

import assert from 'node:assert/strict';
import test from 'node:test';
import { iceServersOf, resolve, retryAfterMs } from '../node_modules/.cache/telstar-test/http-resource.mjs';
import { readFragment, restartedAnswer, writeFragment } from '../node_modules/.cache/telstar-test/ice-fragment.mjs';
import { PlayStatsReducer, PublishStatsReducer } from '../node_modules/.cache/telstar-test/media-stats.mjs';

test('a_fragment_names_the_first_section_and_its_credentials', () => {
  const offer = 'v=0\r\na=group:BUNDLE a b\r\na=ice-ufrag:s\r\na=ice-pwd:sp\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:a\r\nm=video 9 X 96\r\na=mid:b\r\na=ice-ufrag:other\r\na=ice-pwd:x\r\n';
  assert.equal(writeFragment(offer, ['candidate:1'], false), 'a=group:BUNDLE a b\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:a\r\na=ice-ufrag:s\r\na=ice-pwd:sp\r\na=candidate:1\r\n');
  assert.equal(writeFragment('v=0\r\n', [], true), null);
  assert.equal(writeFragment('v=0\r\nm=audio 9 X 0\r\na=mid:0\r\n', [], true), null);
});

test('a_restart_replaces_credentials_and_candidates_and_nothing_else', () => {
  const answer = 'v=0\r\na=ice-lite\r\nm=audio 9 X 0\r\na=mid:0\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\na=candidate:1\r\na=end-of-candidates\r\nm=video 9 X 0\r\na=mid:1\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\na=candidate:1\r\n';
  const fresh = readFragment('a=ice-ufrag:$&\r\na=ice-pwd:d\r\nm=audio 9 X 0\r\na=candidate:2\r\na=candidate:2\r\na=candidate:3\r\n');
  assert.equal(restartedAnswer(answer, fresh), 'v=0\r\na=ice-lite\r\nm=audio 9 X 0\r\na=mid:0\r\na=ice-ufrag:$&\r\na=ice-pwd:d\r\na=candidate:2\r\na=candidate:3\r\nm=video 9 X 0\r\na=mid:1\r\na=ice-ufrag:$&\r\na=ice-pwd:d\r\n');
  assert.equal(readFragment('hello'), null);
});

test('the_address_of_a_session_is_relative_to_where_the_answer_came_from', () => {
  for (const [location, base, expected] of [
    ['https://b/x', 'https://a/whip/demo', 'https://b/x'],
    ['/whx/1', 'https://a:8443/whip/demo?x=/y', 'https://a:8443/whx/1'],
    ['/whx/1', '/whip/demo', '/whx/1'],
    ['1', 'https://a/whip/demo?t=1/2', 'https://a/whip/1'],
    ['1', '/whip/demo', '/whip/1'],
    ['//b/x', 'https://a/', 'https://b/x'],
    ['x', 'https://a', 'https://a/x'],
  ]) assert.equal(resolve(location, base), expected, `${location} at ${base}`);
});

test('retry_after_is_seconds_or_a_date_ahead', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  assert.deepEqual(['3', ' 3 ', 'Thu, 01 Jan 2026 00:00:10 GMT', 'Thu, 01 Jan 2015 00:00:10 GMT', 'soon', null].map((value) => retryAfterMs(value, now)), [3_000, 3_000, 10_000, null, null, null]);
});

test('ice_servers_are_read_from_link_headers_and_other_links_are_not', () => {
  const link = '<stun:stun.example>; rel="ice-server", <turn:turn.example?transport=udp>; rel="ice-server"; username="u,1"; credential="p\\"w"; credential-type="password", <https://x/sse>; rel="urn:ietf:params:whep:ext:core:server-sent-events"';
  assert.deepEqual(iceServersOf(link), [{ urls: 'stun:stun.example' }, { urls: 'turn:turn.example?transport=udp', username: 'u,1', credential: 'p"w' }]);
  assert.deepEqual([iceServersOf(null), iceServersOf('nonsense')], [[], []]);
});

const pair = (rtt) => [
  ['t', { id: 't', type: 'transport', timestamp: 0, selectedCandidatePairId: 'p' }],
  ['p', { id: 'p', type: 'candidate-pair', timestamp: 0, localCandidateId: 'l', currentRoundTripTime: rtt, availableOutgoingBitrate: 3_000_000 }],
  ['l', { id: 'l', type: 'local-candidate', timestamp: 0, protocol: 'udp', candidateType: 'host' }],
];

test('what_is_sent_is_told_with_its_largest_picture_its_worst_loss_and_what_holds_it_back', () => {
  const reducer = new PublishStatsReducer();
  const at = (ms, bytes) => new Map([
    ...pair(0.02),
    ['c', { id: 'c', type: 'codec', timestamp: ms, mimeType: 'video/H264' }],
    ['l0', { id: 'l0', type: 'outbound-rtp', kind: 'video', timestamp: ms, bytesSent: bytes / 4, frameWidth: 320, frameHeight: 180, framesPerSecond: 30, qualityLimitationReason: 'none', codecId: 'c' }],
    ['h0', { id: 'h0', type: 'outbound-rtp', kind: 'video', timestamp: ms, bytesSent: bytes, frameWidth: 1280, frameHeight: 720, framesPerSecond: 25, qualityLimitationReason: 'bandwidth', codecId: 'c' }],
    ['a', { id: 'a', type: 'outbound-rtp', kind: 'audio', timestamp: ms, bytesSent: bytes / 20 }],
    ['ra', { id: 'ra', type: 'remote-inbound-rtp', kind: 'audio', timestamp: ms, localId: 'a', fractionLost: 0.07, roundTripTime: 0.04 }],
  ]);
  reducer.reduce(at(0, 0));
  const stats = reducer.reduce(at(1_000, 100_000));
  assert.deepEqual(stats, {
    roundTripMs: 40, transport: 'udp', isRelayed: false, bitrateBps: 1_040_000, videoBps: 1_000_000, audioBps: 40_000, width: 1280, height: 720,
    frameRate: 25, videoCodec: 'H264', layers: 2, loss: 0.07, limitedBy: 'bandwidth', availableBps: 3_000_000,
  });
});

const inbound = (ms, fields) => new Map([...pair(0.02), ['v', { id: 'v', type: 'inbound-rtp', kind: 'video', timestamp: ms, ...fields }]]);

test('latency_is_the_path_the_buffer_and_the_decoder_since_the_last_sample', () => {
  const reducer = new PlayStatsReducer();
  reducer.reduce(inbound(0, { jitterBufferDelay: 10, jitterBufferEmittedCount: 100, totalDecodeTime: 1, framesDecoded: 100 }));
  const { latencyMs, latencyBy } = reducer.reduce(inbound(1_000, { jitterBufferDelay: 11.5, jitterBufferEmittedCount: 130, totalDecodeTime: 1.15, framesDecoded: 130 }));
  assert.deepEqual([Math.round(latencyMs), latencyBy], [65, 'path']);
  assert.equal(new PlayStatsReducer().reduce(new Map()).latencyMs, null);
});

test('the_senders_clock_is_believed_only_where_it_can_be_ours', () => {
  const wall = Date.parse('2026-01-01T00:00:00Z');
  const of = (shown) => {
    const { latencyMs, latencyBy } = new PlayStatsReducer().reduce(inbound(wall, { jitterBufferDelay: 3, jitterBufferEmittedCount: 100, estimatedPlayoutTimestamp: shown }));
    return [Math.round(latencyMs), latencyBy];
  };
  assert.deepEqual(of(wall - 180), [180, 'clock']);
  assert.deepEqual(of(wall - 180 + 2_208_988_800_000), [180, 'clock'], 'counted from 1900');
  for (const wrong of [wall + 500, wall - 5_000, 0, undefined]) assert.deepEqual(of(wrong), [40, 'path'], String(wrong));
});
