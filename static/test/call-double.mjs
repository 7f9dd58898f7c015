// A client that has joined a call on doubles, and a server's side to play by hand.

import { connect } from '../node_modules/.cache/telstar-test/client.mjs';
import { FakePlatform, settle } from './doubles.mjs';
import { FakeRtc } from './rtc-double.mjs';

export const person = (id, more = {}) => ({
  id, identity: `guest:${id}`, name: id.toUpperCase(), kind: 'browser', metadata: null, grants: ['publish', 'subscribe'],
  state: 'active', joined_at: '2026-01-31T12:00:00Z', tracks: [], ...more,
});

export const camera = (id, more = {}) => ({
  id, kind: 'video', source: 'camera', name: '', muted: false, muted_by: null, codec: 'VP8', layers: [], ...more,
});

export const types = (socket) => socket.sent.map((message) => message.type);

/** Connecting, and `join` called; nothing is answered yet. */
export function start({ token = 'room-token', join = {} } = {}) {
  const platform = new FakePlatform();
  const rtc = new FakeRtc();
  const client = connect({ url: 'ws://host/ws', token, platform, rtc });
  const call = client.join('demo', { name: 'Me', ...join });
  const seen = [];
  for (const name of ['state', 'left', 'joined']) call.on(name, (event) => seen.push([name, event.reason ?? event.mode ?? event]));
  return { platform, rtc, client, call, seen };
}

export async function answerJoin(socket, { participants = [], mode = 'sfu', self = 'p1', secret = 's1', ice = [] } = {}) {
  socket.reply('authenticate', {});
  socket.reply('join', {
    topic: 'call:demo', offset: 1, epoch: 1, participant: self, session: { id: 'c1', secret, resume_secs: 30 }, ice_servers: ice,
    state: { name: 'demo', title: 'Demo', mode, participants: [person(self, { name: 'Me' }), ...participants] },
  });
  await settle();
}

/** Joined, with the events numbered by `say`. */
export async function joined(options = {}) {
  const setup = start(options);
  setup.platform.socket.accept();
  await settle();
  await answerJoin(setup.platform.socket, options);
  let seq = 0;
  const say = async (type, fields = {}) => {
    seq += 1;
    setup.platform.socket.deliver({ seq, topic: 'call:demo', type, ...fields });
    await settle();
  };
  /** Answers a `publish` as the server does, with track numbers from 1. */
  let lastTrack = 0;
  const answerPublish = async () => {
    const request = setup.platform.socket.sent.findLast((message) => message.type === 'publish');
    const tracks = request.tracks.map(({ mid }) => ({ mid, track: `t${(lastTrack += 1)}` }));
    setup.platform.socket.deliver({ re: request.id, ok: true, sdp: '{}', tracks });
    await settle();
    return request;
  };
  return { ...setup, say, answerPublish };
}
