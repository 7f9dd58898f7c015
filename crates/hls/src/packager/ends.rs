//! Ending a stretch, and letting go of what is old or too much.

use std::time::Instant;

use telstar_media::MediaKind;

use super::change::SoundChange;
use super::{Packager, Warning};
use crate::config::{DvrWindow, PART_WINDOW_TARGET_DURATIONS};
use crate::prelude::Prelude;
use crate::rendition::Rendition;
use crate::shelf::Window;
use crate::snapshot::State;
use crate::video::VideoLane;

impl Packager {
    /// Lists everything that has come, ends both renditions with the same segment number and notes where to go on.
    pub(super) fn flush(&mut self, now: Instant) {
        if self.epoch.is_some() && !self.is_running() && !self.prelude.is_empty() {
            self.begin_stretch(now);
        }
        self.video_stalled = true;
        self.release_held(now);
        self.held.clear();
        self.sound_change = SoundChange::None;
        self.video_stalled = false;
        self.prelude = Prelude::default();
        let video_end = self.video.as_mut().and_then(VideoLane::flush);
        let places = self.renditions().map(Rendition::place);
        if let Some(furthest) = places.max_by_key(|place| place.msn) {
            if let Some(audio) = &mut self.audio {
                audio.flush(furthest.msn, video_end);
                if let (Some(video), Some(end)) = (&mut self.video, audio.end()) {
                    video.fill_gaps(furthest.msn, end);
                }
            }
            if let Some(alternate) = &mut self.alternate.lane {
                alternate.flush(furthest.msn, video_end);
            }
            self.next.msn = furthest.msn.max(self.next.msn);
        }
        let pictures = self.renditions().filter(|rendition| rendition.kind == MediaKind::Video);
        let entry = pictures.map(|rendition| rendition.place().entry).max();
        self.next.entry = self.next.entry.max(entry.unwrap_or(0));
        let sequence = self.renditions().map(|rendition| rendition.place().discontinuity_sequence).max();
        self.next.discontinuity_sequence = self.next.discontinuity_sequence.max(sequence.unwrap_or(0));
        self.next.discontinuity = false;
        self.dirty = true;
        if let Some(epoch) = &mut self.epoch {
            epoch.running = false;
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let mut gone = false;
        self.all_renditions_mut().for_each(|rendition| gone |= rendition.expire(now));
        // Nobody is told: what went was not listed. But the bytes are only free once no snapshot refers to them.
        self.dirty |= gone;
    }

    /// Takes what left the window off the lists, and more if the server holds too much.
    pub(super) fn slide(&mut self, now: Instant) {
        let target_secs = self.target_duration_secs.unwrap_or(0) as f64;
        let memory_secs = target_secs * f64::from(self.config.window_target_durations);
        let listed_secs = match self.config.dvr_window {
            _ if self.disk.is_none() => Some(memory_secs),
            DvrWindow::Off => Some(memory_secs),
            DvrWindow::Last(window) => Some(window.as_secs_f64().max(memory_secs)),
            DvrWindow::Event => None,
        };
        let window = Window { listed_secs, memory_secs, part_secs: target_secs * PART_WINDOW_TARGET_DURATIONS };
        self.all_renditions_mut().for_each(|rendition| rendition.slide(now, window));
        if self.state == State::Ended {
            self.renditions_mut().for_each(|rendition| rendition.shelf.free_kept());
        }
        let held = self.all_renditions().map(|rendition| rendition.shelf.bytes_held()).sum();
        let owed = self.share.owes(held);
        if owed > 0 {
            self.evict(owed);
        }
        self.slide_disk();
        let mut shortened = false;
        self.renditions_mut().for_each(|rendition| shortened |= rendition.shelf.take_shortened());
        self.is_event &= !shortened;
    }

    fn evict(&mut self, owed: u64) {
        let mut bytes = 0;
        self.all_renditions_mut().for_each(|rendition| bytes += rendition.evict(owed.saturating_sub(bytes)));
        if bytes > 0 {
            self.counters.evicted_bytes += bytes;
            self.warn(Warning::BudgetEvicted { bytes });
            self.dirty = true;
        }
    }

    /// The oldest of what is kept goes when the disk's share is used up.
    fn slide_disk(&mut self) {
        let kept: u64 = self.renditions().map(|rendition| rendition.shelf.bytes_kept()).sum();
        let owed = self.disk.as_ref().map_or(0, |disk| disk.share.owes(kept));
        if owed == 0 {
            return;
        }
        // Both renditions lose the same share, so that their windows stay as long as each other.
        let mut bytes = 0;
        self.renditions_mut().for_each(|rendition| {
            let part = rendition.shelf.bytes_kept() as f64 / kept as f64;
            bytes += rendition.evict_kept((owed as f64 * part).ceil() as u64);
        });
        self.counters.evicted_kept_bytes += bytes;
    }
}
