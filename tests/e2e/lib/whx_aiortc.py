"""WHIP and WHEP by aiortc: publishes the coded source, or watches it and says what came."""

import asyncio
import copy
import fractions
import queue
import struct
import time

import aiortc
import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, RTCSessionDescription
from aiortc.codecs import CODECS
from aiortc.rtp import RtcpSdesPacket, RtcpSourceInfo
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack

import coded
import whx


#: aiortc offers baseline alone, constrained and not. Its decoder is FFmpeg's, which reads these as well, and an encoder over
#: RTMP sends high unless told otherwise: whoever did not offer it would never be sent that picture as it is.
MORE_PROFILES = ("4d001f", "64001f")


class Camera(MediaStreamTrack):
    kind = "video"

    def __init__(self, fps: int):
        super().__init__()
        self.fps, self.number, self.begun = fps, 0, time.time()
        self.chroma = bytes([128]) * (coded.WIDTH * coded.HEIGHT // 4)

    async def recv(self):
        await asyncio.sleep(max(0, self.begun + self.number / self.fps - time.time()))
        frame = av.VideoFrame(coded.WIDTH, coded.HEIGHT, "yuv420p")
        for plane, data in zip(frame.planes, (coded.luma(self.number), self.chroma, self.chroma)):
            plane.update(data)
        frame.pts, frame.time_base = round(self.number * 90000 / self.fps), fractions.Fraction(1, 90000)
        self.number += 1
        return frame


class Microphone(AudioStreamTrack):
    def __init__(self, tone: float):
        super().__init__()
        self.tone, self.sample, self.begun = tone, 0, time.time()

    async def recv(self):
        await asyncio.sleep(max(0, self.begun + self.sample / coded.RATE - time.time()))
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(coded.sound(self.sample, 960, self.tone))
        frame.sample_rate, frame.pts, frame.time_base = coded.RATE, self.sample, fractions.Fraction(1, coded.RATE)
        self.sample += 960
        return frame


def descriptions(data: bytes, count: int) -> RtcpSdesPacket:
    """Who sends: what is said of each source ends with zeros up to the next 32 bits (RFC 3550 §6.5). aiortc 1.16 takes the first two of them for the end, and leaves out the whole packet, reports and all, when it describes two sources."""
    chunks, at = [], 0
    for _ in range(count):
        ssrc, items = struct.unpack_from("!L", data, at)[0], []
        at += 4
        while at < len(data) and data[at] != 0:
            end = at + 2 + data[at + 1]
            items.append((data[at], data[at + 2 : end]))
            at = end
        at = (at // 4 + 1) * 4
        chunks.append(RtcpSourceInfo(ssrc=ssrc, items=items))
    return RtcpSdesPacket(chunks=chunks)


RtcpSdesPacket.parse = staticmethod(descriptions)


class SenderClock:
    """The sender's own clock of one track, by its reports (RFC 3550 §6.4.1): what the server says is in step, whatever a player makes of it."""

    def __init__(self, receiver):
        self.receiver, self.rate, self.report = receiver, 48000 if receiver.track.kind == "audio" else 90000, None
        handle = receiver._handle_rtcp_packet

        async def listen(packet):
            if isinstance(packet, aiortc.rtp.RtcpSrPacket):
                info = packet.sender_info
                self.report = (info.ntp_timestamp / (1 << 32) * 1000, info.rtp_timestamp)
            await handle(packet)

        receiver._handle_rtcp_packet = listen

    def at(self, pts: int) -> float:
        """Milliseconds of the sender's clock at a time that aiortc counts from the first packet."""
        mapper = self.receiver._RTCRtpReceiver__timestamp_mapper
        ntp_ms, rtp = self.report
        since = (pts + mapper._origin - rtp + (1 << 31)) % (1 << 32) - (1 << 31)
        return ntp_ms + since * 1000 / self.rate


class Counted(queue.Queue):
    """Stands where frames wait for the decoder, and counts them instead."""

    def __init__(self):
        super().__init__()
        self.frames = 0

    def put(self, task, *args) -> None:
        # None ends the decoder's thread.
        if task is None:
            super().put(task, *args)
        else:
            self.frames += 1


def offer_more_profiles() -> None:
    known = CODECS["video"]
    at = next(index for index, one in enumerate(known) if one.mimeType == "video/H264")
    for profile in MORE_PROFILES:
        # Each with its retransmissions, as aiortc makes its own.
        codec, resends = copy.deepcopy(known[at]), copy.deepcopy(known[at + 1])
        codec.payloadType = max(one.payloadType for one in known) + 1
        resends.payloadType = codec.payloadType + 1
        codec.parameters["profile-level-id"] = profile
        resends.parameters["apt"] = codec.payloadType
        known.extend([codec, resends])


def prefer(transceiver, capabilities, codec: str) -> None:
    wanted = [one for one in capabilities.codecs if one.mimeType in (f"video/{codec}", "video/rtx")]
    transceiver.setCodecPreferences(wanted)


async def connect(peer: RTCPeerConnection, options) -> whx.Session:
    peer.on("connectionstatechange", lambda: whx.say("state", state=peer.connectionState))
    await peer.setLocalDescription(await peer.createOffer())
    session = whx.Session(options.url, options.token)
    answer = await asyncio.to_thread(session.exchange, peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    return session


def timeline(clocks, shown, spoken):
    """Pictures and beeps by the sender's clock; None before both tracks had a report."""
    if len(clocks) < 2 or any(clock.report is None for clock in clocks.values()):
        return None
    return {
        "pictures": [{"number": number, "at": round(clocks["video"].at(pts), 2)} for number, pts in shown],
        "beeps": [{"at": round(clocks["audio"].at(pts), 2), "pitch": pitch} for pts, pitch in coded.beeps(spoken)],
    }


async def figures(peer: RTCPeerConnection) -> list:
    stats = await peer.getStats()
    kinds = ("outbound-rtp", "inbound-rtp")
    return [{"direction": one.type, "kind": one.kind, "packets": getattr(one, "packetsSent", None) or getattr(one, "packetsReceived", None), "bytes": getattr(one, "bytesSent", None), "lost": getattr(one, "packetsLost", None)} for one in stats.values() if one.type in kinds]


def codecs(peer: RTCPeerConnection) -> dict:
    lines = peer.remoteDescription.sdp.split("\r\n")
    kinds, kind = {}, None
    for line in lines:
        if line.startswith("m="):
            kind = line[2:].split(" ")[0]
        elif line.startswith("a=rtpmap:") and kind not in kinds:
            kinds[kind] = line.split(" ")[1].split("/")[0]
    return kinds


def publish(options) -> None:
    async def run():
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTransceiver(Microphone(options.tone), direction="sendonly")
        camera = peer.addTransceiver(Camera(options.fps), direction="sendonly")
        prefer(camera, RTCRtpSender.getCapabilities("video"), options.codec)
        session = await connect(peer, options)
        try:
            await asyncio.sleep(options.seconds)
            whx.say("done", client=f"aiortc {aiortc.__version__}", codecs=codecs(peer), state=peer.connectionState, streams=await figures(peer))
        finally:
            await asyncio.to_thread(session.end)
            await peer.close()

    asyncio.run(run())


def view(options) -> None:
    offer_more_profiles()

    async def run():
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        seen = whx.Seen()
        readers = []
        shown, spoken, clocks, counted = [], [], {}, {}

        async def pictures(track):
            while True:
                frame = await track.recv()
                plane = frame.planes[0]
                seen.picture(bytes(plane), plane.line_size, frame.width, frame.height)
                if seen.numbers:
                    shown.append((seen.numbers[-1][0], frame.pts))

        async def sounds(track):
            while True:
                frame = await track.recv()
                data = bytes(frame.planes[0])[: frame.samples * 4]
                values = struct.unpack(f"<{len(data) // 2}h", data)
                mono = [value / 32768 for value in values[::2]]
                seen.sound(mono)
                spoken.append((frame.pts, mono))

        @peer.on("track")
        def on_track(track):
            async def read():
                try:
                    await (pictures(track) if track.kind == "video" else sounds(track))
                except MediaStreamError:
                    whx.say("track-ended", kind=track.kind)

            receiver = next(one.receiver for one in peer.getTransceivers() if one.receiver.track is track)
            clocks[track.kind] = SenderClock(receiver)
            if options.no_decode:
                # The decoder's thread begins later and waits for what never comes.
                receiver._RTCRtpReceiver__decoder_queue = counted[track.kind] = Counted()
                return
            readers.append(asyncio.ensure_future(read()))

        peer.addTransceiver("audio", direction="recvonly")
        picture = peer.addTransceiver("video", direction="recvonly")
        prefer(picture, RTCRtpReceiver.getCapabilities("video"), options.codec)
        session = await connect(peer, options)
        try:
            await asyncio.sleep(options.seconds)
            whx.say("done", client=f"aiortc {aiortc.__version__}", codecs=codecs(peer), state=peer.connectionState, streams=await figures(peer), timeline=timeline(clocks, shown, spoken), undecoded={kind: one.frames for kind, one in counted.items()}, **seen.summary([options.tone, options.tone * 1.25]))
        finally:
            await asyncio.to_thread(session.end)
            await peer.close()
            for reader in readers:
                reader.cancel()

    asyncio.run(run())


whx.main(publish, view)
