//! What the media thread tells: its numbers become participants, its news become replies and events.

use std::time::Instant;

use super::Call;
use super::api::{CallReply, CallSubject, Fact, QUALITY_INTERVAL};
use super::media_api::{MediaCommand, MediaDemand, MediaEvent, MediaSlot, PeerNumber};
use super::member::OwnTrack;
use crate::wire::call::{Demand, LeaveReason, MediaConnection, MediaFault, Quality, Slot, Speaker};
use crate::wire::{CallEventKind, ErrorCode, ParticipantRef, TrackRef};

impl Call {
    /// The media thread tells something. News of connections and tracks that have ended meanwhile are no news.
    pub fn handle_media(&mut self, now: Instant, event: MediaEvent) {
        match event {
            MediaEvent::Answer { ticket, sdp, .. } => match self.viewers.has_offered(ticket) {
                true => self.answer_viewer(ticket, sdp),
                false => self.handle_answer(ticket, sdp),
            },
            MediaEvent::Rejected { ticket: Some(ticket), fault, .. } => match self.viewers.has_offered(ticket) {
                true => self.refuse_viewer(ticket, code_of(fault)),
                false => self.refuse_offer(ticket, code_of(fault)),
            },
            MediaEvent::Rejected { peer, ticket: None, fault } => {
                // Offers are made one after the other: without an answer this connection would never hear of another track.
                if self.peers.contains_key(&peer) {
                    self.media(MediaCommand::RemovePeer { peer });
                    self.give_up(peer, fault);
                }
            }
            MediaEvent::Failed { peer, .. } if self.viewers.has(peer) => self.give_up_viewer(peer),
            MediaEvent::Failed { peer, fault } => self.give_up(peer, fault),
            MediaEvent::Offer { peer, version, sdp } => {
                self.tell_peer(peer, CallSubject::Once, CallEventKind::Offer { version, sdp: &sdp });
            }
            MediaEvent::Candidate { peer, candidate } => {
                if let Some((_, connection)) = self.peers.get(&peer).copied() {
                    let kind = CallEventKind::Candidate { connection, candidate: &candidate };
                    self.tell_peer(peer, CallSubject::Once, kind);
                }
            }
            MediaEvent::Track { track, codec } => {
                let owner = self.tracks.get(&track).and_then(|owner| self.members.get_mut(owner));
                if let Some(own) = owner.and_then(|member| member.track_mut(track))
                    && own.track.codec.as_ref() != Some(&codec)
                {
                    own.track.codec = Some(codec);
                    self.change_track(track);
                }
            }
            MediaEvent::Slots { peer, version, slots } => {
                let slots: Vec<Slot> = slots.into_iter().map(|slot| self.slot(slot)).collect();
                self.tell_peer(peer, CallSubject::Slots, CallEventKind::Slots { version, slots: &slots });
            }
            MediaEvent::Demand { peer, demands } => self.handle_demand(peer, demands),
            MediaEvent::Speakers { speakers } => {
                let present = speakers.into_iter().filter(|(participant, _)| self.members.contains_key(participant));
                let speakers: Vec<Speaker> =
                    present.map(|(id, level)| Speaker { participant: ParticipantRef(id), level }).collect();
                if let Some(first) = speakers.first() {
                    self.note_speaker(first.participant.0);
                }
                self.announce(CallSubject::Speakers, CallEventKind::Speakers { speakers: &speakers });
            }
            MediaEvent::Quality { peer, quality } => self.handle_quality(now, peer, quality),
            MediaEvent::Bandwidth { peer, bandwidth } => {
                self.tell_peer(peer, CallSubject::Bandwidth, CallEventKind::Bandwidth(bandwidth));
            }
        }
    }

    fn tell_peer(&mut self, peer: PeerNumber, subject: CallSubject, kind: CallEventKind<'_>) {
        let owner = self.peers.get(&peer).and_then(|(id, _)| self.members.get(id));
        if let Some(connection) = owner.map(|member| member.connection) {
            self.tell(connection, subject, kind);
        }
    }

    fn handle_answer(&mut self, ticket: u64, sdp: String) {
        let Some(offer) = self.offers.remove(&ticket) else { return };
        let Some(member) = self.members.get_mut(&offer.participant) else { return };
        let info = member.info.clone();
        let own = |track| OwnTrack { track, demand: None };
        member.tracks.extend(offer.tracks.iter().map(|(_, track)| own(track.clone())));
        let tracks = offer.tracks.iter().map(|(mid, track)| (mid.clone(), track.id.0)).collect();
        let alternate = offer.alternate;
        self.reply(offer.connection, offer.ticket, Ok(CallReply::Published { sdp, tracks }));
        for (_, track) in offer.tracks {
            self.tracks.insert(track.id.0, offer.participant);
            self.change(CallEventKind::TrackPublished { participant: info.id, track: &track });
            self.fact(Fact::Published { participant: info.clone(), track });
        }
        self.stand_in(offer.participant, alternate);
        self.settle(offer.participant);
    }

    /// A connection is gone; its participant stays.
    fn give_up(&mut self, peer: PeerNumber, fault: MediaFault) {
        let Some((id, connection)) = self.peers.remove(&peer) else { return };
        let Some(member) = self.members.get_mut(&id) else { return };
        if !member.hears() {
            // An ingest is there for its media alone, and nobody would tell it to begin anew.
            return self.end_member(id, LeaveReason::Timeout, true);
        }
        let to = member.connection;
        match connection {
            MediaConnection::Publish => {
                self.refuse_offers(id, ErrorCode::Unavailable);
                self.end_publishing(id, false);
            }
            MediaConnection::Subscribe => {
                member.subscribe = None;
                member.quality[1] = None;
            }
        }
        self.tell(to, CallSubject::Once, CallEventKind::MediaFailed { connection, reason: fault });
    }

    fn slot(&self, slot: MediaSlot) -> Slot {
        // A track that has ended is shown as none; the media thread's next list says the same.
        let owner = slot.track.and_then(|track| self.tracks.get(&track));
        Slot {
            mid: slot.mid,
            track: slot.track.filter(|_| owner.is_some()).map(TrackRef),
            participant: owner.copied().map(ParticipantRef),
            flow: slot.flow,
            layer: slot.layer,
        }
    }

    /// Changes come in; the whole list goes out, so that a newer one can take the place of one that waits.
    fn handle_demand(&mut self, peer: PeerNumber, demands: Vec<MediaDemand>) {
        let Some(member) = self.peers.get(&peer).and_then(|(id, _)| self.members.get_mut(id)) else { return };
        for demand in demands {
            if let Some(own) = member.track_mut(demand.track) {
                own.demand = Some(demand);
            }
        }
        let known = member.tracks.iter().filter_map(|own| own.demand.clone());
        let tracks: Vec<Demand> = known
            .map(|demand| Demand { track: TrackRef(demand.track), wanted: demand.wanted, rids: demand.rids })
            .collect();
        self.tell_peer(peer, CallSubject::Demand, CallEventKind::Demand { tracks: &tracks });
    }

    fn handle_quality(&mut self, now: Instant, peer: PeerNumber, quality: Quality) {
        let Some((id, connection)) = self.peers.get(&peer).copied() else { return };
        let Some(member) = self.members.get_mut(&id) else { return };
        member.quality[usize::from(connection == MediaConnection::Subscribe)] = Some(quality);
        if member.worst_quality() != member.told_quality {
            self.quality_news.insert(id);
            self.quality_due.get_or_insert(now + QUALITY_INTERVAL);
        }
    }
}

fn code_of(fault: MediaFault) -> ErrorCode {
    match fault {
        MediaFault::BadSdp => ErrorCode::BadSdp,
        MediaFault::NoCodec => ErrorCode::NoCodec,
        MediaFault::TooMany => ErrorCode::TooManyTracks,
        MediaFault::NoPath | MediaFault::Handshake | MediaFault::Internal => ErrorCode::Unavailable,
    }
}
