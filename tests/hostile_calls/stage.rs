//! A server with a call that must not notice, and a room of the attacker's own.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use telstar::config::IceLite;
use telstar::metrics::Metrics;
use tokio::net::UdpSocket;

use super::beside::Beside;
use super::cost::Work;
use super::process::{Memory, raise_file_limit};
use super::support::{PATIENCE, Rig};

/// Datagrams that are sent before the server is waited for: the kernel's queue holds them all, so that the other call loses
/// none there.
const WINDOW: u64 = 64;
/// How often a number of the server is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The bound for attacks that need nothing. What was measured is at most a third of it, both calls' buffers included.
pub const SMALL_MIB: u64 = 48;

pub struct Stage {
    pub rig: Rig,
    pub admin: String,
    beside: Beside,
    memory: Memory,
    work: Work,
    packets_before: u64,
    messages_before: u64,
    /// One attack at a time, so that the memory of this process is its own.
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl Stage {
    pub async fn set() -> Stage {
        Stage::set_with(|_| {}).await
    }

    pub async fn set_with(change: impl FnOnce(&mut telstar::Config)) -> Stage {
        let alone = ALONE.lock().await;
        raise_file_limit();
        let rig = Rig::start_with(|config| {
            // Only the attacker's checks go to and fro then.
            config.media.ice_lite = IceLite::On;
            change(config);
        })
        .await;
        let admin = rig.token(600).await;
        for title in ["beside", "attacker"] {
            rig.api(&admin, "POST", "/api/v1/rooms", Some(json!({ "title": title }))).await;
        }
        let beside = Beside::start(&rig, &admin).await;
        let mut stage = Stage {
            rig,
            admin,
            beside,
            memory: Memory::now(),
            work: Work::begin(),
            packets_before: 0,
            messages_before: 0,
            _alone: alone,
        };
        (stage.packets_before, stage.messages_before) = (stage.packets(), stage.messages());
        stage.others_are_undisturbed().await;
        stage
    }

    pub fn media(&self) -> std::net::SocketAddr {
        self.rig.running.addresses().media.expect("calls are on")
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

    /// Datagrams of nobody.
    pub fn strange(&self) -> u64 {
        self.metric("call_unknown_packets_total") + self.metric("call_alien_packets_total")
    }

    /// The call beside goes on, and nothing broke anywhere.
    pub async fn others_are_undisturbed(&self) {
        self.call_beside_goes_on().await;
        for panics in
            ["tasks_panics_total", "media_room_panics_total", "call_panics_total", "call_panicked_peers_total"]
        {
            assert_eq!(self.metric(panics), 0, "{panics}");
        }
        assert_eq!(self.metric("call_slow_rooms_total"), 0);
    }

    /// The call beside goes on, whatever became of the attacker.
    pub async fn call_beside_goes_on(&self) {
        self.beside.is_undisturbed().await;
    }

    /// As [`Stage::others_are_undisturbed`], behind a flood that no window could hold: the kernel's queue is the same for
    /// everybody, so that packets may be lost in it, which is what retransmission is for; sound has none.
    pub async fn calms_down(&self) {
        self.beside.begins_anew().await;
        self.others_are_undisturbed().await;
    }

    /// Less than `max_mib` of memory were added to the whole process since the stage was set, and the processor time is in
    /// proportion to what came and went, with as little beside it as the call beside needs.
    #[track_caller]
    pub fn costs_little(&self, max_mib: u64) {
        self.memory.stays_below(max_mib);
        let packets = self.packets() - self.packets_before;
        let messages = self.messages() - self.messages_before;
        self.work.is_in_proportion(packets, messages);
    }

    /// Datagrams that came and went.
    fn packets(&self) -> u64 {
        self.metric("call_received_packets_total") + self.metric("call_sent_packets_total")
    }

    /// Requests, and messages over WebSocket that came and went.
    fn messages(&self) -> u64 {
        ["ws_received_messages_total", "ws_sent_messages_total", "http_answered_requests_total"]
            .into_iter()
            .map(|name| self.metric(name))
            .sum()
    }

    /// Waits for a number of the server to become such. It changes when the server has noticed what a client did.
    pub async fn becomes(&self, what: &str, holds: impl Fn(&Stage) -> bool) {
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        let waiting = async {
            while !holds(self) {
                interval.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
    }

    /// A socket of somebody whom the server has never heard of.
    pub async fn stranger(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        socket.connect(self.media()).await.expect("an address");
        socket
    }

    /// Sends datagrams that the server must take for nobody's: it reads each, counts each, and answers none.
    pub async fn nobody_is_answered(&self, socket: &UdpSocket, count: u64, datagram: impl Fn(u64) -> Vec<u8>) {
        let before = self.strange();
        for number in 0..count {
            socket.send(&datagram(number)).await.expect("sent");
            if number % WINDOW == WINDOW - 1 || number == count - 1 {
                self.becomes("the server reads what is sent", |stage| stage.strange() > before + number).await;
            }
        }
        assert_eq!(self.strange(), before + count);
        nothing_came(socket).await;
    }
}

/// Nothing was sent to a socket.
pub async fn nothing_came(socket: &UdpSocket) {
    let mut bytes = [0; 2_048];
    match socket.try_recv(&mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        other => panic!("it was answered: {other:?} {:?}", &bytes[..64]),
    }
}
