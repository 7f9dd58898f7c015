//! The participants of a call on their way into its mix: copies of their packets become frames on one timeline.
//!
//! In: which tracks are mixed, packets. Out: frames into the ring of the mix's task, taps and requests for keyframes to the
//! SFU. What the mix makes of them comes back as an encoder's stream does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use telstar_media::rtp::landing::{Arrived, Landed as Item, Landing};
use telstar_media::{Codec, MediaKind};
use telstar_sfu::Tapped;
use telstar_units::{ParticipantId, Timescale, rescale};

use super::super::joint::ForCall;
use super::super::mixing::{MIX_TRACKS_MAX, MixItem, MixRing, MixTrack};
use super::pace::Pace;
use super::{IngestVia, ShardCounters, ShardRoom};

/// See the module.
pub(super) struct Mixing {
    ring: Arc<MixRing>,
    /// Where the timeline of all of them begins.
    zero: Instant,
    tracks: Vec<Track>,
    /// Those who take part in it.
    people: BTreeMap<ParticipantId, Person>,
}

/// A participant, whose tracks are in step with each other. Times of all of them count from one zero.
struct Person {
    landing: Landing,
    pace: Pace,
}

struct Track {
    of: MixTrack,
    /// As what its packets are read.
    read_as: Option<Codec>,
    timescale: Timescale,
}

impl Mixing {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.people.values().filter_map(|person| person.landing.poll_timeout()).min()
    }

    pub(super) fn close(&self) {
        self.ring.close();
    }
}

impl ShardRoom {
    /// A mix takes these tracks from here on, each picture from a keyframe. It takes the place of an earlier one.
    pub(in super::super) fn begin_mixing(&mut self, ring: Arc<MixRing>, zero: Instant, tracks: &[MixTrack]) {
        let is_mixed = self.ingest.as_ref().is_some_and(|ingest| ingest.via == IngestVia::Mix);
        if !is_mixed {
            // An encoder has come in between.
            return ring.close();
        }
        self.end_mixing();
        self.mixing = Some(Mixing { ring, zero, tracks: Vec::new(), people: BTreeMap::new() });
        self.set_mix_tracks(tracks);
    }

    /// Other tracks are to be mixed from here on.
    pub(in super::super) fn set_mix_tracks(&mut self, tracks: &[MixTrack]) {
        let Some(mixing) = &mut self.mixing else { return };
        let wanted = &tracks[..tracks.len().min(MIX_TRACKS_MAX)];
        let gone: Vec<Track> = mixing.tracks.extract_if(.., |track| !wanted.contains(&track.of)).collect();
        for Track { of, .. } in gone {
            self.for_call.push_back(ForCall::Tap { track: of.track, enabled: false });
            mixing.ring.forget(of.track);
            if let Some(person) = mixing.people.get_mut(&of.participant) {
                person.landing.remove_track(of.track);
            }
        }
        for of in wanted.iter().copied() {
            if mixing.tracks.iter().any(|known| known.of == of) {
                continue;
            }
            let zero = mixing.zero;
            let person = || Person { landing: Landing::new(zero), pace: Pace::default() };
            mixing.people.entry(of.participant).or_insert_with(person);
            mixing.tracks.push(Track { of, read_as: None, timescale: Timescale::VIDEO });
            self.for_call.push_back(ForCall::Tap { track: of.track, enabled: true });
            if of.kind == MediaKind::Video {
                self.for_call.push_back(ForCall::Keyframe(of.track));
            }
        }
        let tracks = &mixing.tracks;
        mixing.people.retain(|participant, _| tracks.iter().any(|track| track.of.participant == *participant));
    }

    /// A copy of a packet. Returns it if it is not for the mix.
    pub(super) fn mix_tapped(&mut self, now: Instant, tapped: Tapped) -> Option<Tapped> {
        let Some(mixing) = &mut self.mixing else { return Some(tapped) };
        let Some(track) = mixing.tracks.iter_mut().find(|track| track.of.track == tapped.track) else {
            return Some(tapped);
        };
        let participant = track.of.participant;
        let landing = &mut mixing.people.get_mut(&participant)?.landing;
        let Tapped { track: id, codec, ssrc, sequence, time, marker, payload, report, arrived } = tapped;
        if track.read_as != Some(codec) {
            track.read_as = Some(codec);
            // Of a codec of which no frames are made nothing is seen or heard.
            landing.add_track(id, codec);
        }
        let payload = Bytes::from_owner(payload);
        landing.push(now, id, Arrived { ssrc, sequence, time, marker, payload, report, arrived });
        self.pass_on_mixed(now, participant);
        None
    }

    /// Time has passed: what waited for missing packets goes on without them.
    pub(super) fn update_mixing(&mut self, now: Instant) {
        let Some(mixing) = &self.mixing else { return };
        if mixing.ring.is_abandoned() {
            return self.end_mixing();
        }
        let is_due = |person: &Person| person.landing.poll_timeout().is_some_and(|at| at <= now);
        let due: Vec<ParticipantId> =
            mixing.people.iter().filter(|(_, person)| is_due(person)).map(|(id, _)| *id).collect();
        due.into_iter().for_each(|participant| self.pass_on_mixed(now, participant));
    }

    /// Nobody mixes any more.
    pub(super) fn end_mixing(&mut self) {
        let Some(mixing) = self.mixing.take() else { return };
        mixing.ring.close();
        for track in mixing.tracks {
            self.for_call.push_back(ForCall::Tap { track: track.of.track, enabled: false });
        }
    }

    fn pass_on_mixed(&mut self, now: Instant, participant: ParticipantId) {
        let Some(mixing) = &mut self.mixing else { return };
        let Some(Person { landing, pace }) = mixing.people.get_mut(&participant) else { return };
        let came = i64::try_from(now.saturating_duration_since(mixing.zero).as_micros()).unwrap_or(i64::MAX);
        // Pictures take longer to be made; sound is what must not come too late.
        let is_heard =
            mixing.tracks.iter().any(|of| of.of.participant == participant && of.of.kind == MediaKind::Audio);
        let mut lost = 0;
        while let Some(item) = landing.poll(now) {
            match item {
                Item::Track(info) => {
                    let known = mixing.tracks.iter_mut().find(|track| track.of.track == info.id);
                    known.into_iter().for_each(|track| track.timescale = info.timescale);
                }
                Item::Frame(track, mut frame) => {
                    let known = mixing.tracks.iter().find(|known| known.of.track == track);
                    let Some(Track { of, timescale, .. }) = known else { continue };
                    let timescale = *timescale;
                    if of.kind == MediaKind::Audio || !is_heard {
                        pace.handle(came, rescale(frame.dts, timescale, Timescale::MICROS));
                    }
                    let shift = rescale(pace.shift_micros(), Timescale::MICROS, timescale);
                    (frame.dts, frame.pts) = (frame.dts + shift, frame.pts + shift);
                    lost += mixing.ring.push(MixItem { track, timescale, frame });
                }
                Item::KeyframeWanted(track) => self.for_call.push_back(ForCall::Keyframe(track)),
                Item::Dropped(frames) => ShardCounters::add(&self.counters.ingest_frames_dropped, frames),
            }
        }
        if lost > 0 {
            ShardCounters::add(&self.counters.frames_dropped, lost);
            let pictures = mixing.tracks.iter().filter(|track| track.of.kind == MediaKind::Video);
            self.for_call.extend(pictures.map(|track| ForCall::Keyframe(track.of.track)));
        }
    }
}
