"""Publishes a file by the WHIP muxer of PyAV's FFmpeg: H.264 without B-frames as it is, sound as Opus, once and in real time."""

import sys
import time

import av


def main() -> None:
    source, url, token, certificate, key = sys.argv[1:]
    # On GnuTLS it would make itself a key on P-224, a curve that WebRTC does not know (RFC 8827, section 6.5).
    own = {"cert_file": certificate, "key_file": key}
    options = {"authorization": token, "handshake_timeout": "10000", **own}
    with av.open(source) as reader, av.open(url, "w", format="whip", options=options) as writer:
        picture = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        sound = writer.add_stream("libopus", rate=48000, layout="stereo")
        begin = time.monotonic()
        said = False
        for packet in reader.demux():
            if packet.dts is None:
                continue
            time.sleep(max(0.0, begin + float(packet.dts * packet.time_base) - time.monotonic()))
            if packet.stream.type == "video":
                packet.stream = picture
                writer.mux(packet)
                if not said:
                    # The first packet went out: the handshake is over.
                    said = True
                    print('{"event": "answered"}', flush=True)
            else:
                for frame in packet.decode():
                    writer.mux(sound.encode(frame))


main()
