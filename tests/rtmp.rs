//! RTMP's door over real sockets: players, RTMPS, and the request to reconnect.

use std::sync::Arc;
use std::time::Duration;

use rtmp::{Client, FRAME_MS, GOP_FRAMES, PATIENCE};
use rustls::pki_types::ServerName;
use serde_json::json;
use support::Rig;
use telstar_rtmp::chunk::message_type;
use telstar_signaling::wire::LiveState;
use telstar_units::RoomName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[path = "../crates/rtmp/tests/support/mod.rs"]
mod encoder;
#[path = "support/rtmp.rs"]
mod rtmp;
#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "ws/support.rs"]
mod support;
#[path = "support/tls.rs"]
mod tls;

struct Stage {
    rig: Rig,
    key: String,
}

impl Stage {
    async fn set(change: impl FnOnce(&mut telstar::Config)) -> Stage {
        let rig = Rig::start_with(|config| {
            // Nothing here is about silence, of which there may be much on a loaded machine.
            config.rtmp.idle_timeout_secs = 600;
            change(config);
        })
        .await;
        let key = rig.running.first_stream_key().expect("this is the first start").expose().to_owned();
        Stage { rig, key }
    }

    async fn client(&self) -> Client {
        Client::connect(self.rig.running.addresses().rtmp.expect("RTMP is on")).await
    }

    /// An encoder that was let in.
    async fn encoder(&self) -> Client {
        let mut encoder = self.client().await;
        encoder.introduce(&[]).await;
        encoder.publish(&self.key).await;
        encoder.until_code("NetStream.Publish.Start").await;
        encoder
    }

    /// A player that was let in.
    async fn player(&self, name: &str) -> Client {
        let mut player = self.client().await;
        player.introduce(&[]).await;
        player.play(name).await;
        player.until_code("NetStream.Play.Start").await;
        player
    }

    /// Waits until the room's state is such.
    async fn room_becomes(&self, done: impl Fn(&telstar_signaling::wire::RoomState) -> bool) {
        let name = RoomName::parse("demo").expect("a room name");
        let entry = self.rig.running.state().rooms.get(&name).await.expect("readable").expect("there");
        let mut state = entry.watch();
        let watching = async {
            while !done(&state.borrow_and_update()) {
                state.changed().await.expect("the room is there");
            }
        };
        tokio::time::timeout(PATIENCE, watching).await.expect("the room comes to say it");
    }
}

/// The number that [`Client::push`] put behind the slice; `None` for a sequence header.
fn picture_number(body: &[u8]) -> Option<u32> {
    (body[1] == 1).then(|| u32::from_be_bytes(body[body.len() - 4..].try_into().expect("four bytes")))
}

/// The pictures until the one with this number: (number, time).
async fn pictures_until(player: &mut Client, last: u32) -> Vec<(u32, u32)> {
    let mut pictures = Vec::new();
    while pictures.last().is_none_or(|(number, _)| *number != last) {
        let (kind, time, body) = player.media().await.expect("the stream goes on");
        if kind == message_type::VIDEO {
            pictures.extend(picture_number(&body).map(|number| (number, time)));
        }
    }
    pictures
}

#[tokio::test]
async fn a_player_gets_every_picture_from_the_newest_keyframe_on() {
    let stage = Stage::set(|_| {}).await;
    let mut encoder = stage.encoder().await;
    encoder.push(60).await;
    stage.room_becomes(|room| room.ingest.as_ref().is_some_and(|ingest| ingest.tracks.len() == 2)).await;
    let mut player = stage.player("demo").await;
    stage.room_becomes(|room| room.viewers == 1).await;
    encoder.push(60).await;
    let pictures = pictures_until(&mut player, 119).await;
    let first = pictures[0].0;
    assert!(first.is_multiple_of(GOP_FRAMES) && first >= 25, "a keyframe, and no old one: {first}");
    let expect: Vec<(u32, u32)> = (first..120).map(|number| (number, (number - first) * FRAME_MS)).collect();
    assert_eq!(pictures, expect, "each once, in order, at its time");
    drop(player);
    stage.room_becomes(|room| room.viewers == 0).await;
}

#[tokio::test]
async fn a_player_that_comes_first_waits_and_is_told_of_the_end() {
    let stage = Stage::set(|config| config.hls.reconnect_window_secs = 0).await;
    let mut player = stage.player("demo").await;
    let mut encoder = stage.encoder().await;
    encoder.push(30).await;
    let (kind, time, body) = player.media().await.expect("the stream begins");
    assert_eq!((kind, time, body[1]), (message_type::VIDEO, 0, 0), "the configuration first");
    assert_eq!(pictures_until(&mut player, 29).await.len(), 30);
    drop(encoder);
    player.until_code("NetStream.Play.UnpublishNotify").await;
    // It may stay for the next.
    stage.room_becomes(|room| room.ingest.is_none()).await;
    let mut encoder = stage.encoder().await;
    encoder.push(30).await;
    player.until_code("NetStream.Play.PublishNotify").await;
    let pictures = pictures_until(&mut player, 29).await;
    assert!(pictures[0].1 > 29 * FRAME_MS, "times go on: {pictures:?}");
}

#[tokio::test]
async fn players_wait_while_the_encoder_may_come_back() {
    let stage = Stage::set(|_| {}).await;
    let mut encoder = stage.encoder().await;
    let mut player = stage.player("demo").await;
    encoder.push(150).await;
    pictures_until(&mut player, 149).await;
    stage.room_becomes(|room| room.state == LiveState::Live).await;
    drop(encoder);
    stage.room_becomes(|room| room.state == LiveState::Reconnecting).await;
    let mut encoder = stage.encoder().await;
    encoder.push(30).await;
    // Nothing is said in between: the next thing that comes is the picture.
    let next = player.next().await.expect("the stream goes on");
    assert!(matches!(next.kind, message_type::AUDIO | message_type::VIDEO | message_type::DATA_AMF0), "{next:?}");
    pictures_until(&mut player, 29).await;
}

#[tokio::test]
async fn who_may_not_watch_may_not_play() {
    let stage = Stage::set(|_| {}).await;
    let admin = stage.rig.token(600).await;
    let refused = async |name: &str| {
        let mut player = stage.client().await;
        player.introduce(&[]).await;
        player.play(name).await;
        player.until_code("NetStream.Play.StreamNotFound").await;
        assert!(player.next().await.is_none(), "and closed");
    };
    for name in ["no-such-room", "", "../demo", "demo/x", &stage.key, "DEMO", "demo\0"] {
        refused(name).await;
    }
    stage.rig.api(&admin, "PATCH", "/api/v1/rooms/demo", Some(json!({ "open": false }))).await;
    stage.rig.api(&admin, "POST", "/api/v1/rooms", Some(json!({ "title": "other", "open": false }))).await;
    let token = async |room: &str| {
        let path = format!("/api/v1/rooms/{room}/playback-tokens");
        let made = stage.rig.api(&admin, "POST", &path, None).await.body;
        made["token"].as_str().expect("a token").to_owned()
    };
    let (good, foreign) = (token("demo").await, token("other").await);
    for name in ["demo", "demo?t=x", &format!("demo?t={foreign}"), &format!("demo?t={good}x"), "demo?key=x"] {
        refused(name).await;
    }
    let mut player = stage.player(&format!("demo?t={good}")).await;
    let mut encoder = stage.encoder().await;
    encoder.push(5).await;
    pictures_until(&mut player, 4).await;
    // The room goes: so does whoever watches it.
    stage.rig.api(&admin, "DELETE", "/api/v1/rooms/demo", None).await;
    let words = player.last_words().await;
    assert!(words.contains("NetStream.Play"), "{words}");
}

#[tokio::test]
async fn players_take_no_place_from_encoders_and_have_limits_of_their_own() {
    let stage = Stage::set(|config| {
        config.rtmp.connections_per_address_max = 2;
        config.play.players_per_address_max = 3;
    })
    .await;
    let mut players = Vec::new();
    for _ in 0..3 {
        players.push(stage.player("demo").await);
    }
    let mut fourth = stage.client().await;
    fourth.introduce(&[]).await;
    fourth.play("demo").await;
    fourth.until_code("NetStream.Play.Failed").await;
    drop(fourth);
    let mut encoder = stage.encoder().await;
    encoder.push(5).await;
    for player in &mut players {
        pictures_until(player, 4).await;
    }
    assert_eq!(stage.rig.running.state().metrics.rtmp_players_count.get(), 3);
}

/// A TLS client that takes the self-signed certificate and offers these protocols.
async fn over_tls(stage: &Stage, protocols: &[&[u8]]) -> Client {
    let address = stage.rig.running.addresses().rtmps.expect("RTMPS is on");
    let socket = TcpStream::connect(address).await.expect("the server listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let connecting = TlsConnector::from(Arc::new(tls::trusting_config(protocols))).connect(name, socket);
    Client::over(connecting.await.expect("a TLS handshake"))
}

#[tokio::test]
async fn the_same_is_there_over_tls_whatever_protocols_a_client_offers() {
    let stage = Stage::set(|_| {}).await;
    let mut encoder = over_tls(&stage, &[]).await;
    encoder.introduce(&[]).await;
    encoder.publish(&stage.key).await;
    encoder.until_code("NetStream.Publish.Start").await;
    encoder.push(30).await;
    stage.room_becomes(|room| room.ingest.as_ref().is_some_and(|ingest| ingest.protocol == "rtmps")).await;
    for protocols in [&[][..], &[b"rtmp".as_slice()], &[b"h2".as_slice(), b"http/1.1"]] {
        let mut player = over_tls(&stage, protocols).await;
        player.introduce(&[]).await;
        player.play("demo").await;
        player.until_code("NetStream.Play.Start").await;
        encoder.push(1).await;
        assert!(player.media().await.is_some());
    }
}

#[tokio::test]
async fn a_tls_handshake_has_a_deadline_and_takes_a_place() {
    let stage = Stage::set(|config| {
        config.rtmp.handshake_timeout_secs = 1;
        config.rtmp.connections_per_address_max = 1;
    })
    .await;
    let address = stage.rig.running.addresses().rtmps.expect("RTMPS is on");
    let mut silent = Client::over(TcpStream::connect(address).await.expect("the server listens"));
    // Nobody else gets in meanwhile, on either port.
    let metrics = &stage.rig.running.state().metrics;
    let open = async {
        while metrics.rtmp_connections_count.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, open).await.expect("it is accepted");
    assert!(stage.client().await.next().await.is_none());
    assert_eq!(silent.last_words().await, "");
    assert_eq!(metrics.rtmp_failed_handshakes.get(), 1);
    // Plain RTMP on the port of RTMPS is refused by TLS itself.
    let mut plain = Client::over(TcpStream::connect(address).await.expect("the server listens"));
    plain.raw(&encoder::handshake()).await;
    plain.last_words().await;
}

#[tokio::test]
async fn an_encoder_that_announced_it_is_asked_to_reconnect_before_the_server_ends() {
    let stage = Stage::set(|config| config.shutdown.deadline_secs = 600).await;
    let mut follower = stage.client().await;
    follower.introduce(&[("capsEx", 1.0.into())]).await;
    follower.publish(&stage.key).await;
    follower.until_code("NetStream.Publish.Start").await;
    follower.push(5).await;
    let Stage { rig, .. } = stage;
    let shutdown = rig.running.shutdown();
    let leaves = async {
        follower.until_code("NetConnection.Connect.ReconnectRequest").await;
        // It goes on for a moment, as if it looked for another server, and is still taken.
        assert!(follower.push(30).await);
        drop(follower);
    };
    let started = std::time::Instant::now();
    let (drained, ()) = tokio::join!(shutdown, leaves);
    assert_eq!(drained, telstar::tasks::Drained::Cleanly);
    assert!(started.elapsed() < Duration::from_secs(150), "nobody waits for who has gone");
}
