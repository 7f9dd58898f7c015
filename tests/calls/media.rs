//! Media between people: everybody gets everything, in order, and only what they ask for.

use std::time::Duration;

use telstar_client::clip::{Audio, play_audio};
use telstar_client::wire::Request;
use telstar_client::{Codec, Event, Kind, LocalTrackOptions, Source, Subscription};

use crate::people::{Person, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn three_people_get_all_of_each_others_media_in_order() {
    let stage = Stage::with_media().await;
    let (mut alice, mut bob, mut carol) =
        (stage.person("alice").await, stage.person("bob").await, stage.person("carol").await);
    for person in [&alice, &bob] {
        person.publish(Kind::Video).await;
        person.publish(Kind::Audio).await;
    }
    let mut watches = Vec::new();
    for (viewer, publisher) in [(&mut alice, "bob"), (&mut bob, "alice")] {
        watches.push(viewer.watch_of(publisher, Kind::Video).await);
        watches.push(viewer.watch_of(publisher, Kind::Audio).await);
    }
    for publisher in ["alice", "bob"] {
        watches.push(carol.watch_of(publisher, Kind::Video).await);
        watches.push(carol.watch_of(publisher, Kind::Audio).await);
    }
    for watch in &mut watches {
        watch.more(100).await;
        watch.assert_whole();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_leaves_and_comes_back_is_followed_by_the_others() {
    let stage = Stage::with_media().await;
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let (first_id, video) = (alice.call.id().to_owned(), alice.publish(Kind::Video).await);
    let sound = alice.publish(Kind::Audio).await;
    let (mut pictures, mut sounds) =
        (bob.watch_of("alice", Kind::Video).await, bob.watch_of("alice", Kind::Audio).await);
    pictures.more(10).await;
    sounds.more(10).await;

    alice.call.unpublish(&video).await.expect("it is hers");
    bob.until(|event| matches!(event, Event::TrackUnpublished { track, .. } if *track == video).then_some(())).await;
    pictures.ended().await;
    sounds.more(50).await;
    sounds.assert_whole();
    let again = alice.publish(Kind::Video).await;
    assert_ne!(again, video, "ids are never used again");
    let mut pictures = bob.watch_of("alice", Kind::Video).await;
    pictures.more(10).await;

    alice.call.leave().await.expect("goodbye");
    let left = bob.until(|event| match event {
        Event::ParticipantLeft { participant, reason } => Some((participant.clone(), reason.clone())),
        _ => None,
    });
    assert_eq!(left.await, (first_id.clone(), "left".to_owned()));
    pictures.ended().await;
    sounds.ended().await;

    let alice = stage.person("alice").await;
    assert_ne!(alice.call.id(), first_id);
    assert_ne!(alice.publish(Kind::Audio).await, sound);
    let mut sounds = bob.watch_of("alice", Kind::Audio).await;
    sounds.more(50).await;
    sounds.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_gets_the_size_that_it_shows_and_nothing_while_it_shows_none() {
    let stage = Stage::with_media().await;
    let (mut alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let track = alice.publish_layers(Kind::Video, &[320, 640, 1280]).await;
    bob.track_of("alice", Kind::Video).await;
    let sized = |width: u16| Subscription { width, height: width / 2, ..Subscription::default() };
    let mut pictures = bob.watch_as(&track, sized(1280)).await;
    pictures.until(|arrival| arrival.layer == 2).await;
    bob.call.update_subscription(&track, sized(320)).await.expect("carried out");
    pictures.until(|arrival| arrival.layer == 0).await;
    // What nobody watches need not be sent at all.
    let lowest_only = |event: &Event| {
        let Event::Demand { tracks } = event else { return None };
        tracks.iter().any(|demand| demand.track == track && demand.wanted && demand.rids == ["l"]).then_some(())
    };
    alice.until(lowest_only).await;

    let paused = Subscription { paused: true, ..sized(320) };
    bob.call.update_subscription(&track, paused).await.expect("carried out");
    pictures.quiet_for(Duration::from_millis(500)).await;
    bob.call.update_subscription(&track, sized(1280)).await.expect("carried out");
    pictures.until(|arrival| arrival.layer == 2).await;
    let off = Subscription { enabled: false, ..Subscription::default() };
    bob.call.update_subscription(&track, off).await.expect("carried out");
    pictures.quiet_for(Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_hear_who_speaks_and_how_good_their_connection_is() {
    let stage = Stage::with_media().await;
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    alice.publish(Kind::Audio).await;
    let mut sounds = bob.watch_of("alice", Kind::Audio).await;
    let speaks = |event: &Event| {
        let Event::Speakers { speakers } = event else { return None };
        speakers.iter().find(|speaker| speaker.participant == alice.call.id()).map(|speaker| speaker.level)
    };
    let level = bob.until(speaks).await;
    assert!((20..=50).contains(&level), "a mean that begins at silence: {level}");
    sounds.more(1).await;
    bob.call.ask(Request::Report { enabled: true }).await.expect("carried out");
    let estimate = |event: &Event| match event {
        Event::Bandwidth { estimate_bps, .. } => Some(*estimate_bps),
        _ => None,
    };
    assert!(bob.until(estimate).await > 0);
    bob.call.ask(Request::Report { enabled: false }).await.expect("carried out");
    let rated = |event: &Event| match event {
        Event::Quality { participants } => participants.first().map(|one| one.quality.clone()),
        _ => None,
    };
    let quality = bob.until(rated).await;
    assert!(["excellent", "good", "poor", "lost"].contains(&quality.as_str()), "{quality}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_plays_a_clip_becomes_a_speaker() {
    let stage = Stage::with_media().await;
    let (alice, mut bob) = (stage.person("alice").await, stage.person("bob").await);
    let options =
        LocalTrackOptions { codec: Codec::Opus, source: Source::Microphone, name: String::new(), layers: Vec::new() };
    let mut track = alice.call.publish(options).await.expect("the server takes it");
    // Packets of 20 ms (RFC 6716 §3.1) that are not silence; what they would sound like nobody asks.
    let audio = Audio { packets: vec![([&[0xfc][..], &[0x55; 80]].concat().into(), Duration::from_millis(20))] };
    let playing = async {
        let ended = play_audio(&mut track, &audio).await;
        panic!("the clip is played in a loop: {ended:?}")
    };
    let speaks = bob.until(|event| match event {
        Event::Speakers { speakers } => {
            speakers.iter().any(|speaker| speaker.participant == alice.call.id()).then_some(())
        }
        _ => None,
    });
    tokio::select! {
        () = speaks => {}
        () = playing => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lossy_messages_reach_those_who_are_named() {
    let stage = Stage::with_media().await;
    let (alice, mut bob, mut carol) =
        (stage.person("alice").await, stage.person("bob").await, stage.person("carol").await);
    // Their subscribing connections, over which messages come, begin with something to receive.
    alice.publish(Kind::Audio).await;
    for person in [&mut bob, &mut carol] {
        person.watch_of("alice", Kind::Audio).await.more(1).await;
    }
    let lossy = |event: &Event| match event {
        Event::Lossy { from, payload } => Some((from.clone(), payload.to_vec())),
        _ => None,
    };
    // One that is sent before the channels are open is lost, so it is repeated.
    let repeat = async |to: &[&str], payload: &[u8], person: &mut Person| {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let send = async {
            loop {
                ticks.tick().await;
                let _ = alice.call.send_lossy(to, payload).await;
            }
        };
        tokio::select! {
            () = send => unreachable!("it repeats"),
            came = person.until(lossy) => came,
        }
    };
    let sender = alice.call.id().to_owned();
    let bobs_id = bob.call.id().to_owned();
    assert_eq!(repeat(&[], b"all", &mut carol).await, (sender.clone(), b"all".to_vec()));
    assert_eq!(repeat(&[], b"all", &mut bob).await, (sender.clone(), b"all".to_vec()));
    let only_bob = async {
        loop {
            let came = repeat(&[&bobs_id], b"bob", &mut bob).await;
            if came.1 == b"bob" {
                return came;
            }
        }
    };
    assert_eq!(only_bob.await, (sender.clone(), b"bob".to_vec()));
    let last = |event: &Event| {
        let Event::Lossy { payload, .. } = event else { return None };
        assert_ne!(&payload[..], b"bob", "it was not for carol");
        (&payload[..] == b"end").then_some(())
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let send = async {
        loop {
            ticks.tick().await;
            let _ = alice.call.send_lossy(&[], b"end").await;
        }
    };
    tokio::select! {
        () = send => unreachable!("it repeats"),
        () = carol.until(last) => {}
    }
}
