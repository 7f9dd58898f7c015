//! A model of a receiver: it waits for what is missing, gives up in time, and decodes only what a decoder could.
//!
//! In: packets of one section, in any order, and the time. Out: frames that were shown, the wish for a keyframe, and a rule that
//! was broken: a decoder must never be handed a picture that builds on one it has not seen without a gap that tells it so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use str0m::format::Codec;

use crate::camera::{frame_of, layer_of};
use crate::client::Got;

/// How long a missing packet is waited for. libwebrtc asks for a keyframe after 200 ms without a picture and waits for resends
/// of round trips beside it.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often it asks for a keyframe (libwebrtc: 200 ms and a round trip).
const ASK_EVERY: Duration = Duration::from_millis(400);
/// Longer between two pictures is a freeze (the shortest that getStats counts at 30 frames a second is 150 ms beyond the mean).
pub const FREEZE: Duration = Duration::from_millis(200);

/// A picture that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When.
    pub at: Instant,
    /// The publisher's number of it.
    pub frame: u32,
    /// The layer that it is of.
    pub layer: u8,
    /// Whether it stands alone.
    pub key: bool,
}

/// What the pictures before the next one were.
#[derive(Clone, Copy)]
struct Reference {
    frame: u32,
    layer: u8,
    time: u32,
    picture_id: Option<u16>,
}

/// The receiver of one section.
pub struct Decoder {
    codec: Codec,
    waiting: BTreeMap<u64, Got>,
    /// The next number to be decoded.
    next: Option<u64>,
    /// `None` until a keyframe was decoded, and after a picture was lost.
    reference: Option<Reference>,
    stuck: Option<Instant>,
    asked: Option<Instant>,
    /// What was shown, in order.
    pub shown: Vec<Shown>,
    /// The first rule that was broken.
    pub broken: Option<String>,
}

impl Decoder {
    /// A receiver that has nothing.
    pub fn new(codec: Codec) -> Decoder {
        Decoder {
            codec,
            waiting: BTreeMap::new(),
            next: None,
            reference: None,
            stuck: None,
            asked: None,
            shown: Vec::new(),
            broken: None,
        }
    }

    /// A packet came.
    pub fn take(&mut self, got: Got) {
        if self.next.is_none_or(|next| got.sequence >= next) {
            self.waiting.insert(got.sequence, got);
        }
    }

    /// Shows what can be shown. Returns whether a keyframe is to be asked for.
    pub fn advance(&mut self, now: Instant) -> bool {
        while self.decode_next(now) || self.jump() {}
        if self.waiting.is_empty() && self.reference.is_some() {
            self.stuck = None;
            return false;
        }
        let since = *self.stuck.get_or_insert(now);
        let late = now.saturating_duration_since(since) >= PATIENCE;
        let first = self.shown.is_empty() && self.reference.is_none();
        if !(late || first && self.next.is_some()) {
            return false;
        }
        // What is missing will not come: only a keyframe helps.
        self.reference = None;
        let due = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_EVERY);
        if due && !self.waiting.is_empty() {
            self.asked = Some(now);
            return true;
        }
        false
    }

    /// Decodes the frame that begins at `next`, if it is whole.
    fn decode_next(&mut self, now: Instant) -> bool {
        // The first packet of all may be overtaken; nothing is decoded before its keyframe, so any begin will do.
        let Some(next) = self.next.or_else(|| self.waiting.keys().next().copied()) else { return false };
        self.next = Some(next);
        let Some(end) = self.end_of_frame(next) else { return false };
        let first = &self.waiting[&next];
        let key = begins_keyframe(self.codec, &first.payload);
        let (frame, layer, time) = (frame_of(first), layer_of(first), first.time);
        let picture_id = picture_id(self.codec, &first.payload);
        let is_start = begins_frame(self.codec, &first.payload);
        let one = self.waiting.range(next..=end).all(|(_, got)| (frame_of(got), layer_of(got)) == (frame, layer));
        if !one {
            self.break_rule(format!("packets {next} to {end} have one time and are not of one frame"));
        }
        if let Some(reference) = self.reference {
            self.judge(&reference, (frame, layer, time, picture_id), key, is_start);
        }
        self.waiting = self.waiting.split_off(&(end + 1));
        self.next = Some(end + 1);
        self.stuck = None;
        if key || self.reference.is_some() {
            self.reference = Some(Reference { frame, layer, time, picture_id });
            self.shown.push(Shown { at: now, frame, layer, key });
        }
        true
    }

    /// What follows without a gap must build on what was before it.
    fn judge(&mut self, before: &Reference, next: (u32, u8, u32, Option<u16>), key: bool, is_start: bool) {
        let (frame, layer, time, picture_id) = next;
        if !is_start {
            self.break_rule(format!("frame {frame} of layer {layer} has no beginning"));
        }
        if !key && (layer != before.layer || frame != before.frame + 1) {
            let (had, of) = (before.frame, before.layer);
            self.break_rule(format!("frame {frame} of layer {layer} follows frame {had} of layer {of} without a gap"));
        }
        if (time.wrapping_sub(before.time) as i32) <= 0 {
            self.break_rule(format!("the time of frame {frame} goes back"));
        }
        if let (Some(had), Some(id)) = (before.picture_id, picture_id)
            && id.wrapping_sub(had) & 0x7fff != 1
        {
            self.break_rule(format!("picture {id} follows picture {had}"));
        }
    }

    /// Goes on at the next whole keyframe, if there is one behind a gap.
    fn jump(&mut self) -> bool {
        let begins = self.waiting.iter().filter(|(_, got)| begins_keyframe(self.codec, &got.payload));
        let found = begins.map(|(number, _)| *number).find(|number| self.end_of_frame(*number).is_some());
        let Some(found) = found.filter(|found| self.next != Some(*found)) else { return false };
        self.waiting = self.waiting.split_off(&found);
        self.next = Some(found);
        self.reference = None;
        true
    }

    /// The last number of the frame that begins at `first`, if all of it is there.
    fn end_of_frame(&self, first: u64) -> Option<u64> {
        let mut number = first;
        let time = self.waiting.get(&first)?.time;
        loop {
            let got = self.waiting.get(&number).filter(|got| got.time == time)?;
            if got.marker {
                return Some(number);
            }
            number += 1;
        }
    }

    fn break_rule(&mut self, rule: String) {
        self.broken.get_or_insert(rule);
    }

    /// The longest time without a picture between two moments.
    pub fn longest_freeze(&self, from: Instant, to: Instant) -> Duration {
        let within = self.shown.iter().map(|shown| shown.at).filter(|at| (from..=to).contains(at));
        let ends = std::iter::once(from).chain(within).chain(std::iter::once(to));
        let ends: Vec<Instant> = ends.collect();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

/// Whether a packet begins a keyframe, as each codec's payload format says it.
fn begins_keyframe(codec: Codec, payload: &[u8]) -> bool {
    let at = |index: usize| payload.get(index).copied().unwrap_or(0);
    match codec {
        Codec::Vp8 => begins_frame(codec, payload) && at(4) & 0x01 == 0,
        Codec::Vp9 => at(0) & 0x48 == 0x08,
        Codec::H264 => at(0) & 0x1f == 24,
        Codec::Av1 => at(0) & 0x08 != 0,
        _ => false,
    }
}

/// Whether a packet begins a frame.
fn begins_frame(codec: Codec, payload: &[u8]) -> bool {
    let at = |index: usize| payload.get(index).copied().unwrap_or(0);
    match codec {
        Codec::Vp8 => at(0) & 0x17 == 0x10,
        Codec::Vp9 => at(0) & 0x08 != 0,
        Codec::H264 => at(0) & 0x1f == 24 || at(1) & 0x80 != 0,
        Codec::Av1 => at(0) & 0x80 == 0,
        _ => false,
    }
}

fn picture_id(codec: Codec, payload: &[u8]) -> Option<u16> {
    let at = match codec {
        Codec::Vp8 => 2,
        Codec::Vp9 => 1,
        _ => return None,
    };
    let id = [payload.get(at)? & 0x7f, *payload.get(at + 1)?];
    Some(u16::from_be_bytes(id))
}
