"""What every client in Python does alike: the exchange of WHIP and WHEP over HTTP, what was seen and heard, and its words to the script as JSON lines."""

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import coded

#: So much of the newest sound is kept for its tones.
HEARD_SECONDS = 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["publish", "view"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--token")
    parser.add_argument("--codec", default="VP8", choices=["VP8", "H264"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--tone", type=float, default=440)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--no-decode", action="store_true", help="count what comes and look no further")
    return parser.parse_args()


def say(event: str, **fields) -> None:
    print(json.dumps({"event": event, "at": round(time.time() * 1000, 1), **fields}), flush=True)


class Session:
    """One session resource: POST, and DELETE at the end."""

    def __init__(self, url: str, token: str | None):
        self.url, self.token, self.resource = url, token, None

    def exchange(self, offer: str) -> str:
        with self._ask("POST", self.url, offer.encode(), {"content-type": "application/sdp"}) as response:
            answer = response.read().decode()
            if response.status != 201:
                raise RuntimeError(f"{response.status} instead of 201")
            self.resource = urllib.parse.urljoin(self.url, response.headers["location"])
            say("answered", status=response.status, etag=response.headers.get("etag"), location=self.resource, answer=answer)
            return answer

    def end(self) -> None:
        if self.resource is None:
            return
        try:
            with self._ask("DELETE", self.resource) as response:
                say("ended", status=response.status)
        except (RuntimeError, urllib.error.URLError) as error:
            say("ended", error=str(error))

    def _ask(self, method, url, body=None, headers=None):
        headers = dict(headers or {})
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        try:
            return urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers, method=method), timeout=10)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method}: {error.code} {error.read().decode(errors='replace')[:300]}") from error


class Seen:
    """Pictures and sound as they come out of a decoder."""

    def __init__(self):
        self.begun = time.monotonic()
        self.first_ms = None
        self.frames = self.unread = self.backwards = 0
        self.numbers = []
        self.gap_ms = 0
        self.last = None
        self.size = None
        self.heard = []
        self.samples = 0

    def picture(self, plane, stride: int, width: int, height: int) -> None:
        now = time.monotonic()
        if self.first_ms is None:
            self.first_ms = round((now - self.begun) * 1000)
        else:
            self.gap_ms = max(self.gap_ms, round((now - self.last) * 1000))
        self.last = now
        self.frames += 1
        self.size = f"{width}x{height}"
        number = coded.number_of(plane, stride, width)
        if number is None:
            self.unread += 1
            return
        if self.numbers and number < self.numbers[-1][0]:
            self.backwards += 1
        self.numbers.append((number, round(time.time() * 1000, 1)))

    def sound(self, samples) -> None:
        """Mono, at 48 kHz, between -1 and 1."""
        self.samples += len(samples)
        self.heard.extend(samples)
        del self.heard[: max(0, len(self.heard) - HEARD_SECONDS * coded.RATE)]

    def summary(self, tones) -> dict:
        return {
            "first_ms": self.first_ms,
            "video": {"frames": self.frames, "unread": self.unread, "backwards": self.backwards, "longest_gap_ms": self.gap_ms, "size": self.size, "first": self.numbers[:1], "last": self.numbers[-1:]},
            "audio": {"samples": self.samples, "levels_db": {f"{hz:g}": coded.level(self.heard, coded.RATE, hz) for hz in tones}},
        }


def main(publish, view) -> None:
    """Runs one of them and turns a failure into a line."""
    options = arguments()
    try:
        (publish if options.what == "publish" else view)(options)
    except Exception as error:  # noqa: BLE001: the script wants it in words, whatever it was.
        say("failed", error=f"{type(error).__name__}: {error}")
        sys.exit(1)
