use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn video(body: &[u8]) -> Result<Vec<VideoTag>, FlvError> {
    let mut tags = Vec::new();
    parse_video(Bytes::copy_from_slice(body), &mut |tag| tags.push(tag)).map(|()| tags)
}

fn audio(body: &[u8]) -> Result<Vec<AudioTag>, FlvError> {
    let mut tags = Vec::new();
    parse_audio(Bytes::copy_from_slice(body), &mut |tag| tags.push(tag)).map(|()| tags)
}

fn video_tag(track_id: u8, codec: CodecTag, frame: FrameKind, packet: VideoPacket) -> VideoTag {
    VideoTag { track_id, codec, frame, nano_offset: 0, packet }
}

const HEVC: CodecTag = CodecTag::FourCc(*b"hvc1");
const AV1: CodecTag = CodecTag::FourCc(*b"av01");
const OPUS: CodecTag = CodecTag::FourCc(*b"Opus");

#[test]
fn legacy_avc_bodies() {
    let record = Bytes::from_static(b"rec");
    let payload = Bytes::from_static(b"nal");
    for (body, expect) in [
        (&b"\x17\x00\x00\x00\x00rec"[..], (FrameKind::Key, VideoPacket::SequenceStart(record))),
        (
            b"\x27\x01\x00\x00\x28nal",
            (FrameKind::Inter, VideoPacket::Frame { composition_ms: 40, payload: payload.clone() }),
        ),
        (
            b"\x17\x01\xff\xff\xd8nal",
            (FrameKind::Key, VideoPacket::Frame { composition_ms: -40, payload: payload.clone() }),
        ),
        (b"\x37\x01\x00\x00\x00nal", (FrameKind::Inter, VideoPacket::Frame { composition_ms: 0, payload })),
        (b"\x17\x02\x00\x00\x00", (FrameKind::Key, VideoPacket::SequenceEnd)),
        (b"\x17\x02", (FrameKind::Key, VideoPacket::SequenceEnd)),
    ] {
        assert_eq!(video(body), Ok(vec![video_tag(0, CodecTag::AVC, expect.0, expect.1)]), "{body:02x?}");
    }
    assert_eq!(video(b""), Ok(vec![]));
    assert_eq!(video(b"\x57\x00"), Ok(vec![]), "a player command");
    assert_eq!(video(b"\x17\x09\0\0\0"), Err(FlvError::PacketType(9)));
    assert_eq!(video(b"\x17\x01\0"), Err(FlvError::Truncated));
}

#[test]
fn legacy_audio_bodies() {
    let data = Bytes::from_static(b"xyz");
    for (body, codec, packet) in [
        (&b"\xaf\x00xyz"[..], CodecTag::AAC, AudioPacket::SequenceStart(data.clone())),
        (b"\xaf\x01xyz", CodecTag::AAC, AudioPacket::Frame(data.clone())),
        (b"\x2fxyz", CodecTag::MP3, AudioPacket::Frame(data.clone())),
        (b"\xb2xyz", CodecTag::FlvAudio(11), AudioPacket::Frame(data.clone())),
    ] {
        assert_eq!(audio(body), Ok(vec![AudioTag { track_id: 0, codec, nano_offset: 0, packet }]));
    }
    assert_eq!(audio(b"\xaf"), Err(FlvError::Truncated));
}

#[test]
fn enhanced_video_bodies_of_one_track() {
    let payload = Bytes::from_static(b"pay");
    for (body, codec, packet) in [
        (&b"\x90hvc1pay"[..], HEVC, VideoPacket::SequenceStart(payload.clone())),
        (b"\x91hvc1\x00\x00\x10pay", HEVC, VideoPacket::Frame { composition_ms: 16, payload: payload.clone() }),
        (b"\x93hvc1pay", HEVC, VideoPacket::Frame { composition_ms: 0, payload: payload.clone() }),
        (b"\x91av01pay", AV1, VideoPacket::Frame { composition_ms: 0, payload: payload.clone() }),
        (b"\x92av01", AV1, VideoPacket::SequenceEnd),
        (b"\x94av01pay", AV1, VideoPacket::Metadata(payload.clone())),
        (b"\x95av01pay", AV1, VideoPacket::Mpeg2TsSequenceStart(payload.clone())),
        (b"\x91avc1\x00\x00\x00pay", CodecTag::AVC, VideoPacket::Frame { composition_ms: 0, payload: payload.clone() }),
    ] {
        assert_eq!(video(body), Ok(vec![video_tag(0, codec, FrameKind::Key, packet)]), "{body:02x?}");
    }
    assert_eq!(video(b"\xd0\x00"), Ok(vec![]), "a player command");
    assert_eq!(video(b"\x9fhvc1"), Err(FlvError::PacketType(15)));
}

#[test]
fn multitrack_bodies_of_each_type() {
    let frame = |bytes: &'static [u8]| AudioPacket::Frame(Bytes::from_static(bytes));
    let tag = |track_id, codec, packet| AudioTag { track_id, codec, nano_offset: 0, packet };
    assert_eq!(audio(b"\x95\x01Opus\x03abc"), Ok(vec![tag(3, OPUS, frame(b"abc"))]));
    assert_eq!(
        audio(b"\x95\x11Opus\x00\0\0\x02ab\x01\0\0\x01c"),
        Ok(vec![tag(0, OPUS, frame(b"ab")), tag(1, OPUS, frame(b"c"))])
    );
    assert_eq!(
        audio(b"\x95\x21Opus\x00\0\0\x02abmp4a\x01\0\0\x01c"),
        Ok(vec![tag(0, OPUS, frame(b"ab")), tag(1, CodecTag::AAC, frame(b"c"))])
    );
    assert_eq!(audio(b"\x95\x11Opus\x00\0\0\xffab"), Err(FlvError::Truncated));
    assert_eq!(audio(b"\x95\x31Opus"), Err(FlvError::MultitrackType(3)));
    assert_eq!(video(b"\x96\x03hvc1\x02ab").map(|tags| tags[0].track_id), Ok(2));
}

#[test]
fn mod_ex_prefixes_add_nanoseconds_or_are_skipped() {
    // One of three bytes with 0x01e240 ns, then one of an unknown type, then CodedFrames.
    let body = b"\x97\x02\x01\xe2\x40\x07\x00\xaa\x11Opusabc";
    assert_eq!(
        audio(body),
        Ok(vec![AudioTag {
            track_id: 0,
            codec: OPUS,
            nano_offset: 123_456,
            packet: AudioPacket::Frame(Bytes::from_static(b"abc"))
        }])
    );
    let long = [&b"\x97\xff\x01\x00"[..], &[0; 257], b"\x11Opusabc"].concat();
    assert_eq!(audio(&long).map(|tags| tags.len()), Ok(1));
    assert_eq!(audio(b"\x97\xff\xff\xff"), Err(FlvError::Truncated));
}

#[test]
fn codecs_have_the_names_people_know() {
    assert_eq!(HEVC.to_string(), "HEVC (hvc1)");
    assert_eq!(CodecTag::FlvAudio(11).to_string(), "Speex (11)");
    assert_eq!(CodecTag::FourCc([0, 1, b'a', 0xff]).to_string(), "unknown (\\x00\\x01a\\xff)");
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..60)) {
        for len in 0..=body.len() {
            let _ = video(&body[..len]);
            let _ = audio(&body[..len]);
        }
    }
}
