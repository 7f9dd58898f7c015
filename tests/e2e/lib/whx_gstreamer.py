"""WHIP and WHEP by GStreamer's webrtcbin, which knows neither: the exchange is lib/whx.py's, the media is GStreamer's. Needs the gi of the system's Python."""

import struct
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

import coded  # noqa: E402
import whx  # noqa: E402

#: Payload types of the offer; the server answers with the same.
AUDIO, VIDEO = 111, 96
GATHERING_SECONDS = 3

ENCODERS = {
    "VP8": "vp8enc deadline=1 keyframe-max-dist=60 target-bitrate=800000 cpu-used=8 ! rtpvp8pay picture-id-mode=15-bit",
    # Baseline from OpenH264, as browsers send it; parameter sets before each keyframe.
    "H264": "openh264enc complexity=low bitrate=800000 gop-size=60 ! h264parse config-interval=-1 ! rtph264pay aggregate-mode=zero-latency config-interval=-1",
}
DECODERS = {"VP8": "rtpvp8depay ! vp8dec", "H264": "rtph264depay ! h264parse ! avdec_h264", "OPUS": "rtpopusdepay ! opusdec"}


#: Constrained baseline, main, high: what a browser's decoder takes.
PROFILES = ["42e01f", "4d001f", "64001f"]


def wanted(codec: str) -> str:
    """What a viewer offers."""
    if codec != "H264":
        return caps(codec)
    return ";".join(caps(codec).replace(f"payload={VIDEO}", f"payload={VIDEO + index},profile-level-id=(string){profile}") for index, profile in enumerate(PROFILES))


def caps(codec: str) -> str:
    """What a section is about. Who publishes leaves the profile to the payloader, which reads it from the encoder."""
    more = ",packetization-mode=(string)1" if codec == "H264" else ""
    return f"application/x-rtp,media=video,encoding-name={codec},clock-rate=90000,payload={VIDEO}{more},rtcp-fb-nack-pli=(boolean)true"


SOUND_CAPS = f"application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,encoding-params=(string)2,payload={AUDIO}"


class Peer:
    """A pipeline with one webrtcbin, and its session."""

    def __init__(self, options, description: str | None):
        self.options = options
        self.pipeline = Gst.Pipeline.new() if description is None else Gst.parse_launch(description)
        if description is None:
            self.pipeline.add(Gst.ElementFactory.make("webrtcbin", "web"))
        self.web = self.pipeline.get_by_name("web")
        self.web.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.gathered = threading.Event()
        self.web.connect("notify::ice-gathering-state", self._gathering)
        self.web.connect("notify::connection-state", lambda *_: whx.say("state", state=self.state()))
        self.session = whx.Session(options.url, options.token)

    def state(self) -> str:
        return self.web.get_property("connection-state").value_nick

    def _gathering(self, *_):
        if self.web.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self.gathered.set()

    def connect(self):
        promise = Gst.Promise.new()
        self.web.emit("create-offer", None, promise)
        promise.wait()
        made = promise.get_reply()
        if made.has_field("error"):
            raise RuntimeError(f"no offer: {made.get_value('error')}")
        offer = made.get_value("offer")
        promise = Gst.Promise.new()
        self.web.emit("set-local-description", offer, promise)
        promise.wait()
        self.gathered.wait(GATHERING_SECONDS)
        answer = self.session.exchange(self.web.get_property("local-description").sdp.as_text())
        result, message = GstSdp.SDPMessage.new_from_text(answer)
        if result != GstSdp.SDPResult.OK:
            raise RuntimeError("webrtcbin does not read the answer")
        promise = Gst.Promise.new()
        self.web.emit("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message), promise)
        promise.wait()

    def watch(self, seconds: float):
        """Lets it run; an error of the pipeline ends it."""
        message = self.pipeline.get_bus().timed_pop_filtered(int(seconds * Gst.SECOND), Gst.MessageType.ERROR)
        if message is not None:
            error, detail = message.parse_error()
            raise RuntimeError(f"{error.message} {detail}")

    def end(self):
        self.session.end()
        self.pipeline.set_state(Gst.State.NULL)


def publish(options) -> None:
    peer = Peer(options, f"""webrtcbin name=web
        appsrc name=camera is-live=true format=time do-timestamp=false caps=video/x-raw,format=I420,width={coded.WIDTH},height={coded.HEIGHT},framerate={options.fps}/1
          ! queue ! videoconvert ! {ENCODERS[options.codec]} pt={VIDEO} ! {caps(options.codec)} ! web.
        appsrc name=microphone is-live=true format=time caps=audio/x-raw,format=S16LE,rate={coded.RATE},channels=1,layout=interleaved
          ! queue ! audioconvert ! opusenc ! rtpopuspay pt={AUDIO} ! {SOUND_CAPS} ! web.""")
    for index in range(2):
        peer.web.emit("get-transceiver", index).set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
    camera, microphone = peer.pipeline.get_by_name("camera"), peer.pipeline.get_by_name("microphone")
    peer.pipeline.set_state(Gst.State.PLAYING)
    ended = threading.Event()
    begun = time.monotonic()
    chroma = bytes([128]) * (coded.WIDTH * coded.HEIGHT // 2)

    def push(source, data, at, duration):
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts, buffer.duration = round(at * Gst.SECOND), round(duration * Gst.SECOND)
        source.emit("push-buffer", buffer)

    def feed(period, make, source):
        count = 0
        while not ended.is_set():
            time.sleep(max(0, begun + count * period - time.monotonic()))
            push(source, make(count), count * period, period)
            count += 1

    threads = [threading.Thread(target=feed, args=(1 / options.fps, lambda count: coded.luma(count) + chroma, camera), daemon=True),
               threading.Thread(target=feed, args=(0.02, lambda count: coded.sound(count * 960, 960, options.tone), microphone), daemon=True)]
    for thread in threads:
        thread.start()
    try:
        # The caps of both come with the first buffers; an offer before them would be empty.
        time.sleep(0.5)
        peer.connect()
        peer.watch(options.seconds)
        whx.say("done", client=Gst.version_string(), state=peer.state(), codecs={"video": options.codec, "audio": "opus"})
    finally:
        ended.set()
        peer.end()


def view(options) -> None:
    peer = Peer(options, None)
    seen = whx.Seen()
    counted = {}
    came = {}

    def pictures(sink):
        sample = sink.emit("pull-sample")
        structure = sample.get_caps().get_structure(0)
        width, height = structure.get_value("width"), structure.get_value("height")
        ok, info = sample.get_buffer().map(Gst.MapFlags.READ)
        if ok:
            seen.picture(info.data, (width + 3) & ~3, width, height)
            sample.get_buffer().unmap(info)
        return Gst.FlowReturn.OK

    def sounds(sink):
        buffer = sink.emit("pull-sample").get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        seen.sound([value / 32768 for value in struct.unpack(f"<{len(data) // 2}h", data)])
        return Gst.FlowReturn.OK

    def take(_, pad):
        structure = pad.get_current_caps().get_structure(0)
        kind, codec = structure.get_value("media"), structure.get_value("encoding-name")
        came[kind] = codec
        if options.no_decode:
            branch = Gst.parse_bin_from_description("fakesink name=sink sync=false signal-handoffs=true", True)
            branch.get_by_name("sink").connect("handoff", lambda *_: counted.__setitem__(kind, counted.get(kind, 0) + 1))
        else:
            raw = "videoconvert ! video/x-raw,format=I420" if kind == "video" else f"audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate={coded.RATE},channels=1"
            branch = Gst.parse_bin_from_description(f"queue ! {DECODERS[codec]} ! {raw} ! appsink name=sink emit-signals=true sync=false", True)
            branch.get_by_name("sink").connect("new-sample", pictures if kind == "video" else sounds)
        peer.pipeline.add(branch)
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))

    peer.web.connect("pad-added", take)
    receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
    peer.web.emit("add-transceiver", receive, Gst.Caps.from_string(SOUND_CAPS))
    peer.web.emit("add-transceiver", receive, Gst.Caps.from_string(wanted(options.codec)))
    peer.pipeline.set_state(Gst.State.PLAYING)
    try:
        peer.connect()
        peer.watch(options.seconds)
        whx.say("done", client=Gst.version_string(), state=peer.state(), codecs=came, packets=counted, **seen.summary([options.tone, options.tone * 1.25]))
    finally:
        peer.end()


Gst.init(None)
whx.main(publish, view)
