"""Pictures and beeps of a live playlist by its own times, as FFmpeg's demuxer in PyAV reads them: what the server says is in step, whatever a player makes of it."""

import json
import sys

import av

import coded


def main() -> None:
    url, seconds = sys.argv[1], float(sys.argv[2])
    shown, spoken, first = [], [], None
    with av.open(url, timeout=30) as reader:
        sound = reader.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", coded.RATE)
        for frame in reader.decode(reader.streams.video[0], sound):
            if frame.pts is None:
                continue
            at = float(frame.pts * frame.time_base)
            first = at if first is None else first
            if at - first > seconds:
                break
            if isinstance(frame, av.VideoFrame):
                plane = frame.planes[0]
                number = coded.number_of(bytes(plane), plane.line_size, frame.width)
                if number is not None:
                    shown.append({"number": number, "at": round(at * 1000, 2)})
            else:
                for part in resampler.resample(frame):
                    samples = memoryview(bytes(part.planes[0])[: part.samples * 4]).cast("f").tolist()
                    spoken.append((round(at * coded.RATE), samples))
    beeps = [{"at": round(at * 1000 / coded.RATE, 2), "pitch": pitch} for at, pitch in coded.beeps(spoken)]
    print(json.dumps({"pictures": shown, "beeps": beeps}))


main()
