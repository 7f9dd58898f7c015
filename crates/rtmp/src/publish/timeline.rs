//! RTMP's 32-bit millisecond stamps to milliseconds on the publish's timeline (docs/adr/0003).
//!
//! All tracks share one zero. A jump that only a broken or restarted source explains is told, once for all tracks, and
//! taken out: times go on in real time, and the other tracks follow onto the same new offset when they jump as well, so
//! that sound and picture stay together.

use std::time::Instant;

use telstar_media::timeline::{JUMP_MS, WrapExtender};

use super::output::{Outputs, WarningKind};

/// A track that goes back by more than this has started anew; by less, it is jitter or a late frame.
/// Higher drops more of a source that loops, lower takes reordering for a restart. Found: guess.
pub(super) const BACKWARD_JUMP_MS: i64 = 1_000;
/// A stream whose first stamp is later than this is moved to begin near zero.
const START_MAX_MS: i64 = 10_000;
/// Where such a stream begins: room for tracks whose first frame is earlier than the first frame seen.
const START_LEAD_MS: i64 = 1_000;

/// When a frame came and what the wire says of its time.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    pub(super) now: Instant,
    pub(super) timestamp_ms: u32,
    /// Nanoseconds that Enhanced RTMP adds, below a millisecond.
    pub(super) nanos: u32,
}

/// The shared part.
#[derive(Default)]
pub(super) struct Timeline {
    extender: WrapExtender,
    /// What is added to extended stamps; the latest of them after jumps.
    offset_ms: Option<i64>,
    /// The newest frame of any track.
    last: Option<Seen>,
}

/// A track's part.
#[derive(Default)]
pub(super) struct TrackTime {
    offset_ms: i64,
    last: Option<Seen>,
}

/// A frame's time and when it came.
#[derive(Clone, Copy)]
struct Seen {
    time_ms: i64,
    at: Instant,
}

impl Timeline {
    /// The time of a frame of `track`; `None` for one that lies before the start of the timeline.
    pub(super) fn map(&mut self, track: &mut TrackTime, stamp: Stamp, outputs: &mut Outputs) -> Option<i64> {
        let wire_ms = self.extender.extend(stamp.timestamp_ms);
        let offset_ms = *self.offset_ms.get_or_insert(if wire_ms > START_MAX_MS { START_LEAD_MS - wire_ms } else { 0 });
        // A new track is measured against the others: it may begin a little before what they have come to.
        let (reference, backward_ms) = match track.last {
            Some(seen) => (Some(seen), BACKWARD_JUMP_MS),
            None => {
                track.offset_ms = offset_ms;
                (self.last, JUMP_MS)
            }
        };
        let newest = self.last;
        let jump_with = |offset_ms| {
            let jump_ms = reference?.jump(wire_ms + offset_ms, stamp.now, backward_ms)?;
            // A track that was silent while the others went on has paused, however fast the stream is pushed.
            let beside_others =
                newest.is_some_and(|newest| newest.jump(wire_ms + offset_ms, stamp.now, JUMP_MS).is_none());
            (jump_ms < 0 || !beside_others).then_some(jump_ms)
        };
        if let Some(jump_ms) = jump_with(track.offset_ms) {
            // Another track may have jumped before and set the offset that suits this one as well.
            track.offset_ms = match jump_with(offset_ms) {
                None => offset_ms,
                Some(_) => {
                    outputs.warn(WarningKind::TimestampJump { ms: jump_ms });
                    outputs.restart_clock();
                    track.offset_ms - jump_ms
                }
            };
            self.offset_ms = Some(track.offset_ms);
        }
        let time_ms = wire_ms + track.offset_ms;
        track.last = Some(Seen::latest(track.last, time_ms, stamp.now));
        self.last = Some(Seen::latest(self.last, time_ms, stamp.now));
        if time_ms < 0 {
            outputs.drop_frame(WarningKind::TimestampOrder);
            return None;
        }
        Some(time_ms)
    }
}

impl Seen {
    /// A step back within the tolerance does not move the reference back.
    fn latest(before: Option<Seen>, time_ms: i64, at: Instant) -> Seen {
        Seen { time_ms: before.map_or(time_ms, |seen| seen.time_ms.max(time_ms)), at }
    }

    /// How far `time_ms` is from where real time would have put it, if that is more than a pause or jitter.
    fn jump(self, time_ms: i64, now: Instant, backward_ms: i64) -> Option<i64> {
        let elapsed = now.saturating_duration_since(self.at).as_millis();
        let elapsed_ms = i64::try_from(elapsed).unwrap_or(i64::MAX / 4);
        let step_ms = time_ms - self.time_ms;
        let jumped = step_ms > JUMP_MS.saturating_add(elapsed_ms) || step_ms < -backward_ms;
        // At least a millisecond on, so that a burst of frames after the jump keeps its order.
        jumped.then(|| step_ms - elapsed_ms.max(1))
    }
}
