//! Whom one who watches the whole call looks at and listens to: what a mix of it is made of.

use telstar_units::{ParticipantId, TrackId};

use super::Call;
use super::member::Member;
use crate::wire::call::{TrackKind, TrackSource};

/// Who spoke last, of so many participants. Higher: in a call with more voices than are mixed, those that were silent for
/// longer keep their places. A guess.
pub(super) const SPOKEN_MAX: usize = 32;

/// A track of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTrack {
    /// Which.
    pub track: TrackId,
    /// Whose.
    pub participant: ParticipantId,
}

/// What there is to see and to hear of a call, without its ingest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Who takes part, but for the ingest.
    pub participants: usize,
    /// Who watches over WebRTC.
    pub viewers: usize,
    /// An ingest is the main picture.
    pub has_ingest: bool,
    /// Pictures, from the most important one on: screens, then who spoke last, then the others as they came.
    pub pictures: Vec<StageTrack>,
    /// The first picture matters more than the others: a screen, or somebody who speaks or was the last to.
    pub featured: bool,
    /// Sounds, those of who spoke last first.
    pub sounds: Vec<StageTrack>,
}

impl Call {
    /// Whom to look at and to listen to now. Muted tracks are left out.
    pub fn stage(&self) -> Stage {
        let people = || self.members.iter().filter(|(_, member)| member.ingest.is_none());
        let of = |kind: TrackKind| {
            people().flat_map(move |(id, member)| {
                let heard = member.tracks.iter().map(|own| &own.track);
                let heard = heard.filter(move |track| track.kind == kind && !track.muted);
                heard.map(move |track| (StageTrack { track: track.id.0, participant: *id }, track.source))
            })
        };
        let mut pictures: Vec<(StageTrack, TrackSource)> = of(TrackKind::Video).collect();
        let has_picture = |id: &&ParticipantId| pictures.iter().any(|(picture, _)| picture.participant == **id);
        let speaker = self.spoken.iter().find(has_picture).copied();
        let featured = speaker.is_some() || pictures.iter().any(|(_, source)| *source == TrackSource::Screen);
        // Stable: the others stay where they were when somebody else speaks.
        pictures.sort_by_key(|(picture, source)| {
            if *source == TrackSource::Screen { 0 } else { 1 + u8::from(Some(picture.participant) != speaker) }
        });
        let mut sounds: Vec<StageTrack> = of(TrackKind::Audio).map(|(sound, _)| sound).collect();
        sounds.sort_by_key(|sound| self.spoken.iter().position(|id| *id == sound.participant).unwrap_or(SPOKEN_MAX));
        Stage {
            participants: people().count(),
            viewers: self.viewer_count(),
            has_ingest: self.main().is_some_and(is_ingest),
            pictures: pictures.into_iter().map(|(picture, _)| picture).collect(),
            featured,
            sounds,
        }
    }

    /// This one speaks, louder than the others.
    pub(super) fn note_speaker(&mut self, id: ParticipantId) {
        if self.spoken.first() != Some(&id) {
            self.spoken.retain(|known| *known != id && self.members.contains_key(known));
            self.spoken.insert(0, id);
            self.spoken.truncate(SPOKEN_MAX);
        }
    }
}

fn is_ingest(member: &Member) -> bool {
    member.ingest.is_some()
}
