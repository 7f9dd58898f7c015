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
    /// Whether every packet comes that the server sends: then there is no excuse for what is missing.
    pub has_all: bool,
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
            has_all: false,
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
        // Requests are lost as well: whoever has asked goes on asking until a keyframe is there.
        let begs = self.reference.is_none() && self.asked.is_some();
        if !(late || begs || first && self.next.is_some()) {
            return false;
        }
        if late && self.has_all {
            let behind = self.waiting.keys().next_back().map_or(0, |last| last + 1);
            self.judge_hole(behind);
        }
        // What is missing will not come: only a keyframe helps.
        self.reference = None;
        let due = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_EVERY);
        if due && (begs || !self.waiting.is_empty()) {
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
        if self.waiting.get(&next).is_some_and(|got| got.payload.is_empty()) {
            // Padding in the place of a packet that was left out.
            self.waiting.remove(&next);
            self.next = Some(next + 1);
            return true;
        }
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
        if self.reference.is_none() && !key && self.has_all {
            self.break_rule(format!("frame {frame} of layer {layer} is the first and no keyframe"));
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
        if self.has_all {
            self.judge_hole(found);
        }
        self.waiting = self.waiting.split_off(&found);
        self.next = Some(found);
        self.reference = None;
        true
    }

    /// Where nothing is lost, all numbers from the next on have come. A frame may be cut short by a pause; its numbers go on.
    fn judge_hole(&mut self, behind: u64) {
        let Some(next) = self.next.filter(|next| *next < behind) else { return };
        if self.waiting.range(next..behind).count() as u64 != behind - next {
            self.break_rule(format!("something from {next} to {behind} was never sent, and nothing was lost"));
        }
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

    /// The longest time without a picture that was not begun anew by one of these moments.
    pub fn longest_still(&self, from: Instant, to: Instant, excuses: &[Instant]) -> Duration {
        let shown = self.shown.iter().map(|shown| shown.at);
        let mut ends: Vec<Instant> =
            shown.chain(excuses.iter().copied()).filter(|at| (from..=to).contains(at)).collect();
        ends.extend([from, to]);
        ends.sort_unstable();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// The longest time without a picture between two moments.
    pub fn longest_freeze(&self, from: Instant, to: Instant) -> Duration {
        self.longest_still(from, to, &[])
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::vp8;

    /// A frame of one packet: its sequence number, what it is, and what the camera numbered it.
    fn packet(at: Instant, sequence: u64, key: bool, (frame, layer, picture_id): (u32, u8, u16)) -> Got {
        let mut payload = vp8(key, picture_id, &[0; 100]);
        payload.extend_from_slice(&frame.to_be_bytes());
        payload.push(layer);
        let (mid, time) = ("0".to_owned(), frame * 3_000);
        Got { at, mid, ssrc: 1, payload_type: 96, sequence, time, marker: true, payload, taken: None }
    }

    fn check(frames: &[(u64, bool, (u32, u8, u16))]) -> (Decoder, bool) {
        let now = Instant::now();
        let mut decoder = Decoder::new(Codec::Vp8);
        frames.iter().for_each(|(sequence, key, what)| decoder.take(packet(now, *sequence, *key, *what)));
        decoder.advance(now);
        let asks = decoder.advance(now + PATIENCE);
        (decoder, asks)
    }

    #[test]
    fn a_stream_without_gaps_is_shown_and_layers_change_at_keyframes() {
        let (decoder, asks) = check(&[(1, true, (5, 0, 9)), (2, false, (6, 0, 10)), (3, true, (8, 2, 11))]);
        assert_eq!((decoder.shown.len(), decoder.broken, asks), (3, None, false));
    }

    #[test]
    fn a_frame_that_is_missing_without_a_gap_breaks_a_rule() {
        let (decoder, _) = check(&[(1, true, (5, 0, 9)), (2, false, (7, 0, 10))]);
        assert!(decoder.broken.is_some_and(|rule| rule.contains("without a gap")));
    }

    #[test]
    fn another_layer_without_a_keyframe_breaks_a_rule() {
        let (decoder, _) = check(&[(1, true, (5, 0, 9)), (2, false, (6, 1, 10))]);
        assert!(decoder.broken.is_some_and(|rule| rule.contains("layer 1 follows")));
    }

    #[test]
    fn picture_ids_with_a_hole_break_a_rule() {
        let (decoder, _) = check(&[(1, true, (5, 0, 9)), (2, false, (6, 0, 11))]);
        assert!(decoder.broken.is_some_and(|rule| rule.contains("picture 11 follows picture 9")));
    }

    #[test]
    fn what_has_all_begins_with_a_keyframe_and_has_no_gap() {
        for (frames, rule) in [
            ([(1, false, (5, 0, 9)), (2, true, (6, 0, 10))], "is the first and no keyframe"),
            ([(1, true, (5, 0, 9)), (3, true, (6, 0, 10))], "was never sent"),
        ] {
            let now = Instant::now();
            let mut decoder = Decoder::new(Codec::Vp8);
            decoder.has_all = true;
            frames.iter().for_each(|(sequence, key, what)| decoder.take(packet(now, *sequence, *key, *what)));
            decoder.advance(now);
            decoder.advance(now + PATIENCE);
            assert!(decoder.broken.as_ref().is_some_and(|found| found.contains(rule)), "{:?}", decoder.broken);
        }
    }

    #[test]
    fn a_frame_that_a_pause_cut_short_is_no_gap() {
        let (now, mut decoder) = (Instant::now(), Decoder::new(Codec::Vp8));
        decoder.has_all = true;
        decoder.take(packet(now, 1, true, (5, 0, 9)));
        decoder.take(Got { marker: false, ..packet(now, 2, false, (6, 0, 10)) });
        decoder.advance(now);
        decoder.advance(now + PATIENCE);
        decoder.take(packet(now + PATIENCE, 3, true, (90, 0, 11)));
        decoder.advance(now + PATIENCE);
        assert_eq!((decoder.shown.len(), decoder.broken), (2, None));
    }

    #[test]
    fn padding_in_the_place_of_a_packet_is_no_gap() {
        let (now, mut decoder) = (Instant::now(), Decoder::new(Codec::Vp8));
        decoder.take(packet(now, 1, true, (5, 0, 9)));
        decoder.take(Got { payload: Vec::new(), ..packet(now, 2, false, (6, 0, 10)) });
        decoder.take(packet(now, 3, false, (6, 0, 10)));
        decoder.advance(now);
        assert_eq!((decoder.shown.len(), decoder.broken), (2, None));
    }

    #[test]
    fn behind_a_gap_nothing_is_shown_and_a_keyframe_is_asked_for() {
        let (decoder, asks) = check(&[(1, true, (5, 0, 9)), (3, false, (7, 0, 11))]);
        assert_eq!((decoder.shown.len(), decoder.broken, asks), (1, None, true));
    }
}
