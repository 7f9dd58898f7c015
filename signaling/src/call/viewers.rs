//! Who watches a call without being in it: connections that get the main picture and sound, whatever they are at the moment.
//!
//! A viewer offers and is answered. It has no name, hears no event and counts for nobody in the call.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use telstar_units::TrackId;

use super::Call;
use super::api::{CallEffect, CallReply, ConnectionId, Ids};
use super::media_api::{MediaCommand, PeerNumber, PeerRole, Subscription};
use crate::connection::Ticket;
use crate::wire::ErrorCode;
use crate::wire::call::{LeaveReason, Mode};

/// A whole track, as good as the path allows.
const EVERYTHING: Subscription =
    Subscription { enabled: true, paused: false, width: 0, height: 0, frame_rate: 0, priority: 128 };

/// The viewers of one call.
#[derive(Default)]
pub(super) struct Viewers {
    peers: BTreeMap<ConnectionId, PeerNumber>,
    connections: BTreeMap<PeerNumber, ConnectionId>,
    /// Those that were answered once: a later offer that is refused leaves them as they are.
    watching: BTreeSet<ConnectionId>,
    /// Offers that the media thread has not answered.
    offers: BTreeMap<u64, ViewerOffer>,
    /// What they were given last.
    shown: Vec<TrackId>,
}

struct ViewerOffer {
    connection: ConnectionId,
    ticket: Ticket,
    deadline: Instant,
}

impl Viewers {
    pub(super) fn count(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn has(&self, peer: PeerNumber) -> bool {
        self.connections.contains_key(&peer)
    }

    pub(super) fn has_offered(&self, ticket: u64) -> bool {
        self.offers.contains_key(&ticket)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.offers.values().map(|offer| offer.deadline).min()
    }
}

impl Call {
    /// Somebody whose credential allows it wants to watch; the same one again restarts ICE. Answered by
    /// [`CallReply::Watching`], or `not_found` while there is nothing to watch.
    pub fn handle_view(
        &mut self,
        now: Instant,
        ids: &mut impl Ids,
        connection: ConnectionId,
        ticket: Ticket,
        sdp: String,
    ) {
        let peer = match self.viewers.peers.get(&connection) {
            Some(peer) => *peer,
            None => match self.begin_viewing(ids, connection) {
                Ok(peer) => peer,
                Err(code) => return self.reply(connection, ticket, Err(code)),
            },
        };
        self.last_offer += 1;
        let number = self.last_offer;
        let deadline = now + self.config.offer_timeout;
        self.viewers.offers.insert(number, ViewerOffer { connection, ticket, deadline });
        self.media(MediaCommand::Offer { peer, ticket: number, sdp, tracks: Vec::new() });
    }

    fn begin_viewing(&mut self, ids: &mut impl Ids, connection: ConnectionId) -> Result<PeerNumber, ErrorCode> {
        if self.room.mode == Mode::P2p {
            return Err(ErrorCode::WrongMode);
        }
        self.begin_mix(ids);
        let tracks = self.main_tracks();
        if tracks.is_empty() {
            return Err(ErrorCode::NotFound);
        }
        if self.viewers.count() >= self.config.viewers_max {
            return Err(ErrorCode::RoomFull);
        }
        let peer = ids.peer();
        self.viewers.peers.insert(connection, peer);
        self.viewers.connections.insert(peer, connection);
        let (participant, role) = (ids.participant(), PeerRole::Viewer);
        self.media(MediaCommand::AddPeer { peer, participant, role, auto_subscribe: false });
        for track in tracks {
            self.media(MediaCommand::Subscribe { peer, track, subscription: EVERYTHING });
        }
        Ok(peer)
    }

    /// A candidate of a viewer, or the end of them.
    pub fn handle_viewer_candidate(&mut self, connection: ConnectionId, candidate: String) {
        if let Some(peer) = self.viewers.peers.get(&connection).copied() {
            self.media(MediaCommand::Candidate { peer, candidate });
        }
    }

    /// A viewer goes.
    pub fn handle_viewer_gone(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.forget_viewer(connection) {
            self.media(MediaCommand::RemovePeer { peer });
        }
    }

    /// Whether somebody watches although there is nothing to watch. How long that may last only the shell knows, which knows
    /// whether the ingest may come back.
    pub fn viewers_wait(&self) -> bool {
        self.viewers.count() > 0 && self.main().is_none() && self.mix.is_none()
    }

    /// How many watch.
    pub fn viewer_count(&self) -> usize {
        self.viewers.count()
    }

    /// Everybody has watched to the end.
    pub fn end_viewers(&mut self, reason: LeaveReason) {
        let all: Vec<ConnectionId> = self.viewers.peers.keys().copied().collect();
        for connection in all {
            self.handle_viewer_gone(connection);
            self.effects.push_back(CallEffect::Over { connection, reason });
        }
    }

    fn main_tracks(&self) -> Vec<TrackId> {
        match (self.main(), self.mix) {
            (Some(member), _) => member.tracks.iter().map(|own| own.track.id.0).collect(),
            (None, Some(mix)) => mix.video.into_iter().chain(mix.audio).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// The main picture may be another one now. What has ended the media thread takes away by itself.
    pub(super) fn show_main(&mut self) {
        let tracks = self.main_tracks();
        if tracks == self.viewers.shown {
            return;
        }
        let before = std::mem::replace(&mut self.viewers.shown, tracks.clone());
        // One that goes on beside the newer ingest for a moment is not the main picture any more.
        let is_past = |track: &&TrackId| !tracks.contains(track) && self.tracks.contains_key(track);
        let off = Subscription { enabled: false, ..EVERYTHING };
        let past = before.iter().filter(is_past).map(|track| (*track, off));
        let new = tracks.iter().filter(|track| !before.contains(track)).map(|track| (*track, EVERYTHING));
        let wishes: Vec<(TrackId, Subscription)> = past.chain(new).collect();
        let peers: Vec<PeerNumber> = self.viewers.connections.keys().copied().collect();
        for peer in peers {
            for (track, subscription) in wishes.iter().copied() {
                self.media(MediaCommand::Subscribe { peer, track, subscription });
            }
        }
    }

    pub(super) fn answer_viewer(&mut self, ticket: u64, sdp: String) {
        if let Some(ViewerOffer { connection, ticket, .. }) = self.viewers.offers.remove(&ticket) {
            self.viewers.watching.insert(connection);
            self.reply(connection, ticket, Ok(CallReply::Watching { sdp }));
        }
    }

    pub(super) fn refuse_viewer(&mut self, ticket: u64, code: ErrorCode) {
        let Some(ViewerOffer { connection, ticket, .. }) = self.viewers.offers.remove(&ticket) else { return };
        self.reply(connection, ticket, Err(code));
        if !self.viewers.watching.contains(&connection) {
            self.handle_viewer_gone(connection);
        }
    }

    pub(super) fn refuse_late_viewers(&mut self, now: Instant) {
        let late = |(number, offer): (&u64, &ViewerOffer)| (offer.deadline <= now).then_some(*number);
        let late: Vec<u64> = self.viewers.offers.iter().filter_map(late).collect();
        late.into_iter().for_each(|number| self.refuse_viewer(number, ErrorCode::Unavailable));
    }

    /// The media thread has given a viewer's connection up.
    pub(super) fn give_up_viewer(&mut self, peer: PeerNumber) {
        if let Some(connection) = self.viewers.connections.get(&peer).copied() {
            self.forget_viewer(connection);
            self.effects.push_back(CallEffect::Over { connection, reason: LeaveReason::Timeout });
        }
    }

    fn forget_viewer(&mut self, connection: ConnectionId) -> Option<PeerNumber> {
        let peer = self.viewers.peers.remove(&connection)?;
        self.viewers.connections.remove(&peer);
        self.viewers.watching.remove(&connection);
        let of_it = |(number, offer): (&u64, &ViewerOffer)| (offer.connection == connection).then_some(*number);
        let numbers: Vec<u64> = self.viewers.offers.iter().filter_map(of_it).collect();
        for number in numbers {
            if let Some(offer) = self.viewers.offers.remove(&number) {
                self.reply(connection, offer.ticket, Err(ErrorCode::Cancelled));
            }
        }
        Some(peer)
    }
}
