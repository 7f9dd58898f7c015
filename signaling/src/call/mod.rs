//! The core of one room's call: who takes part, what they publish, who may do what.
//!
//! In: clients that join (their rights decided by the shell), their requests, what the media thread tells, `now`.
//! Out: [`CallEffect`]s: replies, events (written once, however many hear them), commands for the media thread, facts for webhooks.
//! It knows no socket and no packet, no token and no store; whoever is not a member of this call never hears of it.

mod admin;
mod api;
mod fan_out;
mod ingest;
mod media;
mod media_api;
mod member;
mod members;
mod mix;
mod requests;
mod stage;
#[cfg(test)]
mod tests;
mod viewers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use telstar_units::{ParticipantId, TrackId};

use crate::connection::Ticket;
use crate::topic::Version;
use crate::wire::call::MediaConnection;
use crate::wire::{ErrorCode, Participant, Track};

pub use api::*;
pub use media_api::*;
use member::{JoinCounts, Member};
pub use stage::{Stage, StageTrack};
use viewers::Viewers;

/// One call.
///
/// Drain rule: after every `handle_*` and `admin_*`, take effects from [`Call::poll_effect`] until `None` and carry them out in that
/// order. Call [`Call::handle_timeout`] when [`Call::poll_timeout`] has passed. Once [`Call::is_empty`] it may be
/// dropped, or kept for the next one who joins.
pub struct Call {
    config: CallConfig,
    room: CallRoom,
    /// `call:{room}`.
    topic: Arc<str>,
    /// Of the last change of state.
    version: Version,
    /// In the order in which they came, because ids grow.
    members: BTreeMap<ParticipantId, Member>,
    by_connection: BTreeMap<ConnectionId, ParticipantId>,
    by_identity: BTreeMap<String, ParticipantId>,
    /// Whose a peer connection is, and which.
    peers: BTreeMap<PeerNumber, (ParticipantId, MediaConnection)>,
    /// Whose a track is.
    tracks: BTreeMap<TrackId, ParticipantId>,
    /// Offers that the media thread has not answered, by the number that it gives back.
    offers: BTreeMap<u64, PendingOffer>,
    last_offer: u64,
    joins: JoinCounts,
    viewers: Viewers,
    /// What the media thread was told last of what the ingest feeds.
    fed: FedTracks,
    /// The sources of the call's mix, once somebody watches without an ingest.
    mix: Option<FedTracks>,
    /// Who spoke last, the newest first; at most [`stage::SPOKEN_MAX`].
    spoken: Vec<ParticipantId>,
    /// Every connection that hears, made anew when somebody comes or goes.
    everyone: Arc<[ConnectionId]>,
    log: VecDeque<CallEvent>,
    /// Whose connection quality is news, and when it is told.
    quality_news: BTreeSet<ParticipantId>,
    quality_due: Option<Instant>,
    effects: VecDeque<CallEffect>,
}

/// A `publish` that waits for the media thread.
struct PendingOffer {
    participant: ParticipantId,
    connection: ConnectionId,
    ticket: Ticket,
    /// The sections of the new tracks, and what they will be.
    tracks: Vec<(String, Track)>,
    /// The id of what will stand in for an ingest's picture.
    alternate: Option<TrackId>,
    deadline: Instant,
}

impl Call {
    /// A call in which nobody is. `epoch` must be greater than that of any earlier call of the same room.
    pub fn new(config: CallConfig, room: CallRoom, epoch: u64) -> Call {
        Call {
            config,
            topic: format!("call:{}", room.name).into(),
            room,
            version: Version { epoch, offset: 0 },
            members: BTreeMap::new(),
            by_connection: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            peers: BTreeMap::new(),
            tracks: BTreeMap::new(),
            offers: BTreeMap::new(),
            last_offer: 0,
            joins: JoinCounts::default(),
            viewers: Viewers::default(),
            fed: FedTracks::default(),
            mix: None,
            spoken: Vec::new(),
            everyone: Arc::default(),
            log: VecDeque::new(),
            quality_news: BTreeSet::new(),
            quality_due: None,
            effects: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<CallEffect> {
        self.effects.pop_front()
    }

    /// When [`Call::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Offers are answered within milliseconds and are few: a scan is cheap enough.
        let viewers = self.viewers.poll_timeout();
        self.offers.values().map(|offer| offer.deadline).chain(self.quality_due).chain(viewers).min()
    }

    /// Gives up offers that the media thread did not answer, and tells what was collected.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late: Vec<u64> =
            self.offers.iter().filter(|(_, offer)| offer.deadline <= now).map(|(number, _)| *number).collect();
        for number in late {
            let Some(offer) = self.offers.remove(&number) else { continue };
            self.reply(offer.connection, offer.ticket, Err(ErrorCode::Unavailable));
            // Should it be answered after all, its tracks are nobody's: they end now.
            for (_, track) in offer.tracks {
                self.media(MediaCommand::Unpublish { track: track.id.0 });
            }
        }
        if self.quality_due.is_some_and(|due| due <= now) {
            self.tell_quality();
        }
        self.refuse_late_viewers(now);
    }

    /// The room has another title now.
    pub fn handle_title(&mut self, title: String) {
        self.room.title = title;
    }

    /// Whether nobody is in the call, and nobody watches it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.viewers.count() == 0
    }

    /// How many take part.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Everybody, in the order in which they came.
    pub fn participants(&self) -> Vec<Participant> {
        self.members.values().map(Member::participant).collect()
    }

    /// The position of the last change of state.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The changes of state after a position, or `None` when they are not all kept any more, or the position is of another life
    /// of this call: then only the whole state helps.
    pub fn events_since(&self, position: Version) -> Option<Vec<CallEvent>> {
        let missed = self.version.offset.checked_sub(position.offset)?;
        let kept = usize::try_from(missed).ok().filter(|missed| *missed <= self.log.len())?;
        (position.epoch == self.version.epoch).then(|| self.log.iter().skip(self.log.len() - kept).cloned().collect())
    }

    fn reply(&mut self, connection: ConnectionId, ticket: Ticket, reply: Result<CallReply, ErrorCode>) {
        self.effects.push_back(CallEffect::Reply { connection, ticket, reply });
    }

    fn media(&mut self, command: MediaCommand) {
        self.effects.push_back(CallEffect::Media(command));
    }

    fn fact(&mut self, fact: Fact) {
        self.effects.push_back(CallEffect::Fact(fact));
    }
}
