//! A room without its thread, its SFU and its workers: what it wants of them and what they bring is the test's.

use bytes::Bytes;
use telstar_hls::{Budget, State};
use telstar_media::codec::{AacConfig, H264Config, OpusConfig};
use telstar_media::rtp::Packetiser;
use telstar_media::{Codec, CodecConfig, Frame, KeyframeMode, MediaKind, Origin, Packet, TrackInfo};
use telstar_sfu::{FeedPacket, Kind, Tapped};
use telstar_transcode::Target;
use telstar_units::TrackId;

use super::super::commands::{CommandQueue, ShardWaker};
use super::super::table::Bell;
use super::super::tests::{AVCC, output, track};
use super::super::viewer::ViewerItem;
use super::super::{CONVERSION_BYTES_MAX, Feed, HLS_DEMAND, RoomKey, Want};
use super::conversions::CONVERSION_HOLD;
use super::gate::GATE_WAIT;
use super::*;

mod listed;

const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);
const FEED: Feed = Feed { video: Some(TrackId(101)), audio: Some(TrackId(102)), alternate: Some(TrackId(103)) };
const FRAME: i64 = 3_600;
const GOP: i64 = 50;

/// A room with its time.
struct Bench {
    room: ShardRoom,
    now: Instant,
    said: Vec<ForCall>,
}

fn room() -> Bench {
    let settings = HlsSettings {
        packager: HlsConfig::default(),
        budget: Budget::new(64 << 20),
        first_discontinuity_sequence: 32,
        dvr: None,
        reconnect_window: Duration::ZERO,
    };
    let sink = KeptSink::new(CommandQueue::new(ShardWaker::for_tests()), RoomKey(1));
    let room = ShardRoom::new(settings, output(), Arc::default(), RoomNumbers::default(), sink);
    Bench { room, now: Instant::now(), said: Vec::new() }
}

impl Bench {
    fn turn(&mut self) {
        while self.room.turn(self.now, 64) {}
        self.said.extend(std::iter::from_fn(|| self.room.poll_for_call()));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.turn();
    }

    fn attach(&mut self, participant: u64, via: IngestVia) -> Arc<IngestRing> {
        let ring = Arc::new(IngestRing::new(Bell::for_tests()));
        self.room.attach(self.now, ParticipantId(participant), Arc::clone(&ring), via);
        self.turn();
        ring
    }

    /// Hands a batch over and gives the room a turn.
    fn send(&mut self, ring: &IngestRing, batch: Vec<IngestItem>) {
        let sent = ring.send(batch);
        futures_util::FutureExt::now_or_never(sent).expect("there is room").expect("attached");
        self.turn();
    }

    /// Frames `from..to` of 25 a second in real time, each with what `sound` makes of its time.
    fn stream(&mut self, ring: &IngestRing, frames: std::ops::Range<i64>, sound: impl Fn(i64) -> Vec<IngestItem>) {
        for index in frames {
            let mut batch = vec![IngestItem::Frame(VIDEO, picture(index, 0))];
            batch.extend(sound(index));
            self.send(ring, batch);
            self.now += Duration::from_millis(40);
        }
    }

    /// What was fed to a source since the last time.
    fn fed(&mut self, source: Option<TrackId>) -> Vec<FeedPacket> {
        let said = std::mem::take(&mut self.said);
        let mut packets = Vec::new();
        for what in said {
            match what {
                ForCall::Feed { source: to, packets: fed, .. } if Some(to) == source => packets.extend(fed),
                other => self.said.push(other),
            }
        }
        packets
    }

    fn wants(&self) -> Vec<(TrackId, Target)> {
        self.room.output.status.borrow().wants.iter().map(|want| (want.track.id, want.to)).collect()
    }

    fn want(&self, to: Target) -> Want {
        let status = self.room.output.status.borrow();
        status.wants.iter().find(|want| want.to == to).cloned().expect("it is wanted")
    }

    /// Begins a conversion as a worker would.
    fn convert(&mut self, want: &Want) -> (Arc<ViewerRing>, Arc<IngestRing>) {
        let frames = Arc::new(ViewerRing::new(CONVERSION_BYTES_MAX, Bell::for_tests()));
        let converted = Arc::new(IngestRing::new(Bell::for_tests()));
        self.room.convert(self.now, want.as_track, Arc::clone(&frames), Arc::clone(&converted));
        self.turn();
        (frames, converted)
    }

    fn state(&self) -> Option<State> {
        self.room.output.live.borrow().as_ref().map(|snapshot| snapshot.state)
    }

    /// The tracks that are tapped now, by what was said since the last time.
    fn taps(&mut self) -> Vec<(TrackId, bool)> {
        let said = std::mem::take(&mut self.said);
        let tap =
            |what: ForCall| if let ForCall::Tap { track, enabled } = what { Some((track, enabled)) } else { None };
        said.into_iter().filter_map(tap).collect()
    }
}

/// 320x180 without B-frames, or shown `late` ticks after it is decoded.
fn picture(index: i64, late: i64) -> Frame {
    let config = Arc::new(CodecConfig::H264(H264Config::parse(&AVCC).expect("valid")));
    let (dts, key) = (index * FRAME, index % GOP == 0);
    let payload = Bytes::from(vec![0, 0, 0, 4, if key { 0x65 } else { 0x41 }, 1, 2, index as u8]);
    Frame { config, dts, pts: dts + late, duration: 0, key, payload }
}

/// 40 ms of sound: two packets of Opus.
fn opus(index: i64) -> Vec<Frame> {
    let config = Arc::new(CodecConfig::Opus(OpusConfig::plain(2, 0)));
    let frame = |at: i64| Frame {
        config: Arc::clone(&config),
        dts: at * 960,
        pts: at * 960,
        duration: 960,
        key: true,
        payload: Bytes::from_static(&[0xfc, 1, 2]),
    };
    [2 * index, 2 * index + 1].into_iter().map(frame).collect()
}

/// A frame of AAC about every 21 ms: what begins within 40 ms.
fn aac(index: i64) -> Vec<Frame> {
    let asc = Bytes::from_static(&[0x11, 0x90]);
    let config = Arc::new(CodecConfig::Aac(AacConfig::parse(asc).expect("valid")));
    let first = (index * 1_920 + 1_023) / 1_024;
    let frame = |at: i64| Frame {
        config: Arc::clone(&config),
        dts: at * 1_024,
        pts: at * 1_024,
        duration: 1_024,
        key: true,
        payload: Bytes::from_static(&[0x21; 32]),
    };
    (first..).take_while(|at| at * 1_024 < (index + 1) * 1_920).map(frame).collect()
}

fn as_track(track: TrackId, frames: Vec<Frame>) -> Vec<IngestItem> {
    frames.into_iter().map(|frame| IngestItem::Frame(track, frame)).collect()
}

fn nothing(_: i64) -> Vec<IngestItem> {
    Vec::new()
}

fn h264() -> IngestItem {
    IngestItem::Track(track(VIDEO, Codec::H264, 90_000, KeyframeMode::Periodic))
}

fn made(want: &Want) -> IngestItem {
    let (codec, timescale) = (want.to.codec(), want.to.timescale());
    let keyframes = if codec.kind() == MediaKind::Video { KeyframeMode::OnRequest } else { KeyframeMode::None };
    IngestItem::Track(TrackInfo { id: want.as_track, codec, timescale, keyframes, origin: Origin::Worker })
}

#[test]
fn a_watched_source_gets_the_newest_group_of_pictures_and_then_what_comes() {
    let mut bench = room();
    let ring = bench.attach(1, IngestVia::Ring);
    bench.room.feed(FEED, |_| false);
    bench.send(&ring, vec![h264()]);
    bench.stream(&ring, 0..60, nothing);
    assert!(bench.fed(FEED.video).is_empty() && bench.wants().is_empty(), "nobody watches");

    bench.room.handle_feed_demand(TrackId(101), true);
    bench.turn();
    let packets = bench.fed(FEED.video);
    assert_eq!(packets.first().map(|packet| (packet.time, packet.key)), Some((GOP * FRAME, true)));
    assert_eq!(packets.last().map(|packet| (packet.time, packet.marker)), Some((59 * FRAME, true)));
    assert_eq!(packets[0].payload[0] & 0x1f, 24, "parameter sets come first");

    bench.stream(&ring, 60..63, nothing);
    let later = bench.fed(FEED.video);
    assert_eq!(later.iter().map(|packet| packet.time).collect::<Vec<_>>(), [60, 61, 62].map(|index| index * FRAME));
    let numbers: Vec<u64> = packets.iter().chain(&later).map(|packet| packet.sequence).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "without holes");
    assert!(bench.wants().is_empty(), "it goes as it is");

    bench.room.handle_feed_demand(TrackId(101), false);
    bench.stream(&ring, 63..70, nothing);
    assert!(bench.fed(FEED.video).is_empty());
}

#[test]
fn an_encoder_that_comes_back_goes_on_in_the_same_sources() {
    let mut bench = room();
    let ring = bench.attach(1, IngestVia::Ring);
    bench.room.feed(FEED, |_| true);
    bench.send(&ring, vec![h264()]);
    bench.stream(&ring, 0..30, nothing);
    ring.finish();
    let before = bench.fed(FEED.video);
    bench.pass(Duration::from_secs(3));
    let ring = bench.attach(2, IngestVia::Ring);
    bench.send(&ring, vec![h264()]);
    bench.stream(&ring, 0..30, nothing);
    let after = bench.fed(FEED.video);
    let (last, first) = (before.last().expect("fed"), after.first().expect("fed"));
    assert_eq!(first.sequence, last.sequence + 1);
    assert!(first.key && (first.time - last.time - 3 * 90_000).abs() < 2 * FRAME, "{} {}", last.time, first.time);
}

#[test]
fn what_webrtc_does_not_carry_is_wanted_converted_and_only_while_it_is_watched() {
    let mut bench = room();
    let ring = bench.attach(1, IngestVia::Ring);
    bench.room.feed(FEED, |_| false);
    let sound = IngestItem::Track(track(AUDIO, Codec::Aac, 48_000, KeyframeMode::None));
    bench.send(&ring, vec![h264(), sound]);
    for index in 0..3 {
        let mut batch = vec![IngestItem::Frame(VIDEO, picture(index, 2 * FRAME))];
        batch.extend(as_track(AUDIO, aac(index)));
        bench.send(&ring, batch);
    }
    for (source, wants) in [
        (TrackId(101), vec![(VIDEO, Target::H264)]),
        (TrackId(102), vec![(VIDEO, Target::H264), (AUDIO, Target::Opus)]),
        (TrackId(103), vec![(VIDEO, Target::H264), (AUDIO, Target::Opus), (VIDEO, Target::Vp8)]),
    ] {
        bench.room.handle_feed_demand(source, true);
        bench.turn();
        assert_eq!(bench.wants(), wants);
    }
    assert!(bench.fed(FEED.video).is_empty(), "no browser decodes B-frames over WebRTC");
    bench.room.handle_feed_demand(TrackId(101), false);
    bench.pass(CONVERSION_HOLD - Duration::from_millis(1));
    assert_eq!(bench.wants().len(), 3, "a viewer who reloads the page costs no worker");
    bench.pass(Duration::from_millis(2));
    bench.pass(CONVERSION_HOLD);
    assert_eq!(bench.wants(), [(AUDIO, Target::Opus), (VIDEO, Target::Vp8)]);
}

#[test]
fn a_conversion_gets_frames_and_what_it_makes_is_fed() {
    let mut bench = room();
    let ring = bench.attach(1, IngestVia::Ring);
    bench.room.feed(FEED, |_| true);
    let sound = IngestItem::Track(track(AUDIO, Codec::Aac, 48_000, KeyframeMode::None));
    bench.send(&ring, vec![h264(), sound]);
    bench.stream(&ring, 0..5, |index| as_track(AUDIO, aac(index)));
    let want = bench.want(Target::Opus);
    let (frames, converted) = bench.convert(&want);
    bench.stream(&ring, 5..10, |index| as_track(AUDIO, aac(index)));
    let mut items = Vec::new();
    assert_eq!(futures_util::FutureExt::now_or_never(frames.next(&mut items)), Some(true));
    assert!(matches!(&items[0], ViewerItem::Tracks { tracks, .. } if tracks[..] == [want.track.clone()]));
    let count = items.iter().filter(|item| matches!(item, ViewerItem::Frame(AUDIO, _))).count();
    assert_eq!(count, (5..10).map(|index| aac(index).len()).sum::<usize>());

    bench.send(&converted, vec![made(&want)]);
    bench.send(&converted, (5..10).flat_map(|index| as_track(want.as_track, opus(index))).collect());
    let packets = bench.fed(FEED.audio);
    assert_eq!(
        packets.iter().map(|packet| packet.time).collect::<Vec<_>>(),
        (10..20).map(|at| at * 960).collect::<Vec<_>>()
    );

    // The worker dies: what it made is gone, and the next one's goes on.
    converted.finish();
    bench.turn();
    assert_eq!(bench.want(Target::Opus), want, "it is wanted as before");
    let (_frames, converted) = bench.convert(&want);
    bench.send(&converted, vec![made(&want)]);
    bench.send(&converted, as_track(want.as_track, opus(20)));
    let later = bench.fed(FEED.audio);
    assert_eq!(later.iter().map(|packet| packet.sequence).collect::<Vec<_>>(), [10, 11]);

    ring.finish();
    bench.turn();
    assert!(bench.wants().is_empty(), "it ends with its track");
    let gone = futures_util::FutureExt::now_or_never(converted.send(Vec::new()));
    assert!(gone.is_some_and(|sent| sent.is_err()));
}

#[test]
fn a_room_that_is_gone_lets_its_conversions_go() {
    let mut bench = room();
    let ring = bench.attach(1, IngestVia::Ring);
    bench.room.feed(FEED, |_| true);
    bench.send(&ring, vec![h264()]);
    bench.stream(&ring, 0..2, nothing);
    let want = bench.want(Target::Vp8);
    let (frames, converted) = bench.convert(&want);
    bench.room.release();
    let mut items = Vec::new();
    while futures_util::FutureExt::now_or_never(frames.next(&mut items)) == Some(true) {
        items.clear();
    }
    assert_eq!(futures_util::FutureExt::now_or_never(frames.next(&mut items)), Some(false), "nothing follows");
    let gone = futures_util::FutureExt::now_or_never(converted.send(Vec::new()));
    assert!(gone.is_some_and(|sent| sent.is_err()));
}

#[test]
fn a_source_that_is_bound_again_keeps_its_numbers_and_others_end() {
    let mut bench = room();
    let ring = bench.attach(1, IngestVia::Ring);
    bench.room.feed(FEED, |_| true);
    bench.send(&ring, vec![h264()]);
    bench.stream(&ring, 0..10, nothing);
    let count = bench.fed(FEED.video).len() as u64;
    bench.room.feed(Feed { audio: Some(TrackId(202)), ..FEED }, |_| true);
    bench.stream(&ring, 10..11, nothing);
    assert_eq!(bench.fed(FEED.video).first().map(|packet| packet.sequence), Some(count));
    bench.room.forget_source(TrackId(101));
    bench.stream(&ring, 11..12, nothing);
    assert!(bench.fed(FEED.video).is_empty());
}

/// A WebRTC publisher: its packets as the SFU gives copies of them.
struct Publisher {
    picture: Packetiser,
    sound: Packetiser,
}

impl Publisher {
    fn new() -> Publisher {
        let packetiser = |codec| Packetiser::new(codec).expect("it has one");
        Publisher { picture: packetiser(Codec::H264), sound: packetiser(Codec::Opus) }
    }

    /// Frame `index` of the picture and the sound beside it.
    fn publish(&mut self, bench: &mut Bench, index: i64) {
        let mut packets: Vec<(TrackId, Codec, Packet)> = Vec::new();
        let mut of = Vec::new();
        self.picture.push(&picture(index, 0), &mut of);
        packets.extend(of.drain(..).map(|packet| (VIDEO, Codec::H264, packet)));
        opus(index).iter().for_each(|frame| self.sound.push(frame, &mut of));
        packets.extend(of.drain(..).map(|packet| (AUDIO, Codec::Opus, packet)));
        for (track, codec, packet) in packets {
            let Packet { sequence, time, marker, payload, .. } = packet;
            let tapped = Tapped {
                track,
                codec,
                ssrc: track.0 as u32,
                sequence,
                time: time as u32,
                marker,
                payload: payload.as_ref().into(),
                report: None,
                arrived: bench.now,
            };
            bench.room.handle_tapped(bench.now, tapped);
        }
        bench.turn();
    }
}

fn landed() -> (Bench, Arc<IngestRing>) {
    let mut bench = room();
    let ring = bench.attach(1, IngestVia::Call);
    let tracks = [(VIDEO, Kind::Video), (AUDIO, Kind::Audio)];
    bench.room.land(bench.now, ParticipantId(1), &tracks, &[]);
    bench.turn();
    (bench, ring)
}

#[test]
fn an_ingest_that_landed_is_live_with_its_first_media_and_costs_nothing_while_nobody_asks() {
    let (mut bench, _ring) = landed();
    assert!(!bench.room.output.status.borrow().playable);
    bench.room.handle_published(VIDEO, Codec::H264);
    bench.turn();
    let status = bench.room.output.status.borrow().clone();
    assert!(status.playable && status.tracks.len() == 1 && status.wants.is_empty());
    assert_eq!((bench.taps(), bench.state()), (Vec::new(), None));
    assert!(bench.room.output.live.borrow().is_none(), "there is no listing");
}

#[test]
fn a_request_for_a_playlist_brings_one_with_picture_and_converted_sound() {
    let (mut bench, _ring) = landed();
    let mut publisher = Publisher::new();
    bench.room.handle_published(VIDEO, Codec::H264);
    bench.room.demand_hls(bench.now);
    bench.turn();
    assert_eq!(bench.taps(), [(VIDEO, true), (AUDIO, true)]);
    let mut worker: Option<(Want, Arc<IngestRing>)> = None;
    for index in 0..200 {
        publisher.publish(&mut bench, index);
        match &worker {
            // It takes a second to start.
            None if index == 25 => {
                let want = bench.want(Target::Aac);
                let (_, converted) = bench.convert(&want);
                bench.send(&converted, vec![made(&want)]);
                worker = Some((want, converted));
            }
            Some((want, converted)) => bench.send(converted, as_track(want.as_track, aac(index))),
            None => {}
        }
        bench.pass(Duration::from_millis(40));
    }
    assert_eq!((bench.state(), bench.wants()), (Some(State::Live), vec![(AUDIO, Target::Aac)]));
    let snapshot = bench.room.output.live.borrow().clone().expect("listed");
    let multivariant = snapshot.multivariant.as_ref().expect("listed").text().to_vec();
    let multivariant = String::from_utf8(multivariant).expect("text");
    assert!(multivariant.contains("mp4a.40.2") && multivariant.contains("avc1.42c00c"), "{multivariant}");
    for rendition in [&snapshot.video, &snapshot.audio] {
        let view = rendition.as_ref().expect("it is there");
        let playlist = String::from_utf8(view.playlist().expect("listed").text().to_vec()).expect("text");
        assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n") && !playlist.contains("EXT-X-GAP"), "{playlist}");
        assert!(playlist.contains("#EXTINF:2.0"), "{playlist}");
    }
    let status = bench.room.output.status.borrow().clone();
    assert!(status.playable && status.tracks.iter().all(|track| track.bitrate_bps.is_some()), "{status:?}");

    // Nobody asks any more.
    bench.pass(HLS_DEMAND);
    assert_eq!(bench.taps(), [(VIDEO, false), (AUDIO, false)]);
    assert!(bench.room.output.live.borrow().is_none() && bench.room.output.status.borrow().playable);
    bench.pass(CONVERSION_HOLD);
    assert!(bench.wants().is_empty());
    let epoch = bench.room.numbers.last_epoch;

    // Somebody comes back.
    bench.room.demand_hls(bench.now);
    bench.turn();
    assert_eq!(bench.taps(), [(VIDEO, true), (AUDIO, true)]);
    for index in 200..500 {
        publisher.publish(&mut bench, index);
        bench.pass(Duration::from_millis(40));
    }
    assert_eq!(bench.state(), Some(State::Live), "the picture goes on alone when its sound's worker never comes");
    assert!(bench.room.numbers.last_epoch > epoch);
}

#[test]
fn a_listing_waits_for_a_worker_no_longer_than_it_says() {
    let (mut bench, _ring) = landed();
    let mut publisher = Publisher::new();
    bench.room.demand_hls(bench.now);
    let began = bench.now;
    let mut listed_at = None;
    for index in 0..300 {
        publisher.publish(&mut bench, index);
        bench.room.demand_hls(bench.now);
        if bench.state() == Some(State::Live) {
            listed_at.get_or_insert(bench.now - began);
        }
        bench.pass(Duration::from_millis(40));
    }
    let listed_at = listed_at.expect("listed");
    assert!(listed_at >= GATE_WAIT && listed_at < GATE_WAIT + Duration::from_secs(1), "{listed_at:?}");
}

#[test]
fn a_keyframe_is_asked_for_shortly_before_each_segment_ends() {
    let (mut bench, _ring) = landed();
    let mut publisher = Publisher::new();
    bench.room.demand_hls(bench.now);
    bench.turn();
    bench.said.clear();
    let mut asked = Vec::new();
    for index in 0..2 * GOP {
        publisher.publish(&mut bench, index);
        if bench.said.drain(..).any(|what| matches!(what, ForCall::Keyframe(VIDEO))) {
            asked.push(index);
        }
        bench.now += Duration::from_millis(40);
    }
    // Frames come every 40 ms, and segments last 2 s: the one at 50 came in time, the next is asked for 100 ms before.
    assert_eq!(asked, [GOP + 48]);
}

#[test]
fn an_encoder_that_takes_over_from_one_that_landed_is_listed_as_always() {
    let (mut bench, first) = landed();
    let mut publisher = Publisher::new();
    bench.room.demand_hls(bench.now);
    for index in 0..20 {
        publisher.publish(&mut bench, index);
        bench.pass(Duration::from_millis(40));
    }
    bench.said.clear();
    let ring = bench.attach(2, IngestVia::Ring);
    assert_eq!(bench.taps(), [(VIDEO, false), (AUDIO, false)]);
    let gone = futures_util::FutureExt::now_or_never(first.send(Vec::new()));
    assert!(gone.is_some_and(|sent| sent.is_err()));
    bench.send(&ring, vec![h264()]);
    bench.stream(&ring, 0..150, nothing);
    assert_eq!(bench.state(), Some(State::Live));
}
