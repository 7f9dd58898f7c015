//! The calls of this node: one task for each room in which somebody takes part, which owns that call's core.
//!
//! In: joins and requests of connections, moderators over REST, what the media threads tell. Out: replies and events
//! for connections, commands for the media threads, facts for the webhooks. `telstar_signaling::call::Call` decides; it
//! knows no socket, and the media threads know no name.

mod ingests;
mod media;
mod seat;
mod task;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use telstar_signaling::Ticket;
use telstar_signaling::call::{
    Call, CallConfig, CallEvent, CallGrants, CallReply, CallRoom, ConnectionId, Ids, Joining, PeerNumber, Stage,
};
use telstar_signaling::wire::call::LeaveReason;
use telstar_signaling::wire::{CallRequest, ErrorCode, Label, Participant, ParticipantChange, ParticipantRef, Payload};
use telstar_units::{ParticipantId, TrackId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::auth::{Authority, Grant, Grants, TokenName};
use crate::data::wall_now;
use crate::rooms::{RoomEntry, Rooms};
use crate::shards::{RoomKey, Shards};
use crate::tasks::Tasks;
use crate::webhooks::Webhooks;

pub use media::kind_of;
pub use seat::{Publisher, Viewer, ingest_joining};

/// Messages that wait for one call's task. When it is full a request is answered `busy`, and a connection that cannot be
/// told of is closed as too slow. Guess: every participant of a full call asking twice at once.
const MAILBOX_MAX: usize = 1_024;
/// Replies and events that wait for one connection's task; beyond it the connection is closed with 4408. It never waits
/// for its socket, so that a full mailbox means that the machine is overloaded.
pub const DELIVERIES_MAX: usize = 512;

/// What reaches a connection from its call.
pub enum Delivery {
    /// The answer to a request.
    Reply(Ticket, Result<CallReply, ErrorCode>),
    /// An event.
    Event(CallEvent),
    /// An ingest or a viewer is over, and not by its own wish. They get no events.
    Over(LeaveReason),
}

/// The way to one connection.
#[derive(Clone)]
pub struct Mailbox {
    deliveries: mpsc::Sender<Delivery>,
    overflow: CancellationToken,
}

impl Mailbox {
    /// A mailbox, and the token that is cancelled when it overflows.
    pub fn new(deliveries: mpsc::Sender<Delivery>, overflow: CancellationToken) -> Mailbox {
        Mailbox { deliveries, overflow }
    }

    /// Hands over, or has the connection closed. One that is gone is no error: the call hears of it.
    fn deliver(&self, delivery: Delivery) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.deliveries.try_send(delivery) {
            self.overflow.cancel();
        }
    }
}

/// Somebody who wants to join, with the way back.
pub struct Newcomer {
    /// Which connection.
    pub connection: ConnectionId,
    /// Of the request.
    pub ticket: Ticket,
    /// Who, and what it may do.
    pub joining: Joining,
    /// Where replies and events go.
    pub mailbox: Mailbox,
    /// The token that it joined with: denied when a moderator removes it.
    pub token: Option<TokenName>,
}

/// A message from the server itself to participants.
pub struct DataMessage {
    /// To whom; `None` is everybody.
    pub to: Option<Vec<ParticipantRef>>,
    /// What it is about, in the app's words.
    pub label: Option<Label>,
    /// What it says.
    pub data: Payload,
}

/// Why a moderator's wish was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRefusal {
    /// Nobody of that number is in the call.
    NoParticipant,
    /// The participant publishes no track of that number.
    NoTrack,
    /// The call's mailbox is full.
    Busy,
}

/// What these grants of a credential allow in a call.
pub fn grants(grants: Grants) -> CallGrants {
    CallGrants {
        publish: grants.has(Grant::Publish),
        subscribe: grants.has(Grant::Subscribe),
        chat: grants.has(Grant::Chat),
        admin: grants.has(Grant::Admin),
    }
}

type Answer<T> = oneshot::Sender<Result<T, CallRefusal>>;

enum Message {
    Join(Box<Newcomer>),
    Request {
        connection: ConnectionId,
        ticket: Ticket,
        request: Box<CallRequest>,
    },
    Presence {
        connection: ConnectionId,
        away: bool,
    },
    Gone {
        connection: ConnectionId,
        reason: LeaveReason,
    },
    List {
        answer: Answer<Vec<Participant>>,
    },
    Read {
        participant: ParticipantId,
        answer: Answer<Participant>,
    },
    TokenOf {
        participant: ParticipantId,
        answer: Answer<Option<TokenName>>,
    },
    Update {
        participant: ParticipantId,
        change: ParticipantChange,
        answer: Answer<Participant>,
    },
    Remove {
        participant: ParticipantId,
        answer: Answer<()>,
    },
    Mute {
        participant: ParticipantId,
        track: TrackId,
        answer: Answer<Participant>,
    },
    Send {
        message: DataMessage,
        answer: Answer<()>,
    },
    Close {
        reason: LeaveReason,
    },
    /// What an ingest brings as frames.
    Fed {
        connection: ConnectionId,
        video: bool,
        audio: bool,
    },
    /// The room's call is mixed.
    MixBegun,
    /// The room's stream is over: nobody waits for its ingest to come back.
    StreamOver,
    View {
        connection: ConnectionId,
        ticket: Ticket,
        sdp: String,
        mailbox: Option<Mailbox>,
    },
    ViewerCandidate {
        connection: ConnectionId,
        candidate: String,
    },
    ViewerGone {
        connection: ConnectionId,
    },
}

/// How calls treat those who watch them.
#[derive(Clone, Copy, Debug)]
pub struct ViewerSettings {
    /// Viewers of one room.
    pub per_room_max: usize,
    /// How long viewers are kept after the ingest has gone, because it may come back.
    pub wait: Duration,
}

/// The numbers of participants, tracks, peer connections and clients of this process.
#[derive(Clone, Debug)]
struct Numbers {
    /// Shared with the rooms: an encoder has one number as a participant and as an ingest.
    participants: Arc<AtomicU64>,
    others: Arc<[AtomicU64; 3]>,
}

impl Numbers {
    fn take(&self, index: usize) -> u64 {
        self.others[index].fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Ids for Numbers {
    fn participant(&mut self) -> ParticipantId {
        ParticipantId(self.participants.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn track(&mut self) -> TrackId {
        TrackId(self.take(0))
    }

    fn peer(&mut self) -> PeerNumber {
        PeerNumber(self.take(1))
    }
}

/// The calls of this node. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Arc<Shards>,
    tasks: Tasks,
    numbers: Numbers,
    last_epoch: AtomicU64,
    /// Bounded by the rooms in the store: a call ends with its last participant.
    calls: Mutex<HashMap<RoomKey, CallHandle>>,
    authority: Arc<Authority>,
    webhooks: Webhooks,
    viewers: ViewerSettings,
}

/// The way to one call's task. Cheap to clone.
#[derive(Clone)]
pub struct CallHandle {
    mailbox: mpsc::Sender<Message>,
    counts: Arc<Counts>,
}

/// What a call's task has last said of itself.
#[derive(Default)]
struct Counts {
    participants: AtomicUsize,
    viewers: AtomicUsize,
    /// What there is to see and to hear of it.
    stage: watch::Sender<Stage>,
}

impl CallHandle {
    /// Passes a request on; false when the call's mailbox is full.
    pub fn request(&self, connection: ConnectionId, ticket: Ticket, request: CallRequest) -> bool {
        self.mailbox.try_send(Message::Request { connection, ticket, request: Box::new(request) }).is_ok()
    }

    /// The connection lost its socket, or has one again.
    pub async fn presence(&self, connection: ConnectionId, away: bool) {
        // The task ends only without participants.
        let _ = self.mailbox.send(Message::Presence { connection, away }).await;
    }

    /// The connection ended without saying so: its task was ended from outside.
    pub fn lost(self, connection: ConnectionId, tasks: &Tasks) {
        tasks.spawn("call-lost", async move { self.gone(connection, LeaveReason::Timeout).await });
    }

    /// The connection is gone.
    pub async fn gone(&self, connection: ConnectionId, reason: LeaveReason) {
        let _ = self.mailbox.send(Message::Gone { connection, reason }).await;
    }
}

impl Calls {
    /// No calls yet. Encoders that push frames into `rooms` take part in them from now on.
    pub fn start(
        shards: Arc<Shards>,
        rooms: &Rooms,
        viewers: ViewerSettings,
        authority: Arc<Authority>,
        webhooks: Webhooks,
        tasks: Tasks,
    ) -> Calls {
        let numbers = Numbers { participants: rooms.participant_numbers(), others: Arc::default() };
        let (last_epoch, calls) = (AtomicU64::new(0), Mutex::default());
        let inner = Inner { shards, tasks, numbers, last_epoch, calls, authority, webhooks, viewers };
        let calls = Calls { inner: Arc::new(inner) };
        if calls.inner.shards.has_calls() {
            calls.inner.tasks.spawn("fed ingests", ingests::follow(calls.clone(), rooms.clone()));
        }
        calls
    }

    /// Whether there can be calls, and WebRTC at all.
    pub fn are_on(&self) -> bool {
        self.inner.shards.has_calls()
    }

    /// A number for a client: of a connection, an ingest or a viewer.
    pub fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.inner.numbers.take(2))
    }

    /// Takes a newcomer into the room's call, which begins with the first. The call answers it, unless its mailbox is full or
    /// the room was deleted while the newcomer was on its way.
    pub fn join(&self, room: &Arc<RoomEntry>, newcomer: Newcomer) -> Result<CallHandle, ErrorCode> {
        // Under the lock, so that the call cannot end between finding it and telling it, and so that a deletion, which marks
        // the room before it looks for its call, finds every call that began before it.
        let mut calls = self.calls();
        if room.is_deleted() {
            return Err(ErrorCode::NotFound);
        }
        let handle = calls.entry(room.key()).or_insert_with(|| self.begin(room)).clone();
        handle.mailbox.try_send(Message::Join(Box::new(newcomer))).map_err(|_| ErrorCode::Busy)?;
        Ok(handle)
    }

    /// Asks the room's call to show its main picture. `NotFound`: there is no call, and so nothing to watch.
    fn view(&self, room: &RoomEntry, view: Message) -> Result<CallHandle, ErrorCode> {
        // Under the lock for the same reason.
        let calls = self.calls();
        let handle = calls.get(&room.key()).ok_or(ErrorCode::NotFound)?.clone();
        handle.mailbox.try_send(view).map_err(|_| ErrorCode::Busy)?;
        Ok(handle)
    }

    /// Begins the room's call. The caller holds the lock on the calls.
    fn begin(&self, room: &Arc<RoomEntry>) -> CallHandle {
        let (mailbox, inbox) = mpsc::channel(MAILBOX_MAX);
        let facts = room.facts();
        let call_room = CallRoom { name: facts.name.clone(), title: facts.title.clone(), mode: room.mode() };
        let seconds = u64::try_from(wall_now().0 / 1_000_000).unwrap_or_default();
        // Calls that begin within one second differ all the same. Nobody else moves it: see above.
        let epoch = seconds.max(self.inner.last_epoch.load(Ordering::Relaxed) + 1);
        self.inner.last_epoch.store(epoch, Ordering::Relaxed);
        let counts = Arc::<Counts>::default();
        let config = CallConfig { viewers_max: self.inner.viewers.per_room_max, ..CallConfig::default() };
        let core = Call::new(config, call_room, epoch);
        let task = task::CallTask::new(self.clone(), room, core, Arc::clone(&counts));
        self.inner.tasks.spawn("call", task.run(inbox));
        CallHandle { mailbox, counts }
    }

    /// Everybody in the room's call.
    pub async fn participants(&self, room: &RoomEntry) -> Result<Vec<Participant>, CallRefusal> {
        match self.handle(room) {
            Some(handle) => ask(&handle, |answer| Message::List { answer }).await,
            None => Ok(Vec::new()),
        }
    }

    /// One of them.
    pub async fn participant(&self, room: &RoomEntry, participant: ParticipantId) -> Result<Participant, CallRefusal> {
        self.ask(room, |answer| Message::Read { participant, answer }).await
    }

    /// The token that one of them joined with.
    pub async fn token_of(
        &self,
        room: &RoomEntry,
        participant: ParticipantId,
    ) -> Result<Option<TokenName>, CallRefusal> {
        self.ask(room, |answer| Message::TokenOf { participant, answer }).await
    }

    /// Changes a participant.
    pub async fn update(
        &self,
        room: &RoomEntry,
        participant: ParticipantId,
        change: ParticipantChange,
    ) -> Result<Participant, CallRefusal> {
        self.ask(room, |answer| Message::Update { participant, change, answer }).await
    }

    /// Removes a participant.
    pub async fn remove(&self, room: &RoomEntry, participant: ParticipantId) -> Result<(), CallRefusal> {
        self.ask(room, |answer| Message::Remove { participant, answer }).await
    }

    /// Mutes a participant's track. Only its owner unmutes it.
    pub async fn mute(
        &self,
        room: &RoomEntry,
        participant: ParticipantId,
        track: TrackId,
    ) -> Result<Participant, CallRefusal> {
        self.ask(room, |answer| Message::Mute { participant, track, answer }).await
    }

    /// Sends a message in the server's name. Nobody there is no error.
    pub async fn send_data(&self, room: &RoomEntry, message: DataMessage) -> Result<(), CallRefusal> {
        match self.handle(room) {
            Some(handle) => ask(&handle, |answer| Message::Send { message, answer }).await,
            None => Ok(()),
        }
    }

    /// Ends a room's call.
    pub async fn close(&self, room: &RoomEntry, reason: LeaveReason) {
        if let Some(handle) = self.handle(room) {
            let _ = handle.mailbox.send(Message::Close { reason }).await;
        }
    }

    /// Ends every call. Part of the shutdown.
    pub async fn close_all(&self) {
        let handles: Vec<CallHandle> = self.calls().values().cloned().collect();
        for handle in handles {
            let _ = handle.mailbox.send(Message::Close { reason: LeaveReason::Shutdown }).await;
        }
    }

    /// The room's call is mixed from now on: the media thread has the room, and may be told which sources the mix is fed to.
    pub async fn mix_begun(&self, room: &RoomEntry) {
        if let Some(handle) = self.handle(room) {
            let _ = handle.mailbox.send(Message::MixBegun).await;
        }
    }

    /// What there is to see and to hear of a room's call, now and as it changes; nobody takes part when it is over. `None`:
    /// there is no call.
    pub fn stage(&self, room: &RoomEntry) -> Option<watch::Receiver<Stage>> {
        self.handle(room).map(|handle| handle.counts.stage.subscribe())
    }

    /// Calls that go on.
    pub fn count(&self) -> usize {
        self.calls().len()
    }

    /// Participants of all of them together.
    pub fn participant_count(&self) -> usize {
        self.calls().values().map(|call| call.counts.participants.load(Ordering::Relaxed)).sum()
    }

    /// Viewers of all of them together.
    pub fn viewer_count(&self) -> usize {
        self.calls().values().map(|call| call.counts.viewers.load(Ordering::Relaxed)).sum()
    }

    async fn ask<T>(&self, room: &RoomEntry, message: impl FnOnce(Answer<T>) -> Message) -> Result<T, CallRefusal> {
        let handle = self.handle(room).ok_or(CallRefusal::NoParticipant)?;
        ask(&handle, message).await
    }

    fn handle(&self, room: &RoomEntry) -> Option<CallHandle> {
        self.calls().get(&room.key()).cloned()
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<RoomKey, CallHandle>> {
        self.inner.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask<T>(handle: &CallHandle, message: impl FnOnce(Answer<T>) -> Message) -> Result<T, CallRefusal> {
    let (answer, decided) = oneshot::channel();
    handle.mailbox.try_send(message(answer)).map_err(|_| CallRefusal::Busy)?;
    // The call may end before it comes to this: then nobody is there.
    decided.await.unwrap_or(Err(CallRefusal::NoParticipant))
}
