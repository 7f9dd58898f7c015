//! Promises of a session to an encoder: the dialogue, its limits, its deadlines, its end.

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::*;
use telstar_rtmp::amf::Value;
use telstar_rtmp::chunk::{ChunkWriter, message_type};
use telstar_rtmp::limits::MESSAGE_FRAMES_MAX;
use telstar_rtmp::{EndReason, Error, Event, RejectReason, TimedOut};

const CONNECTED: &str = "NetConnection.Connect.Success";
const STARTED: &str = "NetStream.Publish.Start";

#[test]
fn an_encoder_is_answered_in_the_order_it_waits_for() {
    let mut pair = Pair::new();
    pair.input(&client_start("live", "sk_test"));
    let kinds: Vec<u8> = pair.replies.iter().map(|message| message.kind).collect();
    assert_eq!(kinds, [5, 6, 1, 4, 20, 20, 20, 20, 20]);
    let names: Vec<_> = pair.commands().iter().map(|values| (values[0].clone(), values[1].as_number())).collect();
    let name = |name: &str, transaction| (Value::from(name), Some(transaction));
    assert_eq!(
        names,
        [
            name("_result", 1.0),
            name("_result", 2.0),
            name("onFCPublish", 0.0),
            name("_result", 3.0),
            name("_result", 4.0),
        ]
    );
    assert_eq!(pair.commands()[4][3].as_number(), Some(1.0), "the message stream");
    assert_eq!(pair.words(), ["request live - sk_test"]);
    assert!(!pair.session.wants_input());

    pair.replies.clear();
    pair.session.accept_publish(pair.now);
    pair.drain();
    assert_eq!(pair.replies[0].payload[..], [0, 0, 0, 0, 0, 1], "StreamBegin of stream 1");
    assert_eq!((pair.codes(), pair.replies[1].stream_id), (vec![STARTED.to_owned()], 1));
    assert!(pair.session.is_publishing());
}

#[test]
fn what_is_sent_behind_the_request_waits_for_the_answer_and_is_not_lost() {
    let mut input = client_start("live", "demo?key=sk_test");
    let writer = ChunkWriter::default();
    input.extend(encode(&writer, 0, message_type::VIDEO, 1, &avc_header(SPS, PPS)));
    input.extend(encode(&writer, 0, message_type::VIDEO, 1, &avc_frame(true, 0, &[IDR])));
    let mut pair = Pair::new();
    pair.input(&input);
    assert_eq!(pair.words(), ["request live demo sk_test"]);
    pair.input(&encode(&writer, 40, message_type::VIDEO, 1, &avc_frame(false, 0, &[P_SLICE])));
    assert_eq!(pair.words().len(), 1);
    pair.session.accept_publish(pair.now);
    pair.drain();
    assert_eq!(pair.words()[1..], ["track 0 H.264", "frame 0 0 0 8 key", "frame 0 3600 3600 7"]);
}

#[test]
fn a_refused_encoder_is_told_why_and_let_go() {
    for (reason, code) in [
        (RejectReason::InvalidKey, "NetStream.Publish.BadName"),
        (RejectReason::InUse, "NetStream.Publish.BadName"),
        (RejectReason::ShuttingDown, "NetConnection.Connect.AppShutdown"),
    ] {
        let mut pair = Pair::new();
        pair.input(&client_start("live", "sk_wrong"));
        pair.session.reject(reason);
        pair.drain();
        assert_eq!(pair.codes().last().map(String::as_str), Some(code));
        assert_eq!(pair.words()[1..], [format!("closed {:?}", EndReason::Refused(reason))]);
        assert_eq!(pair.session.poll_timeout(), None);
        pair.input(b"anything");
        assert_eq!(pair.words().len(), 2, "nothing follows the end");
    }
}

#[test]
fn a_revoked_key_ends_a_running_publish_with_a_status() {
    let mut pair = Pair::publishing();
    pair.session.shutdown(RejectReason::Revoked);
    pair.drain();
    assert_eq!(pair.codes(), ["NetStream.Publish.BadName"]);
    assert_eq!(pair.words(), ["ended Refused(Revoked)", "closed Refused(Revoked)"]);
}

#[test]
fn an_unknown_application_is_rejected_by_name() {
    let mut pair = Pair::new();
    pair.input(&client_start("stream", "sk_test"));
    assert_eq!(pair.codes(), ["NetConnection.Connect.Rejected"]);
    assert_eq!(pair.words(), ["closed UnknownApp"]);
}

#[test]
fn every_way_to_unpublish_ends_the_publish_but_not_the_connection() {
    let commands: [(&str, &[Value]); 3] = [
        ("FCUnpublish", &[Value::Null, Value::Null]),
        ("deleteStream", &[Value::Null, Value::Number(1.0)]),
        ("closeStream", &[Value::Null]),
    ];
    for (name, arguments) in commands {
        let mut pair = Pair::publishing();
        pair.command(&[&[name.into(), 0.0.into()], arguments].concat());
        assert_eq!(pair.words(), ["ended Unpublished"], "{name}");
        assert!(pair.codes().contains(&"NetStream.Unpublish.Success".to_owned()));
        pair.send(0, message_type::COMMAND_AMF0, &publish("sk_again"));
        assert_eq!(pair.words()[1..], ["request live - sk_again"]);
    }
    let mut pair = Pair::publishing();
    pair.command(&["deleteStream".into(), 0.0.into(), Value::Null, 7.0.into()]);
    assert!(pair.words().is_empty(), "another stream's end is not this one's");
}

#[test]
fn a_second_publish_on_the_connection_is_refused_and_the_first_goes_on() {
    let mut pair = Pair::publishing();
    pair.send(0, message_type::COMMAND_AMF0, &publish("sk_other"));
    assert_eq!((pair.codes(), pair.words().len()), (vec!["NetStream.Publish.BadName".to_owned()], 0));
    assert!(pair.session.is_publishing());
}

#[test]
fn unknown_calls_are_answered_if_they_want_an_answer() {
    let mut pair = Pair::publishing();
    pair.command(&["_checkbw".into(), 7.0.into(), Value::Null]);
    pair.command(&["mystery".into(), 8.0.into(), Value::Null]);
    pair.command(&["mystery".into(), 0.0.into(), Value::Null]);
    let answers: Vec<_> = pair.commands().iter().map(|values| values[1].as_number()).collect();
    assert_eq!(answers, [Some(7.0), Some(8.0)]);
    assert_eq!(pair.codes(), ["NetConnection.Call.Failed"]);
}

#[test]
fn connect_takes_the_shapes_that_devices_send() {
    let properties = object(&[("App", "live".into()), ("tcurl", "\"rtmp://h/live\"".into())]);
    let no_app = object(&[("tcUrl", "rtmp://h:1935/live/".into())]);
    for (kind, prefix, argument) in [
        (message_type::COMMAND_AMF0, &[][..], properties.clone()),
        (message_type::COMMAND_AMF3, &[0], properties.clone()),
        (message_type::COMMAND_AMF3, &[], properties.clone()),
        (message_type::COMMAND_AMF0, &[], Value::StrictArray(vec![properties])),
        (message_type::COMMAND_AMF0, &[], no_app),
    ] {
        let mut pair = Pair::new();
        pair.input(&handshake());
        let body = [prefix, &amf_bytes(&["connect".into(), 1.0.into(), argument])].concat();
        pair.send(0, kind, &body);
        assert_eq!(pair.codes(), [CONNECTED]);
    }
}

#[test]
fn a_ping_is_answered_and_the_window_acknowledged() {
    let mut pair = Pair::publishing();
    pair.send(0, message_type::USER_CONTROL, &[0, 6, 1, 2, 3, 4]);
    pair.send(0, message_type::USER_CONTROL, &[0, 3, 0, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(pair.replies[0].payload[..], [0, 7, 1, 2, 3, 4]);
    assert_eq!(pair.replies.len(), 1);
    pair.send(0, message_type::WINDOW_ACK_SIZE, &10_000u32.to_be_bytes());
    pair.replies.clear();
    for _ in 0..20 {
        pair.audio(0, &[0xaf; 1_000]);
    }
    let totals: Vec<_> = pair.replies.iter().map(|message| message.kind).collect();
    assert_eq!(totals, [message_type::ACKNOWLEDGEMENT; 2]);
    let total = u32::from_be_bytes(pair.replies[1].payload[..].try_into().expect("four bytes"));
    assert!(u64::from(total) <= pair.session.counters().bytes_in);
}

#[test]
fn each_stage_has_its_deadline() {
    let check = |input: &[u8], seconds: u64, expect: TimedOut| {
        let mut pair = Pair::new();
        if !input.is_empty() {
            pair.input(input);
        }
        pair.wait(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert!(pair.events.is_empty(), "{expect:?} comes too early");
        pair.wait(Duration::from_millis(1));
        assert_eq!(pair.words(), [format!("closed TimedOut({expect:?})")]);
    };
    check(&[], 10, TimedOut::Handshake);
    check(&handshake()[..2_000], 10, TimedOut::Handshake);
    check(&handshake(), 10, TimedOut::Connect);
    let connected = [&handshake()[..], &encode(&ChunkWriter::default(), 0, 20, 0, &connect("live"))].concat();
    check(&connected, 15, TimedOut::Publish);
}

#[test]
fn a_byte_now_and_then_does_not_stretch_the_handshake() {
    let mut pair = Pair::new();
    for byte in &handshake()[..100] {
        pair.input(&[*byte]);
        pair.wait(Duration::from_millis(200));
    }
    assert_eq!(pair.words(), ["closed TimedOut(Handshake)"]);
}

#[test]
fn a_client_that_waits_for_s1_gets_it() {
    let mut pair = Pair::new();
    pair.input(&[3]);
    pair.session.handle_timeout(pair.now + Duration::from_millis(499));
    assert!(pair.session.poll_output().is_none());
    pair.session.handle_timeout(pair.now + Duration::from_millis(500));
    assert_eq!(pair.session.poll_output().map(|output| output.len()), Some(1 + 1_536));
}

#[test]
fn an_unanswered_request_is_refused_in_the_end() {
    let mut pair = Pair::new();
    pair.input(&client_start("live", "sk_test"));
    pair.wait(Duration::from_secs(15));
    assert_eq!(pair.words()[1..], ["closed Refused(Unavailable)"]);
}

#[test]
fn a_silent_publisher_is_pinged_and_then_closed() {
    let mut pair = Pair::publishing();
    pair.wait(Duration::from_secs(8));
    assert_eq!(pair.replies[0].payload[..2], [0, 6], "a ping");
    pair.send(0, message_type::USER_CONTROL, &[0, 7, 0, 0, 0, 0]);
    pair.wait(Duration::from_secs(14));
    assert!(pair.session.is_publishing(), "an answer counts as life");
    pair.wait(Duration::from_secs(1));
    assert_eq!(pair.words(), ["ended TimedOut(Idle)", "closed TimedOut(Idle)"]);
}

#[test]
fn a_lost_socket_ends_the_publish() {
    let mut pair = Pair::publishing();
    pair.session.handle_disconnect();
    pair.session.handle_disconnect();
    pair.drain();
    assert_eq!(pair.words(), ["ended Disconnected", "closed Disconnected"]);
}

#[test]
fn strangers_may_not_send_much() {
    let mut pair = Pair::new();
    pair.input(&handshake());
    pair.send(0, message_type::COMMAND_AMF0, &connect("live"));
    for _ in 0..300 {
        pair.audio(0, &[0; 1_000]);
    }
    assert_eq!(pair.words(), [format!("closed {:?}", EndReason::Error(Error::StrangerBytes { max: 256 * 1_024 }))]);
}

#[test]
fn messages_without_use_end_the_connection() {
    let mut pair = Pair::publishing();
    let empty = [[0x04, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0].as_slice(), &[0xc4; 11_000]].concat();
    pair.input(&empty);
    assert_eq!(pair.words().last().map(String::as_str), Some("closed Error(UselessMessages(10001))"));
}

#[test]
fn bombs_and_broken_control_messages_close_only_their_connection() {
    let nested = b"\x02\x00\x07connect\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let nested = [nested, b"\x03\x00\x01a".repeat(10_000)].concat();
    for (kind, body, expect) in [
        (20, nested, "Command(Depth)"),
        (20, [5; 5_000].to_vec(), "Command(Values)"),
        (20, b"\x02\xff\xffa".to_vec(), "Command(Truncated)"),
        (20, amf_bytes(&["publish".into(), 1.0.into()]).to_vec(), "CommandOrder"),
        (1, vec![0x7f, 0xff], "Control(1)"),
        (1, vec![0, 0, 0, 1], "ChunkSize { size: 1, min: 128 }"),
        (1, vec![0x80, 0, 0, 0], "ChunkSize { size: 2147483648, min: 128 }"),
        (2, vec![], "Control(2)"),
    ] {
        let mut pair = Pair::new();
        pair.input(&handshake());
        pair.send(0, kind, &body);
        assert_eq!(pair.words(), [format!("closed Error({expect})")]);
    }
}

#[test]
fn foreign_protocols_are_closed_with_their_name() {
    for (bytes, expect) in [
        (&b"\x16\x03\x01\x02\x00\x01"[..], "closed Error(ForeignProtocol { protocol: Tls, first_byte: 22 })"),
        (b"POST /open/1 HTTP/1.1\r\n", "closed Error(ForeignProtocol { protocol: Http, first_byte: 80 })"),
        (b"\x00\x00", "closed Error(Version(0))"),
    ] {
        let mut pair = Pair::new();
        pair.input(bytes);
        assert_eq!(pair.words(), [expect]);
    }
}

#[test]
fn metadata_reaches_the_shell_and_empty_metadata_does_no_harm() {
    let mut pair = Pair::publishing();
    let fields = object(&[("width", 640.0.into())]);
    pair.send(0, message_type::DATA_AMF0, &amf_bytes(&["@setDataFrame".into(), "onMetaData".into(), fields]));
    pair.send(0, message_type::DATA_AMF0, &amf_bytes(&["@setDataFrame".into(), "onMetaData".into()]));
    pair.send(0, message_type::DATA_AMF0, &[]);
    pair.send(0, message_type::DATA_AMF0, &[2, 0, 9]);
    assert_eq!(pair.words(), ["metadata", "warning BadMetadata x1"]);
}

#[test]
fn keys_are_in_no_answer() {
    let mut pair = Pair::new();
    pair.input(&client_start("live", "demo?key=sk_verysecret"));
    pair.session.accept_publish(pair.now);
    pair.drain();
    pair.session.shutdown(RejectReason::Revoked);
    pair.drain();
    for message in &pair.replies {
        assert!(!message.payload.windows(5).any(|window| window == b"sk_ve"));
    }
}

#[test]
fn aggregates_are_their_parts() {
    let tag = |kind: u8, stamp: u32, body: &[u8]| -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
        bytes.extend(&stamp.to_be_bytes()[1..]);
        bytes.extend([0, 0, 0, 0]);
        bytes.extend(body);
        bytes.extend((body.len() as u32 + 11).to_be_bytes());
        bytes
    };
    let parts =
        [tag(8, 5_000, &aac_header()), tag(8, 5_000, &aac_frame()), tag(18, 5_000, b"x"), tag(8, 5_023, &aac_frame())]
            .concat();
    let mut pair = Pair::publishing();
    pair.send(100, message_type::AGGREGATE, &parts);
    assert_eq!(pair.words(), ["track 0 AAC", "frame 0 4410 4410 4 key", "frame 0 5434 5434 4 key"]);
    pair.send(100, message_type::AGGREGATE, &parts[..parts.len() - 6]);
    // More than anybody sends at once is left out.
    let stamp = |index: u32| (f64::from(index) * 1_024.0 / 44.1) as u32;
    let many: Vec<u8> = (0..3_000).flat_map(|index| tag(8, 6_000 + stamp(index), &aac_frame())).collect();
    let mut pair = Pair::publishing();
    pair.send(0, message_type::AUDIO, &aac_header());
    pair.send(0, message_type::AGGREGATE, &many);
    let words = pair.words();
    assert_eq!(words.iter().filter(|word| word.starts_with("frame")).count(), MESSAGE_FRAMES_MAX);
}

/// A short session with all kinds of messages, after the publish request.
fn short_stream() -> Vec<u8> {
    let writer = ChunkWriter::default();
    let mut bytes = Vec::new();
    let fields = object(&[("width", 640.0.into()), ("encoder", "test".into())]);
    bytes.extend(encode(&writer, 0, 18, 1, &amf_bytes(&["@setDataFrame".into(), "onMetaData".into(), fields])));
    bytes.extend(encode(&writer, 0, 9, 1, &avc_header(SPS, PPS)));
    bytes.extend(encode(&writer, 0, 8, 1, &aac_header()));
    for index in 0..6u32 {
        let slice = if index % 3 == 0 { IDR } else { P_SLICE };
        let body = avc_frame(index % 3 == 0, 40, &[&[9, 0xf0], slice, &[1; 200]]);
        bytes.extend(encode(&writer, index * 40, 9, 1, &body));
        bytes.extend(encode(&writer, index * 23, 8, 1, &aac_frame()));
    }
    bytes.extend(encode(&writer, 0, 20, 1, &amf_bytes(&["FCUnpublish".into(), 6.0.into(), Value::Null])));
    bytes
}

fn words_of(mut feed: impl FnMut(&mut Pair)) -> Vec<String> {
    let mut pair = Pair::new();
    feed(&mut pair);
    pair.words()
}

/// Answers requests at once, as a shell does.
fn feed(pair: &mut Pair, piece: &[u8]) {
    pair.input(piece);
    if !pair.session.wants_input() {
        pair.session.accept_publish(pair.now);
        pair.drain();
    }
}

#[test]
fn truncation_at_every_byte_only_ends_the_connection() {
    let all = [client_start("live", "sk_test"), short_stream()].concat();
    let whole = words_of(|pair| feed(pair, &all));
    assert_eq!(whole.len(), 1 + 1 + 2 + 12 + 1, "{whole:?}");
    for len in 0..all.len() {
        let words = words_of(|pair| {
            feed(pair, &all[..len]);
            pair.session.handle_disconnect();
            pair.drain();
        });
        assert_eq!(words.last().map(String::as_str), Some("closed Disconnected"));
        let events = words.iter().filter(|word| !word.starts_with("ended") && !word.starts_with("closed"));
        assert!(events.zip(&whole).all(|(left, right)| left == right), "{len}");
    }
}

proptest! {
    #[test]
    fn the_events_do_not_depend_on_how_the_bytes_are_cut(cuts in proptest::collection::vec(1..700usize, 1..60)) {
        let all = [client_start("live", "sk_test"), short_stream()].concat();
        let whole = words_of(|pair| feed(pair, &all));
        let cut = words_of(|pair| {
            let (mut rest, mut cuts) = (&all[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at((*cuts.next().expect("endless")).min(rest.len()));
                feed(pair, piece);
                rest = later;
            }
        });
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn flipped_bytes_never_panic(flips in proptest::collection::vec((0..5_000usize, any::<u8>()), 1..30)) {
        let mut all = [client_start("live", "sk_test"), short_stream()].concat();
        for (position, value) in flips {
            // The handshake's random bytes are not worth a flip.
            let index = 3_073 + position % (all.len() - 3_073);
            all[index] = value;
        }
        words_of(|pair| all.chunks(500).for_each(|piece| feed(pair, piece)));
    }

    #[test]
    fn random_bytes_behind_the_request_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        let mut pair = Pair::publishing();
        pair.input(&bytes);
        pair.wait(Duration::from_secs(60));
    }
}

#[test]
fn requests_carry_the_encoder() {
    let mut pair = Pair::new();
    pair.input(&client_start("live", "sk_test"));
    let Some(Event::PublishRequested(request)) = pair.events.pop() else { panic!("a request came") };
    assert_eq!(request.encoder.flash_ver, "FMLE/3.0 (compatible; test)");
}
