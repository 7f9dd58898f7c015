import assert from 'node:assert/strict';
import test from 'node:test';
import { Client, socketUrl, TelstarError } from '../node_modules/.cache/telstar-test/client.mjs';
import { FakePlatform, settle } from './doubles.mjs';

const TOPIC = 'room:demo';

function start(options = {}) {
  const platform = new FakePlatform();
  const client = new Client({ url: 'ws://host/ws', platform, ...options });
  const states = [];
  client.onConnection((state, reason) => states.push(reason === null ? state : `${state}: ${reason}`));
  return { platform, client, states };
}

/** Connected and subscribed, with what the subscriber was told. */
async function subscribed(options = {}) {
  const setup = start(options);
  const seen = [];
  setup.client.subscribe(TOPIC, {
    watch: true,
    onState: (state, change) => seen.push([change.cause, state, change.newEpoch]),
    onEvent: (event) => seen.push(['other', event.type]),
    onError: (error) => seen.push(['error', error.code]),
  });
  setup.client.connect();
  setup.platform.socket.accept();
  await settle();
  setup.platform.socket.reply('subscribe', { topic: TOPIC, offset: 5, epoch: 1, state: 'first' });
  await settle();
  return { ...setup, seen };
}

test('opens_with_our_subprotocol_and_subscribes_once_open', async () => {
  const { platform, states, seen } = await subscribed();
  assert.equal(platform.socket.protocol, 'telstar.v1');
  assert.deepEqual(platform.socket.sent.map(({ id, ...rest }) => rest), [{ type: 'subscribe', topic: TOPIC, watch: true }]);
  assert.deepEqual(states, ['connecting', 'open']);
  assert.deepEqual(seen, [['subscribed', 'first', false]]);
});

test('a_token_is_the_first_message_and_nothing_is_sent_before_it_is_accepted', async () => {
  const { platform, client, states } = start({ token: 'tst_x' });
  client.subscribe(TOPIC, {});
  client.connect();
  platform.socket.accept();
  await settle();
  assert.deepEqual(platform.socket.sent.map((message) => message.type), ['authenticate']);
  assert.deepEqual(states, ['connecting']);
  platform.socket.reply('authenticate');
  await settle();
  assert.deepEqual(platform.socket.sent.map((message) => message.type), ['authenticate', 'subscribe']);
});

test('a_refused_token_ends_the_connection_and_is_not_tried_again', async () => {
  const { platform, client, states } = start({ token: 'tst_x' });
  client.connect();
  platform.socket.accept();
  await settle();
  platform.socket.deliver({ re: platform.socket.sent[0].id, ok: false, error: { code: 'unauthorised', detail: 'expired' } });
  await settle();
  assert.deepEqual(states, ['connecting', 'closed: unauthorised']);
  await platform.advance(600_000);
  assert.equal(platform.sockets.length, 1);
});

test('closes_4400_and_4401_are_final_and_any_other_reconnects', async () => {
  for (const [code, state] of [[4400, 'closed: bad_message'], [4401, 'closed: unauthorised']]) {
    const { platform, states } = await subscribed();
    platform.socket.fail(code, 'words');
    await platform.advance(600_000);
    assert.equal(platform.sockets.length, 1);
    assert.equal(states.at(-1), state);
  }
  for (const code of [1001, 1006, 4408, 4409]) {
    const { platform } = await subscribed();
    platform.socket.fail(code);
    await platform.advance(1_000);
    assert.equal(platform.sockets.length, 2, `close ${code}`);
  }
});

test('after_a_loss_topics_are_subscribed_again_and_a_new_epoch_is_told', async () => {
  const { platform, seen } = await subscribed();
  platform.socket.fail();
  await platform.advance(1_000);
  platform.socket.accept();
  await settle();
  platform.socket.reply('subscribe', { topic: TOPIC, offset: 0, epoch: 2, state: 'second' });
  await settle();
  assert.deepEqual(seen.at(-1), ['subscribed', 'second', true]);
  platform.socket.deliver({ seq: 1, topic: TOPIC, type: 'state', offset: 1, epoch: 2, state: 'third' });
  assert.deepEqual(seen.at(-1), ['event', 'third', false]);
});

test('delays_grow_with_each_failure_stay_below_the_cap_and_start_over_after_success', async () => {
  const { platform, client } = start({ backoff: { firstMs: 100, maxMs: 1_000 } });
  platform.randomValue = 0.999;
  client.connect();
  const waits = [];
  for (let failure = 0; failure < 7; failure += 1) {
    const before = platform.now;
    const count = platform.sockets.length;
    platform.socket.fail();
    while (platform.sockets.length === count) await platform.advance(10);
    waits.push(platform.now - before);
  }
  assert.deepEqual(waits, [100, 200, 400, 800, 1_000, 1_000, 1_000]);
  platform.socket.accept();
  await settle();
  platform.socket.fail();
  const count = platform.sockets.length;
  await platform.advance(100);
  assert.equal(platform.sockets.length, count + 1);
});

test('jitter_never_lets_a_try_come_at_once', async () => {
  const { platform, client } = start({ backoff: { firstMs: 100, maxMs: 1_000 } });
  client.connect();
  platform.socket.fail();
  await platform.advance(49);
  assert.equal(platform.sockets.length, 1);
  await platform.advance(1);
  assert.equal(platform.sockets.length, 2);
});

test('retry_now_skips_the_delay_but_opens_no_second_socket', async () => {
  const { platform, client } = await subscribed();
  client.retryNow();
  assert.equal(platform.sockets.length, 1);
  platform.socket.fail();
  client.retryNow();
  client.retryNow();
  assert.equal(platform.sockets.length, 2);
  await platform.advance(60_000);
  assert.equal(platform.sockets.length, 2);
});

test('a_path_that_answers_no_ping_is_given_up', async () => {
  const { platform, states } = await subscribed();
  await platform.advance(20_000);
  assert.equal(platform.socket.sent.at(-1).type, 'ping');
  platform.socket.reply('ping');
  await platform.advance(20_000);
  const silent = platform.socket;
  await platform.advance(10_000);
  assert.equal(silent.closedWith, 4000);
  assert.ok(states.includes('lost: timeout'));
});

test('requests_fail_by_timeout_by_loss_and_by_the_servers_word', async () => {
  const { platform, client } = await subscribed();
  const outcome = (promise) => promise.then(() => 'ok', (error) => error.code);
  const refused = outcome(client.request('nonsense'));
  platform.socket.deliver({ re: platform.socket.sent.at(-1).id, ok: false, error: { code: 'unknown_type' } });
  assert.equal(await refused, 'unknown_type');
  const late = outcome(client.request('ping'));
  await platform.advance(10_000);
  assert.equal(await late, 'timeout');
  const lost = outcome(client.request('ping'));
  platform.socket.fail();
  assert.equal(await lost, 'closed');
  assert.equal(await outcome(client.request('ping')), 'closed');
});

test('requests_past_the_limit_are_refused', async () => {
  const { client } = await subscribed();
  const all = Array.from({ length: 300 }, () => client.request('ping').then(() => '', (error) => error.code));
  client.close();
  const codes = await Promise.all(all);
  assert.equal(codes.filter((code) => code === 'busy').length, 44);
});

test('old_and_doubled_events_are_dropped', async () => {
  const { platform, seen } = await subscribed();
  const event = (offset, state) => platform.socket.deliver({ seq: 1, topic: TOPIC, type: 'state', offset, epoch: 1, state });
  event(5, 'old');
  event(6, 'new');
  event(6, 'doubled');
  event(9, 'full states may skip');
  assert.deepEqual(seen.slice(1).map(([, state]) => state), ['new', 'full states may skip']);
});

test('a_gap_before_a_partial_event_asks_for_the_full_state', async () => {
  const { platform, seen } = await subscribed();
  platform.socket.deliver({ seq: 1, topic: TOPIC, type: 'room', offset: 6, epoch: 1 });
  assert.deepEqual(seen.at(-1), ['other', 'room']);
  platform.socket.deliver({ seq: 2, topic: TOPIC, type: 'room', offset: 9, epoch: 1 });
  assert.equal(platform.socket.sent.filter((message) => message.type === 'subscribe').length, 2);
  platform.socket.reply('subscribe', { topic: TOPIC, offset: 9, epoch: 1, state: 'whole' });
  await settle();
  assert.deepEqual(seen.at(-1), ['subscribed', 'whole', false]);
});

test('a_refused_topic_is_told_and_tried_again_after_a_reconnect', async () => {
  const { platform, client } = start();
  const seen = [];
  client.subscribe(TOPIC, { onError: (error) => seen.push(error.code), onState: () => seen.push('state') });
  client.connect();
  platform.socket.accept();
  await settle();
  platform.socket.deliver({ re: platform.socket.sent[0].id, ok: false, error: { code: 'not_found', detail: 'no' } });
  await settle();
  platform.socket.fail();
  await platform.advance(1_000);
  platform.socket.accept();
  await settle();
  platform.socket.reply('subscribe', { topic: TOPIC, offset: 1, epoch: 1, state: {} });
  await settle();
  assert.deepEqual(seen, ['not_found', 'state']);
});

test('a_topic_that_ends_is_asked_for_once_more', async () => {
  const { platform, seen } = await subscribed();
  const end = () => platform.socket.deliver({ seq: 4, topic: TOPIC, type: 'ended' });
  end();
  await settle();
  platform.socket.reply('subscribe', { topic: TOPIC, offset: 0, epoch: 2, state: 'next life' });
  await settle();
  assert.deepEqual(seen.at(-1), ['subscribed', 'next life', true]);
  end();
  await settle();
  platform.socket.deliver({ re: platform.socket.sent.at(-1).id, ok: false, error: { code: 'not_found' } });
  await settle();
  assert.deepEqual(seen.at(-1), ['error', 'not_found']);
  await platform.advance(10_000);
  assert.equal(platform.socket.sent.filter((message) => message.type === 'subscribe').length, 3);
});

test('a_refusal_that_is_not_about_the_topic_is_tried_again_with_backoff', async () => {
  const { platform, seen } = await subscribed();
  platform.socket.deliver({ seq: 4, topic: TOPIC, type: 'ended' });
  await settle();
  const subscribes = () => platform.socket.sent.filter((message) => message.type === 'subscribe');
  for (const code of ['unavailable', 'rate_limited', 'busy']) {
    const count = subscribes().length;
    platform.socket.deliver({ re: subscribes().at(-1).id, ok: false, error: { code } });
    await settle();
    assert.equal(subscribes().length, count);
    await platform.advance(1_500);
    assert.equal(subscribes().length, count + 1);
  }
  assert.equal(seen.filter(([what]) => what === 'error').length, 0);
});

test('a_closed_subscription_hears_nothing_more', async () => {
  const { platform, client } = start();
  const seen = [];
  const subscription = client.subscribe(TOPIC, { onState: (state) => seen.push(state) });
  client.connect();
  platform.socket.accept();
  await settle();
  const request = platform.socket.sent[0];
  subscription.close();
  platform.socket.deliver({ re: request.id, ok: true, topic: TOPIC, offset: 1, epoch: 1, state: 'late' });
  await settle();
  assert.deepEqual(seen, []);
  assert.equal(platform.socket.sent.at(-1).type, 'unsubscribe');
  client.subscribe(TOPIC, {});
  assert.throws(() => client.subscribe(TOPIC, {}), TelstarError);
});

test('frames_that_are_no_message_are_skipped', async () => {
  const { platform, seen, states } = await subscribed();
  for (const frame of ['', '{', 'null', '[]', '42', '{"re":99,"ok":true}', '{"topic":3}', '{"topic":"other","type":"state"}']) {
    platform.socket.deliver(frame);
  }
  assert.equal(seen.length, 1);
  assert.equal(states.at(-1), 'open');
});

test('closing_leaves_no_timer_behind', async () => {
  const { platform, client } = await subscribed();
  client.close();
  assert.equal(platform.timerCount, 0);
  const other = start();
  other.client.connect();
  other.platform.socket.fail();
  other.client.close();
  assert.equal(other.platform.timerCount, 0);
});

test('socket_urls_follow_the_origin', () => {
  assert.equal(socketUrl('http://127.0.0.1:8080'), 'ws://127.0.0.1:8080/ws');
  assert.equal(socketUrl('https://[::1]:8443/watch/demo?t=x'), 'wss://[::1]:8443/ws');
  assert.throws(() => socketUrl('file:///x'), TelstarError);
});
