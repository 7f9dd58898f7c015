import assert from 'node:assert/strict';
import test from 'node:test';
import { Rest, TelstarError } from '../node_modules/.cache/telstar-test/client.mjs';
import { FakePlatform } from './doubles.mjs';

function rest(answers, options = {}) {
  const platform = new FakePlatform();
  platform.answers = answers;
  return { platform, api: new Rest({ platform, ...options }) };
}

test('requests_name_method_path_and_body', async () => {
  const { platform, api } = rest([[201, { name: 'demo' }], [204], [200, { rooms: [1] }], [201, { key: 'sk_x' }]]);
  await api.createRoom({ title: '회의실', open: false });
  await api.deleteStreamKey('demo', 7);
  assert.deepEqual(await api.rooms(), [1]);
  await api.createStreamKey('demo');
  assert.deepEqual(platform.requests.map(({ method, url, body }) => [method, url, body]), [
    ['POST', '/api/v1/rooms', '{"title":"회의실","open":false}'],
    ['DELETE', '/api/v1/rooms/demo/stream-keys/7', undefined],
    ['GET', '/api/v1/rooms', undefined],
    ['POST', '/api/v1/rooms/demo/stream-keys', '{}'],
  ]);
});

test('a_token_is_sent_as_bearer_and_only_where_there_is_one', async () => {
  const cookie = rest([[200, {}]]);
  await cookie.api.server();
  assert.equal(cookie.platform.requests[0].headers.authorization, undefined);
  const bearer = rest([[200, {}]], { token: 'tst_x', baseUrl: 'https://host' });
  await bearer.api.server();
  assert.equal(bearer.platform.requests[0].headers.authorization, 'Bearer tst_x');
  assert.equal(bearer.platform.requests[0].url, 'https://host/api/v1/server');
});

test('failures_become_errors_with_a_stable_code', async () => {
  const cases = [
    [[404, { code: 'not_found', title: 'Not found', detail: 'no such room', status: 404 }], 'not_found', 404, 'no such room'],
    [[422, { code: 'title_invalid', title: 'Bad title' }], 'title_invalid', 422, 'Bad title'],
    [[502, '<html>bad gateway</html>'], 'http_502', 502, 'the server answered 502'],
    [[200, 'not json'], 'bad_reply', 200, 'the server answered with something that is not JSON'],
    [undefined, 'network', 0, 'the server could not be reached'],
  ];
  for (const [answer, code, status, message] of cases) {
    const { api } = rest(answer === undefined ? [] : [answer]);
    await assert.rejects(api.room('demo'), (error) => {
      assert.ok(error instanceof TelstarError);
      assert.deepEqual([error.code, error.status, error.message], [code, status, message]);
      return true;
    });
  }
});

test('only_401_means_that_nobody_is_signed_in', async () => {
  assert.equal(await rest([[401, { code: 'unauthorised' }]]).api.currentAccount(), null);
  assert.deepEqual(await rest([[200, { account: { id: 1 } }]]).api.currentAccount(), { id: 1 });
  await assert.rejects(rest([[503, {}]]).api.currentAccount());
});

test('transient_errors_are_those_worth_another_try', () => {
  const isTransient = (code, status) => new TelstarError(code, '', status).isTransient;
  assert.equal(isTransient('network', 0), true);
  assert.equal(isTransient('http_503', 503), true);
  assert.equal(isTransient('not_found', 404), false);
});
