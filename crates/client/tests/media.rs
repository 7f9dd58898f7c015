//! Media against another implementation (str0m) over loopback: layers, keyframes, retransmission, reading, data.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use support::media::{Command, Report};
use support::{PATIENCE, Server};
use telstar_client::clip::{Frame, Video, play_video};
use telstar_client::{
    Call, Client, Codec, Credential, Direction, Event, JoinOptions, LocalTrack, LocalTrackOptions, Source, Subscription,
};
use tokio::time::timeout;

async fn join(server: &Server) -> Call {
    let client = Client::connect(&server.address, Credential::Token("good".into())).await.expect("the server is there");
    let options = JoinOptions { addresses: vec![([127, 0, 0, 1], 0).into()], ..JoinOptions::default() };
    client.join("demo", options).await.expect("the room is there")
}

/// Frames that say which layer and which frame they are: a keyframe at every tenth.
fn video(layer: u8, width: u16) -> Video {
    let frames = (0..50_u8).map(|index| {
        let keyframe = index % 10 == 0;
        let mut data = vec![layer; 1500];
        data[0] = u8::from(!keyframe);
        data[1] = index;
        Frame { data: data.into(), keyframe }
    });
    let interval = Duration::from_millis(20);
    Video { codec: Codec::Vp8, width, height: width / 2, interval, frames: frames.collect() }
}

async fn publish(call: &Call, layers: &[Video]) -> LocalTrack {
    let rids = ["l", "m", "h"];
    let options = LocalTrackOptions {
        codec: Codec::Vp8,
        source: Source::Camera,
        name: "clip".into(),
        layers: match layers.len() {
            1 => vec![],
            _ => rids.iter().zip(layers).map(|(rid, video)| video.layer(rid)).collect(),
        },
    };
    call.publish(options).await.expect("the server takes it")
}

/// The layer and the frame in a VP8 payload that begins a frame (descriptor with a picture id, RFC 7741 §4.2).
fn marked(payload: &[u8]) -> Option<(u8, u8)> {
    let descriptor = if payload.get(2)? & 0x80 != 0 { 4 } else { 3 };
    (payload[0] & 0x10 != 0).then(|| (payload[descriptor + 2], payload[descriptor + 1]))
}

/// Plays without end. The task is over when the track's call is, or with the test's runtime.
fn play(mut track: LocalTrack, layers: Vec<Video>) {
    tokio::spawn(async move { play_video(&mut track, &layers).await });
}

#[tokio::test(flavor = "multi_thread")]
async fn three_layers_arrive_and_a_request_brings_a_keyframe_of_its_layer() {
    let server = Server::start().await;
    let call = join(&server).await;
    let layers = vec![video(0, 320), video(1, 640), video(2, 1280)];
    let track = publish(&call, &layers).await;
    assert_eq!((track.id(), track.layers()), ("t1", 3));
    play(track, layers);

    let mut seen = [false; 3];
    server
        .report(|_, report| {
            let Report::Rtp(packet, rid) = report else { return None };
            if let (Some((layer, _)), Some(rid)) = (marked(&packet.payload), rid) {
                assert_eq!(&*rid, ["l", "m", "h"][usize::from(layer)]);
                seen[usize::from(layer)] = true;
            }
            (seen == [true; 3]).then_some(())
        })
        .await;

    // In the middle of a group of pictures: the next frame of the layer that was asked for is a keyframe, out of turn.
    let publisher = server.hub().publisher.clone().expect("it publishes");
    let mut last = None;
    let mut asked = false;
    server
        .report(|_, report| {
            let Report::Rtp(packet, _) = report else { return None };
            let (layer, index) = marked(&packet.payload)?;
            if layer != 2 {
                return None;
            }
            if !asked && index % 10 == 3 {
                publisher.send(Command::Keyframe("0".into(), Some("h")));
                asked = true;
            }
            let jumped = last.is_some_and(|last| index != (last + 1) % 50);
            last = Some(index);
            (asked && jumped).then(|| assert_eq!(index % 10, 0))
        })
        .await;
    call.leave().await.expect("the server says goodbye");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_nobody_wants_is_not_sent() {
    let server = Server::start().await;
    let call = join(&server).await;
    let layers = vec![video(0, 320), video(1, 640), video(2, 1280)];
    let track = publish(&call, &layers).await;
    let wanted = track.id().to_owned();
    server
        .event(serde_json::json!({ "type": "demand", "tracks": [{ "track": wanted, "wanted": true, "rids": ["m"] }] }));
    timeout(PATIENCE, async {
        while track.is_wanted(0) || track.is_wanted(2) {
            tokio::task::yield_now().await
        }
    })
    .await
    .expect("the demand arrives");
    play(track, layers);
    let mut packets = 0;
    server
        .report(|_, report| {
            let Report::Rtp(packet, _) = report else { return None };
            if let Some((layer, _)) = marked(&packet.payload) {
                assert_eq!(layer, 1);
                packets += 1;
            }
            (packets == 20).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscribed_track_delivers_its_packets_and_asks_for_keyframes() {
    let server = Server::start().await;
    server.hub().echo = true;
    let call = join(&server).await;
    let mut events = call.events();
    let layers = vec![video(7, 640)];
    play(publish(&call, &layers).await, layers);

    let published = async {
        loop {
            if let Some(Event::TrackPublished { participant, track }) = events.next().await {
                return (participant, track);
            }
        }
    };
    let (participant, published) = timeout(PATIENCE, published).await.expect("it is announced");
    assert_eq!(participant, "p2");
    assert_eq!(call.participants()[1].tracks, std::slice::from_ref(&published));

    let mut track = call.subscribe(&published.id, Subscription::default()).await.expect("it is there");
    let mut last: Option<u16> = None;
    for _ in 0..100 {
        let packet = timeout(PATIENCE, track.recv()).await.expect("media flows").expect("the track goes on");
        if let Some((layer, _)) = marked(&packet.payload) {
            assert_eq!(layer, 7);
        }
        if let Some(last) = last {
            assert_eq!(packet.header.sequence_number, last.wrapping_add(1), "nothing is lost on loopback");
        }
        last = Some(packet.header.sequence_number);
    }
    assert_eq!(track.dropped(), 0);
    track.request_keyframe().await.expect("the connection is up");
    server
        .report(|peer, report| (peer == "subscribe" && matches!(report, Report::KeyframeRequest)).then_some(()))
        .await;

    let stats = call.stats(Direction::Subscribe).await.expect("there is a connection");
    let received: u64 =
        stats.inbound_rtp_streams().map(|stream| stream.received_rtp_stream_stats.packets_received).sum();
    assert!(received >= 100, "{received} packets in the statistics");

    server.event(serde_json::json!({ "type": "track-unpublished", "offset": 2, "epoch": 1, "participant": "p2", "track": "t101" }));
    let ended = async { while track.recv().await.is_some() {} };
    timeout(PATIENCE, ended).await.expect("the track ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn lossy_messages_go_both_ways() {
    let server = Server::start().await;
    server.hub().echo = true;
    let call = join(&server).await;
    let mut events = call.events();
    let layers = vec![video(0, 320)];
    play(publish(&call, &layers).await, layers);

    // A lossy message that is sent before the channel is open is lost, so it is repeated.
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let up = async {
        loop {
            ticks.tick().await;
            let _ = call.send_lossy(&["p2"], b"up").await;
        }
    };
    let data = tokio::select! {
        () = up => unreachable!("it repeats"),
        data = server.report(|_, report| if let Report::Data(data) = report { Some(data) } else { None }) => data,
    };
    assert_eq!(data, [1, 0, 0, 0, 2, b'u', b'p']);

    let subscriber = server.hub().subscriber.clone().expect("it was offered");
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let down = async {
        loop {
            ticks.tick().await;
            subscriber.send(Command::Data(vec![0, 0, 0, 2, b'd', b'n']));
        }
    };
    let received = async {
        loop {
            if let Some(Event::Lossy { from, payload }) = events.next().await {
                return (from, payload);
            }
        }
    };
    let received = tokio::select! {
        () = down => unreachable!("it repeats"),
        received = timeout(PATIENCE, received) => received.expect("it arrives"),
    };
    assert_eq!(received, ("p2".to_owned(), Bytes::from_static(b"dn")));
    assert!(call.send_lossy(&[], &vec![0; 17 * 1024]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn media_goes_on_over_an_ice_restart() {
    let server = Server::start().await;
    server.hub().echo = true;
    let call = join(&server).await;
    let layers = vec![video(0, 320)];
    play(publish(&call, &layers).await, layers);
    let mut track = call.subscribe("t101", Subscription::default()).await.expect("the server takes it");
    timeout(PATIENCE, track.recv()).await.expect("media flows").expect("the track goes on");

    let ufrag = |request: &serde_json::Value| {
        let sdp = request["sdp"].as_str().unwrap_or_default();
        sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).map(str::to_owned)
    };
    let before = server.requested(|request| request["type"] == "publish").await;
    call.restart_ice().await.expect("the server takes it");
    let of_publish = |request: &serde_json::Value| request["type"] == "publish" && ufrag(request) != ufrag(&before);
    server.requested(of_publish).await;
    server.requested(|request| request["type"] == "answer" && request["version"] == 2).await;
    for _ in 0..100 {
        timeout(PATIENCE, track.recv()).await.expect("media flows").expect("the track goes on");
    }
}
