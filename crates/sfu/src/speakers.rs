//! Who speaks, and whose sound has one of the few audio slots of a large room.
//!
//! In: the audio level of each packet (RFC 6464) and the length of its payload. Out: the list of speakers, loudest
//! first, and the tracks that have a slot. LiveKit smooths levels over half a second the same way; Jitsi forwards the
//! loudest few.
//!
//! A level is what the sender says; only decoding the sound would tell whether it is true. What can be seen without:
//! speech has payloads (Opus sends a byte or two in silence, RFC 6716 §3.1), its level moves all the time, and it is
//! rarely louder than 25 dB below full scale. A constant level is not taken for speech, levels beyond that loudness
//! count the same, a newcomer needs a margin, and the first place changes at most once a second. A sender that imitates
//! all of that can still appear as a speaker beside the others; a moderator can mute it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use telstar_units::TrackId;

/// How often levels are looked at. Shorter lets a first syllable through sooner, longer costs less.
const TICK: Duration = Duration::from_millis(100);
/// The list of speakers changes at most so often.
const LIST_INTERVAL: Duration = Duration::from_millis(300);
/// The first place changes at most so often: pages follow it with their largest picture.
pub const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// A slot is taken from one track for another at most so often in a room: each costs every subscriber an event.
pub const SLOT_INTERVAL: Duration = Duration::from_millis(200);
/// Who spoke keeps a slot at least so long after.
const SLOT_HOLD: Duration = Duration::from_secs(2);
/// Whoever has been quieter for so long does not speak any more: the pause between two sentences.
const SILENT_AFTER: Duration = Duration::from_millis(800);
/// Levels, in dB below full scale: who is louder begins to speak, who is quieter ends. LiveKit takes 35 for half of the
/// packets; smoothed over pauses that is about this.
const BEGIN_LEVEL: f32 = 50.0;
const END_LEVEL: f32 = 60.0;
/// Nothing counts for louder than this.
const LOUDEST: u8 = 25;
/// RFC 6464 §3: silence.
const SILENCE: u8 = 127;
/// What is not marked as voice counts for this much quieter: a fan, not a person. Some senders never set the mark.
const NO_VOICE: u8 = 10;
/// Payloads up to this are silence (RFC 6716 §3.1: code 0 with an empty frame, and what DTX sends).
const DTX_LEN_MAX: usize = 3;
/// Smoothing of loudness and of its movement. Longer bears more of a pause, shorter notices a speaker sooner.
const LOUDNESS_SECS: f32 = 0.25;
const MOVEMENT_SECS: f32 = 1.0;
/// Mean squared step between packets in dB², below which a sound is not speech. Speech has 10 and more; a constant
/// level 0.
const MOVEMENT_MIN: f32 = 0.5;
/// A single large step must not pass for seconds of speech.
const STEP_MAX: f32 = 4.0;
/// Who wants the first place or another's slot must be louder by this.
const MARGIN: f32 = 4.0;
/// The most speakers in the list.
pub const SPEAKERS_MAX: usize = 8;
/// Tracks whose levels are kept; further ones are not heard for the list. More than a room can have.
pub const TRACKS_MAX: usize = 4096;
/// A level in the list moves by steps of this, so that steady speech is not an event.
const LEVEL_STEP: u8 = 6;

/// The speakers of one room.
#[derive(Debug)]
pub struct Speakers {
    tracks: BTreeMap<TrackId, Voice>,
    slots: Vec<TrackId>,
    slots_max: usize,
    slots_changed: bool,
    slot_taken: Option<Instant>,
    /// The list as it was given out last, and the one to give out.
    list: Vec<(TrackId, u8)>,
    listed: Option<Instant>,
    list_changed: bool,
    first_changed: Option<Instant>,
    ticked: Instant,
    /// Something was heard, or somebody is still in the list.
    busy: bool,
}

/// What is known of one track.
#[derive(Clone, Copy, Debug)]
struct Voice {
    /// Smoothed dB above silence.
    loudness: f32,
    /// Smoothed squared step of the level between packets.
    movement: f32,
    level: u8,
    heard: Instant,
    /// When it was loud enough last; it speaks until [`SILENT_AFTER`] later.
    loud: Option<Instant>,
    speaks: bool,
}

impl Voice {
    fn new(now: Instant, level: u8) -> Voice {
        Voice { loudness: 0.0, movement: 0.0, level, heard: now, loud: None, speaks: false }
    }

    fn hear(&mut self, now: Instant, level: u8) {
        let passed = now.saturating_duration_since(self.heard).as_secs_f32();
        let step = f32::from(level.abs_diff(self.level)).min(STEP_MAX);
        self.loudness += (f32::from(SILENCE - level) - self.loudness) * share(passed, LOUDNESS_SECS);
        self.movement += (step * step - self.movement) * share(passed, MOVEMENT_SECS);
        (self.heard, self.level) = (now.max(self.heard), level);
    }

    /// Who sends nothing falls silent: DTX, a mute, a lost path.
    fn tick(&mut self, now: Instant) {
        if now.saturating_duration_since(self.heard) > TICK {
            self.loudness -= self.loudness * share(TICK.as_secs_f32(), LOUDNESS_SECS);
        }
        let is_loud = self.loudness > f32::from(SILENCE) - if self.speaks { END_LEVEL } else { BEGIN_LEVEL };
        if is_loud && self.movement >= MOVEMENT_MIN {
            self.loud = Some(now);
        }
        self.speaks = self.loud.is_some_and(|loud| now.saturating_duration_since(loud) < SILENT_AFTER);
    }

    fn level(&self) -> u8 {
        SILENCE - self.loudness.clamp(0.0, f32::from(SILENCE)) as u8
    }
}

/// The part that a new value has after `passed` seconds, with the given time constant.
fn share(passed: f32, constant: f32) -> f32 {
    // A packet of its own always has some weight, however close it follows.
    1.0 - (-passed.clamp(0.001, 10.0) / constant).exp()
}

impl Speakers {
    /// A room with `slots_max` audio slots.
    pub fn new(slots_max: usize, now: Instant) -> Speakers {
        Speakers {
            tracks: BTreeMap::new(),
            slots: vec![],
            slots_max,
            slots_changed: false,
            slot_taken: None,
            list: vec![],
            listed: None,
            list_changed: false,
            first_changed: None,
            ticked: now,
            busy: false,
        }
    }

    /// A packet of an audio track: its level below full scale in dB, whether its sender marked it as voice, and how
    /// long its payload is. A track's first packet gives it a slot if one is free.
    pub fn handle_audio(&mut self, now: Instant, track: TrackId, level: u8, voice: bool, payload_len: usize) {
        let quieter = if voice { 0 } else { NO_VOICE };
        let level =
            if payload_len <= DTX_LEN_MAX { SILENCE } else { level.saturating_add(quieter).clamp(LOUDEST, SILENCE) };
        let full = self.tracks.len() >= TRACKS_MAX;
        match self.tracks.get_mut(&track) {
            Some(known) => known.hear(now, level),
            None if full => return,
            None => {
                self.tracks.insert(track, Voice::new(now, level));
                if self.slots.len() < self.slots_max {
                    self.slots.push(track);
                    self.slots_changed = true;
                }
            }
        }
        self.busy |= level < SILENCE;
    }

    /// A track ended or was muted. Its slot goes to the loudest, or the oldest, without.
    pub fn remove(&mut self, track: TrackId) {
        if self.tracks.remove(&track).is_none() {
            return;
        }
        let before = self.list.len();
        self.list.retain(|(listed, _)| *listed != track);
        self.list_changed |= self.list.len() != before;
        let before = self.slots.len();
        self.slots.retain(|slot| *slot != track);
        if self.slots.len() < before {
            self.slots_changed = true;
            self.fill_slots();
        }
    }

    /// Looks at the levels.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return;
        }
        self.ticked = now;
        self.tracks.values_mut().for_each(|voice| voice.tick(now));
        let speaking = self.speaking();
        self.busy = !speaking.is_empty() || self.tracks.values().any(|voice| voice.loudness > 1.0);
        self.take_slots(now, &speaking);
        self.update_list(now, speaking);
    }

    /// When to call [`Speakers::handle_timeout`]; nothing while everybody is silent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.busy || !self.list.is_empty()).then(|| self.ticked + TICK)
    }

    /// The speakers with their levels, loudest first, when the list changed.
    pub fn poll_speakers(&mut self) -> Option<Vec<(TrackId, u8)>> {
        std::mem::take(&mut self.list_changed).then(|| self.list.clone())
    }

    /// The tracks that have a slot, when they changed. The order has no meaning.
    pub fn poll_slots(&mut self) -> Option<Vec<TrackId>> {
        std::mem::take(&mut self.slots_changed).then(|| self.slots.clone())
    }

    /// The tracks that have a slot.
    pub fn slots(&self) -> &[TrackId] {
        &self.slots
    }

    /// Who speaks, loudest first.
    fn speaking(&self) -> Vec<(TrackId, f32)> {
        let speaking = self.tracks.iter().filter(|(_, voice)| voice.speaks);
        let mut speaking: Vec<_> = speaking.map(|(track, voice)| (*track, voice.loudness)).collect();
        speaking.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        speaking
    }

    fn update_list(&mut self, now: Instant, mut speaking: Vec<(TrackId, f32)>) {
        let is_due =
            |last: Option<Instant>, interval| last.is_none_or(|at| now.saturating_duration_since(at) >= interval);
        if !is_due(self.listed, LIST_INTERVAL) {
            return;
        }
        // Who is first stays first until somebody is louder by the margin, and for a while in any case.
        let first = self.list.first().map(|(track, _)| *track);
        if let Some(at) = speaking.iter().position(|(track, _)| Some(*track) == first)
            && (!is_due(self.first_changed, FIRST_INTERVAL) || speaking[0].1 - speaking[at].1 < MARGIN)
        {
            speaking[..=at].rotate_right(1);
        } else if first.is_some() && !speaking.is_empty() && !is_due(self.first_changed, FIRST_INTERVAL) {
            // The first fell silent: the place is not given away before its time either.
            return;
        }
        let voice = |track: &TrackId| self.tracks.get(track).map_or(SILENCE, Voice::level);
        let list: Vec<_> = speaking.iter().take(SPEAKERS_MAX).map(|(track, _)| (*track, voice(track))).collect();
        let same = list.len() == self.list.len()
            && list.iter().zip(&self.list).all(|(new, old)| new.0 == old.0 && new.1.abs_diff(old.1) < LEVEL_STEP);
        if same {
            return;
        }
        if list.first().map(|(track, _)| *track) != first && !list.is_empty() {
            self.first_changed = Some(now);
        }
        (self.list, self.listed, self.list_changed) = (list, Some(now), true);
    }

    /// Gives a slot to a speaker without: a free one, or that of whoever was silent longest, or of a quieter speaker.
    fn take_slots(&mut self, now: Instant, speaking: &[(TrackId, f32)]) {
        let rested = self.slot_taken.is_none_or(|at| now.saturating_duration_since(at) >= SLOT_INTERVAL);
        let Some((speaker, loudness)) = speaking.iter().find(|(track, _)| !self.slots.contains(track)) else { return };
        if !rested || self.slots_max == 0 {
            return;
        }
        let voice = |track: &TrackId| self.tracks.get(track);
        let quiet_since = |track: &TrackId| voice(track).and_then(|voice| voice.loud);
        let held = |loud: Option<Instant>| loud.is_some_and(|loud| now.saturating_duration_since(loud) < SLOT_HOLD);
        let loudness_of = |at: usize| voice(&self.slots[at]).map_or(0.0, |voice| voice.loudness);
        let places = 0..self.slots.len();
        let oldest = places.clone().min_by_key(|at| quiet_since(&self.slots[*at]));
        let oldest = oldest.filter(|at| !held(quiet_since(&self.slots[*at])));
        let quietest = places.min_by(|a, b| loudness_of(*a).total_cmp(&loudness_of(*b)));
        let victim = oldest.or(quietest.filter(|at| loudness - loudness_of(*at) >= MARGIN));
        if let Some(at) = victim {
            self.slots[at] = *speaker;
            self.slots_changed = true;
            self.slot_taken = Some(now);
        }
    }

    fn fill_slots(&mut self) {
        while self.slots.len() < self.slots_max {
            let free = self.tracks.iter().filter(|(track, _)| !self.slots.contains(track));
            let loudest = free.max_by(|a, b| a.1.loudness.total_cmp(&b.1.loudness).then(b.0.cmp(a.0)));
            let Some((track, _)) = loudest else { return };
            self.slots.push(*track);
        }
    }
}

#[cfg(test)]
mod tests;
