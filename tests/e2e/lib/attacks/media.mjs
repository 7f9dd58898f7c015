// Attacks by media: whoever makes them has a key, and so costs more.

import { sleep, until } from '../process.mjs';
import { AAC_FRAME, AAC_HEADER, AUDIO, RtmpClient, VIDEO, avcHeader, chunkSize, header, message, picture } from '../rtmp.mjs';
import { verdict } from './attacker.mjs';

const MIB = 1 << 20;
const START = Buffer.from('6742c01e', 'hex');
const LIES = [Buffer.concat([START, Buffer.alloc(200)]), Buffer.concat([START, Buffer.alloc(200, 0xff)]), Buffer.from('6742c01ef8000000002000000000', 'hex')];
const TIMES = [18_000_000, 0, 0xfffffff0, 30, 0xfffff0, 20, 3_600_000_000];

/** Nothing was said yet, and the connection stands. */
const goesOn = (client) => !client.socket.destroyed && !client.heard.includes('NetConnection.Connect.Closed');

/** Opens `count` publishes, one after the other, of which each must be told that it is closed, and be closed. */
async function closed(attacker, count, act) {
  let good = 0;
  for (let index = 0; index < count; index += 1) {
    const client = await attacker.publisher();
    await act(client);
    if ((await client.hears('NetConnection.Connect.Closed')) && (await client.isClosed())) good += 1;
    client.end();
    // The room lets go of one before it takes the next.
    await sleep(200);
  }
  return verdict(good === count, { publishes: count }, { closed: good });
}

export const mediaAttacks = {
  'long messages on hundreds of chunk streams': (attacker) => closed(attacker, 10, async (client) => {
    for (let csid = 8; csid < 308 && goesOn(client); csid += 1) {
      await client.write(Buffer.concat([header(csid, VIDEO, 8 * MIB), Buffer.alloc(128)]));
    }
  }),

  'long messages on dozens of chunk streams, filled': (attacker) => closed(attacker, 10, async (client) => {
    await client.write(chunkSize(MIB));
    for (let csid = 8; csid < 63 && goesOn(client); csid += 1) {
      await client.write(Buffer.concat([header(csid, VIDEO, 8 * MIB), Buffer.alloc(MIB)]));
    }
  }),

  'keyframes of 20 MiB': (attacker) => closed(attacker, 5, async (client) => {
    await client.write(chunkSize(MIB));
    await client.write(Buffer.concat([header(6, VIDEO, 0xffffff), Buffer.alloc(MIB)]));
    for (let mib = 0; mib < 19 && goesOn(client); mib += 1) await client.write(Buffer.alloc(MIB));
  }),

  'parameter sets that lie about size': async (attacker) => {
    let left = 0;
    const before = await attacker.metric('media_unusable_frames_total');
    for (const lie of [...LIES, ...LIES]) {
      const client = await attacker.publisher();
      await client.write(message(6, VIDEO, avcHeader(lie)));
      await client.write(message(4, AUDIO, AAC_HEADER));
      for (let index = 0; index < 50; index += 1) {
        await client.write(message(6, VIDEO, picture(index % 25 === 0), index * 40));
        await client.write(message(4, AUDIO, AAC_FRAME, index * 23));
      }
      if (await attacker.leave(client)) left += 1;
    }
    // Two of the three are no parameter set, so that their pictures have none; the third is a small picture, and taken.
    const refused = async () => (await attacker.metric('media_unusable_frames_total')) - before === 4 * 50;
    const counted = await until('the pictures without parameter sets to be counted', 10_000, refused).catch(() => false);
    return verdict(left === 6 && counted, { publishes: 6 }, { left, counted });
  },

  'clocks that jump by hours': async (attacker) => {
    const client = await attacker.publisher();
    await client.write(message(6, VIDEO, avcHeader()));
    await client.write(message(4, AUDIO, AAC_HEADER));
    for (let index = 0; index < 2000; index += 1) {
      await client.write(message(6, VIDEO, picture(true), TIMES[index % TIMES.length]));
      await client.write(message(4, AUDIO, AAC_FRAME, TIMES[(index + (index % 2)) % TIMES.length]));
    }
    const told = await until('the streamer to be told', 10_000, async () => {
      const { live } = await attacker.server.api('GET', `/api/v1/rooms/${attacker.room.name}`);
      return live.warnings.some((warning) => warning.code === 'timestamps_jump');
    }).catch(() => false);
    return verdict((await attacker.leave(client)) && told, { jumps: 2000 }, { told });
  },

  'players that do not read': async (attacker) => {
    const client = await attacker.publisher();
    await client.write(chunkSize(MIB));
    await client.write(message(6, VIDEO, avcHeader()));
    const deaf = Array.from({ length: 40 }, () => RtmpClient.open(attacker.address));
    for (const player of deaf) {
      await attacker.introduced(player);
      player.play(attacker.room.name);
      await player.hears('NetStream.Play.Start');
      player.socket.pause();
    }
    // 50 Mb/s for longer than anybody may stand still.
    for (let index = 0; index < 350; index += 1) {
      await client.write(message(6, VIDEO, picture(index % 25 === 0, 250_000), index * 40, MIB));
      await sleep(40);
    }
    const players = await attacker.metric('rtmp_players_count');
    deaf.forEach((player) => player.end());
    return verdict((await attacker.leave(client)) && players <= 1, { players: 40 }, { players_left: players });
  },
};
