//! A server with a victim: a stream with a player beside the attack, and a room of the attacker's own.

use std::sync::Arc;

use serde_json::json;
use telstar::metrics::Metrics;
use telstar_rtmp::chunk::message_type;
use telstar_signaling::wire::RoomState;
use telstar_units::RoomName;

use super::process::{Memory, raise_file_limit};
use super::rtmp::{Client, FRAME_MS, PATIENCE};
use super::support::Rig;

/// The bound for attacks that were measured to need nothing: at most 9 MiB, the attacker's end included.
pub const SMALL_MIB: u64 = 32;
/// Pictures of one look at the stream beside the attack.
const LOOK_FRAMES: u32 = 10;

pub struct Stage {
    pub rig: Rig,
    pub admin: String,
    /// A stream key of the room `attacker`.
    pub key: String,
    beside: Beside,
    memory: Memory,
    /// One attack at a time, so that the memory of this process is its own.
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The stream that must not be disturbed.
struct Beside {
    encoder: Client,
    player: Client,
    pushed: u32,
}

impl Stage {
    pub async fn set(change: impl FnOnce(&mut telstar::Config)) -> Stage {
        let alone = ALONE.lock().await;
        raise_file_limit();
        let rig = Rig::start_with(|config| {
            // On a loaded machine an honest encoder may be silent for long; no attack here is about that.
            config.rtmp.idle_timeout_secs = 600;
            config.rtmp.handshake_timeout_secs = 60;
            config.rtmp.publish_timeout_secs = 120;
            change(config);
        })
        .await;
        let admin = rig.token(600).await;
        rig.api(&admin, "POST", "/api/v1/rooms", Some(json!({ "title": "attacker" }))).await;
        let made = rig.api(&admin, "POST", "/api/v1/rooms/attacker/stream-keys", None).await.body;
        let key = made["key"].as_str().expect("a key").to_owned();
        let first_key = rig.running.first_stream_key().expect("this is the first start").expose().to_owned();
        let address = rig.running.addresses().rtmp.expect("RTMP is on");
        let mut encoder = Client::connect(address).await;
        encoder.introduce(&[]).await;
        encoder.publish(&first_key).await;
        encoder.until_code("NetStream.Publish.Start").await;
        let mut player = Client::connect(address).await;
        player.introduce(&[]).await;
        player.play("demo").await;
        player.until_code("NetStream.Play.Start").await;
        let beside = Beside { encoder, player, pushed: 0 };
        let mut stage = Stage { rig, admin, key, beside, memory: Memory::now(), _alone: alone };
        stage.others_are_undisturbed().await;
        stage.memory = Memory::now();
        stage
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.rig.running.addresses().rtmp.expect("RTMP is on")).await
    }

    /// A client that has introduced itself.
    pub async fn introduced(&self) -> Client {
        let mut client = self.client().await;
        client.introduce(&[]).await;
        client.until_code("NetConnection.Connect.Success").await;
        client
    }

    /// The attacker, let in with its key.
    pub async fn publisher(&self) -> Client {
        let mut client = self.introduced().await;
        client.publish(&self.key).await;
        client.until_code("NetStream.Publish.Start").await;
        client
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.rig.running.state().metrics
    }

    /// A number of `/metrics`.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.metrics().encode();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.split(' ').nth(1)).unwrap_or_else(|| panic!("{name} in {text}"));
        value.parse().expect("a whole number")
    }

    /// The stream beside the attack goes on: what its encoder sends now reaches its player, each picture once, in order.
    pub async fn others_are_undisturbed(&mut self) {
        let Beside { encoder, player, pushed } = &mut self.beside;
        assert!(encoder.push(LOOK_FRAMES).await, "the other encoder is connected");
        let mut seen = *pushed;
        *pushed += LOOK_FRAMES;
        while seen < *pushed {
            let (kind, time, body) = player.media().await.expect("the other player is connected");
            if kind == message_type::VIDEO && body[1] == 1 {
                let number = u32::from_be_bytes(body[body.len() - 4..].try_into().expect("four bytes"));
                assert_eq!((number, time), (seen, seen * FRAME_MS), "no picture is lost, doubled or late");
                seen += 1;
            }
        }
        assert_eq!(self.metric("tasks_panics_total") + self.metric("media_room_panics_total"), 0);
    }

    /// The most memory that this process, which holds the attacker as well, had at any time of the attack is less than
    /// `max_mib` more than before. The bounds are about twice what was measured: another allocator passes, and a server
    /// that believes a claim does not.
    pub fn memory_stays_below(&self, max_mib: u64) {
        self.memory.stays_below(max_mib);
    }

    /// Waits for a number of the server to become such. It changes when the server has noticed what a client did.
    pub async fn becomes(&self, what: &str, holds: impl Fn(&Metrics) -> bool) {
        let waiting = async {
            while !holds(self.metrics()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
    }

    /// Waits for a room's state to become such.
    pub async fn room_becomes(&self, room: &str, holds: impl Fn(&RoomState) -> bool) {
        let name = RoomName::parse(room).expect("a room name");
        let entry = self.rig.running.state().rooms.get(&name).await.expect("readable").expect("there");
        let mut state = entry.watch();
        let waiting = async {
            while !holds(&state.borrow_and_update()) {
                state.changed().await.expect("the room is there");
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the room comes to say it");
    }

    /// Frames that came and could not be used.
    pub fn unusable_frames(&self) -> u64 {
        self.metric("media_unusable_frames_total")
    }

    /// Frames that full rings of outputs did not take.
    pub fn frames_dropped(&self) -> u64 {
        self.metric("media_dropped_frames_total")
    }
}
