// ffprobe as a reader that shares nothing with the server: of the file that an encoder sends, and of the playlist.

import { run } from './process.mjs';

const ENTRIES = 'packet=codec_type,pts_time,dts_time,flags,data_hash:stream=codec_type,codec_name,codec_tag_string,profile,width,height,sample_rate,channels';

/**
 * A file, or a live playlist from its first segment to its end. `streams` has what ffprobe says of each kind, `units`
 * its access units in decode order, times in seconds and hashed as lib/mp4.mjs does.
 */
export async function probe(input) {
  const from = /\.m3u8$/.test(input) ? ['-live_start_index', '0'] : [];
  const read = JSON.parse(await run('ffprobe', 'ffprobe', ['-v', 'error', ...from, '-show_data_hash', 'SHA256', '-show_entries', ENTRIES, '-of', 'json', input]));
  const of = (kind) => read.packets.filter((packet) => packet.codec_type === kind).map(unit);
  return {
    streams: Object.fromEntries(read.streams.map((stream) => [stream.codec_type, stream])),
    units: { video: of('video'), audio: of('audio') },
  };
}

function unit({ dts_time: dts, pts_time: pts, flags, data_hash: hash }) {
  return { dts: Number(dts), pts: Number(pts), key: flags.startsWith('K'), hash: hash.slice('SHA256:'.length).slice(0, 20) };
}
