//! Tracks that appear and tracks that become others.

use std::time::Instant;

use telstar_media::{MediaKind, TrackInfo};
use telstar_units::TrackId;

use super::Packager;

impl Packager {
    /// A track of the running epoch. Before the first playlist it simply takes part. Audio that comes later appears as a
    /// rendition from the open segment on, without a discontinuity. Video that comes later begins a discontinuity,
    /// because from then on it decides where segments end. A second track of a kind is left out.
    pub fn add_track(&mut self, _now: Instant, track: TrackInfo) {
        let Some(epoch) = &mut self.epoch else { return };
        let slot = match track.kind() {
            MediaKind::Video => &mut epoch.video,
            MediaKind::Audio => &mut epoch.audio,
        };
        slot.get_or_insert(track);
    }

    /// The encoder changed codec or clock: `track` goes on where `old` ends. What was listed stays; both renditions go on
    /// behind a discontinuity, because other samples need another init segment: at once for video, which begins with a
    /// keyframe; for audio where video ends its segment, so that no picture is lost. Before the first playlist the old
    /// track's frames are forgotten: a playlist cannot begin with both. Without a track `old` this is
    /// [`Packager::add_track`].
    pub fn replace_track(&mut self, now: Instant, old: TrackId, track: TrackInfo) {
        let Some(epoch) = &self.epoch else { return };
        let kind = track.kind();
        if epoch.track(kind).as_ref().is_none_or(|known| known.id != old) {
            return self.add_track(now, track);
        }
        match kind {
            _ if !self.is_running() => self.prelude.forget(kind),
            MediaKind::Video => self.restart_stretch(now),
            MediaKind::Audio => self.expect_sound_change(),
        }
        if let Some(epoch) = &mut self.epoch {
            match kind {
                MediaKind::Video => (epoch.video, epoch.reorder_delay) = (Some(track), None),
                MediaKind::Audio => epoch.audio = Some(track),
            }
        }
        self.publish(now);
    }
}
