//! Tracks without a connection: who comes late sees them at once, and nobody is asked for a keyframe.

use std::time::{Duration, Instant};

use str0m::format::Codec;
use telstar_sfu::{Command, Event, Flow, Kind, PeerId, Subscription};
use telstar_sim::decoder::{Decoder, Shown};
use telstar_sim::{Encoder, Got, World, config};
use telstar_units::TrackId;

const CONNECT: Duration = Duration::from_secs(3);
const PICTURE: TrackId = TrackId(1);
const SOUND: TrackId = TrackId(2);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A push in a room without anybody, under way for a while.
fn pushed(time: Duration) -> (World, Encoder) {
    let mut world = World::new(config(), 1, Instant::now());
    let mut encoder = Encoder::new(&mut world, 1, PICTURE, SOUND);
    encoder.film(&mut world, time);
    (world, encoder)
}

/// A viewer of it, connected; and when it was.
fn view(world: &mut World, encoder: &mut Encoder, id: u64) -> (PeerId, Instant) {
    let (viewer, _) = world.viewer(id, &[Kind::Audio, Kind::Video]);
    world.subscribe(viewer, PICTURE);
    world.subscribe(viewer, SOUND);
    let end = world.now + CONNECT;
    while !world.is_connected(&[viewer]) {
        assert!(world.now < end, "it connects");
        encoder.film(world, millis(33));
    }
    (viewer, world.now)
}

fn of(world: &mut World, viewer: PeerId, track: TrackId) -> Vec<Got> {
    let slots = world.slots(viewer);
    let mid = slots.iter().find(|slot| slot.track == Some(track)).expect("it has a slot").mid.clone();
    world.client(viewer).got.iter().filter(|got| got.mid == mid).cloned().collect()
}

/// What a decoder makes of all that came, which it has to make without an excuse.
fn decoded(codec: Codec, got: &[Got]) -> Vec<Shown> {
    let mut decoder = Decoder::new(codec);
    decoder.has_all = true;
    for got in got {
        let at = got.at;
        decoder.take(got.clone());
        decoder.advance(at);
    }
    assert_eq!(decoder.broken, None);
    decoder.shown
}

#[test]
fn a_viewer_gets_picture_and_sound_of_a_push_at_once_and_both_by_one_clock() {
    let (mut world, mut encoder) = pushed(millis(1_500));
    let (viewer, connected) = view(&mut world, &mut encoder, 10);
    encoder.film(&mut world, seconds(6));
    let pictures = of(&mut world, viewer, PICTURE);
    let shown = decoded(Codec::H264, &pictures);
    assert!(shown[0].at - connected < millis(100), "the first picture {:?} after", shown[0].at - connected);
    assert_eq!(shown[0].frame, 0, "the keyframe of the group");
    assert!(shown.windows(2).all(|pair| pair[1].frame == pair[0].frame + 1), "nothing is missing");
    assert!(shown.last().expect("some").frame >= 220);
    let sounds = of(&mut world, viewer, SOUND);
    assert!(sounds[0].at - connected < millis(100) && sounds.len() > 290, "{}", sounds.len());
    let offset = |got: &[Got], media: &dyn Fn(&Got) -> f64| {
        let last = got.last().expect("some");
        last.taken.expect("a report came") - media(last)
    };
    let picture = offset(&pictures, &|got| f64::from(telstar_sim::frame_of(got)) / 30.0);
    let sound = offset(&sounds, &|got| {
        let time = got.payload.last_chunk::<8>().expect("a time");
        i64::from_be_bytes(*time) as f64 / 48_000.0
    });
    assert!((picture - sound).abs() < 0.005, "{} ms apart", (picture - sound) * 1_000.0);
}

#[test]
fn who_joins_in_the_middle_of_a_group_decodes_from_the_first_packet_and_is_live_with_the_others() {
    let (mut world, mut encoder) = pushed(millis(100));
    let (first, _) = view(&mut world, &mut encoder, 10);
    encoder.film(&mut world, millis(3_000));
    let (second, connected) = view(&mut world, &mut encoder, 11);
    encoder.film(&mut world, seconds(5));
    let late = of(&mut world, second, PICTURE);
    let shown = decoded(Codec::H264, &late);
    assert!(shown[0].at - connected < millis(100), "the first picture {:?} after", shown[0].at - connected);
    assert_eq!(shown[0].frame, 60, "the last keyframe");
    let early = decoded(Codec::H264, &of(&mut world, first, PICTURE));
    let lag = |shown: &[Shown], frame: u32| shown.iter().find(|shown| shown.frame == frame).map(|shown| shown.at);
    for frame in [150, 180, 220] {
        let (early, late) = (lag(&early, frame).expect("seen"), lag(&shown, frame).expect("seen"));
        assert!(late.saturating_duration_since(early) < millis(5), "picture {frame}");
    }
    // What was kept comes with pictures a millisecond apart, and what follows as it was made.
    let mut times: Vec<u32> = late.iter().map(|got| got.time).collect();
    times.dedup();
    let steps: Vec<u32> = times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let kept = steps.iter().take_while(|step| **step == 90).count();
    assert!(kept >= 30, "{kept} pictures were kept");
    assert!(steps[kept..].iter().all(|step| *step == 3_000), "{steps:?}");
    assert!(world.events.iter().all(|(_, event)| !matches!(event, Event::Demand { .. })), "nobody is told");
}

#[test]
fn a_participant_of_the_call_sees_a_push_as_well() {
    let (mut world, mut encoder) = pushed(millis(700));
    let subscriber = world.subscriber(20);
    encoder.film(&mut world, seconds(3));
    let shown = decoded(Codec::H264, &of(&mut world, subscriber, PICTURE));
    assert!(shown.len() > 60);
    assert!(of(&mut world, subscriber, SOUND).len() > 100);
}

#[test]
fn who_lost_the_picture_gets_the_group_again_but_not_again_and_again() {
    let (mut world, mut encoder) = pushed(millis(100));
    encoder.every = 600;
    encoder.film(&mut world, millis(50));
    let (viewer, _) = view(&mut world, &mut encoder, 10);
    let ask = |world: &mut World, viewer| {
        let client = world.client(viewer);
        let ssrc = client.got.iter().rev().find(|got| got.payload.len() > 100).expect("pictures flow").ssrc;
        client.ask_keyframe(ssrc);
        world.drive(viewer);
    };
    let keys = |world: &mut World| {
        let got = of(world, viewer, PICTURE);
        got.iter().filter(|got| got.payload[0] == 0x78).count()
    };
    encoder.film(&mut world, millis(300));
    assert_eq!(keys(&mut world), 1);
    ask(&mut world, viewer);
    encoder.film(&mut world, millis(300));
    assert_eq!(keys(&mut world), 1, "it was given that a moment ago");
    encoder.film(&mut world, millis(1_700));
    for _ in 0..20 {
        ask(&mut world, viewer);
        encoder.film(&mut world, millis(33));
    }
    assert_eq!(keys(&mut world), 2, "once more");
    encoder.film(&mut world, millis(500));
    let got = of(&mut world, viewer, PICTURE);
    assert!(got.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1), "numbers have no hole");
    assert!(got.windows(2).all(|pair| pair[1].time.wrapping_sub(pair[0].time) as i32 >= 0), "times do not go back");
    let shift = got.last().expect("some").time.wrapping_sub(got[0].time);
    let frames = telstar_sim::frame_of(got.last().expect("some"));
    assert!(u64::from(shift) < u64::from(frames) * 3_000 + 300, "no later than it was made");
}

#[test]
fn demand_begins_at_once_and_ends_five_seconds_after_the_last() {
    let (mut world, mut encoder) = pushed(millis(100));
    let fed = |world: &World| world.fed.get(&PICTURE).copied();
    assert_eq!(fed(&world), None);
    let (viewer, _) = world.viewer(10, &[Kind::Video]);
    world.subscribe(viewer, PICTURE);
    assert_eq!(fed(&world), Some(true), "before it is connected");
    encoder.film(&mut world, seconds(1));
    world.command(Command::RemovePeer { peer: viewer });
    encoder.film(&mut world, millis(4_500));
    assert_eq!(fed(&world), Some(true));
    encoder.film(&mut world, millis(1_000));
    assert_eq!(fed(&world), Some(false));
    // And again, from what lies there by then.
    let (viewer, connected) = view(&mut world, &mut encoder, 11);
    encoder.film(&mut world, seconds(1));
    let shown = decoded(Codec::H264, &of(&mut world, viewer, PICTURE));
    assert!(shown[0].at - connected < millis(100));
    world.command(Command::Unpublish { track: PICTURE });
    world.command(Command::Unpublish { track: SOUND });
    world.command(Command::RemovePeer { peer: viewer });
    // Until the last alarm of who is gone has passed.
    world.run(seconds(5));
    assert_eq!(world.sfu.poll_timeout(), None, "an empty one sleeps");
}

#[test]
fn a_group_that_is_too_long_is_not_given_and_the_next_keyframe_is() {
    let (mut world, mut encoder) = pushed(Duration::ZERO);
    encoder.every = 180;
    let (_, _) = view(&mut world, &mut encoder, 10);
    encoder.film(&mut world, seconds(5));
    let (viewer, connected) = view(&mut world, &mut encoder, 11);
    assert!(of(&mut world, viewer, PICTURE).is_empty(), "five seconds are too many");
    encoder.film(&mut world, millis(200));
    let waits = world.slots(viewer).iter().any(|slot| slot.track == Some(PICTURE) && slot.flow == Flow::Silent);
    assert!(waits, "and the viewer is told");
    encoder.film(&mut world, seconds(2));
    let shown = decoded(Codec::H264, &of(&mut world, viewer, PICTURE));
    assert_eq!(shown[0].frame, 180);
    assert!(shown[0].at > connected);
}

#[test]
fn a_muted_source_is_silent_and_nothing_of_that_time_is_kept() {
    let (mut world, mut encoder) = pushed(millis(100));
    let (viewer, _) = view(&mut world, &mut encoder, 10);
    encoder.film(&mut world, seconds(1));
    world.command(Command::Mute { track: PICTURE, muted: true });
    world.run(millis(50));
    let before = of(&mut world, viewer, PICTURE).len();
    encoder.film(&mut world, seconds(2));
    assert_eq!(of(&mut world, viewer, PICTURE).len(), before);
    assert!(world.slots(viewer).iter().any(|slot| slot.track == Some(PICTURE) && slot.flow == Flow::Silent));
    world.command(Command::Mute { track: PICTURE, muted: false });
    encoder.film(&mut world, seconds(3));
    let got = of(&mut world, viewer, PICTURE);
    let shown = decoded(Codec::H264, &got);
    let after = shown.iter().position(|shown| shown.frame > 80).expect("it goes on");
    assert!(shown[after].key && shown[after].frame == 120, "with the next keyframe: {:?}", shown[after]);
}

#[test]
fn another_codec_and_a_hole_begin_anew_with_a_keyframe() {
    let (mut world, mut encoder) = pushed(millis(100));
    let (viewer, _) = view(&mut world, &mut encoder, 10);
    encoder.film(&mut world, seconds(1));
    encoder.lose(50);
    encoder.film(&mut world, seconds(3));
    let shown = decoded(Codec::H264, &of(&mut world, viewer, PICTURE));
    assert!(shown.iter().any(|shown| shown.key && shown.frame == 60));
    let h264 = of(&mut world, viewer, PICTURE).len();
    encoder.codec = Codec::Vp8;
    encoder.film(&mut world, seconds(3));
    let got = of(&mut world, viewer, PICTURE);
    let vp8: Vec<Got> =
        got[h264..].iter().filter(|packet| packet.payload_type != got[0].payload_type).cloned().collect();
    assert!(decoded(Codec::Vp8, &vp8).len() > 30);
    assert!(got.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
    let told = |wanted| {
        world
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::Track { track, codec } if (*track, *codec) == (PICTURE, wanted)))
    };
    assert!(told(telstar_media::Codec::H264) && told(telstar_media::Codec::Vp8));
}

#[test]
fn nobody_gets_a_source_without_having_asked_for_it() {
    let (mut world, mut encoder) = pushed(millis(100));
    let (silent, _) = world.viewer(10, &[Kind::Audio, Kind::Video]);
    let stranger = world.subscriber_in(11, 2);
    for track in [PICTURE, SOUND] {
        world.subscribe(stranger, track);
    }
    encoder.film(&mut world, seconds(2));
    assert!(world.is_connected(&[silent, stranger]));
    assert!(world.client(silent).got.is_empty() && world.client(stranger).got.is_empty());
    assert!(world.fed.is_empty(), "and nobody feeds it");
    let subscription = Subscription { paused: true, ..Subscription::default() };
    world.command(Command::Subscribe { peer: silent, track: PICTURE, subscription });
    encoder.film(&mut world, seconds(1));
    assert!(world.client(silent).got.is_empty() && world.fed.is_empty());
}

/// As [`view`], for who does not decode H.264.
fn view_without(world: &mut World, id: u64) -> PeerId {
    let (viewer, _) = world.viewer_without(id, &[Kind::Audio, Kind::Video], "H264");
    world.subscribe(viewer, PICTURE);
    viewer
}

fn film(world: &mut World, encoders: &mut [&mut Encoder], time: Duration) {
    let end = world.now + time;
    while world.now < end {
        encoders.iter_mut().for_each(|encoder| encoder.shoot(world));
        world.run(millis(33));
    }
}

#[test]
fn who_does_not_decode_a_source_gets_its_alternate_in_the_same_slot_and_only_then_it_is_wanted() {
    const OTHER: TrackId = TrackId(3);
    let (mut world, mut encoder) = pushed(millis(100));
    let mut other = Encoder::alternate(&mut world, 1, OTHER, PICTURE);
    let (able, _) = view(&mut world, &mut encoder, 10);
    film(&mut world, &mut [&mut encoder, &mut other], seconds(2));
    assert_eq!(world.fed.get(&OTHER), None, "everybody decodes the first");
    let viewer = view_without(&mut world, 11);
    let subscriber = world.subscriber(12);
    film(&mut world, &mut [&mut encoder, &mut other], seconds(4));
    assert_eq!(world.fed.get(&OTHER), Some(&true));
    assert!(decoded(Codec::Vp8, &of(&mut world, viewer, PICTURE)).len() > 60);
    assert!(decoded(Codec::H264, &of(&mut world, able, PICTURE)).len() > 100);
    assert!(decoded(Codec::H264, &of(&mut world, subscriber, PICTURE)).len() > 60);
    let told = |(_, event): &(_, Event)| match event {
        Event::Slots { slots, .. } => slots.iter().any(|slot| slot.track == Some(OTHER)),
        _ => false,
    };
    assert!(!world.events.iter().any(told), "nobody hears of it");
    for peer in [able, subscriber] {
        world.command(Command::RemovePeer { peer });
    }
    film(&mut world, &mut [&mut encoder, &mut other], seconds(6));
    assert_eq!((world.fed[&PICTURE], world.fed[&OTHER]), (false, true), "nobody watches the first");
    let before = of(&mut world, viewer, PICTURE).len();
    world.command(Command::Mute { track: PICTURE, muted: true });
    film(&mut world, &mut [&mut encoder, &mut other], seconds(1));
    assert!(of(&mut world, viewer, PICTURE).len() < before + 5, "mute is of both");
    world.command(Command::RemovePeer { peer: viewer });
    film(&mut world, &mut [&mut encoder, &mut other], seconds(6));
    assert!(!world.fed[&OTHER]);
}

#[test]
fn an_alternate_that_comes_later_is_taken_and_one_that_goes_is_let_go() {
    const OTHER: TrackId = TrackId(3);
    let (mut world, mut encoder) = pushed(millis(100));
    let viewer = view_without(&mut world, 11);
    encoder.film(&mut world, seconds(2));
    let flow =
        |world: &World| world.slots(viewer).iter().find(|slot| slot.track == Some(PICTURE)).map(|slot| slot.flow);
    assert_eq!(flow(&world), Some(Flow::Codec));
    let mut other = Encoder::alternate(&mut world, 1, OTHER, PICTURE);
    film(&mut world, &mut [&mut encoder, &mut other], seconds(3));
    assert_eq!(flow(&world), Some(Flow::Active));
    assert!(decoded(Codec::Vp8, &of(&mut world, viewer, PICTURE)).len() > 30);
    world.command(Command::Unpublish { track: OTHER });
    encoder.film(&mut world, seconds(2));
    assert_eq!(flow(&world), Some(Flow::Codec));
}

#[test]
fn an_alternate_of_a_publishers_picture_is_in_step_with_the_publishers_sound() {
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let mids = world.publish(publisher, &[(PICTURE, Kind::Video, &[]), (SOUND, Kind::Audio, &[])]);
    let mut camera = telstar_sim::Camera::new(publisher, mids[0], &[(None, 300_000)]);
    camera.codec = Codec::H264;
    let mut other = Encoder::alternate(&mut world, 1, TrackId(3), PICTURE);
    let viewer = view_without(&mut world, 11);
    world.subscribe(viewer, SOUND);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])));
    let zero = world.now;
    world.sfu.set_zero(TrackId(3), zero);
    // What a worker makes comes 200 ms later.
    for number in 0..300u32 {
        let packet = telstar_sim::Packet {
            codec: Codec::Opus,
            time: number * 1_600,
            marker: false,
            payload: &number.to_be_bytes(),
            audio_level: None,
        };
        world.send(publisher, mids[1], None, packet);
        camera.shoot(&mut world);
        if number >= 6 {
            other.shoot(&mut world);
        }
        let due = zero + Duration::from_micros(u64::from(number + 1) * 1_000_000 / 30);
        world.run(due.saturating_duration_since(world.now));
    }
    let (pictures, sounds) = (of(&mut world, viewer, PICTURE), of(&mut world, viewer, SOUND));
    let (picture, sound) = (pictures.last().expect("some"), sounds.last().expect("some"));
    let number = u32::from_be_bytes(*sound.payload.first_chunk().expect("a number"));
    let picture = picture.taken.expect("a report came") - f64::from(telstar_sim::frame_of(picture)) / 30.0;
    let sound = sound.taken.expect("a report came") - f64::from(number) / 30.0;
    assert!((picture - sound).abs() < 0.010, "{} ms apart", (picture - sound) * 1_000.0);
}

#[test]
fn a_publishers_track_may_have_an_alternate_as_well() {
    let mut world = World::new(config(), 1, Instant::now());
    let publisher = world.publisher(1);
    let mids = world.publish(publisher, &[(PICTURE, Kind::Video, &[])]);
    let mut camera = telstar_sim::Camera::new(publisher, mids[0], &[(None, 300_000)]);
    camera.codec = Codec::H264;
    let mut other = Encoder::alternate(&mut world, 1, TrackId(3), PICTURE);
    let viewer = view_without(&mut world, 11);
    assert!(world.run_until(CONNECT, |world| world.is_connected(&[publisher, viewer])));
    for _ in 0..90 {
        camera.shoot(&mut world);
        other.shoot(&mut world);
        world.run(millis(33));
    }
    assert!(decoded(Codec::Vp8, &of(&mut world, viewer, PICTURE)).len() > 60);
}
