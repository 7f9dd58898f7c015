//! What a moderator does without being in the call: over REST, authorised by the shell.

use telstar_units::{ParticipantId, TrackId};

use super::Call;
use super::api::Ids;
use super::member::Member;
use crate::wire::call::{LeaveReason, MutedBy};
use crate::wire::{ErrorCode, Label, Participant, ParticipantChange, ParticipantRef, Payload, Track};

impl Call {
    /// One participant.
    pub fn participant(&self, id: ParticipantId) -> Option<Participant> {
        self.members.get(&id).map(Member::participant)
    }

    /// Changes a participant. Returns what it is now.
    pub fn admin_update(
        &mut self,
        ids: &mut impl Ids,
        id: ParticipantId,
        change: ParticipantChange,
    ) -> Result<Participant, ErrorCode> {
        self.apply_change(ids, id, change);
        self.participant(id).ok_or(ErrorCode::NotFound)
    }

    /// Removes a participant. Its credential is the shell's to deny.
    pub fn admin_remove(&mut self, id: ParticipantId) -> Result<(), ErrorCode> {
        let found = self.members.contains_key(&id);
        self.end_member(id, LeaveReason::Removed, true);
        if found { Ok(()) } else { Err(ErrorCode::NotFound) }
    }

    /// Mutes a participant's track. Nobody is unmuted by somebody else. Returns what the track is now.
    pub fn admin_mute(&mut self, id: ParticipantId, track: TrackId) -> Result<Track, ErrorCode> {
        self.set_muted(id, track, Some(MutedBy::Moderator));
        let own = self.members.get_mut(&id).and_then(|member| member.track_mut(track));
        own.map(|own| own.track.clone()).ok_or(ErrorCode::NotFound)
    }

    /// Sends a message of the server's to all or some.
    pub fn admin_send(
        &mut self,
        to: Option<&[ParticipantRef]>,
        label: Option<&Label>,
        data: &Payload,
    ) -> Result<(), ErrorCode> {
        let to = self.receivers(None, to)?;
        self.deliver(to, None, label, data);
        Ok(())
    }
}
