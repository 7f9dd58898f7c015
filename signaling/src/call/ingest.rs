//! The room's ingest among the participants: what it brings as frames becomes tracks without a connection, and its picture has
//! one that stands in for it with whoever cannot decode it.
//!
//! A room has one ingest at a time, and the room decides that. Here a second one may come before the first is gone: the newest
//! is the main picture.

use std::time::Instant;

use telstar_units::{ParticipantId, TrackId};

use super::Call;
use super::api::{CallEffect, ConnectionId, Fact, Ids, Joining};
use super::media_api::{FedTracks, MediaCommand, NewSource};
use super::member::{Member, OwnTrack};
use crate::connection::Ticket;
use crate::wire::call::{LeaveReason, Mode, TrackKind, TrackSource};
use crate::wire::{CallEventKind, ErrorCode, ParticipantRef, Track, TrackRef};

impl Call {
    /// An ingest whose credential is good joins. It has a place beside everybody else's, because the room has let it in, and
    /// how often it may come is limited where it comes in.
    pub(super) fn join_as_ingest(
        &mut self,
        now: Instant,
        ids: &mut impl Ids,
        connection: ConnectionId,
        ticket: Ticket,
        joining: Joining,
    ) {
        if self.room.mode == Mode::P2p {
            return self.reply(connection, ticket, Err(ErrorCode::WrongMode));
        }
        if joining.ingest.is_some_and(|id| self.members.contains_key(&id)) {
            return self.reply(connection, ticket, Err(ErrorCode::AlreadyJoined));
        }
        self.admit(now, ids, connection, ticket, joining);
    }

    /// What of an ingest that comes as frames is there now: pictures, sound.
    pub fn handle_fed(&mut self, ids: &mut impl Ids, connection: ConnectionId, video: bool, audio: bool) {
        let Some(id) = self.by_connection.get(&connection).copied() else { return };
        // What comes over a connection comes no other way.
        let member = self.members.get_mut(&id).filter(|member| member.publish.is_none());
        let Some(ingest) = member.and_then(|member| member.ingest.as_mut()) else { return };
        ingest.is_fed = true;
        for (kind, source, wanted) in
            [(TrackKind::Video, TrackSource::Camera, video), (TrackKind::Audio, TrackSource::Microphone, audio)]
        {
            let present = self.members.get(&id).and_then(|member| member.first_track(kind));
            match (present, wanted) {
                (None, true) => self.begin_source(ids, id, kind, source),
                (Some(track), false) => {
                    self.media(MediaCommand::Unpublish { track });
                    self.end_track(id, track);
                }
                (None, false) | (Some(_), true) => {}
            }
        }
        let alternate = video.then(|| ids.track());
        self.stand_in(id, alternate);
        self.settle(id);
    }

    /// The media thread has lost everything: what is fed begins anew, under new ids.
    pub fn handle_media_lost(&mut self, ids: &mut impl Ids) {
        self.fed = FedTracks::default();
        self.mix = None;
        let fed = |member: &&Member| member.ingest.as_ref().is_some_and(|ingest| ingest.is_fed);
        let all: Vec<(ParticipantId, ConnectionId)> = self
            .members
            .iter()
            .filter(|(_, member)| fed(member))
            .map(|(id, member)| (*id, member.connection))
            .collect();
        for (id, connection) in all {
            let Some(member) = self.members.get_mut(&id) else { continue };
            let has = [TrackKind::Video, TrackKind::Audio].map(|kind| member.first_track(kind).is_some());
            if let Some(ingest) = &mut member.ingest {
                ingest.alternate = None;
            }
            let tracks: Vec<TrackId> = member.tracks.iter().map(|own| own.track.id.0).collect();
            tracks.into_iter().for_each(|track| self.end_track(id, track));
            self.handle_fed(ids, connection, has[0], has[1]);
        }
    }

    fn begin_source(&mut self, ids: &mut impl Ids, id: ParticipantId, kind: TrackKind, source: TrackSource) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let track = Track {
            id: TrackRef(ids.track()),
            kind,
            source,
            name: Default::default(),
            muted: false,
            muted_by: None,
            codec: None,
            layers: Vec::new(),
        };
        member.tracks.push(OwnTrack { track: track.clone(), demand: None });
        let info = member.info.clone();
        self.tracks.insert(track.id.0, id);
        let source = NewSource { track: track.id.0, kind, source, alternate_of: None, for_viewers: false };
        self.media(MediaCommand::AddSource { participant: id, source });
        self.change(CallEventKind::TrackPublished { participant: ParticipantRef(id), track: &track });
        self.fact(Fact::Published { participant: info, track });
    }

    /// Gives an ingest's picture what stands in for it, if it has none yet.
    pub(super) fn stand_in(&mut self, id: ParticipantId, alternate: Option<TrackId>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let video = member.first_track(TrackKind::Video);
        let (Some(ingest), Some(video), Some(track)) = (&mut member.ingest, video, alternate) else { return };
        if ingest.alternate.is_none() {
            ingest.alternate = Some((video, track));
            let (kind, source) = (TrackKind::Video, TrackSource::Camera);
            let source = NewSource { track, kind, source, alternate_of: Some(video), for_viewers: false };
            self.media(MediaCommand::AddSource { participant: id, source });
        }
    }

    /// After an ingest's tracks have changed: what stood in for a picture that has ended ends, the media thread learns what is
    /// fed, and the viewers get what the main picture is now.
    pub(super) fn settle(&mut self, id: ParticipantId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let video = member.first_track(TrackKind::Video);
        let Some(ingest) = &mut member.ingest else { return };
        if let Some((_, track)) = ingest.alternate.take_if(|(of, _)| Some(*of) != video) {
            self.media(MediaCommand::Unpublish { track });
        }
        self.follow_main();
    }

    /// A member goes: what it has without a connection ends.
    pub(super) fn end_sources(&mut self, member: &Member) {
        let Some(ingest) = &member.ingest else { return };
        if let Some((_, track)) = ingest.alternate {
            self.media(MediaCommand::Unpublish { track });
        }
        if ingest.is_fed {
            for own in &member.tracks {
                self.media(MediaCommand::Unpublish { track: own.track.id.0 });
            }
        }
        self.follow_main();
    }

    /// The newest ingest that brings anything.
    pub(super) fn main(&self) -> Option<&Member> {
        self.members.values().rev().find(|member| member.ingest.is_some() && !member.tracks.is_empty())
    }

    pub(super) fn follow_main(&mut self) {
        self.end_mix_if_needless();
        let fed = match self.main().and_then(|member| Some((member, member.ingest.as_ref()?))) {
            None => self.mix.unwrap_or_default(),
            Some((member, ingest)) => FedTracks {
                video: member.first_track(TrackKind::Video).filter(|_| ingest.is_fed),
                audio: member.first_track(TrackKind::Audio).filter(|_| ingest.is_fed),
                alternate: ingest.alternate.map(|(_, track)| track),
            },
        };
        if fed != self.fed {
            self.fed = fed;
            self.media(MediaCommand::Feed(fed));
        }
        self.show_main();
    }

    /// Tells the shell that an ingest is over.
    pub(super) fn tell_over(&mut self, id: ParticipantId, reason: LeaveReason) {
        let ingest = self.members.get(&id).filter(|member| !member.hears());
        if let Some(connection) = ingest.map(|member| member.connection) {
            self.effects.push_back(CallEffect::Over { connection, reason });
        }
    }
}
