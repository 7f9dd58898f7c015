//! The wait before a listing begins: frames of one track are held until those of the other begin as well, so that both are
//! in the first playlist and neither begins behind a discontinuity.
//!
//! In: frames of the tracks that a listing will have. Out: all of them at once, in order of their times, from a keyframe
//! that all tracks have reached.

use std::time::{Duration, Instant};

use telstar_media::{Frame, MediaKind, TrackInfo};
use telstar_units::{Timescale, TrackId, rescale};

/// How long a listing waits for a track that a worker makes. One that is warm takes 0.2 s and one that is not 0.5 s, and
/// pictures begin with a keyframe. Higher: viewers of an ingest whose conversion fails wait longer for the rest. Lower: a
/// busy machine's sound begins late. A guess.
pub(super) const GATE_WAIT: Duration = Duration::from_secs(5);
/// Bytes that are held at most: more than five seconds of what browsers send. Beyond it the listing begins without what is
/// missing.
const GATE_BYTES_MAX: usize = 16 << 20;
/// Frames that are held at most: five seconds of 60 pictures and 100 frames of sound a second, four times over.
const GATE_FRAMES_MAX: usize = 4_096;
/// Sound that begins so much later than the picture is no hole: a frame or two.
const BEGINS_TOGETHER_MICROS: i64 = 50_000;

/// A frame that waits.
pub(super) struct Held {
    pub(super) track: TrackId,
    pub(super) kind: MediaKind,
    /// Its decode time.
    pub(super) at_micros: i64,
    pub(super) frame: Frame,
}

/// See the module.
pub(super) struct Gate {
    /// The kinds that the listing will have.
    expected: Vec<MediaKind>,
    held: Vec<Held>,
    bytes: usize,
    deadline: Instant,
}

impl Gate {
    pub(super) fn new(now: Instant, expected: Vec<MediaKind>) -> Gate {
        Gate { expected, held: Vec::new(), bytes: 0, deadline: now + GATE_WAIT }
    }

    /// When it opens whatever is missing, if there is anything to open for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.held.is_empty()).then_some(self.deadline)
    }

    pub(super) fn push(&mut self, track: &TrackInfo, frame: Frame) {
        let at_micros = rescale(frame.dts, track.timescale, Timescale::MICROS);
        self.bytes += frame.payload.len();
        self.held.push(Held { track: track.id, kind: track.kind(), at_micros, frame });
    }

    /// What the listing begins with, once it can.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Vec<Held>> {
        let begin = match self.begin() {
            Some(begin) => begin,
            None if self.held.is_empty() => return None,
            None if self.deadline <= now || self.bytes > GATE_BYTES_MAX || self.held.len() > GATE_FRAMES_MAX => {
                i64::MIN
            }
            None => return None,
        };
        let mut held = std::mem::take(&mut self.held);
        held.retain(|held| held.at_micros >= begin);
        // Stable: each track keeps its own order.
        held.sort_by_key(|held| held.at_micros);
        Some(held)
    }

    /// The first keyframe that every track has reached; without a picture the time from which on all sound is there.
    fn begin(&self) -> Option<i64> {
        let first = |kind: &MediaKind| self.held.iter().find(|held| held.kind == *kind).map(|held| held.at_micros);
        let firsts: Option<Vec<i64>> = self.expected.iter().map(first).collect();
        let all_there = firsts?.into_iter().max()?;
        if !self.expected.contains(&MediaKind::Video) {
            return Some(all_there);
        }
        let begins = |held: &&Held| {
            let is_key = held.kind == MediaKind::Video && held.frame.key;
            is_key && held.at_micros + BEGINS_TOGETHER_MICROS >= all_there
        };
        self.held.iter().find(begins).map(|held| held.at_micros)
    }
}
