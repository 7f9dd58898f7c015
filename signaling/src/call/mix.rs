//! The call's mix for viewers over WebRTC: sources that nobody in the call gets, while there is no ingest to watch.
//!
//! What they carry the media thread knows, once a worker makes it.

use super::Call;
use super::api::Ids;
use super::media_api::{FedTracks, MediaCommand, NewSource};
use crate::wire::call::{TrackKind, TrackSource};

impl Call {
    /// The room's mix has begun: what it is fed to is told again, because the media thread may not have had the room before.
    pub fn handle_mix_begun(&mut self) {
        if self.fed != FedTracks::default() {
            self.media(MediaCommand::Feed(self.fed));
        }
    }

    /// Somebody wants to watch: without an ingest that is the mix of all who are here.
    pub(super) fn begin_mix(&mut self, ids: &mut impl Ids) {
        let somebody = self.members.values().any(|member| member.ingest.is_none());
        if self.mix.is_some() || self.main().is_some() || !somebody {
            return;
        }
        let (participant, video, audio, alternate) = (ids.participant(), ids.track(), ids.track(), ids.track());
        for (track, kind, source, alternate_of) in [
            (video, TrackKind::Video, TrackSource::Camera, None),
            (audio, TrackKind::Audio, TrackSource::Microphone, None),
            (alternate, TrackKind::Video, TrackSource::Camera, Some(video)),
        ] {
            let source = NewSource { track, kind, source, alternate_of, for_viewers: true };
            self.media(MediaCommand::AddSource { participant, source });
        }
        self.mix = Some(FedTracks { video: Some(video), audio: Some(audio), alternate: Some(alternate) });
        self.follow_main();
    }

    /// An ingest is the main picture now, or nobody is left to be mixed.
    pub(super) fn end_mix_if_needless(&mut self) {
        let somebody = self.members.values().any(|member| member.ingest.is_none());
        if somebody && self.main().is_none() {
            return;
        }
        let Some(FedTracks { video, audio, alternate }) = self.mix.take() else { return };
        for track in [alternate, video, audio].into_iter().flatten() {
            self.media(MediaCommand::Unpublish { track });
        }
        if self.main().is_none() {
            self.follow_main();
        }
    }
}
