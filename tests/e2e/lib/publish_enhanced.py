"""Publishes a file over RTMP as it is, once and in real time, with PyAV's FFmpeg."""

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
            dts = float(packet.dts * packet.time_base)
            first = dts if first is None else first
            time.sleep(max(0.0, begin + dts - first - time.monotonic()))
            packet.stream = streams[packet.stream.index]
            writer.mux(packet)


main()
