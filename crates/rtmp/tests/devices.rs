//! Bytes that devices and programs were seen to send, one test for each: what made another server refuse them must go
//! through here. Each names the report; the bytes are made anew from what it describes.

mod support;

use bytes::BytesMut;
use support::*;
use telstar_rtmp::amf::Value;
use telstar_rtmp::chunk::{ChunkWriter, message_type};

const CONNECTED: &str = "NetConnection.Connect.Success";

/// A chunk of type 0 on `csid`: the header of a message of at most 128 bytes, and its body.
fn chunk_0(csid: u8, timestamp: u32, kind: u8, stream_id: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![csid];
    bytes.extend(&timestamp.min(0xff_ffff).to_be_bytes()[1..]);
    bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.push(kind);
    bytes.extend(stream_id.to_le_bytes());
    if timestamp >= 0xff_ffff {
        bytes.extend(timestamp.to_be_bytes());
    }
    bytes.extend(body);
    bytes
}

/// Publishes the headers and a picture with sound, and expects them whole.
fn check_media_goes_through(pair: &mut Pair) {
    pair.events.clear();
    pair.video(0, &avc_header(SPS, PPS));
    pair.audio(0, &aac_header());
    pair.video(40, &avc_frame(true, 0, &[IDR]));
    pair.audio(40, &aac_frame());
    assert_eq!(
        pair.words(),
        ["track 0 H.264", "track 1 AAC", "frame 0 3600 3600 8 key", "frame 1 1764 1764 4 key"],
        "media goes through"
    );
}

fn metadata(pair: &mut Pair, fields: &[(&str, Value)]) {
    pair.send(0, message_type::DATA_AMF0, &amf_bytes(&["@setDataFrame".into(), "onMetaData".into(), object(fields)]));
}

/// <https://github.com/bluenviron/mediamtx/issues/928>: NAL units without a byte between good ones.
#[test]
fn dji_drones_send_empty_nal_units() {
    let mut pair = Pair::publishing();
    pair.video(0, &avc_header(SPS, PPS));
    pair.video(40, &avc_frame(true, 0, &[&[], IDR, &[]]));
    assert_eq!(pair.words(), ["track 0 H.264", "frame 0 3600 3600 8 key"]);
}

/// <https://github.com/bluenviron/mediamtx/issues/2375>: pictures without any NAL unit.
#[test]
fn dji_drones_send_pictures_of_nothing() {
    let mut pair = Pair::publishing();
    pair.video(0, &avc_header(SPS, PPS));
    pair.video(0, &avc_frame(true, 0, &[]));
    pair.video(40, &avc_frame(true, 0, &[&[]]));
    pair.video(80, &avc_frame(true, 0, &[IDR]));
    assert_eq!(
        pair.words(),
        ["track 0 H.264", "warning MalformedFrame x1", "warning MalformedFrame x2", "frame 0 7200 7200 8 key"]
    );
}

/// <https://github.com/bluenviron/mediamtx/issues/3301>: metadata that names a program and no track.
#[test]
fn dji_flighthub_sync_describes_no_track() {
    let mut pair = Pair::publishing();
    metadata(&mut pair, &[("metadatacreator", "Agora.io SDK".into()), ("encoder", "Agora.io Encoder".into())]);
    assert_eq!(pair.words(), ["metadata"]);
    check_media_goes_through(&mut pair);
}

/// <https://github.com/bluenviron/mediamtx/issues/3802>: metadata that denies the sound, the configuration sent twice,
/// sound before its configuration.
#[test]
fn dji_osmo_action_4_configures_twice_and_denies_its_sound() {
    let mut pair = Pair::publishing();
    metadata(
        &mut pair,
        &[
            ("videodatarate", 0.0.into()),
            ("videocodecid", 7.0.into()),
            ("audiodatarate", 0.0.into()),
            ("audiocodecid", 0.0.into()),
        ],
    );
    pair.video(0, &avc_header(SPS, PPS));
    pair.video(0, &avc_header(SPS, PPS));
    pair.audio(0, &aac_frame());
    pair.audio(0, &aac_header());
    pair.video(40, &avc_frame(true, 0, &[IDR]));
    pair.audio(40, &aac_frame());
    assert_eq!(
        pair.words(),
        [
            "metadata",
            "track 0 H.264",
            "warning NoConfiguration x1",
            "track 1 AAC",
            "frame 0 3600 3600 8 key",
            "frame 1 1764 1764 4 key"
        ]
    );
}

/// <https://github.com/bluenviron/mediamtx/issues/4002>: every stamp is the same, so no waiting may count in media time.
#[test]
fn glive_t80_stamps_stand_still() {
    let mut pair = Pair::publishing();
    pair.video(0, &avc_header(SPS, PPS));
    for _ in 0..3 {
        pair.video(0, &avc_frame(true, 0, &[IDR]));
    }
    let frames: Vec<String> = pair.words().into_iter().filter(|word| word.starts_with("frame")).collect();
    assert_eq!(frames, ["frame 0 0 0 8 key", "frame 0 1 1 8 key", "frame 0 2 2 8 key"]);
}

/// <https://github.com/bluenviron/mediamtx/pull/4909>: cameras whose control messages come on other chunk streams than 2.
#[test]
fn cameras_send_control_messages_on_any_chunk_stream() {
    let mut pair = Pair::publishing();
    // StreamDry on chunk stream 3, as recorded from a PTZ camera.
    pair.input(&[3, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 2, 0, 0, 0x8a, 0xce]);
    for csid in [3, 4, 5, 6] {
        pair.input(&chunk_0(csid, 0, message_type::SET_CHUNK_SIZE, 0, &4_096u32.to_be_bytes()));
        pair.input(&chunk_0(csid, 0, message_type::WINDOW_ACK_SIZE, 0, &5_000_000u32.to_be_bytes()));
        pair.input(&chunk_0(csid, 0, message_type::USER_CONTROL, 0, &[0, 6, 0, 0, 0, csid]));
    }
    assert_eq!(pair.replies.len(), 4, "each ping has its answer");
    pair.writer.set_chunk_size(4_096);
    check_media_goes_through(&mut pair);
}

/// <https://github.com/bluenviron/mediamtx/issues/5512>: user control events 31 and 32 of Flash Media Server, without a value.
#[test]
fn undocumented_user_control_events_are_passed_over() {
    let mut pair = Pair::publishing();
    for event in [0x1f, 0x20, 0xff] {
        pair.input(&chunk_0(2, 0, message_type::USER_CONTROL, 0, &[0, event]));
    }
    pair.input(&chunk_0(2, 0, message_type::USER_CONTROL, 0, &[]));
    check_media_goes_through(&mut pair);
}

/// <https://github.com/bluenviron/mediamtx/issues/1433>: GStreamer's rtmp2sink begins a message with a type 3 chunk behind a
/// type 0 one, with an extended stamp in both.
#[test]
fn gstreamer_begins_messages_with_type_3_behind_type_0() {
    let mut pair = Pair::publishing();
    let stamp: u32 = 4_279_383_126;
    let frame = aac_frame();
    pair.input(&chunk_0(4, stamp, message_type::AUDIO, 1, &aac_header()));
    pair.input(&chunk_0(4, stamp, message_type::AUDIO, 1, &frame));
    pair.input(&[&[0xc4], &stamp.to_be_bytes()[..], &frame].concat());
    let words = pair.words();
    assert_eq!(words.iter().filter(|word| word.starts_with("frame")).count(), 2, "{words:?}");
    assert!(words.iter().all(|word| !word.starts_with("closed")), "{words:?}");
}

/// <https://github.com/bluenviron/mediamtx/pull/1398>: Streamlabs compares S2 with its C1, time included.
#[test]
fn streamlabs_wants_its_c1_back() {
    let mut pair = Pair::new();
    let mut hello = vec![3, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0];
    hello.extend((0..1_528u32).map(|index| (index * 7) as u8));
    pair.session.handle_input(pair.now, &hello);
    let answer = pair.session.poll_output().expect("S0, S1 and S2");
    assert_eq!(answer.len(), 1 + 2 * 1_536);
    assert_eq!(answer[1 + 1_536..][..4], hello[1..5], "the time");
    assert_eq!(answer[1 + 1_536 + 8..], hello[9..], "the random bytes");
}

/// <https://github.com/bluenviron/mediamtx/issues/2352>: the screen of an iPhone comes without the sound that was announced.
#[test]
fn ios_streamlabs_announces_sound_that_never_comes() {
    let mut pair = Pair::publishing();
    metadata(
        &mut pair,
        &[
            ("audiodatarate", 128.0.into()),
            ("framerate", 30.0.into()),
            ("videocodecid", 7.0.into()),
            ("videodatarate", 2_500.0.into()),
            ("audiocodecid", 10.0.into()),
        ],
    );
    pair.video(0, &avc_header(SPS, PPS));
    pair.video(40, &avc_frame(true, 0, &[IDR]));
    assert_eq!(pair.words(), ["metadata", "track 0 H.264", "frame 0 3600 3600 8 key"]);
}

/// <https://github.com/bluenviron/mediamtx/issues/1405>: Neko's `tcUrl` begins with a quotation mark.
#[test]
fn neko_quotes_its_address() {
    for tc_url in ["'rtmp://127.0.0.1:9121/live", "\"rtmp://127.0.0.1:9121/live\""] {
        for app in ["live", ""] {
            let mut pair = Pair::new();
            pair.input(&handshake());
            let properties = object(&[("app", app.into()), ("tcUrl", tc_url.into())]);
            pair.send(0, message_type::COMMAND_AMF0, &amf_bytes(&["connect".into(), 1.0.into(), properties]));
            assert_eq!(pair.codes(), [CONNECTED], "{tc_url} {app}");
        }
    }
}

/// <https://github.com/bluenviron/mediamtx/issues/2393> and five more of DJI, Mavic and others: the extended stamp stands in
/// the type 3 chunks of a picture as well, and read as payload it becomes a codec that does not exist.
#[test]
fn dji_repeats_extended_stamps_inside_pictures() {
    let stamp: u32 = 0x0123_4567;
    let slice: Vec<u8> = IDR.iter().copied().chain((0..300u32).map(|index| index as u8)).collect();
    let body = avc_frame(true, 0, &[&slice]);
    let mut bytes = chunk_0(6, stamp, message_type::VIDEO, 1, &avc_header(SPS, PPS));
    let mut rest = &body[..];
    let (first, later) = rest.split_at(128);
    let mut head = chunk_0(6, stamp, message_type::VIDEO, 1, first);
    head[4..7].copy_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    bytes.extend(head);
    rest = later;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(rest.len().min(128));
        bytes.push(0xc6);
        bytes.extend(stamp.to_be_bytes());
        bytes.extend(part);
        rest = later;
    }
    let mut pair = Pair::publishing();
    pair.input(&bytes);
    assert_eq!(pair.words(), ["track 0 H.264".to_owned(), format!("frame 0 90000 90000 {} key", slice.len() + 4)]);
}

/// <https://github.com/bluenviron/mediamtx/issues/3188>: Enhanced RTMP's list of codecs is a strict array, and values of every
/// other type may stand beside it.
#[test]
fn connect_may_hold_strict_arrays_and_anything_else() {
    let mut pair = Pair::new();
    pair.input(&handshake());
    let list = Value::StrictArray(vec!["hvc1".into(), "av01".into(), Value::Null, 7.0.into()]);
    let properties = object(&[
        ("fourCcList", list),
        ("app", "live".into()),
        ("since", Value::Date(1e12)),
        ("nothing", Value::Undefined),
        ("nested", object(&[("deep", Value::StrictArray(vec![object(&[])]))])),
        ("tcUrl", "rtmp://host/live".into()),
    ]);
    pair.send(0, message_type::COMMAND_AMF0, &amf_bytes(&["connect".into(), 1.0.into(), properties]));
    assert_eq!(pair.codes(), [CONNECTED]);
}

/// <https://github.com/bluenviron/mediamtx/issues/386>: no metadata at all, or metadata without a field.
#[test]
fn metadata_may_be_empty_or_missing() {
    check_media_goes_through(&mut Pair::publishing());
    let mut pair = Pair::publishing();
    metadata(&mut pair, &[]);
    check_media_goes_through(&mut pair);
    let mut pair = Pair::publishing();
    let ecma_array_of_lies = [&amf_bytes(&["onMetaData".into()])[..], b"\x08\xff\xff\xff\xff\x00\x00\x09"].concat();
    pair.send(0, message_type::DATA_AMF0, &ecma_array_of_lies);
    check_media_goes_through(&mut pair);
}

/// <https://github.com/bluenviron/mediamtx/issues/3414>: sound messages with a header and nothing behind it.
#[test]
fn sound_without_a_payload_is_passed_over() {
    let mut pair = Pair::publishing();
    pair.audio(0, &[]);
    pair.audio(0, &[0xaf]);
    pair.audio(0, &[0xaf, 0]);
    pair.audio(0, &[0xaf, 1]);
    check_media_goes_through(&mut pair);
}

/// <https://github.com/bluenviron/mediamtx/issues/6007>: OBS with several renditions names its key in the address and again as
/// the name.
#[test]
fn obs_with_several_renditions_names_its_key_twice() {
    let mut pair = Pair::new();
    pair.input(&client_start("live/demo?key=sk_test", "?key=sk_test"));
    assert_eq!(pair.words(), ["request live demo sk_test"]);
    let mut pair = Pair::new();
    pair.input(&client_start("live?clientConfigId=1", "sk_test?clientConfigId=1"));
    assert_eq!(pair.words(), ["request live - sk_test"]);
}

/// <https://github.com/ossrs/srs/pull/4356>: an extended stamp in a type 1 chunk is a delta, not a time.
#[test]
fn extended_stamps_of_type_1_chunks_are_deltas() {
    let mut pair = Pair::publishing();
    pair.input(&chunk_0(4, 11_000, message_type::AUDIO, 1, &aac_header()));
    pair.input(&chunk_0(4, 11_000, message_type::AUDIO, 1, &aac_frame()));
    let frame = aac_frame();
    let mut next = vec![0x44, 0xff, 0xff, 0xff, 0, 0, frame.len() as u8, message_type::AUDIO];
    next.extend(16_776_216u32.to_be_bytes());
    next.extend(&frame);
    pair.input(&next);
    // 4.66 hours at once are a restarted clock, told once and taken out.
    let jumps = pair.words().into_iter().filter(|word| word.contains("TimestampJump { ms: 16776")).count();
    assert_eq!(jumps, 1, "{:?}", pair.words());
}

/// Cameras that publish without waiting for any answer, commands and media in one packet.
#[test]
fn cameras_that_wait_for_nothing_lose_nothing() {
    let writer = ChunkWriter::default();
    let mut bytes = BytesMut::from(&client_start("live", "sk_test")[..]);
    bytes.extend_from_slice(&encode(&writer, 0, message_type::VIDEO, 1, &avc_header(SPS, PPS)));
    bytes.extend_from_slice(&encode(&writer, 40, message_type::VIDEO, 1, &avc_frame(true, 0, &[IDR])));
    let mut pair = Pair::new();
    pair.input(&bytes);
    pair.session.accept_publish(pair.now);
    pair.drain();
    assert_eq!(pair.words()[1..], ["track 0 H.264", "frame 0 3600 3600 8 key"]);
}

/// A day of media whose 32-bit stamps wrap in the middle: times go on.
#[test]
fn stamps_wrap_after_49_7_days_and_times_go_on() {
    let mut pair = Pair::publishing();
    let start = u32::MAX - 100;
    let mut bytes = BytesMut::new();
    let writer = ChunkWriter::default();
    bytes.extend_from_slice(&encode(&writer, start, message_type::VIDEO, 1, &avc_header(SPS, PPS)));
    for step in 0..6u32 {
        let stamp = start.wrapping_add(step * 40);
        bytes.extend_from_slice(&encode(&writer, stamp, message_type::VIDEO, 1, &avc_frame(step == 0, 0, &[IDR])));
    }
    pair.input(&bytes);
    let frames: Vec<String> = pair.words().into_iter().filter(|word| word.starts_with("frame")).collect();
    let expect: Vec<String> = (0..6).map(|step| format!("frame 0 {0} {0} 8 key", 90_000 + step * 3_600)).collect();
    assert_eq!(frames, expect);
    assert!(pair.words().iter().all(|word| !word.starts_with("warning")), "{:?}", pair.words());
}

/// A chunk size that changes inside a picture of many chunks, and an Abort of another one: <https://github.com/bluenviron/mediamtx/issues/4673>.
#[test]
fn chunk_size_and_abort_act_between_two_chunks_of_a_picture() {
    let slice: Vec<u8> = IDR.iter().copied().chain([7; 400]).collect();
    let body = avc_frame(true, 0, &[&slice]);
    let mut pair = Pair::publishing();
    pair.video(0, &avc_header(SPS, PPS));
    let mut head = chunk_0(6, 40, message_type::VIDEO, 1, &body[..128]);
    head[4..7].copy_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    pair.input(&head);
    // Another picture begins on another chunk stream, and is given up.
    let mut other = chunk_0(7, 40, message_type::VIDEO, 1, &body[..128]);
    other[4..7].copy_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
    pair.input(&other);
    pair.input(&chunk_0(2, 0, message_type::ABORT, 0, &[0, 0, 0, 7]));
    pair.input(&chunk_0(2, 0, message_type::SET_CHUNK_SIZE, 0, &1_000u32.to_be_bytes()));
    pair.input(&[&[0xc6], &body[128..]].concat());
    assert_eq!(pair.words(), ["track 0 H.264".to_owned(), format!("frame 0 3600 3600 {} key", slice.len() + 4)]);
}
