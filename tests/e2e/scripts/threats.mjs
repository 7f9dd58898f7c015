// Acceptance line 3: what each attack on RTMP and on playlists costs a real server, in CPU and memory, while a stream
// plays beside it. Content is judged (a clear refusal, no picture lost beside it); figures are written, not judged, but for
// a bound on memory that says "it does not grow with what an attacker claims".

import http from 'node:http';
import { Beside } from '../lib/beside.mjs';
import { sleep, until } from '../lib/process.mjs';
import { Results, round } from '../lib/results.mjs';
import { AAC_FRAME, AAC_HEADER, AUDIO, COMMAND, RtmpClient, VIDEO, amf, avcHeader, chunkSize, header, message, picture } from '../lib/rtmp.mjs';
import { Telstar } from '../lib/server.mjs';

/** Memory that an attack may add. A server that believed the claims would need gigabytes. */
const ADDED_MAX_MIB = 200;
const results = new Results('threats', 'Hostile input is refused clearly, costs little, and disturbs nobody.');
const figures = [];

await results.during(async () => {
  const server = await Telstar.launch({ serveArgs: ['--ingest-handshake-timeout-secs', '3'] });
  const room = await server.room('beside');
  const attacker = await server.room('attacker');
  const address = server.addresses.rtmp;
  const beside = await Beside.start({ ...room, play: `${server.rtmp}/${room.name}` });

  /** Runs one attack with the server's CPU and memory and the other stream under observation. */
  async function attack(name, body) {
    const [mark, from, cpu, memory] = [beside.mark(), performance.now(), server.cpuSeconds(), server.memory().rss_kib];
    let peak = memory;
    const sampler = setInterval(() => { peak = Math.max(peak, server.memory().rss_kib); }, 100);
    let outcome;
    try {
      outcome = await body();
    } finally {
      clearInterval(sampler);
    }
    const seconds = (performance.now() - from) / 1000;
    const used = server.cpuSeconds() - cpu;
    const others = await beside.since(mark);
    const added = round((peak - memory) / 1024, 1);
    figures.push({ attack: name, ...outcome.figures, seconds: round(seconds, 1), cpu_seconds: round(used, 2), cpu_percent: round(100 * used / seconds), added_mib: added, beside: others });
    results.check(`${name}: refused clearly`, outcome.ok, outcome.detail);
    results.check(`${name}: nobody else is disturbed`, others.alive && others.lost === 0 && others.pictures > 0, others);
    results.check(`${name}: memory is bounded`, added < ADDED_MAX_MIB, { added_mib: added });
  }
  const verdict = (ok, figuresOfIt = {}, detail = {}) => ({ ok, figures: figuresOfIt, detail });

  /** `count` clients, `at_once` at a time, each given to `act`, which says whether all was as it should be. */
  async function clients(count, atOnce, act) {
    let good = 0;
    let next = 0;
    await Promise.all(Array.from({ length: atOnce }, async () => {
      while (next < count) {
        const index = next;
        next += 1;
        const client = RtmpClient.open(address);
        await client.connected;
        if (await act(client, index)) good += 1;
        client.end();
      }
    }));
    return verdict(good === count, { connections: count }, { good, of: count });
  }

  async function publisher() {
    const client = RtmpClient.open(address);
    client.introduce();
    await client.hears('NetConnection.Connect.Success');
    client.publish(attacker.key);
    if (!(await client.hears('NetStream.Publish.Start'))) throw new Error(`the attacker was not let in: ${client.heard.slice(-200)}`);
    return client;
  }
  /** Ends a publish and waits for it, so that the next is no second one. */
  async function leave(client) {
    await client.write(message(3, COMMAND, amf('FCUnpublish', 9, null, 'x')));
    const left = await client.hears('NetStream.Unpublish.Success');
    client.end();
    return left;
  }
  async function introduced(client) {
    client.introduce();
    return client.hears('NetConnection.Connect.Success');
  }

  // What the stream alone costs, to hold the rest against.
  await attack('nothing', async () => { await sleep(8000); return verdict(true); });

  await attack('TLS and HTTP on the RTMP port', () => {
    const probes = ['\x16\x03\x01\x02\x00\x01\x00', 'POST /open/1 HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n', '\x06'.repeat(1537), '\xff'.repeat(1537)];
    return clients(2000, 20, async (client, index) => { await client.write(Buffer.from(probes[index % probes.length], 'latin1')); return client.isClosed(); });
  });

  await attack('chunk size 1', () => clients(500, 20, async (client) => {
    await introduced(client);
    await client.write(chunkSize(1));
    return client.hears('NetConnection.Connect.Closed');
  }));

  await attack('chunk size 2^31-1 and 16 MiB claimed', () => clients(500, 20, async (client) => {
    await introduced(client);
    await client.write(chunkSize(0x7fffffff));
    await client.write(header(6, VIDEO, 0xffffff));
    return client.hears('NetConnection.Connect.Closed');
  }));

  await attack('long messages on hundreds of chunk streams, with a key', async () => {
    let closed = 0;
    for (let round_ = 0; round_ < 10; round_ += 1) {
      const client = await publisher();
      await client.write(chunkSize(1 << 20));
      for (let csid = 8; csid < 63 && !client.socket.destroyed; csid += 1) {
        await client.write(Buffer.concat([header(csid, VIDEO, 8 << 20), Buffer.alloc(1 << 20)]));
      }
      if (await client.isClosed()) closed += 1;
      client.end();
      await sleep(200);
    }
    return verdict(closed === 10, { connections: 10 }, { closed });
  });

  const bombs = [Buffer.from('\x03\x00\x01a'.repeat(10_000), 'latin1'), Buffer.from('\x0a\x00\x00\x00\x01'.repeat(10_000), 'latin1'), Buffer.concat([Buffer.from([10, 255, 255, 255, 255]), Buffer.alloc(50_000, 5)])];
  await attack('AMF bombs', () => clients(600, 20, async (client, index) => {
    await introduced(client);
    await client.write(message(3, COMMAND, Buffer.concat([amf('publish', 1), bombs[index % bombs.length]])));
    return client.hears('NetConnection.Connect.Closed');
  }));

  await attack('handshakes that never end', () => clients(45, 45, async (client) => {
    client.write(Buffer.from([3]));
    const drip = setInterval(() => client.write(Buffer.from([0])), 100);
    const closed = await client.isClosed();
    clearInterval(drip);
    return closed;
  }));

  await attack('1,000 half-open connections of one address', async () => {
    const opened = Array.from({ length: 1000 }, () => RtmpClient.open(address));
    await Promise.all(opened.map((client) => client.connected));
    await sleep(500);
    const open = opened.filter((client) => !client.socket.destroyed).length;
    const gone = await Promise.all(opened.map((client) => client.isClosed()));
    return verdict(open <= 50 && gone.every(Boolean), { connections: 1000, let_in: open }, { open });
  });

  await attack('names that lead elsewhere', () => {
    const names = ['../../../etc/passwd', '..', 'attacker/../beside', 'attacker\0', 'x'.repeat(10_000), '%2e%2e%2f', 'attacker\r\nx'];
    return clients(210, 10, async (client, index) => {
      await introduced(client);
      const stream = names[index % names.length];
      if (index % 2) client.play(stream); else client.publish(`${stream}?key=${attacker.key}`);
      return client.isClosed();
    });
  });

  await attack('parameter sets that lie about size', async () => {
    const sps = [Buffer.concat([Buffer.from('6742c01e', 'hex'), Buffer.alloc(200)]), Buffer.concat([Buffer.from('6742c01e', 'hex'), Buffer.alloc(200, 0xff)]), Buffer.from('6742c01ef8000000002000000000', 'hex')];
    let left = 0;
    for (const lie of [...sps, ...sps]) {
      const client = await publisher();
      await client.write(message(6, VIDEO, avcHeader(lie)));
      await client.write(message(4, AUDIO, AAC_HEADER));
      for (let index = 0; index < 50; index += 1) {
        await client.write(message(6, VIDEO, picture(index % 25 === 0), index * 40));
        await client.write(message(4, AUDIO, AAC_FRAME, index * 23));
      }
      if (await leave(client)) left += 1;
    }
    return verdict(left === 6, { publishes: 6 }, { left });
  });

  await attack('keyframes of 20 MiB', async () => {
    let closed = 0;
    for (let index = 0; index < 5; index += 1) {
      const client = await publisher();
      await client.write(chunkSize(1 << 20));
      await client.write(Buffer.concat([header(6, VIDEO, 0xffffff), Buffer.alloc(1 << 20)]));
      for (let mib = 0; mib < 19 && !client.socket.destroyed; mib += 1) await client.write(Buffer.alloc(1 << 20));
      if (await client.isClosed()) closed += 1;
      client.end();
      await sleep(200);
    }
    return verdict(closed === 5, { publishes: 5 }, { closed });
  });

  await attack('clocks that jump by hours', async () => {
    const client = await publisher();
    await client.write(message(6, VIDEO, avcHeader()));
    await client.write(message(4, AUDIO, AAC_HEADER));
    const times = [18_000_000, 0, 0xfffffff0, 30, 0xfffff0, 20, 3_600_000_000];
    for (let index = 0; index < 2000; index += 1) {
      await client.write(message(6, VIDEO, picture(true), times[index % times.length]));
      await client.write(message(4, AUDIO, AAC_FRAME, times[(index + index % 2) % times.length]));
    }
    const { live } = await server.api('GET', `/api/v1/rooms/${attacker.name}`);
    return verdict(await leave(client), { jumps: 2000 }, { warnings: live.warnings });
  });

  await attack('players that do not read', async () => {
    const client = await publisher();
    await client.write(chunkSize(1 << 20));
    await client.write(message(6, VIDEO, avcHeader()));
    const deaf = Array.from({ length: 40 }, () => RtmpClient.open(address));
    for (const player of deaf) {
      await introduced(player);
      player.play(attacker.name);
      await player.hears('NetStream.Play.Start');
      player.socket.pause();
    }
    // 50 Mb/s for twelve seconds, longer than anybody may stand still.
    for (let index = 0; index < 300; index += 1) {
      await client.write(message(6, VIDEO, picture(index % 25 === 0, 250_000), index * 40, 1 << 20));
      await sleep(40);
    }
    const metrics = await (await fetch(`${server.http}/metrics`)).text();
    const players = Number(metrics.match(/^rtmp_players_count (\d+)/m)?.[1]);
    deaf.forEach((player) => player.end());
    return verdict(await leave(client) && players <= 1, { players: 40 }, { players_left: players });
  });

  // A playlist of the attacker's own, for what follows.
  const own = await publisher();
  await own.write(message(6, VIDEO, avcHeader()));
  await own.write(message(4, AUDIO, AAC_HEADER));
  let pushed = 0;
  const push = async (frames) => {
    for (const end = pushed + frames; pushed < end; pushed += 1) {
      await own.write(message(6, VIDEO, picture(pushed % 25 === 0), pushed * 40));
      await own.write(message(4, AUDIO, AAC_FRAME, pushed * 40));
    }
  };
  await push(150);
  const playlist = `${server.http}/live/${attacker.name}/video/index.m3u8`;
  const text = await until('the attacker\'s playlist', 20_000, async () => { const r = await fetch(playlist); const t = await r.text(); return r.ok && t.includes('#EXTINF') && t; });
  const next = Number(text.match(/#EXT-X-MEDIA-SEQUENCE:(\d+)/)[1]) + text.match(/#EXTINF/g).length;
  const agent = new http.Agent({ keepAlive: true, maxSockets: 100 });
  const get = (url, options = {}) => new Promise((resolve) => {
    http.get(url, options, (response) => { response.resume(); response.on('end', () => resolve(response.statusCode)); }).on('error', () => resolve(0));
  });

  await attack('absurd directives', async () => {
    const queries = ['_HLS_msn=18446744073709551615', `_HLS_msn=${'9'.repeat(5000)}`, `_HLS_msn=${next + 1000}`, '_HLS_msn=-1', '_HLS_part=0', `_HLS_msn=${next}&_HLS_part=1000000`, `_HLS_msn=${next}&_HLS_msn=1`];
    const statuses = await Promise.all(Array.from({ length: 5000 }, (_, index) => get(`${playlist}?${queries[index % queries.length]}`, { agent })));
    return verdict(statuses.every((s) => s === 400 || s === 431), { requests: 5000 }, { other: statuses.filter((s) => s !== 400).slice(0, 5) });
  });

  await attack('5,000 held requests of one address behind a proxy', async () => {
    const statuses = [];
    const asked = Array.from({ length: 5000 }, () => get(`${playlist}?_HLS_msn=${next}`, { headers: { forwarded: 'for=198.51.100.7' } }).then((status) => statuses.push(status)));
    await until('the requests beyond the limit to be answered', 20_000, () => statuses.length >= 5000 - 4096);
    const refused = [...statuses];
    await push(100);
    await Promise.all(asked);
    const answered = statuses.slice(refused.length);
    return verdict(refused.every((s) => s === 429) && answered.every((s) => s === 200 || s === 503), { requests: 5000, refused: refused.length, answered: answered.filter((s) => s === 200).length });
  });

  await attack('HTTP readers that do not read', async () => {
    const segment = text.split('\n').find((line) => line.endsWith('.m4s'));
    const url = new URL(segment, playlist);
    const deaf = Array.from({ length: 1000 }, () => RtmpClient.open(server.addresses.http));
    await Promise.all(deaf.map((client) => client.connected));
    deaf.forEach((client) => { client.socket.pause(); client.write(`GET ${url.pathname} HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(50)); });
    await sleep(5000);
    const ok = (await get(url.href)) === 200;
    deaf.forEach((client) => client.end());
    return verdict(ok, { connections: 1000 });
  });
  await leave(own);

  // Last, because afterwards nobody of this address gets in.
  await attack('keys guessed at speed', () => clients(1000, 20, async (client, index) => {
    await introduced(client);
    client.publish(`sk_${String(index).padStart(40, '0')}`);
    return client.hears('NetStream.Publish.BadName');
  }));

  results.figure('attacks', figures);
  const panics = (await (await fetch(`${server.http}/metrics`)).text()).match(/^(tasks_panics_total|media_room_panics_total) (\d+)/gm);
  results.check('nothing panicked', panics.every((line) => line.endsWith(' 0')), { panics });
  await beside.stop();
  await server.stop();
});
process.exit();
