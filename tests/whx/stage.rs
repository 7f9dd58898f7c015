//! A server with the room `demo`, requests of WHIP and WHEP by hand, and publishers and viewers with media.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

use std::ops::Deref;
use std::process::Stdio;
use std::sync::Arc;

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use telstar::Config;
use telstar::rooms::RoomEntry;
use telstar_client::{Codec, Kind, LocalTrackOptions, Publication, Source, View, WhxOptions};
use telstar_signaling::wire::RoomState;
use telstar_units::RoomName;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::people::{self, Arrival, Watch, play};
use crate::support::{Answer, PATIENCE};

pub const SDP: &str = "application/sdp";
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

pub struct Stage(people::Stage);

impl Deref for Stage {
    type Target = people::Stage;

    fn deref(&self) -> &people::Stage {
        &self.0
    }
}

impl Stage {
    pub async fn start() -> Stage {
        Stage(people::Stage::start().await)
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Stage {
        Stage(people::Stage::start_with(change).await)
    }

    /// A stage for those with media, when it is their turn.
    pub async fn with_media() -> Stage {
        Stage(people::Stage::with_media().await)
    }

    /// The same with other settings.
    pub async fn with_media_and(change: impl FnOnce(&mut Config)) -> Stage {
        Stage(people::Stage::with_media_and(change).await)
    }

    /// One request as it stands.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<String>) -> Answer {
        let method = method.parse().expect("a method");
        let mut request = self.rig.request(method, path).body(body.into());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the body is text");
        Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
    }

    /// An offer, with this bearer.
    pub async fn offer(&self, path: &str, bearer: &str, offer: &str) -> Answer {
        let bearer = format!("Bearer {bearer}");
        let all = [("content-type", SDP), ("authorization", bearer.as_str())];
        let headers = if bearer.len() > "Bearer ".len() { &all[..] } else { &all[..1] };
        self.send("POST", path, headers, offer).await
    }

    /// A stream key of the room.
    pub async fn key(&self) -> String {
        self.room("POST", "/stream-keys", None).await["key"].as_str().expect("a key").to_owned()
    }

    /// A session of WHIP that was begun by hand, with a new key: its path, its entity tag, the key.
    pub async fn session(&self) -> (String, String, String) {
        let key = self.key().await;
        let answer = self.offer("/whip/demo", &key, &publishing()).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        (header(&answer.headers, "location"), header(&answer.headers, "etag"), key)
    }

    /// The room is closed to the public.
    pub async fn close_room(&self) {
        self.room("PATCH", "", Some(json!({ "open": false }))).await;
    }

    pub fn endpoint(&self, protocol: &str) -> String {
        self.rig.http(&format!("/{protocol}/demo"))
    }

    pub fn options(&self, bearer: Option<String>) -> WhxOptions {
        WhxOptions { bearer, addresses: vec![([127, 0, 0, 1], 0).into()], quiet: false }
    }

    /// Publishes a picture of this codec and sound, with a new key, until the publication is dropped or ended.
    pub async fn publisher(&self, codec: Codec, widths: &[u16]) -> Publication {
        let key = self.key().await;
        self.publisher_with(key, codec, widths).await
    }

    pub async fn publisher_with(&self, bearer: String, codec: Codec, widths: &[u16]) -> Publication {
        let layer = |(rid, width): (&&str, &u16)| telstar_client::Layer {
            rid: (*rid).to_owned(),
            width: *width,
            height: width / 2,
            frame_rate: 25,
            bitrate_bps: 40_000,
        };
        let layers = ["l", "m", "h"].iter().zip(widths).map(layer).collect();
        let track = |codec, source, layers| LocalTrackOptions { codec, source, name: String::new(), layers };
        let tracks = vec![track(codec, Source::Camera, layers), track(Codec::Opus, Source::Microphone, Vec::new())];
        let opened = Publication::open(&self.endpoint("whip"), &self.options(Some(bearer)), tracks).await;
        let (mut publication, tracks) = opened.expect("the server takes it");
        timeout(PATIENCE, publication.connected()).await.expect("in time").expect("there is a way");
        for (track, kind) in tracks.into_iter().zip([Kind::Video, Kind::Audio]) {
            tokio::spawn(play(track, kind));
        }
        publication
    }

    /// Watches the room, which is live: pictures and sound.
    pub async fn viewer(&self, bearer: Option<String>, codecs: &[Codec]) -> Viewer {
        let opened = View::open(&self.endpoint("whep"), &self.options(bearer), codecs).await;
        let mut view = opened.expect("the server takes it");
        timeout(PATIENCE, view.connected()).await.expect("in time").expect("there is a way");
        let (mut pictures, mut sounds) = (None, None);
        while pictures.is_none() || sounds.is_none() {
            let track = timeout(PATIENCE, view.track()).await.expect("both come").expect("the connection stands");
            let slot = if track.kind() == Kind::Video { &mut pictures } else { &mut sounds };
            *slot = Some(note(track));
        }
        let (pictures, sounds) = (pictures.expect("they came"), sounds.expect("it came"));
        Viewer { view, pictures, sounds }
    }

    /// Everybody in the call, as moderators see it.
    pub async fn participants(&self) -> Vec<Value> {
        self.room("GET", "/participants", None).await["participants"].as_array().expect("a list").clone()
    }

    /// The room itself.
    pub async fn entry(&self) -> Arc<RoomEntry> {
        let name = RoomName::parse("demo").expect("a name");
        self.rig.running.state().rooms.get(&name).await.expect("the store answers").expect("it is there")
    }

    /// ffmpeg pushes this over RTMP, until it is dropped.
    pub async fn push(&self, arguments: &[&str]) -> Child {
        let (key, address) = (self.key().await, self.rig.running.addresses().rtmp.expect("RTMP is on"));
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "quiet", "-re"]).args(arguments);
        command.args(["-t", "120", "-f", "flv", &format!("rtmp://{address}/live/{key}")]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("ffmpeg runs")
    }

    /// Waits until the room's state is so.
    pub async fn live_becomes(&self, is_so: impl Fn(&RoomState) -> bool) {
        let mut live = self.entry().await.watch();
        let becomes = live.wait_for(|live| is_so(live));
        drop(timeout(PATIENCE, becomes).await.expect("in time").expect("the room stays"));
    }

    /// The playlists at these paths, once they are so. They are asked for again whenever there is something new.
    pub async fn playlists_become<const N: usize>(
        &self,
        paths: [&str; N],
        is_so: impl Fn(&str) -> bool,
    ) -> [String; N] {
        let mut listed = self.entry().await.live();
        let become_ = async {
            loop {
                listed.borrow_and_update();
                let mut playlists = [const { String::new() }; N];
                for (path, playlist) in paths.iter().zip(&mut playlists) {
                    let answer = self.send("GET", path, &[], "").await;
                    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
                    *playlist = answer.text;
                }
                if playlists.iter().all(|playlist| is_so(playlist)) {
                    return playlists;
                }
                listed.changed().await.expect("the room stays");
            }
        };
        timeout(2 * PATIENCE, become_).await.expect("they become so")
    }

    /// Waits until this many take part.
    pub async fn participants_become(&self, count: usize) {
        let become_ = async {
            while self.participants().await.len() != count {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, become_).await.unwrap_or_else(|_| panic!("{count} take part"));
    }

    /// Waits until this many sessions are left.
    pub async fn sessions_become(&self, count: usize) {
        let become_ = async {
            while self.rig.running.state().whx.count() != count {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let left = timeout(2 * PATIENCE, become_).await;
        left.unwrap_or_else(|_| panic!("{count} sessions, not {}", self.rig.running.state().whx.count()));
    }
}

/// Somebody who watches over WHEP.
pub struct Viewer {
    pub view: View,
    pub pictures: Watch,
    pub sounds: Watch,
}

fn note(mut track: telstar_client::ViewedTrack) -> Watch {
    let (sender, seen) = watch::channel(Vec::new());
    tokio::spawn(async move {
        while let Some(packet) = track.recv().await {
            if let Some(arrival) = Arrival::of(&packet) {
                sender.send_modify(|seen| seen.push(arrival));
            }
        }
    });
    Watch::new(seen)
}

pub fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().expect("headers are ASCII").to_owned()).unwrap_or_default()
}

/// Asserts that this is a problem with this status and code, readable by any page.
#[track_caller]
pub fn problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["access-control-allow-origin"], "*", "{code}");
    assert!(header(&answer.headers, "access-control-expose-headers").contains("retry-after"));
}

/// What stands in front of the media sections of an offer.
const HEAD: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=msid-semantic: WMS *\r\n";
/// What each media section has.
const TRANSPORT: &str = "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:them\r\na=ice-pwd:thempasswordthempassword\r\n\
    a=ice-options:trickle\r\na=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:\
    1A:1B:1C:1D:1E:1F\r\na=setup:actpass\r\na=rtcp-mux\r\na=rtcp-mux-only\r\n";

/// Sound and a picture by hand, each in this direction.
fn by_hand(direction: &str, msid: &str) -> String {
    format!(
        "{HEAD}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{TRANSPORT}a=mid:0\r\na={direction}\r\n{msid}a=rtpmap:111 opus/48000/2\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96 102\r\n{TRANSPORT}a=mid:1\r\na={direction}\r\n{msid}a=rtpmap:96 VP8/90000\r\n\
         a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:102 H264/90000\r\n\
         a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
    )
}

/// An offer of WHIP.
pub fn publishing() -> String {
    by_hand("sendonly", "a=msid:s t\r\n")
}

/// An offer of WHEP.
pub fn viewing() -> String {
    by_hand("recvonly", "")
}

/// A fragment with the credentials of the offers above, or others.
pub fn fragment(ufrag: &str, lines: &str) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{ufrag}passwordthempassword\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{lines}"
    )
}
