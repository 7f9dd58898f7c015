//! Encoders over real RTMP sockets: who is sent away, when, and what viewers see of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use support::{PATIENCE, Rig};
use telstar::config::SecondPublisher;
use telstar::config::address::Listen;
use telstar::rooms::RoomEntry;
use telstar_rtmp::chunk::{ChunkWriter, message_type};
use telstar_units::RoomName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "../crates/rtmp/tests/support/mod.rs"]
mod encoder;
#[allow(dead_code, reason = "shared with the WebSocket tests, which use all of it")]
#[path = "ws/support.rs"]
mod support;

use encoder::{IDR, P_SLICE, PPS, SPS};
use telstar_rtmp::amf::Value::Null;

/// "At once": far below every deadline that would end the connection anyway.
const AT_ONCE: Duration = Duration::from_secs(5);
const FRAME_MS: u32 = 40;
const GOP_FRAMES: u32 = 25;

struct Stage {
    rig: Rig,
    key: String,
    admin: String,
}

/// An encoder that pushes as fast as it is taken.
struct Encoder {
    stream: TcpStream,
    writer: ChunkWriter,
    next_frame: u32,
}

impl Stage {
    async fn set(change: impl FnOnce(&mut telstar::Config)) -> Stage {
        let rig = Rig::start_with(|config| {
            config.general.rtmp = Listen::At(([127, 0, 0, 1], 0).into());
            change(config);
        })
        .await;
        let key = rig.running.first_stream_key().expect("this is the first start").expose().to_owned();
        let admin = rig.token(600).await;
        Stage { rig, key, admin }
    }

    /// An encoder that asks to publish with the first key.
    async fn encoder(&self) -> Encoder {
        let address = self.rig.running.addresses().rtmp.expect("RTMP is on");
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        stream.write_all(&encoder::client_start("live", &self.key)).await.expect("the request is written");
        Encoder { stream, writer: ChunkWriter::default(), next_frame: 0 }
    }

    /// An encoder whose first seconds are listed.
    async fn live(&self) -> Encoder {
        let mut encoder = self.encoder().await;
        encoder.push(150).await;
        self.playlist_becomes(|text| text.contains("#EXTINF")).await;
        // The playlist comes from the media thread, the state from the rooms' task a moment later.
        self.room_becomes(|room| room["state"] == "live").await;
        encoder
    }

    async fn playlist(&self) -> (u16, String) {
        let mut stream = TcpStream::connect(self.rig.host()).await.expect("the server listens");
        let head = format!("host: {}\r\nconnection: close\r\n\r\n", self.rig.host());
        let request = format!("GET /live/demo/video/index.m3u8 HTTP/1.1\r\n{head}");
        stream.write_all(request.as_bytes()).await.expect("the request is written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the answer is read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    async fn playlist_becomes(&self, done: impl Fn(&str) -> bool) -> String {
        let mut live = self.entry().await.live();
        let asked = async {
            loop {
                live.mark_unchanged();
                match self.playlist().await {
                    (200, text) if done(&text) => return text,
                    _ => live.changed().await.expect("the room is there"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("the playlist comes to say it")
    }

    /// The room's state as soon as it is such that `done`.
    async fn room_becomes(&self, done: impl Fn(&Value) -> bool) {
        let mut state = self.entry().await.watch();
        let asked = async {
            loop {
                state.mark_unchanged();
                if done(&self.room().await) {
                    return;
                }
                state.changed().await.expect("the room is there");
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("the room comes to say it");
    }

    async fn entry(&self) -> Arc<RoomEntry> {
        let name = RoomName::parse("demo").expect("a room name");
        self.rig.running.state().rooms.get(&name).await.expect("readable").expect("the room is there")
    }

    async fn room(&self) -> Value {
        self.rig.api(&self.admin, "GET", "/api/v1/rooms/demo", None).await.body["live"].clone()
    }
}

impl Encoder {
    async fn send(&mut self, timestamp_ms: u32, kind: u8, payload: &[u8]) {
        let bytes = encoder::encode(&self.writer, timestamp_ms, kind, 1, payload);
        self.stream.write_all(&bytes).await.expect("the server reads");
    }

    /// Pictures, and sound beside them so that the playlist need not wait for it.
    async fn push(&mut self, frames: u32) {
        for index in self.next_frame..self.next_frame + frames {
            let ms = index * FRAME_MS;
            if index == 0 {
                self.send(0, message_type::VIDEO, &encoder::avc_header(SPS, PPS)).await;
                self.send(0, message_type::AUDIO, &encoder::aac_header()).await;
            }
            let (key, unit) = if index % GOP_FRAMES == 0 { (true, IDR) } else { (false, P_SLICE) };
            self.send(ms, message_type::VIDEO, &encoder::avc_frame(key, 0, &[unit])).await;
            self.send(ms, message_type::AUDIO, &encoder::aac_frame()).await;
        }
        self.next_frame += frames;
    }

    /// What the server still says until it closes.
    async fn last_words(&mut self, within: Duration) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(within, self.stream.read_to_end(&mut bytes)).await;
        // A reset is a close as well.
        let _ = read.expect("the server closes the connection in time");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[tokio::test]
async fn a_revoked_key_ends_its_stream_at_once() {
    let stage = Stage::set(|_| {}).await;
    let mut encoder = stage.live().await;
    let keys = stage.rig.api(&stage.admin, "GET", "/api/v1/rooms/demo/stream-keys", None).await.body;
    let id = keys["stream_keys"][0]["id"].clone();
    let path = format!("/api/v1/rooms/demo/stream-keys/{}", id.as_str().map_or(id.to_string(), str::to_owned));
    stage.rig.api(&stage.admin, "DELETE", &path, None).await;
    let words = encoder.last_words(AT_ONCE).await;
    assert!(words.contains("The stream key was revoked."), "{words}");
    stage.playlist_becomes(|text| text.ends_with("#EXT-X-ENDLIST\n")).await;
    assert_eq!(stage.room().await["state"], "offline");
    let words = stage.encoder().await.last_words(AT_ONCE).await;
    assert!(words.contains("The stream key is not valid."), "{words}");
}

#[tokio::test]
async fn deleting_a_room_ends_its_stream_at_once() {
    let stage = Stage::set(|_| {}).await;
    let mut encoder = stage.live().await;
    stage.rig.api(&stage.admin, "DELETE", "/api/v1/rooms/demo", None).await;
    encoder.last_words(AT_ONCE).await;
    assert_eq!(stage.playlist().await.0, 404);
    let refused = stage.rig.running.state().metrics.rtmp_refused_connections.get();
    assert_eq!(refused, 0, "a publisher that is sent away was not refused");
}

#[tokio::test]
async fn a_second_encoder_is_refused_and_the_first_goes_on() {
    let stage = Stage::set(|_| {}).await;
    let mut first = stage.live().await;
    let words = stage.encoder().await.last_words(AT_ONCE).await;
    assert!(words.contains("Another encoder is already publishing"), "{words}");
    let before = stage.playlist().await.1.matches("#EXTINF").count();
    first.push(100).await;
    let text = stage.playlist_becomes(|text| text.matches("#EXTINF").count() > before).await;
    assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    assert_eq!(stage.rig.running.state().metrics.rtmp_refused_connections.get(), 1);
}

#[tokio::test]
async fn a_second_encoder_takes_over_and_viewers_go_on_behind_a_discontinuity() {
    let stage = Stage::set(|config| config.rtmp.second_publisher = SecondPublisher::TakeOver).await;
    let mut first = stage.live().await;
    let mut second = stage.encoder().await;
    let words = first.last_words(AT_ONCE).await;
    assert!(words.contains("Another encoder has taken over this stream."), "{words}");
    assert_eq!(stage.room().await["state"], "reconnecting", "nothing of the second can be watched yet");
    second.push(150).await;
    let text = stage.playlist_becomes(|text| text.contains("#EXT-X-DISCONTINUITY\n")).await;
    assert!(!text.contains("#EXT-X-ENDLIST"), "{text}");
    stage.room_becomes(|room| room["state"] == "live").await;
}

#[tokio::test]
async fn an_encoder_may_end_a_publish_and_begin_another_on_its_connection() {
    let stage = Stage::set(|_| {}).await;
    let mut encoder = stage.live().await;
    for round in 0..3 {
        let unpublish = ["FCUnpublish".into(), 6.0.into(), Null, stage.key.as_str().into()];
        encoder.send(0, message_type::COMMAND_AMF0, &encoder::amf_bytes(&unpublish)).await;
        encoder.send(0, message_type::COMMAND_AMF0, &encoder::publish(&stage.key)).await;
        encoder.next_frame = 0;
        encoder.push(60).await;
        let text = stage.playlist_becomes(|text| text.matches("#EXT-X-DISCONTINUITY\n").count() > round).await;
        assert!(!text.contains("#EXT-X-ENDLIST"), "{text}");
    }
}

#[tokio::test]
async fn a_source_that_restarts_its_clock_goes_on_behind_a_discontinuity_with_a_new_date() {
    let stage = Stage::set(|_| {}).await;
    let mut encoder = stage.live().await;
    // The same connection begins again at stamp 0, six seconds back.
    encoder.next_frame = 0;
    encoder.push(150).await;
    let text = stage.playlist_becomes(|text| text.contains("#EXT-X-DISCONTINUITY\n")).await;
    let (_, behind) = text.split_once("#EXT-X-DISCONTINUITY\n").expect("it was waited for");
    assert!(behind.contains("#EXT-X-PROGRAM-DATE-TIME:"), "{text}");
    stage.room_becomes(|room| room["warnings"].to_string().contains("timestamps_jump")).await;
}
