"""Publishes a file over RTMP as it is, once and in real time, with PyAV's FFmpeg.

Prints one line of JSON for each access unit: its medium, its times in seconds, and the hash that lib/mp4.mjs makes.
"""

import hashlib
import json
import sys
import time

import av


def main() -> None:
    source, url = sys.argv[1:]
    with av.open(source) as reader, av.open(url, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as writer:
        streams = {stream.index: writer.add_stream_from_template(stream, opaque=True) for stream in reader.streams}
        begin = time.monotonic()
        first = None
        for packet in reader.demux():
            if packet.dts is None:
                continue
            kind = packet.stream.type
            dts, pts = float(packet.dts * packet.time_base), float(packet.pts * packet.time_base)
            first = dts if first is None else first
            unit = {
                "kind": kind,
                "dts": dts,
                "pts": pts,
                "key": packet.is_keyframe,
                "hash": hashlib.sha256(bytes(packet)).hexdigest()[:20],
            }
            time.sleep(max(0.0, begin + dts - first - time.monotonic()))
            packet.stream = streams[packet.stream.index]
            writer.mux(packet)
            print(json.dumps(unit), flush=True)


main()
