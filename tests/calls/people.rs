//! The stage of a call and its people: [`Person`] has media, a bare [`Client`] has none.
#![expect(clippy::disallowed_methods, reason = "a test has no app whose shutdown would wait for its tasks")]

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use telstar::Config;
use telstar_client::{
    Call, Client as Connection, Codec, Credential, Event, Events, JoinOptions, Kind, Layer, LocalTrack,
    LocalTrackOptions, RtpPacket, Sample, Source, Subscription, Track,
};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Answer, Client, PATIENCE, Rig, code};

/// What people do in a call.
pub const EVERYTHING: [&str; 4] = ["join", "publish", "subscribe", "chat"];
/// The same, and moderation.
pub const MODERATOR: [&str; 5] = ["join", "publish", "subscribe", "chat", "admin"];
/// Pictures come this often; packets of sound last as long as Opus's usual ones.
const PICTURE: Duration = Duration::from_millis(40);
const SOUND: Duration = Duration::from_millis(20);
/// A keyframe at every so manieth picture, and whenever one is asked for.
const GOP: u32 = 25;
/// For what only the end of the time to resume brings.
const LONG: Duration = Duration::from_secs(60);
/// How loud everybody speaks (RFC 6464 §3). It moves, because a constant sound is not taken for speech.
const LEVELS: [u8; 4] = [20, 26, 23, 29];

/// A server with the room `demo`, and its owner's token.
pub struct Stage {
    pub rig: Rig,
    pub admin: String,
    _turn: Option<SemaphorePermit<'static>>,
}

/// Calls with media at one time: with all of them at once a small machine is too busy to send in time, and the server
/// rightly takes that for a narrow path.
static TURNS: Semaphore = Semaphore::const_new(2);

impl Stage {
    pub async fn start() -> Stage {
        Stage::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Stage {
        let rig = Rig::start_with(change).await;
        let admin = rig.token(600).await;
        Stage { rig, admin, _turn: None }
    }

    /// A stage for people with media, when it is their turn.
    pub async fn with_media() -> Stage {
        Stage::with_media_and(|_| {}).await
    }

    pub async fn with_media_and(change: impl FnOnce(&mut Config)) -> Stage {
        let turn = TURNS.acquire().await.expect("nobody closes it");
        Stage { _turn: Some(turn), ..Stage::start_with(change).await }
    }

    pub fn ws(&self) -> String {
        format!("ws://{}/ws", self.rig.host())
    }

    /// One request of the room's owner, which must succeed. The path is below the room.
    pub async fn room(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.rig.api(&self.admin, method, &format!("/api/v1/rooms/demo{path}"), body).await.body
    }

    /// The same where a refusal is expected.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {}", self.admin);
        self.rig.ask(method, &format!("/api/v1/rooms/demo{path}"), &[("authorization", &bearer)], body).await
    }

    pub async fn token(&self, identity: &str, grants: &[&str]) -> String {
        let body = json!({ "room": "demo", "identity": identity, "name": identity, "grants": grants });
        let made = self.rig.api(&self.admin, "POST", "/api/v1/tokens", Some(body)).await.body;
        made["token"].as_str().expect("a token").to_owned()
    }

    /// Somebody with media.
    pub async fn person(&self, identity: &str) -> Person {
        self.person_at(&self.ws(), identity, JoinOptions::default()).await
    }

    pub async fn person_at(&self, address: &str, identity: &str, options: JoinOptions) -> Person {
        let token = self.token(identity, &EVERYTHING).await;
        Person::join(address, token, options).await
    }

    /// Somebody without media, who asks for none: the connection and the reply to `join`.
    pub async fn guest(&self, identity: &str, grants: &[&str]) -> (Client, Value) {
        let mut client = self.rig.connect().await;
        let joined = enter(&mut client, &self.token(identity, grants).await).await;
        assert_eq!(code(&joined), "ok", "{joined}");
        (client, joined)
    }
}

/// Joins the room `demo`; the reply.
pub async fn enter(client: &mut Client, token: &str) -> Value {
    client.request(json!({ "type": "authenticate", "token": token })).await;
    client.ask(json!({ "type": "join", "room": "demo", "kind": "device", "auto_subscribe": false })).await
}

/// Reads to the end: the reason of the one `left`, and the code of the close frame behind it.
pub async fn last_words(mut client: Client) -> (String, u16) {
    let mut reason = None;
    loop {
        match client.frame().await {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).expect("the server speaks JSON");
                if message["type"] == "left" {
                    let before = reason.replace(message["reason"].as_str().expect("a reason").to_owned());
                    assert_eq!(before, None, "it is said once");
                }
            }
            Some(Ok(Message::Close(Some(frame)))) => return (reason.expect("`left` comes first"), frame.code.into()),
            Some(Ok(_)) => {}
            other => panic!("expected a close frame: {other:?}"),
        }
    }
}

/// Who a reply to `join` says one is.
pub fn id_of(joined: &Value) -> String {
    joined["participant"].as_str().expect("an id").to_owned()
}

/// A participant with media.
pub struct Person {
    pub call: Call,
    events: Events,
}

impl Person {
    pub async fn join(address: &str, token: String, options: JoinOptions) -> Person {
        let client = Connection::connect(address, Credential::Token(token)).await.expect("the server is there");
        let addresses = vec![([127, 0, 0, 1], 0).into()];
        let call = client.join("demo", JoinOptions { addresses, ..options }).await.expect("the room is there");
        let events = call.events();
        Person { call, events }
    }

    /// The first event from which this makes something.
    #[track_caller]
    pub fn until<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> impl Future<Output = T> {
        let caller = std::panic::Location::caller();
        async move {
            let mut seen = Vec::new();
            let found = async {
                loop {
                    let event = self.events.next().await.unwrap_or_else(|| panic!("{caller}: the call ended"));
                    match pick(&event) {
                        Some(found) => return found,
                        None => seen.push(format!("{event:?}").chars().take(120).collect::<String>()),
                    }
                }
            };
            let found = timeout(LONG, found).await;
            found.unwrap_or_else(|_| panic!("what {caller} waits for never comes: {seen:#?}"))
        }
    }

    /// A track of somebody else, when it is there.
    pub async fn track_of(&mut self, identity: &str, kind: Kind) -> Track {
        let find = |call: &Call| {
            let all = call.participants();
            let publisher = all.into_iter().find(|one| one.identity == identity)?;
            publisher.tracks.into_iter().find(|track| track.kind == kind)
        };
        let found = async {
            loop {
                // The list is as new as the events that were told; after a miss the next event may bring it.
                if let Some(track) = find(&self.call) {
                    return track;
                }
                self.events.next().await.expect("the call goes on");
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{identity} publishes no {kind:?}"))
    }

    /// Reads a track from now on.
    pub async fn watch(&self, track: &str) -> Watch {
        self.watch_as(track, Subscription::default()).await
    }

    pub async fn watch_as(&self, track: &str, subscription: Subscription) -> Watch {
        let mut remote = self.call.subscribe(track, subscription).await.expect("the track is there");
        let (sender, seen) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Some(packet) = remote.recv().await {
                if let Some(arrival) = Arrival::of(&packet) {
                    sender.send_modify(|seen| seen.push(arrival));
                }
            }
        });
        Watch { seen }
    }

    /// Watches what somebody publishes.
    pub async fn watch_of(&mut self, identity: &str, kind: Kind) -> Watch {
        let track = self.track_of(identity, kind).await;
        self.watch(&track.id).await
    }

    /// Publishes pictures or sound until the call ends or the track is taken out; the track's id.
    pub async fn publish(&self, kind: Kind) -> String {
        self.publish_layers(kind, &[]).await
    }

    /// Publishes one encoding for each width.
    pub async fn publish_layers(&self, kind: Kind, widths: &[u16]) -> String {
        let layer = |(rid, width): (&&str, &u16)| Layer {
            rid: (*rid).to_owned(),
            width: *width,
            height: width / 2,
            frame_rate: 25,
            bitrate_bps: 40_000,
        };
        let (codec, source) = match kind {
            Kind::Video => (Codec::Vp8, Source::Camera),
            Kind::Audio => (Codec::Opus, Source::Microphone),
        };
        let layers = ["l", "m", "h"].iter().zip(widths).map(layer).collect();
        let options = LocalTrackOptions { codec, source, name: String::new(), layers };
        let track = self.call.publish(options).await.expect("the server takes it");
        let id = track.id().to_owned();
        tokio::spawn(play(track, kind));
        id
    }
}

/// Writes pictures or sound until the track ends.
pub async fn play(mut track: LocalTrack, kind: Kind) {
    let every = if kind == Kind::Video { PICTURE } else { SOUND };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0_u32.. {
        ticks.tick().await;
        for layer in 0..track.layers() {
            let keyframe = track.take_keyframe_request(layer) || number % GOP == 0;
            let data = match kind {
                Kind::Video => picture(number, layer as u8, keyframe),
                Kind::Audio => sound(number),
            };
            let level = (kind == Kind::Audio).then_some(LEVELS[number as usize % LEVELS.len()]);
            if track.write_sample(layer, &Sample { data, at: every * number, level }).await.is_err() {
                return;
            }
        }
    }
}

/// Bytes of a keyframe's header (RFC 6386 §9.1); our other pictures have as many.
const PICTURE_HEADER: usize = 10;
/// What marks our payloads, before the layer and the number of the picture or of the packet of sound.
const MARK: &[u8] = b"mark";

/// A frame of VP8 with its header (RFC 6386 §9.1) and nothing that could be shown, small enough for one packet.
fn picture(number: u32, layer: u8, keyframe: bool) -> Bytes {
    let mut data = BytesMut::zeroed(PICTURE_HEADER);
    data[0] = 0x10 | u8::from(!keyframe); // shown
    data[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00]);
    marked(data, layer, number, 200)
}

/// A packet of Opus of 20 ms (RFC 6716 §3.1).
fn sound(number: u32) -> Bytes {
    marked(BytesMut::from(&[0xfc][..]), 0, number, 80)
}

fn marked(mut data: BytesMut, layer: u8, number: u32, length: usize) -> Bytes {
    data.put_slice(MARK);
    data.put_u8(layer);
    data.put_u32(number);
    data.resize(length, 0x55);
    data.freeze()
}

/// A packet that came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub at: Instant,
    pub sequence: u16,
    pub layer: u8,
    pub number: u32,
    /// A picture that needs no other.
    pub is_keyframe: bool,
}

impl Arrival {
    pub fn of(packet: &RtpPacket) -> Option<Arrival> {
        let mark = packet.payload.windows(MARK.len()).position(|window| window == MARK)?;
        let rest = packet.payload.get(mark + MARK.len()..)?.get(..5)?;
        // Sound has one byte in front of the mark, a picture its header.
        let is_keyframe = mark >= PICTURE_HEADER && packet.payload[mark - PICTURE_HEADER] & 1 == 0;
        let number = u32::from_be_bytes(rest[1..].try_into().ok()?);
        Some(Arrival {
            at: Instant::now(),
            sequence: packet.header.sequence_number,
            layer: rest[0],
            number,
            is_keyframe,
        })
    }
}

/// What came of a track.
pub struct Watch {
    seen: watch::Receiver<Vec<Arrival>>,
}

impl Watch {
    /// Of what somebody else notes.
    #[allow(dead_code, reason = "the tests of WHIP and WHEP read viewers with it, those of calls make theirs here")]
    pub fn new(seen: watch::Receiver<Vec<Arrival>>) -> Watch {
        Watch { seen }
    }

    pub fn count(&self) -> usize {
        self.seen.borrow().len()
    }

    /// Waits for so many more packets.
    #[track_caller]
    pub fn more(&mut self, count: usize) -> impl Future<Output = ()> {
        let (caller, target) = (std::panic::Location::caller(), self.count() + count);
        async move {
            let came = async { self.seen.wait_for(|seen| seen.len() >= target).await.is_ok() };
            let came = timeout(PATIENCE, came).await;
            assert_eq!(came, Ok(true), "{caller}: only {} of {target} packets", self.count());
        }
    }

    /// Waits for the first packet of which this holds.
    #[track_caller]
    pub fn until(&mut self, holds: impl Fn(&Arrival) -> bool) -> impl Future<Output = ()> {
        let (caller, from) = (std::panic::Location::caller(), self.count());
        async move {
            let came = async { self.seen.wait_for(|seen| seen[from..].iter().any(&holds)).await.is_ok() };
            let came = timeout(PATIENCE, came).await;
            assert_eq!(came, Ok(true), "{caller}: it never comes, in {} packets", self.count() - from);
        }
    }

    /// Waits for the end of the track.
    pub async fn ended(&mut self) {
        let ended = async { while self.seen.changed().await.is_ok() {} };
        timeout(PATIENCE, ended).await.expect("the track ends");
    }

    /// Waits until nothing has come for this long.
    pub async fn quiet_for(&mut self, pause: Duration) {
        let quiet = async { while timeout(pause, self.seen.changed()).await.is_ok_and(|changed| changed.is_ok()) {} };
        timeout(PATIENCE, quiet).await.expect("it falls silent");
    }

    /// Everything from the first packet on has come, once and in its order.
    #[track_caller]
    pub fn assert_whole(&self) {
        let mut seen = self.seen.borrow().clone();
        let first = *seen.first().expect("something came");
        // What was lost on the way comes again, behind what was sent after it: its sequence number says where it belongs.
        seen.sort_by_key(|arrival| arrival.sequence.wrapping_sub(first.sequence) as i16);
        // What was asked for again may come twice, and is then the same.
        seen.dedup_by_key(|arrival| (arrival.sequence, arrival.number));
        for pair in seen.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "sequence numbers have no gap: {pair:?}");
            // On a machine that is too busy to send in time the server takes the path for narrow and leaves pictures out;
            // what follows then begins with a keyframe.
            let left_out = pair[1].is_keyframe && pair[1].number > pair[0].number;
            assert!(
                left_out || pair[1].number == pair[0].number + 1,
                "nothing is lost, doubled or overtaken: {pair:?}"
            );
        }
    }

    /// The longest time without a packet, from `since` until now.
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let times = self.seen.borrow().iter().map(|arrival| arrival.at).filter(|at| *at >= since).collect::<Vec<_>>();
        let ends = [&[since], times.as_slice(), &[Instant::now()]].concat();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
