//! Promises of a session to a player, and Enhanced RTMP's announcements in `connect`.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use support::*;
use telstar_media::codec::{AacConfig, H264Config};
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode, Origin, TrackInfo};
use telstar_rtmp::amf::{self, Value};
use telstar_rtmp::chunk::message_type;
use telstar_rtmp::{PlayItem, PlayRefusal, RejectReason};
use telstar_units::{Timescale, TrackId};

const CONNECTED: &str = "NetConnection.Connect.Success";
const RESET: &str = "NetStream.Play.Reset";
const STARTED: &str = "NetStream.Play.Start";

/// A connection that has asked to play, with what it announced in `connect`.
fn asking(announced: &[(&str, Value)], name: &str) -> Pair {
    let mut pair = Pair::new();
    pair.input(&handshake());
    let mut properties = vec![("app", "live".into()), ("tcUrl", "rtmp://host/live".into())];
    properties.extend(announced.iter().cloned());
    pair.send(0, message_type::COMMAND_AMF0, &amf_bytes(&["connect".into(), 1.0.into(), object(&properties)]));
    pair.command(&["createStream".into(), 2.0.into(), Value::Null]);
    pair.command(&["getStreamLength".into(), 3.0.into(), Value::Null, name.into()]);
    pair.command(&["play".into(), 4.0.into(), Value::Null, name.into(), (-2_000.0).into()]);
    pair
}

fn playing(announced: &[(&str, Value)]) -> Pair {
    let mut pair = asking(announced, "demo");
    pair.session.accept_play(pair.now);
    pair.drain();
    pair.events.clear();
    pair.replies.clear();
    pair
}

fn h264() -> Arc<CodecConfig> {
    Arc::new(CodecConfig::H264(H264Config::from_parameter_sets(&[SPS], &[PPS]).expect("valid")))
}

fn aac() -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Aac(AacConfig::parse(Bytes::from_static(ASC)).expect("valid")))
}

fn hevc() -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Opaque { codec: Codec::H265, record: Bytes::from_static(b"hvcC") })
}

fn info(id: u64, codec: Codec, hz: u32) -> TrackInfo {
    TrackInfo {
        id: TrackId(id),
        codec,
        timescale: Timescale::new(hz).expect("not zero"),
        keyframes: KeyframeMode::Periodic,
        origin: Origin::Publisher,
    }
}

fn tracks(restarts: bool, infos: &[TrackInfo]) -> PlayItem {
    PlayItem::Tracks { tracks: infos.to_vec(), restarts }
}

fn both() -> [TrackInfo; 2] {
    [info(1, Codec::H264, 90_000), info(2, Codec::Aac, 44_100)]
}

/// A frame of track `id` at `ms`, shown 40 ms later if it is a picture.
fn frame(id: u64, config: &Arc<CodecConfig>, ms: i64, key: bool) -> PlayItem {
    let (hz, later) = if id == 2 { (44_100, 0) } else { (90_000, 3_600) };
    let dts = ms * hz / 1_000;
    let payload = Bytes::from(vec![7; 300]);
    PlayItem::Frame(TrackId(id), Frame { config: config.clone(), dts, pts: dts + later, duration: 0, key, payload })
}

impl Pair {
    fn play(&mut self, items: &[PlayItem]) {
        self.session.play(self.now, items);
        self.drain();
    }

    /// What came as media: type, time, the first two bytes, the length.
    fn media(&mut self) -> Vec<(u8, u32, [u8; 2], usize)> {
        let media = self.replies.drain(..).filter(|message| matches!(message.kind, 8 | 9 | 18));
        media.map(|m| (m.kind, m.timestamp_ms, [m.payload[0], m.payload[1]], m.payload.len())).collect()
    }
}

#[test]
fn a_player_is_answered_in_the_order_it_waits_for() {
    let mut pair = asking(&[], "demo?t=token");
    assert_eq!(pair.words(), ["play demo token"]);
    assert!(!pair.session.wants_input());
    pair.session.accept_play(pair.now);
    pair.drain();
    assert_eq!(pair.codes(), [CONNECTED, RESET, STARTED]);
    let begin = pair.replies.iter().rev().find(|message| message.kind == message_type::USER_CONTROL);
    assert_eq!(begin.map(|message| &message.payload[..]), Some(&[0, 0, 0, 0, 0, 1][..]), "StreamBegin");
    assert!(pair.session.is_playing() && pair.session.wants_input());
}

#[test]
fn a_refused_player_is_told_why_and_let_go() {
    for (refusal, code) in [
        (PlayRefusal::NotFound, "NetStream.Play.StreamNotFound"),
        (PlayRefusal::Busy, "NetStream.Play.Failed"),
        (PlayRefusal::ShuttingDown, "NetConnection.Connect.AppShutdown"),
    ] {
        let mut pair = asking(&[], "demo");
        pair.session.refuse_play(refusal);
        pair.drain();
        assert_eq!(pair.codes(), [CONNECTED, code]);
        assert_eq!(pair.words()[1..], [format!("closed NotPlayed({refusal:?})")]);
    }
    let mut pair = asking(&[], "demo");
    pair.wait(Duration::from_secs(15));
    assert_eq!(pair.words()[1..], ["closed NotPlayed(Unavailable)"]);
}

#[test]
fn metadata_and_configurations_come_before_what_needs_them() {
    let mut pair = playing(&[]);
    let (video, audio) = (h264(), aac());
    pair.play(&[tracks(true, &both()), frame(1, &video, 5_000, true), frame(2, &audio, 5_010, true)]);
    let metadata = pair.replies.iter().find(|message| message.kind == message_type::DATA_AMF0).expect("metadata");
    assert_eq!(metadata.payload[13], 8, "an ECMA array, which is all that ffmpeg reads");
    let values = amf::decode(&metadata.payload).expect("valid");
    for (name, expect) in [
        ("width", 128.0),
        ("height", 96.0),
        ("videocodecid", 7.0),
        ("audiocodecid", 10.0),
        ("audiosamplerate", 44_100.0),
    ] {
        assert_eq!(values[1].get(name).and_then(Value::as_number), Some(expect), "{name}");
    }
    let record = 5 + 11 + SPS.len() + PPS.len();
    let length = metadata.payload.len();
    assert_eq!(
        pair.media(),
        [
            (18, 0, [2, 0], length),
            (9, 0, [0x17, 0], record),
            (9, 0, [0x17, 1], 305),
            (8, 10, [0xaf, 0], 4),
            (8, 10, [0xaf, 1], 302)
        ]
    );
    pair.play(&[frame(1, &video, 5_040, false)]);
    assert_eq!(pair.media(), [(9, 40, [0x27, 1], 305)]);
}

#[test]
fn a_new_configuration_is_sent_before_its_first_frame() {
    let mut pair = playing(&[]);
    pair.play(&[tracks(true, &both()), frame(1, &h264(), 0, true)]);
    pair.media();
    // Equal in content: nothing new.
    pair.play(&[frame(1, &h264(), 40, true)]);
    assert_eq!(pair.media(), [(9, 40, [0x17, 1], 305)]);
    let other = H264Config::from_parameter_sets(&[SPS], &[PPS, &[0x68, 0xcb, 0x83, 0xcb, 0x21]]).expect("valid");
    pair.play(&[frame(1, &Arc::new(CodecConfig::H264(other)), 80, true)]);
    let kinds: Vec<_> = pair.media().into_iter().map(|(kind, _, head, _)| (kind, head)).collect();
    assert_eq!(kinds, [(18, [2, 0]), (9, [0x17, 0]), (9, [0x17, 1])]);
}

#[test]
fn pictures_begin_with_one_that_stands_alone() {
    let mut pair = playing(&[]);
    let video = h264();
    pair.play(&[tracks(true, &both()), frame(1, &video, 0, false), frame(1, &video, 40, false)]);
    assert_eq!(pair.media(), []);
    pair.play(&[frame(1, &video, 80, true)]);
    assert_eq!(pair.media().len(), 3);
}

#[test]
fn times_go_on_when_another_connection_publishes() {
    let mut pair = playing(&[]);
    let video = h264();
    pair.play(&[tracks(true, &both()), frame(1, &video, 700_000, true), frame(1, &video, 700_040, false)]);
    pair.media();
    pair.now += Duration::from_millis(2_500);
    pair.play(&[PlayItem::Ended]);
    pair.play(&[tracks(true, &[info(9, Codec::H264, 90_000)]), frame(9, &video, 1_000, true)]);
    assert_eq!(pair.codes(), ["NetStream.Play.UnpublishNotify", "NetStream.Play.PublishNotify"]);
    let times: Vec<u32> = pair.media().into_iter().map(|(_, time, ..)| time).collect();
    assert_eq!(times.last(), Some(&2_540), "{times:?}");
}

#[test]
fn a_paused_player_goes_on_at_a_key_frame() {
    let mut pair = playing(&[]);
    let (video, audio) = (h264(), aac());
    pair.play(&[tracks(true, &both()), frame(1, &video, 0, true), frame(2, &audio, 0, true)]);
    pair.replies.clear();
    pair.command(&["pause".into(), 0.0.into(), Value::Null, Value::Boolean(true), 0.0.into()]);
    pair.play(&[frame(1, &video, 40, false), frame(2, &audio, 23, true)]);
    assert_eq!(pair.codes(), ["NetStream.Pause.Notify"]);
    assert_eq!(pair.media(), []);
    pair.command(&["pause".into(), 0.0.into(), Value::Null, Value::Boolean(false), 0.0.into()]);
    pair.play(&[frame(1, &video, 80, false), frame(2, &audio, 80, true), frame(1, &video, 120, true)]);
    assert_eq!(pair.codes(), ["NetStream.Unpause.Notify"]);
    let kinds: Vec<_> = pair.media().into_iter().map(|(kind, time, ..)| (kind, time)).collect();
    assert_eq!(kinds, [(8, 80), (9, 120)]);
}

#[test]
fn a_player_may_take_sound_or_pictures_only() {
    let mut pair = playing(&[]);
    let (video, audio) = (h264(), aac());
    pair.play(&[tracks(true, &both()), frame(1, &video, 0, true), frame(2, &audio, 0, true)]);
    pair.media();
    pair.command(&["receiveVideo".into(), 0.0.into(), Value::Null, Value::Boolean(false)]);
    pair.play(&[frame(1, &video, 40, true), frame(2, &audio, 40, true)]);
    assert_eq!(pair.media().iter().map(|(kind, ..)| *kind).collect::<Vec<_>>(), [8]);
    pair.command(&["receiveVideo".into(), 0.0.into(), Value::Null, Value::Boolean(true)]);
    pair.command(&["receiveAudio".into(), 0.0.into(), Value::Null, Value::Boolean(false)]);
    pair.play(&[frame(1, &video, 80, false), frame(2, &audio, 80, true), frame(1, &video, 120, true)]);
    assert_eq!(pair.media().iter().map(|(kind, time, ..)| (*kind, *time)).collect::<Vec<_>>(), [(9, 120)]);
    pair.send(0, message_type::USER_CONTROL, &[0, 3, 0, 0, 0, 1, 0, 0, 0x0b, 0xb8]);
    pair.command(&["seek".into(), 0.0.into(), Value::Null, 5_000.0.into()]);
    assert_eq!(pair.codes(), ["NetStream.Seek.Failed"]);
    assert!(pair.session.is_playing());
}

#[test]
fn other_codecs_go_to_players_that_announced_them() {
    let hevc_and_aac = [info(1, Codec::H265, 90_000), info(2, Codec::Aac, 44_100)];
    let list = [("fourCcList", Value::StrictArray(vec!["hvc1".into()]))];
    let map = [("videoFourCcInfoMap", object(&[("*", 4.0.into())]))];
    for announced in [&list[..], &map[..]] {
        let mut pair = playing(announced);
        pair.play(&[tracks(true, &hevc_and_aac), frame(1, &hevc(), 0, true), frame(1, &hevc(), 40, false)]);
        let heads: Vec<_> = pair.media().into_iter().map(|(kind, _, head, _)| (kind, head)).collect();
        assert_eq!(heads, [(18, [2, 0]), (9, [0x90, b'h']), (9, [0x91, b'h']), (9, [0xa1, b'h'])]);
    }
    // Others hear what they can.
    let mut pair = playing(&[]);
    pair.play(&[tracks(true, &hevc_and_aac), frame(1, &hevc(), 0, true), frame(2, &aac(), 0, true)]);
    assert_eq!(pair.media().iter().map(|(kind, ..)| *kind).collect::<Vec<_>>(), [18, 8, 8]);
}

#[test]
fn a_player_that_can_take_nothing_is_told_after_a_while() {
    let mut pair = playing(&[]);
    pair.play(&[tracks(true, &[info(1, Codec::H265, 90_000)])]);
    pair.wait(Duration::from_secs(2));
    pair.play(&[tracks(false, &[info(1, Codec::H265, 90_000), info(2, Codec::Aac, 44_100)])]);
    pair.wait(Duration::from_secs(60));
    assert!(pair.session.is_playing(), "there is sound that it knows");
    pair.play(&[tracks(true, &[info(3, Codec::Av1, 90_000)])]);
    pair.wait(Duration::from_secs(3));
    assert_eq!(pair.words(), ["play ended", "closed NotPlayed(Codec)"]);
    assert!(pair.codes().contains(&"NetStream.Play.Failed".to_owned()));
}

#[test]
fn a_player_that_waits_is_pinged_and_its_acknowledgements_are_no_flood() {
    let mut pair = playing(&[]);
    pair.wait(Duration::from_secs(60));
    assert!(pair.session.is_playing(), "it may wait for as long as it likes");
    let pings = pair.replies.iter().filter(|message| message.payload.starts_with(&[0, 6])).count();
    assert_eq!(pings, 8);
    for round in 0..3 {
        for _ in 0..6_000 {
            pair.send(0, message_type::ACKNOWLEDGEMENT, &[0, 0, 0, round]);
        }
        pair.wait(Duration::from_secs(8));
    }
    assert!(pair.session.is_playing());
    for _ in 0..10_001 {
        pair.send(0, message_type::ACKNOWLEDGEMENT, &[0, 0, 0, 0]);
    }
    assert!(!pair.session.is_playing(), "too many between two pings");
}

#[test]
fn every_way_to_stop_ends_the_play_but_not_the_connection() {
    let commands: [(&str, &[Value]); 2] =
        [("deleteStream", &[Value::Null, Value::Number(1.0)]), ("closeStream", &[Value::Null])];
    for (name, arguments) in commands {
        let mut pair = playing(&[]);
        pair.command(&[&[name.into(), 0.0.into()], arguments].concat());
        assert_eq!(
            (pair.words(), pair.codes()),
            (vec!["play ended".to_owned()], vec!["NetStream.Play.Stop".to_owned()])
        );
        pair.command(&["play".into(), 5.0.into(), Value::Null, "demo".into()]);
        assert_eq!(pair.words()[1..], ["play demo -"]);
    }
    let mut pair = playing(&[]);
    pair.session.shutdown(RejectReason::ShuttingDown);
    pair.drain();
    assert_eq!(pair.words(), ["play ended", "closed NotPlayed(ShuttingDown)"]);
}

#[test]
fn a_connection_does_one_thing_at_a_time() {
    let mut pair = playing(&[]);
    pair.send(0, message_type::COMMAND_AMF0, &publish("sk_test"));
    pair.command(&["play".into(), 5.0.into(), Value::Null, "other".into()]);
    assert_eq!(pair.codes(), ["NetStream.Publish.BadName", "NetStream.Play.Failed"]);
    assert!(pair.session.is_playing() && pair.words().is_empty());
    let mut pair = Pair::publishing();
    pair.command(&["play".into(), 5.0.into(), Value::Null, "demo".into()]);
    assert_eq!((pair.codes(), pair.session.is_publishing()), (vec!["NetStream.Play.Failed".to_owned()], true));
}

#[test]
fn rtmpdump_subscribes_before_it_plays() {
    let mut pair = Pair::new();
    pair.input(&handshake());
    pair.send(0, message_type::COMMAND_AMF0, &connect("live"));
    pair.command(&["FCSubscribe".into(), 2.0.into(), Value::Null, "demo".into()]);
    let names: Vec<_> = pair.commands().iter().map(|values| values[0].clone()).collect();
    assert_eq!(names, ["_result".into(), "onFCSubscribe".into(), "_result".into()]);
}

#[test]
fn connect_is_answered_with_the_servers_own_maps() {
    let announced = [("capsEx", 1.0.into()), ("fourCcList", Value::StrictArray(vec!["*".into()]))];
    let pair = asking(&announced, "demo");
    let answer = &pair.commands()[0][2];
    let flag = |map: &str, name: &str| answer.get(map)?.get(name)?.as_number();
    assert_eq!(flag("videoFourCcInfoMap", "hvc1"), Some(4.0));
    assert_eq!(flag("audioFourCcInfoMap", "Opus"), Some(4.0));
    assert_eq!(answer.get("capsEx").and_then(Value::as_number), Some(15.0));
    let plain = asking(&[], "demo");
    assert_eq!(plain.commands()[0][2].get("capsEx"), None, "who announces nothing gets what it always got");
}

#[test]
fn only_who_announced_it_is_asked_to_reconnect() {
    for (announced, expect) in
        [(vec![("capsEx", 1.0.into())], true), (vec![("capsEx", 6.0.into())], false), (vec![], false)]
    {
        let mut pair = Pair::new();
        pair.input(&handshake());
        let properties = [vec![("app", "live".into())], announced].concat();
        pair.send(0, message_type::COMMAND_AMF0, &amf_bytes(&["connect".into(), 1.0.into(), object(&properties)]));
        pair.send(0, message_type::COMMAND_AMF0, &publish("sk_test"));
        pair.session.accept_publish(pair.now);
        pair.drain();
        pair.replies.clear();
        assert_eq!(pair.session.request_reconnect(), expect);
        pair.drain();
        let codes: &[&str] = if expect { &["NetConnection.Connect.ReconnectRequest"] } else { &[] };
        assert_eq!(pair.codes(), codes);
        // The encoder goes on until it has another connection.
        pair.video(0, &avc_header(SPS, PPS));
        pair.video(40, &avc_frame(true, 0, &[IDR]));
        assert!(pair.words().last().is_some_and(|word| word.starts_with("frame")));
    }
}
