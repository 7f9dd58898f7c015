//! A rendition's finished segments: what is listed, what is fetchable beyond its listing, and what memory still holds.
//!
//! In order of age there are: segments that left the list and stay fetchable for a while; listed ones whose bytes are
//! kept outside only (the DVR window); and the live edge, whose bytes are in memory. Without a disk the middle is empty.
//! What is kept where is decided here; files are the shell's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_units::Epoch;

use crate::budget::Budget;
use crate::segment::Segment;

/// Which segments stay, in seconds of media from the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Within it segments are listed; `None`: all of them, for as long as the stream goes on.
    pub listed_secs: Option<f64>,
    /// Within it their bytes stay in memory.
    pub memory_secs: f64,
    /// Within it parts are listed.
    pub part_secs: f64,
}

/// What has become of a finished segment's bytes outside of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// Nobody was asked to keep them.
    New,
    Asked,
    Kept,
    /// They will not be kept: the segment ends with the memory that holds it, and all that are older with it.
    Lost,
}

#[derive(Debug)]
struct Finished {
    segment: Arc<Segment>,
    keep: Keep,
}

impl Finished {
    fn secs(&self) -> f64 {
        self.segment.duration_secs.unwrap_or(0.0)
    }

    fn is_on_disk(&self) -> bool {
        matches!(self.keep, Keep::Asked | Keep::Kept)
    }
}

#[derive(Debug)]
pub(crate) struct Shelf {
    /// Oldest first; the first `expiries.len()` of them are not listed any more.
    finished: VecDeque<Finished>,
    expiries: VecDeque<Instant>,
    /// The first so many do without memory, or wait for their expiry.
    settled: usize,
    /// The newest so many have not been asked to be kept.
    unasked: usize,
    listed_secs: f64,
    /// Every segment of the listing can be decoded by itself. That stays untrue when those that cannot have left: a playlist
    /// may lose segments, not get back what it said of all of them (RFC 8216bis §6.2.1).
    all_independent: bool,
    longest_playlist_secs: f64,
    memory: Budget,
    bytes_held: u64,
    disk: Option<Budget>,
    bytes_kept: u64,
    /// What was asked to be kept and has been dropped lies below this number.
    discard_below: Option<u64>,
    /// Something listed was taken off the list.
    shortened: bool,
    view: Option<Arc<[Arc<Segment>]>>,
}

impl Shelf {
    pub fn new(memory: Budget, disk: Option<Budget>) -> Shelf {
        Shelf {
            finished: VecDeque::new(),
            expiries: VecDeque::new(),
            settled: 0,
            unasked: 0,
            listed_secs: 0.0,
            all_independent: true,
            longest_playlist_secs: 0.0,
            memory,
            bytes_held: 0,
            disk,
            bytes_kept: 0,
            discard_below: None,
            shortened: false,
            view: None,
        }
    }

    /// Bytes of an open segment's new part.
    pub fn charge(&mut self, bytes: u64) {
        self.memory.charge(bytes);
        self.bytes_held += bytes;
    }

    /// A segment whose parts were charged.
    pub fn push(&mut self, segment: Segment) {
        self.listed_secs += segment.duration_secs.unwrap_or(0.0);
        self.all_independent &= segment.independent;
        self.finished.push_back(Finished { segment: Arc::new(segment), keep: Keep::New });
        self.unasked += 1;
        self.view = None;
    }

    /// A segment that an earlier run of the server had kept.
    pub fn restore(&mut self, segment: Segment) {
        let Some(disk) = &self.disk else { return };
        disk.charge(segment.len());
        self.bytes_kept += segment.len();
        self.push(segment);
        if let Some(newest) = self.finished.back_mut() {
            newest.keep = Keep::Kept;
        }
        self.unasked = 0;
        self.settled = self.finished.len();
        self.longest_playlist_secs = self.listed_secs;
    }

    /// All that are fetchable, oldest first, and how many of them are not listed. Made once for each change.
    pub fn view(&mut self) -> (Arc<[Arc<Segment>]>, usize) {
        let finished = &self.finished;
        let view = self.view.get_or_insert_with(|| finished.iter().map(|finished| finished.segment.clone()).collect());
        (view.clone(), self.expiries.len())
    }

    pub fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.finished.range(self.expiries.len()..).map(|finished| &*finished.segment)
    }

    /// See [`crate::rendition::Rendition::all_independent`].
    pub fn all_independent(&self) -> bool {
        self.all_independent
    }

    pub fn oldest(&self) -> Option<&Segment> {
        self.finished.front().map(|finished| &*finished.segment)
    }

    /// The number of the first one that is listed.
    pub fn listed_from(&self) -> Option<u64> {
        self.listed().next().map(|segment| segment.msn)
    }

    pub fn bytes_held(&self) -> u64 {
        self.bytes_held
    }

    pub fn bytes_kept(&self) -> u64 {
        self.bytes_kept
    }

    /// Segments that were finished since the last call, to be kept. Empty without a disk.
    pub fn take_unasked(&mut self) -> Vec<Arc<Segment>> {
        let first = self.finished.len() - std::mem::take(&mut self.unasked).min(self.finished.len());
        let Some(disk) = &self.disk else { return Vec::new() };
        let mut asked = Vec::new();
        for finished in self.finished.range_mut(first..).filter(|finished| finished.keep == Keep::New) {
            finished.keep = Keep::Asked;
            disk.charge(finished.segment.len());
            self.bytes_kept += finished.segment.len();
            asked.push(finished.segment.clone());
        }
        asked
    }

    /// A segment was kept, or will not be.
    pub fn note_kept(&mut self, epoch: Epoch, msn: u64, is_kept: bool) {
        let Some(first) = self.oldest().map(|oldest| oldest.msn) else { return };
        let index = msn.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        let Some(finished) = index.and_then(|index| self.finished.get_mut(index)) else { return };
        if finished.segment.epoch != epoch || finished.keep != Keep::Asked {
            return;
        }
        if is_kept {
            finished.keep = Keep::Kept;
        } else {
            finished.keep = Keep::Lost;
            let len = finished.segment.len();
            self.give_back_disk(len);
        }
    }

    /// Takes what has left the window off the list and out of memory. Returns the number from which parts are listed.
    pub fn slide(&mut self, now: Instant, open_secs: f64, window: Window) -> Option<u64> {
        self.longest_playlist_secs = self.longest_playlist_secs.max(self.listed_secs);
        let (parts_from, edge) = self.edges(open_secs, window);
        if self.disk.is_some() {
            self.settle(now, edge, window.memory_secs);
            while let Some(oldest) = self.finished.get(self.expiries.len()) {
                let is_within = window.listed_secs.is_none_or(|listed| self.listed_secs - oldest.secs() < listed);
                if is_within || self.expiries.len() >= edge {
                    break;
                }
                self.unlist_oldest(now);
            }
        } else {
            while self.expiries.len() < edge {
                self.unlist_oldest(now);
            }
            self.settled = self.settled.max(edge);
        }
        parts_from
    }

    /// From the newest back: where parts end (RFC 8216bis §4.4.4.9), and how many segments are beyond the memory window.
    fn edges(&self, open_secs: f64, window: Window) -> (Option<u64>, usize) {
        let (mut after_secs, mut finished_secs) = (open_secs, 0.0);
        let mut parts_from = None;
        for (index, finished) in self.finished.iter().enumerate().rev() {
            if after_secs > window.part_secs {
                parts_from = parts_from.or(Some(finished.segment.msn + 1));
            }
            if finished_secs >= window.memory_secs {
                return (parts_from, index + 1);
            }
            after_secs += finished.secs();
            finished_secs += finished.secs();
        }
        (parts_from, 0)
    }

    /// Lets go of the memory of what is kept. What is not ends the list: a playlist may only lose its oldest.
    fn settle(&mut self, now: Instant, edge: usize, memory_secs: f64) {
        let is_lost = |finished: &Finished| matches!(finished.keep, Keep::Lost | Keep::New);
        // The newest: a disk that hangs owes an answer for older ones, which need not be awaited.
        if let Some(lost) = (self.settled..edge).rev().find(|index| self.finished.get(*index).is_some_and(is_lost)) {
            self.give_up(now, lost + 1, memory_secs);
            (self.settled..lost).for_each(|index| {
                self.free_if_kept(index);
            });
            self.settled = lost + 1;
        }
        while self.settled < edge && self.free_if_kept(self.settled) {
            self.settled += 1;
        }
    }

    /// Ends the list behind the first `count`, the last of which nobody keeps. They stay fetchable for as long as without a
    /// disk: memory cannot hold them for hours, and a disk that is full needs room.
    fn give_up(&mut self, now: Instant, count: usize, memory_secs: f64) {
        while self.expiries.len() < count {
            self.unlist_oldest(now);
        }
        let latest = now + Duration::from_secs_f64(memory_secs * 2.0);
        self.expiries.iter_mut().for_each(|expiry| *expiry = latest.min(*expiry));
        self.longest_playlist_secs = self.listed_secs;
    }

    /// Takes everything that is kept out of memory: nothing comes behind it, and it may stay for hours.
    pub fn free_kept(&mut self) {
        (self.settled..self.finished.len()).for_each(|index| {
            self.free_if_kept(index);
        });
    }

    /// Takes a segment out of memory if it is kept. Returns whether it is.
    fn free_if_kept(&mut self, index: usize) -> bool {
        let Some(finished) = self.finished.get_mut(index).filter(|finished| finished.keep == Keep::Kept) else {
            return false;
        };
        let bytes = finished.segment.memory_len();
        if bytes > 0 {
            finished.segment = Arc::new(finished.segment.without_bytes());
            self.view = None;
            self.release(bytes);
        }
        true
    }

    /// Forgets the listed segments, but not their bytes: a finished stream is followed by a new one.
    pub fn unlist_all(&mut self, now: Instant) {
        while self.expiries.len() < self.finished.len() {
            self.unlist_oldest(now);
        }
        self.shortened = false;
        self.all_independent = true;
    }

    /// RFC 8216bis §6.2.2: a segment stays available after its removal for its own duration and that of the longest
    /// playlist that listed it. That is more than the three target durations that its parts need (§4.4.4.9).
    fn unlist_oldest(&mut self, now: Instant) {
        let Some(oldest) = self.finished.get(self.expiries.len()) else { return };
        let expiry = now + Duration::from_secs_f64(oldest.secs() + self.longest_playlist_secs);
        self.forget_listed(oldest.secs());
        // Removed in order: never before one that was removed earlier.
        let expiry = self.expiries.back().map_or(expiry, |&last| last.max(expiry));
        self.expiries.push_back(expiry);
    }

    fn forget_listed(&mut self, secs: f64) {
        self.listed_secs = (self.listed_secs - secs).max(0.0);
        self.shortened = true;
    }

    /// When the oldest unlisted segment may go.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiries.front().copied()
    }

    /// Drops what has expired. Returns whether anything went.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = self.finished.len();
        while self.next_expiry().is_some_and(|expiry| expiry <= now) {
            self.drop_oldest();
        }
        self.finished.len() < before
    }

    /// Gives back `bytes` of memory: of what is kept outside as well, then of the oldest, unlisted ones first, but never
    /// of the newest segment. Returns the bytes, and the number below which no part is in memory.
    pub fn evict(&mut self, bytes: u64) -> (u64, Option<u64>) {
        let before = self.bytes_held;
        let mut parts_from = None;
        while before - self.bytes_held < bytes && self.settled + 1 < self.finished.len() {
            if !self.free_if_kept(self.settled) {
                break;
            }
            parts_from = self.finished.get(self.settled).map(|finished| finished.segment.msn + 1);
            self.settled += 1;
        }
        while before - self.bytes_held < bytes && self.finished.len() > 1 {
            self.drop_oldest();
        }
        (before - self.bytes_held, parts_from)
    }

    /// Gives back `bytes` of what is kept, oldest first, but nothing of the live edge. Returns the bytes.
    pub fn evict_kept(&mut self, bytes: u64) -> u64 {
        let before = self.bytes_kept;
        while before - self.bytes_kept < bytes && self.settled > 0 {
            self.drop_oldest();
        }
        before - self.bytes_kept
    }

    fn drop_oldest(&mut self) {
        let Some(finished) = self.finished.pop_front() else { return };
        if self.expiries.pop_front().is_none() {
            self.forget_listed(finished.secs());
        }
        if finished.is_on_disk() {
            self.discard_below = Some(finished.segment.msn + 1);
            self.give_back_disk(finished.segment.len());
        }
        self.settled = self.settled.saturating_sub(1);
        self.view = None;
        self.release(finished.segment.memory_len());
    }

    /// The number below which nothing that was kept is needed, if it has changed.
    pub fn take_discard(&mut self) -> Option<u64> {
        self.discard_below.take()
    }

    /// Whether something left the list since the last call.
    pub fn take_shortened(&mut self) -> bool {
        std::mem::take(&mut self.shortened)
    }

    fn release(&mut self, bytes: u64) {
        self.bytes_held -= bytes;
        self.memory.give_back(bytes);
    }

    fn give_back_disk(&mut self, bytes: u64) {
        self.bytes_kept -= bytes;
        if let Some(disk) = &self.disk {
            disk.give_back(bytes);
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.release(self.bytes_held);
        self.give_back_disk(self.bytes_kept);
    }
}
