//! Which packets of a track a subscriber gets: one simulcast layer, or the lower part of an SVC stream.
//!
//! In: the layer that was allocated, and every packet of every layer of the track. Out: a verdict per packet, and of
//! which layer a keyframe is missing.
//!
//! Invariants: nothing is forwarded before a keyframe; another simulcast layer begins with its keyframe and the old one
//! is forwarded until then, a dearer one for [`FALL_WITHIN`] at most; temporal layers are taken only where no frame refers to one that was left out. This is what
//! every SFU does; staying on the old layer while waiting is LiveKit's and mediasoup's rule as well.

use std::time::{Duration, Instant};

use crate::descriptor::{Descriptor, LAYERS_MAX, SwitchUp};

/// A layer is taken for stopped when it is silent for so long while others of its track go on. Shorter bridges a
/// publisher's pause sooner (viewers freeze meanwhile), longer bears more jitter and lower frame rates.
pub const STOPPED_AFTER: Duration = Duration::from_millis(500);
/// And when the others began so many frames since. A still screen sends a frame a second in each layer: time alone
/// would take each of them for stopped in turn.
const STOPPED_FRAMES: u8 = 8;

/// How long a layer that is too dear goes on while the lower one's keyframe is missing. Longer shows a picture until
/// then at the cost of a queue in the path, shorter freezes it when a keyframe comes late. Two requests and their
/// answers fit into it.
pub const FALL_WITHIN: Duration = Duration::from_secs(1);

/// A layer of a track: what a subscriber's choice consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer {
    /// The encoding in the order that the publisher announced, lowest first; with SVC the spatial layer.
    pub rung: u8,
    /// The highest temporal layer.
    pub temporal: u8,
}

impl Layer {
    /// All temporal layers of a rung, whatever their number.
    pub const TOP_TEMPORAL: u8 = LAYERS_MAX as u8 - 1;

    /// A rung at its full frame rate.
    pub fn whole(rung: u8) -> Layer {
        Layer { rung, temporal: Layer::TOP_TEMPORAL }
    }
}

/// How a track's rungs are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each rung is a stream of its own; also a track with one stream.
    Simulcast,
    /// All are in one stream (VP9 or AV1 with spatial layers).
    Svc,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is forwarded.
    Forward {
        /// It is the first of its source: [`crate::rewrite::Rewriter::switch`] comes before it.
        switched: bool,
        /// The RTP marker has to be set: what followed in this picture is left out (RFC 9628 §4.1).
        set_marker: bool,
    },
    /// It belongs to the current source and is left out: [`crate::rewrite::Rewriter::skip`].
    Skip,
    /// It belongs to another source.
    Ignore,
}

/// The choice for one subscriber's track.
#[derive(Clone, Debug)]
pub struct Selector {
    shape: Shape,
    target: Option<Layer>,
    /// What is forwarded from packet `since` on; before it, `earlier`.
    current: Option<Layer>,
    since: u64,
    earlier: Layer,
    /// The highest sequence number of the current stream.
    highest: u64,
    /// Since when a lower layer than the current one is awaited.
    falling: Option<Instant>,
    rungs: [Rung; LAYERS_MAX],
}

/// When a rung was last heard.
#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    last: Option<Instant>,
    /// Frames that other rungs began since.
    others: u8,
}

impl Rung {
    fn is_stopped(&self, now: Instant) -> bool {
        let silent = self.last.is_some_and(|last| now.saturating_duration_since(last) >= STOPPED_AFTER);
        silent && self.others >= STOPPED_FRAMES
    }
}

impl Selector {
    /// Nothing is wanted yet.
    pub fn new(shape: Shape) -> Selector {
        Selector {
            shape,
            target: None,
            current: None,
            since: 0,
            earlier: Layer { rung: 0, temporal: 0 },
            highest: 0,
            falling: None,
            rungs: Default::default(),
        }
    }

    /// The layer that the subscriber should get; `None` pauses at once, and what comes after begins with a keyframe.
    pub fn set_target(&mut self, target: Option<Layer>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
        }
    }

    /// Ends a simulcast layer that is dearer than what was asked for, without waiting for the keyframe of that. Whether there
    /// was one.
    pub fn stop_dearer(&mut self) -> bool {
        let is_dearer = self.current.zip(self.target).is_some_and(|(current, target)| current.rung > target.rung);
        if is_dearer && self.shape == Shape::Simulcast {
            (self.current, self.falling) = (None, None);
            return true;
        }
        false
    }

    /// What was asked for.
    pub fn target(&self) -> Option<Layer> {
        self.target
    }

    /// What is forwarded.
    pub fn current(&self) -> Option<Layer> {
        self.current
    }

    /// The rung of which a keyframe is missing now: for its throttle. With SVC there is one stream, number 0.
    pub fn keyframe_wanted(&self, now: Instant) -> Option<u8> {
        let target = self.target?;
        match (self.shape, self.current) {
            (Shape::Svc, Some(current)) => (target.rung > current.rung && self.is_alive(now, target.rung)).then_some(0),
            (Shape::Svc, None) => Some(0),
            (Shape::Simulcast, current) => {
                let goal = self.goal(now, target.rung);
                (current.map(|current| current.rung) != Some(goal)).then_some(goal)
            }
        }
    }

    /// Whether a rung that was heard is silent while others go on: its publisher paused it.
    pub fn is_stopped(&self, now: Instant, rung: u8) -> bool {
        self.rungs.get(usize::from(rung)).is_some_and(|rung| rung.is_stopped(now))
    }

    /// Judges a packet of any rung of the track; `rung` is its stream, 0 with SVC.
    pub fn handle_packet(&mut self, now: Instant, rung: u8, sequence: u64, descriptor: &Descriptor) -> Verdict {
        let heard = if self.shape == Shape::Svc { descriptor.spatial } else { rung };
        self.hear(now, heard, descriptor.start);
        let Some(target) = self.target else { return Verdict::Ignore };
        match self.shape {
            Shape::Simulcast => self.handle_simulcast(now, rung, sequence, descriptor, target),
            Shape::Svc => self.handle_svc(sequence, descriptor, target),
        }
    }

    fn handle_simulcast(&mut self, now: Instant, rung: u8, sequence: u64, read: &Descriptor, target: Layer) -> Verdict {
        self.give_up(now, target);
        if self.current.is_none_or(|current| current.rung != rung) {
            let goal = self.goal(now, target.rung);
            // Who has no picture yet takes a lower one that can be had before the one that was meant.
            let wanted = rung == goal || (self.current.is_none() && rung < goal);
            if !wanted || !read.key_start {
                return Verdict::Ignore;
            }
            return self.begin(sequence, read, Layer { rung, temporal: target.temporal });
        }
        if sequence > self.highest {
            self.highest = sequence;
            self.adjust(sequence, read, Layer { rung, temporal: target.temporal });
        }
        let limit = self.limit(sequence);
        if read.temporal > limit.temporal {
            Verdict::Skip
        } else {
            Verdict::Forward { switched: false, set_marker: false }
        }
    }

    /// Stops a layer that the path does not carry when the lower one does not begin.
    fn give_up(&mut self, now: Instant, target: Layer) {
        if self.current.is_none_or(|current| current.rung <= target.rung) {
            self.falling = None;
        } else if now.saturating_duration_since(*self.falling.get_or_insert(now)) >= FALL_WITHIN {
            (self.current, self.falling) = (None, None);
        }
    }

    fn handle_svc(&mut self, sequence: u64, read: &Descriptor, target: Layer) -> Verdict {
        let Some(current) = self.current else {
            return if read.key_start { self.begin(sequence, read, target) } else { Verdict::Ignore };
        };
        if sequence > self.highest {
            self.highest = sequence;
            // Lower layers never refer to higher ones, so that down is possible with every picture.
            let rung = if read.start && read.spatial == 0 { current.rung.min(target.rung) } else { current.rung };
            let rung = if read.key_start { target.rung } else { rung };
            self.adjust(sequence, read, Layer { rung, temporal: target.temporal });
        }
        let limit = self.limit(sequence);
        if read.temporal > limit.temporal || read.spatial > limit.rung {
            return Verdict::Skip;
        }
        Verdict::Forward { switched: false, set_marker: read.end && read.spatial == limit.rung }
    }

    /// A keyframe begins a source.
    fn begin(&mut self, sequence: u64, read: &Descriptor, layer: Layer) -> Verdict {
        self.current = Some(layer);
        (self.since, self.highest, self.earlier) = (sequence, sequence, layer);
        // One packet can be all that is forwarded of a picture.
        let set_marker = self.shape == Shape::Svc && read.end && read.spatial == layer.rung;
        Verdict::Forward { switched: true, set_marker }
    }

    /// Moves the current layer towards `wanted` as far as this packet allows; its rung is allowed already.
    fn adjust(&mut self, sequence: u64, read: &Descriptor, wanted: Layer) {
        let Some(current) = self.current else { return };
        let has = current.temporal;
        let temporal = if read.key_start {
            wanted.temporal
        } else if wanted.temporal < has {
            if read.start { wanted.temporal } else { has }
        } else {
            match read.switch_up {
                // One at a time: a frame of the layer below may follow that refers to one that was left out.
                SwitchUp::Here if read.start && read.temporal == has + 1 => wanted.temporal.min(read.temporal),
                // With SVC the top layer's frame decides: it is the last of its picture that refers to others.
                SwitchUp::After(top) if read.temporal <= has && self.is_top(read, current) => {
                    wanted.temporal.min(top).max(has)
                }
                _ => has,
            }
        };
        let next = Layer { rung: wanted.rung, temporal };
        if next != current {
            (self.earlier, self.since, self.current) = (current, sequence, Some(next));
        }
    }

    fn is_top(&self, read: &Descriptor, current: Layer) -> bool {
        self.shape == Shape::Simulcast || read.spatial == current.rung
    }

    /// What was forwarded when `sequence` should have come.
    fn limit(&self, sequence: u64) -> Layer {
        if sequence >= self.since { self.current.unwrap_or(self.earlier) } else { self.earlier }
    }

    fn hear(&mut self, now: Instant, heard: u8, starts: bool) {
        for (index, rung) in self.rungs.iter_mut().enumerate() {
            if index == usize::from(heard) {
                *rung = Rung { last: Some(now), others: 0 };
            } else if starts {
                rung.others = rung.others.saturating_add(1);
            }
        }
    }

    fn is_alive(&self, now: Instant, rung: u8) -> bool {
        let rung = self.rungs.get(usize::from(rung));
        rung.is_some_and(|rung| rung.last.is_some() && !rung.is_stopped(now))
    }

    /// The rung to get to: the wanted one, or the best below it while that is silent. Never one above: the path was
    /// not found to carry it.
    fn goal(&self, now: Instant, wanted: u8) -> u8 {
        (0..=wanted).rev().find(|rung| self.is_alive(now, *rung)).unwrap_or(wanted)
    }
}

#[cfg(test)]
mod tests;
