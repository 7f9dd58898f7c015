//! What goes into a [`super::Call`] and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use telstar_units::{ParticipantId, RoomName, TrackId, WallTime};

use super::media_api::{MediaCommand, PeerNumber};
use crate::connection::Ticket;
use crate::topic::Version;
use crate::wire::call::{CallGrant, LeaveReason, Mode, ParticipantKind};
use crate::wire::{ErrorCode, Metadata, Name};

/// Participants of one call; the next one is answered `room_full`. Higher: every join, leave and speaker change is written more
/// often, and every joiner's state is longer. Guess: the largest meeting that a page can show as tiles.
pub const PARTICIPANTS_MAX: usize = 500;
/// Participants of a p2p room: each browser sends to each other one, so a fifth would need five uploads. Guess.
pub const P2P_PARTICIPANTS_MAX: usize = 4;
/// Joins of one identity within [`JOINS_WINDOW`]; the next one is answered `rate_limited`. Two devices of one identity that
/// push each other out stop here. Lower: a page that is reloaded often is refused. Guess.
pub const JOINS_PER_IDENTITY_MAX: u32 = 12;
/// See [`JOINS_PER_IDENTITY_MAX`].
pub const JOINS_WINDOW: Duration = Duration::from_secs(60);
/// Identities whose joins are counted; beyond it the one counted longest is forgotten. Costs 100 bytes each.
pub const JOIN_COUNTS_MAX: usize = 2_048;
/// Offers of one participant that wait for the media thread's answer; the next one is answered `busy`. Guess: camera, microphone, screen.
pub const OFFERS_MAX: usize = 4;
/// How long the media thread may take over an offer before the client is told `unavailable`. Guess: a hundred times what it takes.
pub const OFFER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of data messages that one participant may have delivered per second, receivers times length, in the long run; above it
/// `rate_limited`. Higher: one person can fill everybody's download. Guess: a cursor of 100 bytes, 30 times a second, to 500.
pub const DATA_BYTES_PER_SEC: u32 = 2 * 1024 * 1024;
/// The same at once: the longest message to everybody in a full call.
pub const DATA_BYTES_BURST: u32 = (crate::limits::DATA_BYTES_MAX * PARTICIPANTS_MAX) as u32;
/// Viewers of one call: connections that get the main picture and take part in nothing. The next one is answered `room_full`.
/// Higher: each costs a connection of the media thread, its share of the upload and 100 KiB. Guess: what one core sends.
pub const VIEWERS_MAX: usize = 1_000;
/// Changes of state that are kept, so that whoever missed some is told those and not everything. Costs the text of each.
pub const LOG_EVENTS_MAX: usize = 256;
/// How long changes of connection quality are collected before everybody is told. Guess: a tile's bars need no more.
pub const QUALITY_INTERVAL: Duration = Duration::from_secs(1);

/// How a call treats its participants.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// See [`PARTICIPANTS_MAX`].
    pub participants_max: usize,
    /// See [`crate::limits::TRACKS_MAX`].
    pub tracks_max: usize,
    /// See [`JOINS_PER_IDENTITY_MAX`].
    pub joins_per_identity_max: u32,
    /// See [`OFFER_TIMEOUT`].
    pub offer_timeout: Duration,
    /// See [`LOG_EVENTS_MAX`].
    pub log_events_max: usize,
    /// See [`VIEWERS_MAX`].
    pub viewers_max: usize,
}

impl Default for CallConfig {
    fn default() -> CallConfig {
        CallConfig {
            participants_max: PARTICIPANTS_MAX,
            tracks_max: crate::limits::TRACKS_MAX,
            joins_per_identity_max: JOINS_PER_IDENTITY_MAX,
            offer_timeout: OFFER_TIMEOUT,
            log_events_max: LOG_EVENTS_MAX,
            viewers_max: VIEWERS_MAX,
        }
    }
}

/// The room that the call is in.
#[derive(Clone, Debug)]
pub struct CallRoom {
    /// Its name.
    pub name: RoomName,
    /// Its title.
    pub title: String,
    /// How its media travels.
    pub mode: Mode,
}

/// One client, as the shell numbers them: a number stays the same over resumes and is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Where new numbers come from. The shell's, because they are unique within the process and not only within a room.
pub trait Ids {
    /// A participant's.
    fn participant(&mut self) -> ParticipantId;
    /// A track's.
    fn track(&mut self) -> TrackId;
    /// A peer connection's.
    fn peer(&mut self) -> PeerNumber;
}

/// Numbers in their order, for a shell that has one owner of all calls.
#[derive(Debug)]
pub struct SequentialIds {
    next: [u64; 3],
}

impl Default for SequentialIds {
    fn default() -> SequentialIds {
        SequentialIds { next: [1; 3] }
    }
}

impl SequentialIds {
    fn take(&mut self, index: usize) -> u64 {
        self.next[index] += 1;
        self.next[index] - 1
    }
}

impl Ids for SequentialIds {
    fn participant(&mut self) -> ParticipantId {
        ParticipantId(self.take(0))
    }

    fn track(&mut self) -> TrackId {
        TrackId(self.take(1))
    }

    fn peer(&mut self) -> PeerNumber {
        PeerNumber(self.take(2))
    }
}

/// What a participant may do, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallGrants {
    /// Publish tracks.
    pub publish: bool,
    /// Receive tracks.
    pub subscribe: bool,
    /// Send data messages without publishing.
    pub chat: bool,
    /// Mute, change and remove others.
    pub admin: bool,
}

impl CallGrants {
    /// Everything.
    pub const ALL: CallGrants = CallGrants { publish: true, subscribe: true, chat: true, admin: true };

    /// The set of a list.
    pub fn of(list: &[CallGrant]) -> CallGrants {
        let has = |grant| list.contains(&grant);
        CallGrants {
            publish: has(CallGrant::Publish),
            subscribe: has(CallGrant::Subscribe),
            chat: has(CallGrant::Chat),
            admin: has(CallGrant::Admin),
        }
    }

    /// The list of a set.
    pub fn list(self) -> Vec<CallGrant> {
        let all = [
            (self.publish, CallGrant::Publish),
            (self.subscribe, CallGrant::Subscribe),
            (self.chat, CallGrant::Chat),
            (self.admin, CallGrant::Admin),
        ];
        all.into_iter().filter(|(has, _)| *has).map(|(_, grant)| grant).collect()
    }
}

/// Somebody who wants to join and whose credential allows it: the shell has decided that.
#[derive(Clone)]
pub struct Joining {
    /// Who.
    pub identity: String,
    /// For people; the request's, else the credential's, else empty.
    pub name: Name,
    /// The application's own; the request's, else the credential's, else empty.
    pub metadata: Metadata,
    /// What joins.
    pub kind: ParticipantKind,
    /// What it may do.
    pub grants: CallGrants,
    /// Whether every track is received without asking.
    pub auto_subscribe: bool,
    /// The wall clock.
    pub joined_at: WallTime,
    /// The room's ingest, by the number that the room gave it. It hears nothing, so that it gets no events; it ends with its
    /// media; and somebody of the same identity may be in the call beside it.
    pub ingest: Option<ParticipantId>,
}

/// What the shell is asked to do, in this order.
pub enum CallEffect {
    /// Hand this to the connection: [`crate::Connection::handle_call_reply`].
    Reply {
        /// Which.
        connection: ConnectionId,
        /// Of the request.
        ticket: Ticket,
        /// The answer.
        reply: Result<CallReply, ErrorCode>,
    },
    /// Hand this to each of these connections: [`crate::Connection::handle_call_event`].
    Event {
        /// Which.
        to: Arc<[ConnectionId]>,
        /// What.
        event: CallEvent,
    },
    /// An ingest or a viewer is over, and not because it said so: the last that is heard of it.
    Over {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: LeaveReason,
    },
    /// Hand this to the room's media thread. None of a p2p room.
    Media(MediaCommand),
    /// Tell the webhooks.
    Fact(Fact),
}

/// The good answer to a request of a call.
#[derive(Clone)]
pub enum CallReply {
    /// To `join`.
    Joined {
        /// Who the client is now.
        participant: ParticipantId,
        /// `call:{room}`.
        topic: Arc<str>,
        /// The position of `state`.
        version: Version,
        /// The state, as JSON.
        state: Arc<RawValue>,
    },
    /// To `leave`.
    Left,
    /// To `publish`.
    Published {
        /// The answer.
        sdp: String,
        /// The new tracks' sections and ids.
        tracks: Vec<(String, TrackId)>,
    },
    /// To a viewer's offer.
    Watching {
        /// The answer.
        sdp: String,
    },
    /// To everything else.
    Done,
}

/// An event of a call. Cloning shares the text.
#[derive(Clone)]
pub struct CallEvent {
    /// What it is about, as far as a connection has to know.
    pub(crate) subject: CallSubject,
    /// The position, if it is a change of state.
    pub(crate) version: Option<Version>,
    /// The text behind `{"seq":N,`.
    pub(crate) tail: Arc<str>,
}

impl CallEvent {
    /// The position, if it is a change of state.
    pub fn version(&self) -> Option<Version> {
        self.version
    }
}

/// Waiting events of an equal subject are superseded, but for [`CallSubject::Once`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallSubject {
    /// Must arrive.
    Once,
    /// Must arrive, and ends the call for this connection.
    Left,
    /// The whole list each time.
    Speakers,
    /// The whole list each time.
    Slots,
    /// The whole list each time.
    Demand,
    /// The newest figures.
    Bandwidth,
}

/// What webhooks are told.
#[derive(Clone)]
pub enum Fact {
    /// The first participant is there.
    Started,
    /// The last participant is gone. The call holds nothing any more and can be dropped.
    Ended,
    /// Somebody joined.
    Joined(crate::wire::Participant),
    /// Somebody is gone.
    Left {
        /// Who.
        participant: crate::wire::Participant,
        /// Why.
        reason: LeaveReason,
    },
    /// A track began.
    Published {
        /// Whose.
        participant: crate::wire::ParticipantInfo,
        /// Which.
        track: crate::wire::Track,
    },
    /// A track ended.
    Unpublished {
        /// Whose.
        participant: crate::wire::ParticipantInfo,
        /// Which.
        track: crate::wire::Track,
    },
}
