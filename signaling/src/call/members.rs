//! Coming, going, being away, and what a change of rights ends.

use std::time::Instant;

use serde_json::value::to_raw_value;
use telstar_units::{ParticipantId, TrackId};

use super::api::{CallGrants, CallReply, CallSubject, ConnectionId, Fact, Ids, Joining, P2P_PARTICIPANTS_MAX};
use super::media_api::{MediaCommand, PeerRole};
use super::member::Member;
use super::{Call, PendingOffer};
use crate::connection::Ticket;
use crate::wire::call::{CallState, LeaveReason, MediaConnection, Mode, Presence};
use crate::wire::{CallEventKind, ErrorCode, ParticipantRef, TrackRef};

impl Call {
    /// A client wants to join; the shell has found that its credential allows it.
    pub fn handle_join(
        &mut self,
        now: Instant,
        ids: &mut impl Ids,
        connection: ConnectionId,
        ticket: Ticket,
        joining: Joining,
    ) {
        if self.by_connection.contains_key(&connection) {
            return self.reply(connection, ticket, Err(ErrorCode::AlreadyJoined));
        }
        if joining.ingest.is_some() {
            return self.join_as_ingest(now, ids, connection, ticket, joining);
        }
        let earlier = self.by_identity.get(&joining.identity).copied();
        let others = self.members.len() - usize::from(earlier.is_some());
        let max = match self.room.mode {
            Mode::Sfu => self.config.participants_max,
            Mode::P2p => self.config.participants_max.min(P2P_PARTICIPANTS_MAX),
        };
        if others >= max {
            return self.reply(connection, ticket, Err(ErrorCode::RoomFull));
        }
        if !self.joins.take(now, &joining.identity, self.config.joins_per_identity_max) {
            return self.reply(connection, ticket, Err(ErrorCode::RateLimited));
        }
        if let Some(earlier) = earlier {
            // The newcomer wins: most often it is the same person whose network or page is another one now.
            self.send_away(earlier, LeaveReason::DuplicateIdentity, true);
        }
        self.admit(now, ids, connection, ticket, joining);
    }

    pub(super) fn admit(
        &mut self,
        now: Instant,
        ids: &mut impl Ids,
        connection: ConnectionId,
        ticket: Ticket,
        joining: Joining,
    ) {
        if self.members.is_empty() {
            self.fact(Fact::Started);
        }
        let id = joining.ingest.unwrap_or_else(|| ids.participant());
        self.by_connection.insert(connection, id);
        if joining.ingest.is_none() {
            self.by_identity.insert(joining.identity.clone(), id);
        }
        let member = Member::new(now, ParticipantRef(id), connection, joining);
        let participant = member.participant();
        // Before it counts as one of everybody: its own state tells it that it is there.
        self.change(CallEventKind::ParticipantJoined { participant: &participant });
        self.members.insert(id, member);
        self.count_everyone();
        let state = CallState {
            name: self.room.name.to_string(),
            title: self.room.title.clone(),
            mode: self.room.mode,
            participants: self.participants(),
        };
        let state = to_raw_value(&state).expect("states have text keys and no fallible serialisers");
        let (topic, version) = (self.topic.clone(), self.version);
        self.reply(connection, ticket, Ok(CallReply::Joined { participant: id, topic, version, state: state.into() }));
        self.tell_known_quality(connection);
        self.begin_subscribing(ids, id);
        self.fact(Fact::Joined(participant));
    }

    /// Gives a participant its subscribing connection, if it may have one and has none.
    pub(super) fn begin_subscribing(&mut self, ids: &mut impl Ids, id: ParticipantId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if self.room.mode == Mode::P2p || !member.hears() || !member.grants.subscribe || member.subscribe.is_some() {
            return;
        }
        let peer = ids.peer();
        member.subscribe = Some(peer);
        let auto_subscribe = member.auto_subscribe;
        self.peers.insert(peer, (id, MediaConnection::Subscribe));
        self.media(MediaCommand::AddPeer { peer, participant: id, role: PeerRole::Subscriber, auto_subscribe });
    }

    /// A participant's socket is gone, or back.
    pub fn handle_presence(&mut self, connection: ConnectionId, away: bool) {
        let Some(id) = self.by_connection.get(&connection).copied() else { return };
        let Some(member) = self.members.get_mut(&id) else { return };
        let state = if away { Presence::Away } else { Presence::Active };
        if member.info.state != state {
            member.info.state = state;
            self.change_participant(id);
        }
    }

    /// A connection has ended and hears nothing any more.
    pub fn handle_gone(&mut self, connection: ConnectionId, reason: LeaveReason) {
        if let Some(id) = self.by_connection.get(&connection).copied() {
            self.end_member(id, reason, false);
        }
    }

    /// What a participant's credential allows has changed; `None` when it may not join any more.
    pub fn handle_grants(&mut self, ids: &mut impl Ids, connection: ConnectionId, grants: Option<CallGrants>) {
        let Some(id) = self.by_connection.get(&connection).copied() else { return };
        match grants {
            Some(grants) => self.set_grants(ids, id, grants),
            None => self.end_member(id, LeaveReason::CredentialEnded, true),
        }
    }

    /// The call is over for everybody: the room was deleted, or the server shuts down.
    pub fn handle_close(&mut self, reason: LeaveReason) {
        self.announce(CallSubject::Left, CallEventKind::Left { reason });
        self.end_viewers(reason);
        // They all know that everybody is gone: what each of them would hear of the others is left out.
        self.everyone = [].into();
        let all: Vec<ParticipantId> = self.members.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        for id in all {
            self.tell_over(id, reason);
            self.remove_member(id, reason);
        }
        self.end_if_empty();
    }

    /// A participant ends; `tell` when its connection is still there and did not ask for it.
    pub(super) fn end_member(&mut self, id: ParticipantId, reason: LeaveReason, tell: bool) {
        if self.members.contains_key(&id) {
            self.send_away(id, reason, tell);
            self.end_if_empty();
        }
    }

    fn send_away(&mut self, id: ParticipantId, reason: LeaveReason, tell: bool) {
        let Some(connection) = self.members.get(&id).map(|member| member.connection) else { return };
        self.refuse_offers(id, ErrorCode::Cancelled);
        if tell {
            self.tell(connection, CallSubject::Left, CallEventKind::Left { reason });
            self.tell_over(id, reason);
        }
        self.remove_member(id, reason);
    }

    fn remove_member(&mut self, id: ParticipantId, reason: LeaveReason) {
        self.refuse_offers(id, ErrorCode::Cancelled);
        let Some(member) = self.members.remove(&id) else { return };
        self.by_connection.remove(&member.connection);
        if self.by_identity.get(&member.info.identity) == Some(&id) {
            self.by_identity.remove(&member.info.identity);
        }
        self.quality_news.remove(&id);
        for peer in [member.publish, member.subscribe].into_iter().flatten() {
            self.peers.remove(&peer);
            self.media(MediaCommand::RemovePeer { peer });
        }
        for own in &member.tracks {
            self.tracks.remove(&own.track.id.0);
            self.fact(Fact::Unpublished { participant: member.info.clone(), track: own.track.clone() });
        }
        self.end_sources(&member);
        self.end_mix_if_needless();
        if !self.everyone.is_empty() {
            self.count_everyone();
            self.change(CallEventKind::ParticipantLeft { participant: ParticipantRef(id), reason });
        } else {
            self.version.offset += 1;
        }
        self.fact(Fact::Left { participant: member.participant(), reason });
    }

    fn end_if_empty(&mut self) {
        if self.members.is_empty() {
            self.log.clear();
            self.fact(Fact::Ended);
        }
    }

    /// What a participant may do from now on. What it may not do any more ends.
    pub(super) fn set_grants(&mut self, ids: &mut impl Ids, id: ParticipantId, grants: CallGrants) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.grants == grants {
            return;
        }
        if member.ingest.is_some() && !grants.publish {
            return self.end_member(id, LeaveReason::Removed, true);
        }
        member.grants = grants;
        member.info.grants = grants.list();
        let (connection, list) = (member.connection, grants.list());
        if !grants.publish {
            self.refuse_offers(id, ErrorCode::Forbidden);
            self.end_publishing(id, true);
        }
        if grants.subscribe {
            self.begin_subscribing(ids, id);
        } else if let Some(peer) = self.members.get_mut(&id).and_then(|member| member.subscribe.take()) {
            self.peers.remove(&peer);
            self.media(MediaCommand::RemovePeer { peer });
        }
        self.tell(connection, CallSubject::Once, CallEventKind::Grants { grants: &list });
        self.change_participant(id);
    }

    /// Ends a publishing connection and everything on it; `remove` unless the media thread has done so.
    pub(super) fn end_publishing(&mut self, id: ParticipantId, remove: bool) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.quality[0] = None;
        let peer = member.publish.take();
        let tracks: Vec<TrackId> = member.tracks.iter().map(|own| own.track.id.0).collect();
        if let Some(peer) = peer {
            self.peers.remove(&peer);
            if remove {
                self.media(MediaCommand::RemovePeer { peer });
            }
        }
        tracks.into_iter().for_each(|track| self.end_track(id, track));
        self.settle(id);
    }

    /// A track is gone, as far as the others see it.
    pub(super) fn end_track(&mut self, id: ParticipantId, track: TrackId) {
        self.tracks.remove(&track);
        let Some(member) = self.members.get_mut(&id) else { return };
        let Some(index) = member.tracks.iter().position(|own| own.track.id.0 == track) else { return };
        let own = member.tracks.remove(index);
        let info = member.info.clone();
        self.change(CallEventKind::TrackUnpublished { participant: info.id, track: TrackRef(track) });
        self.fact(Fact::Unpublished { participant: info, track: own.track });
    }

    pub(super) fn refuse_offers(&mut self, id: ParticipantId, code: ErrorCode) {
        let of_it = |(number, offer): (&u64, &PendingOffer)| (offer.participant == id).then_some(*number);
        let numbers: Vec<u64> = self.offers.iter().filter_map(of_it).collect();
        numbers.into_iter().for_each(|number| self.refuse_offer(number, code));
    }

    pub(super) fn refuse_offer(&mut self, number: u64, code: ErrorCode) {
        if let Some(offer) = self.offers.remove(&number) {
            self.reply(offer.connection, offer.ticket, Err(code));
        }
    }
}
