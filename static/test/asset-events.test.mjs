import assert from 'node:assert/strict';
import test from 'node:test';
import { AssetEvents, parseStoryboard, thumbnailAt } from '../node_modules/.cache/telstar-test/client.mjs';
import { SseParser } from '../node_modules/.cache/telstar-test/sse.mjs';
import { FakePlatform, settle } from './doubles.mjs';

test('events_come_out_of_pieces_cut_anywhere', () => {
  const text = 'retry: 2000\nid: 4\n\n: a comment\n\nevent: asset\nid: 5\ndata: {"a":\ndata: 1}\n\r\ndata:x\r\n\r\nevent: job\ndata: cut';
  for (let size = 1; size <= text.length; size += 1) {
    const parser = new SseParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(events, [{ type: 'asset', data: '{"a":\n1}' }, { type: 'message', data: 'x' }], `in pieces of ${size}`);
    assert.equal(parser.lastId, '5');
  }
});

/** Answers that are streams which the test writes to. */
function setUp() {
  const platform = new FakePlatform();
  const streams = [];
  platform.fetch = async (url, request) => {
    platform.requests.push({ url, ...request });
    const status = platform.answers.shift() ?? 200;
    const waiting = [];
    const written = [];
    const end = { done: true };
    const reader = {
      read: () => new Promise((resolve) => (written.length > 0 ? resolve(written.shift()) : waiting.push(resolve))),
      cancel: async () => put(end),
    };
    const put = (result) => (waiting.length > 0 ? waiting.shift()(result) : written.push(result));
    streams.push({ write: (text) => put({ done: false, value: new TextEncoder().encode(text) }), end: () => put(end) });
    return { ok: status < 400, status, statusText: '', headers: { get: () => null }, body: { getReader: () => reader }, text: async () => '{"code":"unauthorised"}' };
  };
  const events = new AssetEvents({ platform });
  const heard = [];
  for (const name of ['asset', 'job', 'deleted', 'stale', 'connection', 'refused']) events.on(name, (event) => heard.push([name, event]));
  return { platform, streams, events, heard };
}

test('a_stream_that_ends_goes_on_behind_the_last_event', async () => {
  const { platform, streams, events, heard } = setUp();
  events.open();
  await settle();
  streams[0].write('id: 3\n\n');
  streams[0].write('event: asset\nid: 4\ndata: {"asset":"a"}\n\n');
  await settle();
  assert.deepEqual(heard, [['connection', 'open'], ['stale', null], ['asset', { asset: 'a' }]]);
  streams[0].end();
  await settle();
  assert.equal(events.state, 'lost');
  await platform.advance(1_000);
  assert.equal(platform.requests[1].headers['last-event-id'], '4');
  streams[1].write('event: asset-deleted\ndata: {"asset":"a"}\n\nevent: missed\ndata: {}\n\n');
  await settle();
  assert.deepEqual(heard.slice(3), [['connection', 'lost'], ['connection', 'open'], ['deleted', { asset: 'a' }], ['stale', null]]);
  events.close();
  assert.equal(platform.timerCount, 0);
});

test('a_stream_that_is_silent_is_opened_anew', async () => {
  const { platform, streams, events } = setUp();
  events.open();
  await settle();
  streams[0].write('id: 1\n\n');
  await platform.advance(49_000);
  assert.equal(platform.requests.length, 1);
  await platform.advance(3_000);
  assert.equal(platform.requests.length, 2);
  events.close();
});

test('a_credential_that_is_refused_is_not_tried_again', async () => {
  const { platform, events, heard } = setUp();
  platform.answers = [401];
  events.open();
  await platform.advance(60_000);
  assert.equal(platform.requests.length, 1);
  assert.equal(heard.at(-1)[0], 'refused');
});

test('a_storyboard_says_which_picture_is_shown_when', () => {
  const text = 'WEBVTT\n\n00:00.000 --> 00:02.000\nstoryboard/0.jpg#xywh=0,0,160,90\n\n1\n00:02.000 --> 01:00:00.500 align:start\nstoryboard/0.jpg?t=x#xywh=160,0,160,90\n\nNOTE nothing\n\n00:05.000 --> 00:04.000\nx#xywh=0,0,1,1\n';
  const pictures = parseStoryboard(text, '/vod/a/storyboard.vtt?t=x');
  assert.deepEqual(pictures.map(({ startSecs, endSecs, url, x }) => [startSecs, endSecs, url, x]), [
    [0, 2, '/vod/a/storyboard/0.jpg', 0],
    [2, 3600.5, '/vod/a/storyboard/0.jpg?t=x', 160],
  ]);
  assert.equal(thumbnailAt(pictures, 1.9).x, 0);
  assert.equal(thumbnailAt(pictures, 2).x, 160);
  assert.equal(thumbnailAt(pictures, 9_999).x, 160);
  assert.equal(thumbnailAt([], 1), null);
});
