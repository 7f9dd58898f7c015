//! What a call does with the requests of its members. Each is answered exactly once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use telstar_units::{ParticipantId, TrackId};

use super::api::{CallGrants, CallReply, ConnectionId, Ids, OFFERS_MAX};
use super::media_api::{MediaCommand, NewTrack, PeerNumber, PeerRole, Subscription};
use super::{Call, PendingOffer};
use crate::connection::Ticket;
use crate::wire::call::{LeaveReason, MediaConnection, Mode, MutedBy, TrackKind};
use crate::wire::{
    CallEventKind, CallRequest, ErrorCode, Label, Layer, Mute, ParticipantChange, ParticipantRef, Payload, Publish,
    SendData, Signal, Track, TrackRef, UpdateParticipant, UpdateSubscription, UpdateTrack,
};

type Outcome = Result<(), ErrorCode>;

impl Call {
    /// A request of a connection. One that is no member is answered `not_joined`; `join` goes to [`Call::handle_join`].
    pub fn handle_request(
        &mut self,
        now: Instant,
        ids: &mut impl Ids,
        connection: ConnectionId,
        ticket: Ticket,
        request: CallRequest,
    ) {
        let Some(id) = self.by_connection.get(&connection).copied() else {
            return self.reply(connection, ticket, Err(ErrorCode::NotJoined));
        };
        if self.room.mode == Mode::P2p && request.is_of_the_server()
            || self.room.mode == Mode::Sfu && request.is_of_browsers()
        {
            return self.reply(connection, ticket, Err(ErrorCode::WrongMode));
        }
        let outcome = match request {
            CallRequest::Join(_) => Err(ErrorCode::AlreadyJoined),
            CallRequest::Leave(_) => {
                self.refuse_offers(id, ErrorCode::Cancelled);
                self.reply(connection, ticket, Ok(CallReply::Left));
                return self.end_member(id, LeaveReason::Left, false);
            }
            CallRequest::Publish(publish) => match self.publish(now, ids, id, ticket, publish) {
                // The media thread's answer is the reply.
                Ok(()) => return,
                Err(code) => Err(code),
            },
            CallRequest::Remove(remove) => {
                let outcome = self.may_moderate(id, remove.participant.0);
                self.reply(connection, ticket, outcome.map(|()| CallReply::Done));
                if outcome.is_ok() {
                    self.end_member(remove.participant.0, LeaveReason::Removed, true);
                }
                return;
            }
            CallRequest::Unpublish(unpublish) => self.unpublish(id, unpublish.track.0),
            CallRequest::UpdateTrack(update) => self.update_track(id, update),
            CallRequest::Mute(mute) => self.mute(id, &mute),
            CallRequest::Candidate(candidate) => self.peer_of(id, candidate.connection).map(|peer| {
                self.media(MediaCommand::Candidate { peer, candidate: candidate.candidate.into_string() });
            }),
            CallRequest::Answer(answer) => self.peer_of(id, MediaConnection::Subscribe).map(|peer| {
                self.media(MediaCommand::Answer { peer, version: answer.version, sdp: answer.sdp.into_string() });
            }),
            CallRequest::RestartIce(_) => self.restart_ice(ids, id),
            CallRequest::UpdateSubscription(update) => self.update_subscription(id, &update),
            CallRequest::UpdateParticipant(update) => self.update_participant(ids, id, update),
            CallRequest::SendData(message) => self.send_data(now, id, &message),
            CallRequest::Report(report) => self.peer_of(id, MediaConnection::Subscribe).map(|peer| {
                self.media(MediaCommand::Report { peer, enabled: report.enabled });
            }),
            CallRequest::Signal(signal) => self.signal(id, &signal),
        };
        self.reply(connection, ticket, outcome.map(|()| CallReply::Done));
    }

    fn grants_of(&self, id: ParticipantId) -> CallGrants {
        self.members.get(&id).map(|member| member.grants).unwrap_or_default()
    }

    /// Whether a member may do something to another one, who is there.
    fn may_moderate(&self, id: ParticipantId, target: ParticipantId) -> Outcome {
        if !self.grants_of(id).admin {
            return Err(ErrorCode::Forbidden);
        }
        if self.members.contains_key(&target) { Ok(()) } else { Err(ErrorCode::NotFound) }
    }

    fn peer_of(&self, id: ParticipantId, which: MediaConnection) -> Result<PeerNumber, ErrorCode> {
        let member = self.members.get(&id).ok_or(ErrorCode::NotJoined)?;
        let peer = match which {
            MediaConnection::Publish => member.publish,
            MediaConnection::Subscribe => member.subscribe,
        };
        peer.ok_or(ErrorCode::NotFound)
    }

    fn publish(
        &mut self,
        now: Instant,
        ids: &mut impl Ids,
        id: ParticipantId,
        ticket: Ticket,
        publish: Publish,
    ) -> Outcome {
        self.may_publish(id, &publish)?;
        let member = self.members.get_mut(&id).ok_or(ErrorCode::NotJoined)?;
        let (connection, is_ingest) = (member.connection, member.ingest.is_some());
        let peer = match member.publish {
            Some(peer) => peer,
            None => {
                let peer = ids.peer();
                member.publish = Some(peer);
                self.peers.insert(peer, (id, MediaConnection::Publish));
                let role = PeerRole::Publisher;
                self.media(MediaCommand::AddPeer { peer, participant: id, role, auto_subscribe: false });
                peer
            }
        };
        let (mut new, mut pending, mut alternate) = (Vec::new(), Vec::new(), None);
        for published in publish.tracks {
            let mid = published.mid.into_string();
            let track = Track {
                id: TrackRef(ids.track()),
                kind: published.kind,
                source: published.source,
                name: published.name,
                muted: published.muted,
                muted_by: published.muted.then_some(MutedBy::Owner),
                codec: None,
                layers: published.layers,
            };
            if is_ingest && track.kind == TrackKind::Video {
                alternate.get_or_insert_with(|| ids.track());
            }
            new.push(NewTrack {
                mid: mid.clone(),
                track: track.id.0,
                kind: track.kind,
                source: track.source,
                muted: track.muted,
                layers: track.layers.clone(),
            });
            pending.push((mid, track));
        }
        self.last_offer += 1;
        let number = self.last_offer;
        let deadline = now + self.config.offer_timeout;
        let offer = PendingOffer { participant: id, connection, ticket, tracks: pending, alternate, deadline };
        self.offers.insert(number, offer);
        self.media(MediaCommand::Offer { peer, ticket: number, sdp: publish.sdp.into_string(), tracks: new });
        Ok(())
    }

    fn may_publish(&self, id: ParticipantId, publish: &Publish) -> Outcome {
        let member = self.members.get(&id).ok_or(ErrorCode::NotJoined)?;
        if !member.grants.publish || member.ingest.as_ref().is_some_and(|ingest| ingest.is_fed) {
            return Err(ErrorCode::Forbidden);
        }
        let mids: BTreeSet<&str> = publish.tracks.iter().map(|track| track.mid.as_str()).collect();
        if mids.len() != publish.tracks.len() || publish.tracks.iter().any(|track| !are_distinct(&track.layers)) {
            return Err(ErrorCode::BadRequest);
        }
        let waiting: Vec<usize> =
            self.offers.values().filter(|offer| offer.participant == id).map(|offer| offer.tracks.len()).collect();
        if waiting.len() >= OFFERS_MAX {
            return Err(ErrorCode::Busy);
        }
        let count = member.tracks.len() + waiting.iter().sum::<usize>() + publish.tracks.len();
        if count > self.config.tracks_max { Err(ErrorCode::TooManyTracks) } else { Ok(()) }
    }

    /// That a track is there, and the asker's own.
    fn own_track(&self, id: ParticipantId, track: TrackId) -> Outcome {
        match self.tracks.get(&track) {
            Some(owner) if *owner == id => Ok(()),
            Some(_) => Err(ErrorCode::Forbidden),
            None => Err(ErrorCode::NotFound),
        }
    }

    fn unpublish(&mut self, id: ParticipantId, track: TrackId) -> Outcome {
        self.own_track(id, track)?;
        self.media(MediaCommand::Unpublish { track });
        self.end_track(id, track);
        self.settle(id);
        Ok(())
    }

    fn update_track(&mut self, id: ParticipantId, update: UpdateTrack) -> Outcome {
        self.own_track(id, update.track.0)?;
        let member = self.members.get_mut(&id).ok_or(ErrorCode::NotJoined)?;
        let own = member.track_mut(update.track.0).ok_or(ErrorCode::NotFound)?;
        let before = own.track.clone();
        if let Some(layers) = update.layers {
            // The media thread knows the layers by their rids and order, which only a new track can change.
            let rids = |layers: &[Layer]| layers.iter().map(|layer| layer.rid.clone()).collect::<Vec<_>>();
            if rids(&layers) != rids(&own.track.layers) {
                return Err(ErrorCode::BadRequest);
            }
            own.track.layers = layers;
        }
        if let Some(name) = update.name {
            own.track.name = name;
        }
        if own.track != before {
            self.change_track(update.track.0);
        }
        Ok(())
    }

    /// Tells everybody what a track is now.
    pub(super) fn change_track(&mut self, track: TrackId) {
        let Some(id) = self.tracks.get(&track).copied() else { return };
        let found = self.members.get_mut(&id).and_then(|member| member.track_mut(track)).map(|own| own.track.clone());
        if let Some(track) = found {
            self.change(CallEventKind::TrackUpdated { participant: ParticipantRef(id), track: &track });
        }
    }

    fn mute(&mut self, id: ParticipantId, mute: &Mute) -> Outcome {
        let owner = self.tracks.get(&mute.track.0).copied().ok_or(ErrorCode::NotFound)?;
        let by = if owner == id { MutedBy::Owner } else { MutedBy::Moderator };
        // Nobody is made audible or visible by somebody else.
        if by == MutedBy::Moderator && !(self.grants_of(id).admin && mute.muted) {
            return Err(ErrorCode::Forbidden);
        }
        self.set_muted(owner, mute.track.0, mute.muted.then_some(by));
        Ok(())
    }

    /// Mutes for somebody, or unmutes. Who muted first stays named.
    pub(super) fn set_muted(&mut self, owner: ParticipantId, track: TrackId, by: Option<MutedBy>) {
        let Some(own) = self.members.get_mut(&owner).and_then(|member| member.track_mut(track)) else { return };
        if own.track.muted != by.is_some() {
            own.track.muted = by.is_some();
            own.track.muted_by = by;
            self.media(MediaCommand::Mute { track, muted: by.is_some() });
            self.change_track(track);
        }
    }

    fn restart_ice(&mut self, ids: &mut impl Ids, id: ParticipantId) -> Outcome {
        match self.peer_of(id, MediaConnection::Subscribe) {
            Ok(peer) => self.media(MediaCommand::RestartIce { peer }),
            // It was given up before: this begins a new one, whose offer follows.
            Err(_) if self.grants_of(id).subscribe => self.begin_subscribing(ids, id),
            Err(_) => return Err(ErrorCode::Forbidden),
        }
        Ok(())
    }

    fn update_subscription(&mut self, id: ParticipantId, update: &UpdateSubscription) -> Outcome {
        if !self.grants_of(id).subscribe {
            return Err(ErrorCode::Forbidden);
        }
        // Of this call only, and nobody subscribes to itself.
        let track = update.track.0;
        if self.tracks.get(&track).is_none_or(|owner| *owner == id) {
            return Err(ErrorCode::NotFound);
        }
        let peer = self.peer_of(id, MediaConnection::Subscribe)?;
        let UpdateSubscription { enabled, paused, width, height, frame_rate, priority, .. } = *update;
        let subscription = Subscription { enabled, paused, width, height, frame_rate, priority };
        self.media(MediaCommand::Subscribe { peer, track, subscription });
        Ok(())
    }

    fn update_participant(&mut self, ids: &mut impl Ids, id: ParticipantId, update: UpdateParticipant) -> Outcome {
        let target = update.participant.map_or(id, |participant| participant.0);
        if target != id || update.change.grants.is_some() {
            self.may_moderate(id, target)?;
        }
        self.apply_change(ids, target, update.change);
        Ok(())
    }

    pub(super) fn apply_change(&mut self, ids: &mut impl Ids, target: ParticipantId, change: ParticipantChange) {
        let Some(member) = self.members.get_mut(&target) else { return };
        let before = member.info.clone();
        if let Some(name) = change.name {
            member.info.name = name;
        }
        if let Some(metadata) = change.metadata {
            member.info.metadata = metadata;
        }
        let changed = member.info != before;
        let grants = change.grants.map(|list| CallGrants::of(&list)).filter(|grants| *grants != member.grants);
        match grants {
            Some(grants) => self.set_grants(ids, target, grants),
            None if changed => self.change_participant(target),
            None => {}
        }
    }

    fn send_data(&mut self, now: Instant, id: ParticipantId, message: &SendData) -> Outcome {
        let grants = self.grants_of(id);
        if !grants.chat && !grants.publish {
            return Err(ErrorCode::Forbidden);
        }
        let to = self.receivers(Some(id), message.to.as_deref())?;
        let length = message.data.json().get().len() + message.label.as_ref().map_or(0, |label| label.as_str().len());
        let bytes = u32::try_from(length.max(1).saturating_mul(to.len())).unwrap_or(u32::MAX);
        let member = self.members.get_mut(&id).ok_or(ErrorCode::NotJoined)?;
        if !member.data.take_many(now, bytes) {
            return Err(ErrorCode::RateLimited);
        }
        self.deliver(to, Some(ParticipantRef(id)), message.label.as_ref(), &message.data);
        Ok(())
    }

    /// Who hears a message. Those who have left meanwhile are passed over, unless they were all.
    pub(super) fn receivers(
        &self,
        from: Option<ParticipantId>,
        to: Option<&[ParticipantRef]>,
    ) -> Result<Arc<[ConnectionId]>, ErrorCode> {
        let Some(to) = to else {
            let others = self.members.iter().filter(|(id, member)| Some(**id) != from && member.hears());
            return Ok(others.map(|(_, member)| member.connection).collect());
        };
        let named: BTreeSet<ParticipantId> = to.iter().map(|one| one.0).filter(|id| Some(*id) != from).collect();
        let found: Arc<[ConnectionId]> = named
            .iter()
            .filter_map(|id| self.members.get(id))
            .filter(|member| member.hears())
            .map(|member| member.connection)
            .collect();
        if found.is_empty() { Err(ErrorCode::NotFound) } else { Ok(found) }
    }

    pub(super) fn deliver(
        &mut self,
        to: Arc<[ConnectionId]>,
        from: Option<ParticipantRef>,
        label: Option<&Label>,
        data: &Payload,
    ) {
        self.tell_some(to, CallEventKind::Data { from, label, data: data.json() });
    }

    fn signal(&mut self, id: ParticipantId, signal: &Signal) -> Outcome {
        if signal.to.0 == id || signal.description.is_none() && signal.candidate.is_none() {
            return Err(ErrorCode::BadRequest);
        }
        let to = self.members.get(&signal.to.0).ok_or(ErrorCode::NotFound)?.connection;
        let (description, candidate) = (signal.description.as_ref(), signal.candidate.as_ref());
        self.tell_some([to].into(), CallEventKind::Signal { from: ParticipantRef(id), description, candidate });
        Ok(())
    }
}

/// Whether the names of layers are there and differ.
fn are_distinct(layers: &[Layer]) -> bool {
    let rids: BTreeSet<&str> = layers.iter().map(|layer| layer.rid.as_str()).collect();
    rids.len() == layers.len() && !rids.contains("")
}

impl CallRequest {
    /// Whether it is about media that travels through the server.
    fn is_of_the_server(&self) -> bool {
        matches!(
            self,
            CallRequest::Publish(_)
                | CallRequest::Unpublish(_)
                | CallRequest::UpdateTrack(_)
                | CallRequest::Mute(_)
                | CallRequest::Candidate(_)
                | CallRequest::Answer(_)
                | CallRequest::RestartIce(_)
                | CallRequest::UpdateSubscription(_)
                | CallRequest::Report(_)
        )
    }

    /// Whether it is about media that travels between browsers.
    fn is_of_browsers(&self) -> bool {
        matches!(self, CallRequest::Signal(_))
    }
}
