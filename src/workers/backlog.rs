//! What a conversion's next worker begins with: the frames since the newest one that stands alone, fed or not.
//!
//! A source such as RTMP cannot be asked for a keyframe, so that a worker that died would leave a picture away for the
//! rest of a group of pictures; from here the next one decodes what it needs and shows what is new. A pure value.

use std::collections::VecDeque;

use telstar_media::{Frame, MediaKind};
use telstar_units::Timescale;

/// Bytes of pictures at most; they are shared with the hub's ring. Higher: longer groups of pictures survive a worker;
/// lower: less memory for each conversion. 16 MiB is 10 s at 13 Mbit/s.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Frames at most: 17 s at 60 pictures a second.
const FRAMES_MAX: usize = 1_024;
/// Time at most. To decode it takes a worker a fraction of that; more would keep a viewer waiting as the next keyframe does.
const SECS_MAX: f64 = 12.0;
/// Frames of sound before the newest: decoders of sound overlap two.
const SOUND_FRAMES: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Backlog {
    kind: MediaKind,
    timescale: Timescale,
    frames: VecDeque<Frame>,
    bytes: usize,
    /// How many of them, from the front, the present worker has.
    fed: usize,
    /// How many of them, from the front, are only to be decoded.
    decode_only: usize,
    waits_for_key: bool,
    dropped: u64,
}

impl Backlog {
    pub(super) fn new(kind: MediaKind, timescale: Timescale) -> Backlog {
        Backlog {
            kind,
            timescale,
            frames: VecDeque::new(),
            bytes: 0,
            fed: 0,
            decode_only: 0,
            waits_for_key: kind == MediaKind::Video,
            dropped: 0,
        }
    }

    /// Takes the newest frame.
    pub(super) fn push(&mut self, frame: Frame) {
        if frame.key {
            self.waits_for_key = false;
            let keep = if self.kind == MediaKind::Video { 0 } else { SOUND_FRAMES };
            self.forget(self.fed.saturating_sub(keep));
        } else if self.waits_for_key {
            self.dropped += 1;
            return;
        }
        self.bytes += frame.payload.len();
        self.frames.push_back(frame);
        if self.is_full() {
            // What was fed is what a restart would need; without it, that waits for a keyframe.
            self.forget(self.fed);
        }
        if self.is_full() {
            // The worker is far behind.
            self.dropped += self.frames.len() as u64;
            self.clear();
        }
    }

    /// The next frame for the worker, and whether it is only to be decoded.
    pub(super) fn feed(&mut self) -> Option<(Frame, bool)> {
        let frame = self.frames.get(self.fed)?.clone();
        let decode_only = self.fed < self.decode_only;
        self.fed += 1;
        Some((frame, decode_only))
    }

    /// There is something for a worker that begins.
    pub(super) fn has_any(&self) -> bool {
        !self.frames.is_empty()
    }

    /// There is something to feed.
    pub(super) fn has_news(&self) -> bool {
        self.fed < self.frames.len()
    }

    /// Another worker begins. Only the newest frame is shown of what is here: the others are of the past.
    pub(super) fn begin_again(&mut self) {
        self.fed = 0;
        if self.kind == MediaKind::Video {
            match self.frames.iter().rposition(|frame| frame.key) {
                Some(newest) => self.forget(newest),
                None => self.clear(),
            }
        }
        self.decode_only = self.frames.len().saturating_sub(1);
    }

    /// Nothing of what was here is of use: another stream begins.
    pub(super) fn clear(&mut self) {
        self.forget(self.frames.len());
        self.waits_for_key = self.kind == MediaKind::Video;
    }

    /// Frames that no worker will see, since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn is_full(&self) -> bool {
        let span = match (self.frames.front(), self.frames.back()) {
            (Some(first), Some(last)) => self.timescale.seconds(last.dts.saturating_sub(first.dts)),
            _ => 0.0,
        };
        self.bytes > BYTES_MAX || self.frames.len() > FRAMES_MAX || span > SECS_MAX
    }

    fn forget(&mut self, count: usize) {
        for frame in self.frames.drain(..count) {
            self.bytes -= frame.payload.len();
        }
        self.fed = self.fed.saturating_sub(count);
        self.decode_only = self.decode_only.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use telstar_media::{Codec, CodecConfig};

    use super::*;

    fn frame(codec: Codec, number: i64, key: bool, len: usize) -> Frame {
        let config = Arc::new(CodecConfig::Opaque { codec, record: Bytes::new() });
        let dts = number * 3_000;
        Frame { config, dts, pts: dts, duration: 0, key, payload: Bytes::from(vec![0; len]) }
    }

    fn pictures() -> Backlog {
        Backlog::new(MediaKind::Video, Timescale::VIDEO)
    }

    /// Numbers of all that is there to feed; those that are only decoded are negative.
    fn fed(backlog: &mut Backlog) -> Vec<i64> {
        let number = |(frame, decode_only): (Frame, bool)| frame.dts / 3_000 * if decode_only { -1 } else { 1 };
        std::iter::from_fn(|| backlog.feed()).map(number).collect()
    }

    #[test]
    fn a_worker_that_follows_another_decodes_the_group_and_shows_what_is_new() {
        let mut backlog = pictures();
        (1..=10).for_each(|n| backlog.push(frame(Codec::H264, n, n % 4 == 1, 10)));
        assert_eq!(fed(&mut backlog), (1..=10).collect::<Vec<_>>());
        backlog.push(frame(Codec::H264, 11, false, 10));
        backlog.begin_again();
        assert_eq!(fed(&mut backlog), [-9, -10, 11]);
        backlog.push(frame(Codec::H264, 12, false, 10));
        assert_eq!(fed(&mut backlog), [12]);
        backlog.push(frame(Codec::H264, 13, true, 10));
        backlog.push(frame(Codec::H264, 14, false, 10));
        backlog.begin_again();
        assert_eq!(fed(&mut backlog), [-13, 14]);
    }

    #[test]
    fn nothing_is_fed_before_a_picture_that_stands_alone() {
        let mut backlog = pictures();
        (1..=5).for_each(|n| backlog.push(frame(Codec::H264, n, n == 4, 10)));
        assert_eq!(fed(&mut backlog), [4, 5]);
        assert_eq!(backlog.take_dropped(), 3);
        backlog.clear();
        backlog.push(frame(Codec::H264, 6, false, 10));
        assert!(!backlog.has_news());
    }

    #[test]
    fn sound_keeps_a_little_and_shows_the_newest() {
        let mut backlog = Backlog::new(MediaKind::Audio, Timescale::VIDEO);
        for n in 1..=100 {
            backlog.push(frame(Codec::Aac, n, true, 10));
            assert_eq!(fed(&mut backlog), [n]);
        }
        assert!(backlog.frames.len() <= SOUND_FRAMES + 1);
        backlog.begin_again();
        assert_eq!(fed(&mut backlog), [-96, -97, -98, -99, 100]);
    }

    #[test]
    fn it_never_holds_more_than_its_limits() {
        for (len, step) in [(BYTES_MAX / 8, 1), (1, 1), (1, 60)] {
            let mut backlog = pictures();
            for n in 0..3 * FRAMES_MAX as i64 {
                backlog.push(frame(Codec::H264, n * step, n == 0 || n % 700 == 0, len));
                assert!(backlog.bytes <= BYTES_MAX && backlog.frames.len() <= FRAMES_MAX);
            }
            assert!(backlog.take_dropped() > 0, "nobody took any");
        }
        // A long group that is fed in time loses only its beginning.
        let mut backlog = pictures();
        for n in 0..3 * FRAMES_MAX as i64 {
            backlog.push(frame(Codec::H264, n, n == 0, 1));
            assert_eq!(fed(&mut backlog), [n]);
        }
        assert_eq!(backlog.take_dropped(), 0);
        backlog.begin_again();
        assert!(fed(&mut backlog).is_empty(), "there is nothing to begin with");
    }
}
