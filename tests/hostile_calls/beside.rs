//! The call that must not notice: Alice's voice and picture reach Bob through the whole attack, and so does what she says
//! in data messages.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use telstar_client::{
    Call, Client, Codec, Credential, Event, JoinOptions, LocalTrack, LocalTrackOptions, RemoteTrack, Sample, Source,
    Subscription,
};
use tokio::task::JoinHandle;

use super::support::{PATIENCE, Rig};

/// One packet of sound, and one picture of one packet.
const INTERVAL: Duration = Duration::from_millis(20);
/// Every so many of them there is a data message.
const DATA_EVERY: u32 = 10;
/// The longest that nothing may come while Alice sends, and as late on top as the machine made herself, and Bob.
const GAP_MAX: Duration = Duration::from_secs(2);
/// Where the number stands in a payload, from its end.
const NUMBER_BYTES: usize = 4;

/// What has arrived of one kind, by its numbers.
#[derive(Default)]
struct Arrived {
    first: Option<u32>,
    /// Which, from the first on, with the sequence number of each.
    seen: Vec<Option<u16>>,
    last: Option<Instant>,
    longest_gap: Duration,
    doubled: u32,
}

impl Arrived {
    /// The same packet may come again: what looks for bandwidth is made of retransmissions (RFC 4588), and the client hands
    /// them out.
    fn note(&mut self, number: u32, sequence: u16) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.longest_gap = self.longest_gap.max(now - last);
        }
        // What was on its way before the first was overtaken by it.
        let Some(index) = number.checked_sub(*self.first.get_or_insert(number)) else { return };
        let index = index as usize;
        if self.seen.len() <= index {
            self.seen.resize(index + 1, None);
        }
        let before = self.seen[index].replace(sequence);
        self.doubled += u32::from(before.is_some_and(|before| before != sequence));
    }

    /// Everything from the first to `number` is there.
    fn has_all_to(&self, number: u32) -> bool {
        let count = self.first.map(|first| number.saturating_sub(first) as usize + 1);
        count.is_some_and(|count| self.seen.len() >= count && self.seen[..count].iter().all(Option::is_some))
    }

    /// Of everything up to `number`, whatever the server has forwarded is there: the sequence numbers that it gave have no gap.
    fn has_all_forwarded_to(&self, number: u32) -> bool {
        let seen: Vec<(usize, u16)> =
            self.seen.iter().enumerate().filter_map(|(index, seen)| seen.map(|sequence| (index, sequence))).collect();
        let reaches =
            self.first.zip(seen.last()).is_some_and(|(first, (last, _))| first as usize + last >= number as usize);
        reaches && seen.windows(2).all(|pair| pair[1].1 == pair[0].1.wrapping_add(1))
    }

    fn missing(&self) -> Vec<usize> {
        self.seen.iter().enumerate().filter(|(_, seen)| seen.is_none()).map(|(index, _)| index).collect()
    }
}

#[derive(Default)]
struct Shared {
    sent: AtomicU32,
    /// How late Alice was at worst, in milliseconds: the machine was too busy to run her task.
    late_ms: AtomicU64,
    stop: AtomicBool,
    arrived: [Mutex<Arrived>; 3],
}

const KINDS: [&str; 3] = ["sound", "pictures", "data"];

pub struct Beside {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    _bob: Call,
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Beside {
    pub async fn start(rig: &Rig, admin: &str) -> Beside {
        let alice = join(rig, admin, "alice").await;
        let bob = join(rig, admin, "bob").await;
        let mut events = bob.events();
        let sound = publish(&alice, Codec::Opus, Source::Microphone).await;
        let picture = publish(&alice, Codec::Vp8, Source::Camera).await;
        let heard = bob.subscribe(sound.id(), Subscription::default()).await.expect("Bob may hear");
        let seen = bob.subscribe(picture.id(), Subscription::default()).await.expect("Bob may see");
        let shared = Arc::<Shared>::default();
        let data = Arc::clone(&shared);
        let tasks = vec![
            tokio::spawn(send(alice, sound, picture, Arc::clone(&shared))),
            tokio::spawn(receive(heard, Arc::clone(&shared), 0)),
            tokio::spawn(receive(seen, Arc::clone(&shared), 1)),
            tokio::spawn(async move {
                let mut count = 0u16;
                while let Some(event) = events.next().await {
                    if let Event::Data { data: number, .. } = event {
                        count = count.wrapping_add(1);
                        data.note(2, number.as_u64().expect("a number") as u32, count);
                    }
                }
            }),
        ];
        let beside = Beside { shared, tasks, _bob: bob };
        beside.becomes(|shared| shared.arrived.iter().all(|arrived| lock(arrived).seen.len() > 1)).await;
        beside
    }

    /// What Alice has sent until now arrives: each once, and sound and data were never silent for long.
    pub async fn is_undisturbed(&self) {
        let sent = self.shared.sent.load(Ordering::Relaxed);
        let all = |shared: &Shared| {
            let [sound, pictures, data] = &shared.arrived;
            lock(sound).has_all_to(sent)
                && lock(pictures).has_all_forwarded_to(sent)
                && lock(data).has_all_to(sent / DATA_EVERY)
        };
        self.becomes(all).await;
        let late = Duration::from_millis(self.shared.late_ms.load(Ordering::Relaxed));
        for (kind, arrived) in KINDS.iter().zip(&self.shared.arrived) {
            let arrived = lock(arrived);
            assert_eq!(arrived.doubled, 0, "{kind}: nothing is doubled");
            // On a machine that is too busy to send in time the server takes the path for narrow and leaves pictures out for a
            // while; sound and data it never does.
            let is_silent = *kind != "pictures" && arrived.longest_gap >= GAP_MAX + 2 * late;
            assert!(!is_silent, "{kind}: nothing came for {:?}, Alice was late by {late:?}", arrived.longest_gap);
        }
    }

    /// Forgets what was lost until now; what was silent is not forgotten.
    pub async fn begins_anew(&self) {
        for arrived in &self.shared.arrived[..2] {
            let mut arrived = lock(arrived);
            let (last, longest_gap) = (arrived.last, arrived.longest_gap);
            *arrived = Arrived { last, longest_gap, ..Arrived::default() };
        }
        self.becomes(|shared| shared.arrived.iter().all(|arrived| lock(arrived).seen.len() > 1)).await;
    }

    async fn becomes(&self, holds: impl Fn(&Shared) -> bool) {
        let mut interval = tokio::time::interval(INTERVAL);
        let waiting = async {
            while !holds(&self.shared) {
                interval.tick().await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let missing: Vec<_> =
                self.shared.arrived.iter().map(|arrived| shortened(&lock(arrived).missing())).collect();
            panic!("of {KINDS:?} these never came: {missing:?}");
        }
    }
}

/// So many numbers say enough.
fn shortened(numbers: &[usize]) -> String {
    format!("{} of them: {:?}", numbers.len(), &numbers[..numbers.len().min(20)])
}

impl Shared {
    fn note(&self, kind: usize, number: u32, sequence: u16) {
        lock(&self.arrived[kind]).note(number, sequence);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enters the room `beside` with a room token.
pub async fn join(rig: &Rig, admin: &str, identity: &str) -> Call {
    join_room(rig, admin, "beside", identity).await
}

pub async fn join_room(rig: &Rig, admin: &str, room: &str, identity: &str) -> Call {
    let token = room_token(rig, admin, room, identity).await;
    let address = format!("ws://{}/ws", rig.host());
    let client = Client::connect(&address, Credential::Token(token)).await.expect("the server is there");
    let options = JoinOptions { addresses: vec![([127, 0, 0, 1], 0).into()], ..JoinOptions::default() };
    client.join(room, options).await.expect("the room is there")
}

pub async fn room_token(rig: &Rig, admin: &str, room: &str, identity: &str) -> String {
    let body = json!({ "room": room, "identity": identity });
    let made = rig.api(admin, "POST", "/api/v1/tokens", Some(body)).await.body;
    made["token"].as_str().expect("a token").to_owned()
}

async fn publish(call: &Call, codec: Codec, source: Source) -> LocalTrack {
    let options = LocalTrackOptions { codec, source, name: String::new(), layers: Vec::new() };
    call.publish(options).await.expect("Alice may publish")
}

/// Sends as long as it is wanted: a picture is a keyframe at every tenth, and each carries its number at its end.
async fn send(alice: Call, mut sound: LocalTrack, mut picture: LocalTrack, shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(INTERVAL);
    for number in 0u32.. {
        let due = interval.tick().await;
        shared.late_ms.fetch_max(due.elapsed().as_millis() as u64, Ordering::Relaxed);
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let at = INTERVAL * number;
        let payload = |first: u8, length: usize| {
            let mut payload = vec![first; length];
            payload[length - NUMBER_BYTES..].copy_from_slice(&number.to_be_bytes());
            Bytes::from(payload)
        };
        let voice = Sample { data: payload(0x78, 60), at, level: Some(30) };
        sound.write_sample(0, &voice).await.expect("sound is sent");
        let mut shown = Sample { data: payload(u8::from(!number.is_multiple_of(10)), 200), at, level: None };
        if !number.is_multiple_of(10) && picture.take_keyframe_request(0) {
            shown.data = payload(0, 200);
        }
        picture.write_sample(0, &shown).await.expect("a picture is sent");
        if number.is_multiple_of(DATA_EVERY) {
            alice.send_data(&[], None, json!(number / DATA_EVERY)).await.expect("data is sent");
        }
        shared.sent.store(number, Ordering::Relaxed);
    }
}

async fn receive(mut track: RemoteTrack, shared: Arc<Shared>, kind: usize) {
    while let Some(packet) = track.recv().await {
        // Padding that looks for bandwidth carries nothing.
        if let Some(number) = packet.payload.last_chunk::<NUMBER_BYTES>() {
            shared.note(kind, u32::from_be_bytes(*number), packet.header.sequence_number);
        }
    }
}
