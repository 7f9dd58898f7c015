//! An ingest that comes by the SFU: copies of its packets become frames, and go on as an encoder's do.
//!
//! In: which tracks it has, packets, who asks for frames. Out: frames into the hub, taps and requests for keyframes to the
//! SFU. It costs nothing while nobody asks for frames: then the ingest is shown as live, and nothing of it is looked at.

use std::time::{Duration, Instant};

use bytes::Bytes;
use telstar_media::rtp::landing::{Arrived, Landed as Item, Landing};
use telstar_media::{Codec, Frame, KeyframeMode, MediaKind, Origin, TrackInfo};
use telstar_sfu::{Kind, Tapped};
use telstar_units::{ParticipantId, Timescale, TrackId};

use super::super::HLS_DEMAND;
use super::super::joint::ForCall;
use super::super::meter::TrackStats;
use super::gate::Gate;
use super::outlets::{Listed, Packaging};
use super::{ShardCounters, ShardRoom, ShardWarning};

/// How long before the end of a segment its keyframe is asked for. It must not come earlier than the packager takes for the
/// end, which is 100 ms; a round trip and the encoder then make it come about in time.
const KEYFRAME_LEAD: Duration = Duration::from_millis(100);
/// How often a keyframe that ends a segment is asked for until it comes.
const KEYFRAME_REPEAT: Duration = Duration::from_millis(500);
/// The target duration of listings of such an ingest, in seconds. A keyframe that comes half a second late must still be
/// within it, or the segment is cut where no decoder can begin. Higher: plain players stay further behind. A guess.
pub(super) const TARGET_DURATION_SECS: u64 = 3;
const SOUND_CLOCK_HZ: u32 = 48_000;
/// Tracks of such an ingest that are looked at; the first of each kind is listed. A camera, a screen and their sounds.
const LANDED_TRACKS_MAX: usize = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Landed {
    tracks: Vec<LandedTrack>,
    /// While frames are needed.
    landing: Option<Landing>,
    /// When the keyframe that ends the segment under way is asked for.
    next_keyframe: Option<Instant>,
}

struct LandedTrack {
    id: TrackId,
    kind: MediaKind,
    /// The one of its kind that is listed.
    is_main: bool,
    /// Once media of it came.
    codec: Option<Codec>,
    /// As what its packets are read.
    read_as: Option<Codec>,
}

impl Landed {
    pub(super) fn kinds(&self) -> impl Iterator<Item = MediaKind> {
        self.tracks.iter().filter(|track| track.is_main).map(|track| track.kind)
    }

    /// What is known of the tracks without looking into them.
    pub(super) fn stats(&self) -> impl Iterator<Item = TrackStats> {
        self.tracks.iter().filter_map(|track| {
            let (codec, id) = (track.codec?, track.id);
            let (timescale, keyframes) = match track.kind {
                MediaKind::Video => (Timescale::VIDEO, KeyframeMode::OnRequest),
                MediaKind::Audio => (Timescale::new(SOUND_CLOCK_HZ)?, KeyframeMode::None),
            };
            let info = TrackInfo { id, codec, timescale, keyframes, origin: Origin::Publisher };
            Some(TrackStats::unmeasured(info))
        })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.landing.as_ref().and_then(Landing::poll_timeout), self.next_keyframe].into_iter().flatten().min()
    }

    fn main_ids(&self) -> Vec<(TrackId, MediaKind)> {
        self.tracks.iter().filter(|track| track.is_main).map(|track| (track.id, track.kind)).collect()
    }
}

impl ShardRoom {
    /// These are the ingest's tracks. Of `codecs` media has come already.
    pub(in super::super) fn land(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        tracks: &[(TrackId, Kind)],
        codecs: &[(TrackId, Codec)],
    ) {
        let Some(landed) = self.landed_of(participant) else { return };
        if landed.tracks.iter().map(|track| track.id).eq(tracks.iter().map(|(id, _)| *id)) {
            return;
        }
        // Other tracks are another stream.
        self.stop_landing(now);
        let Some(landed) = self.landed_of(participant) else { return };
        landed.tracks.clear();
        for (id, kind) in tracks.iter().take(LANDED_TRACKS_MAX) {
            let kind = match kind {
                Kind::Audio => MediaKind::Audio,
                Kind::Video => MediaKind::Video,
            };
            let is_main = !landed.kinds().any(|known| known == kind);
            landed.tracks.push(LandedTrack { id: *id, kind, is_main, codec: None, read_as: None });
        }
        for (track, codec) in codecs {
            self.handle_published(*track, *codec);
        }
    }

    /// Media of a track came: what it is, is known, and there is something to watch.
    pub(in super::super) fn handle_published(&mut self, id: TrackId, codec: Codec) {
        let Some(landed) = self.ingest.as_mut().and_then(|ingest| ingest.landed.as_mut()) else { return };
        let Some(track) = landed.tracks.iter_mut().find(|track| track.id == id) else { return };
        track.codec = Some(codec);
        self.status.playable = true;
        self.show_tracks();
    }

    /// Somebody asked for a playlist.
    pub(in super::super) fn demand_hls(&mut self, now: Instant) {
        self.listed_until = Some(now + HLS_DEMAND);
    }

    /// A copy of a packet of the ingest, or of a track that is mixed.
    pub(in super::super) fn handle_tapped(&mut self, now: Instant, tapped: Tapped) {
        let Some(tapped) = self.mix_tapped(now, tapped) else { return };
        let Some(landed) = self.ingest.as_mut().and_then(|ingest| ingest.landed.as_mut()) else { return };
        let (Some(landing), Some(track)) =
            (&mut landed.landing, landed.tracks.iter_mut().find(|track| track.id == tapped.track))
        else {
            return;
        };
        let Tapped { track: id, codec, ssrc, sequence, time, marker, payload, report, arrived } = tapped;
        if track.read_as != Some(codec) {
            track.read_as = Some(codec);
            if !landing.add_track(id, codec) {
                self.note(now, ShardWarning::CodecUnsupported(codec.name()));
                return;
            }
        }
        let payload = Bytes::from_owner(payload);
        landing.push(now, id, Arrived { ssrc, sequence, time, marker, payload, report, arrived });
        self.take_landed(now);
    }

    /// Begins, goes on or ends by who asks for frames.
    pub(super) fn update_landing(&mut self, now: Instant) {
        let is_listed = self.is_listed(now);
        let is_needed = is_listed || self.has_viewers();
        let Some(landed) = self.ingest.as_ref().and_then(|ingest| ingest.landed.as_ref()) else { return };
        let (has_begun, kinds) = (landed.landing.is_some(), landed.kinds().collect::<Vec<_>>());
        match (&self.packaging, is_listed) {
            (Packaging::Off, true) if !kinds.is_empty() => {
                self.hides_listing = false;
                self.packaging = Packaging::Held(Gate::new(now, kinds));
            }
            (Packaging::Held(_) | Packaging::Running, false) => self.hide_listing(now),
            _ => {}
        }
        match (has_begun, is_needed) {
            (false, true) => self.begin_landing(now),
            (true, false) => self.stop_landing(now),
            (true, true) => {
                self.take_landed(now);
                self.ask_for_keyframe(now);
            }
            (false, false) => {}
        }
    }

    /// A keyframe of a track that landed is wanted. One that has just begun begins with one.
    pub(super) fn want_keyframe(&mut self, track: TrackId) {
        let Some(ingest) = self.ingest.as_mut().filter(|ingest| ingest.landed.is_some()) else { return };
        if ingest.track_mut(track).is_some_and(|track| track.meter.config().is_some()) {
            self.for_call.push_back(ForCall::Keyframe(track));
        }
    }

    /// A frame of the ingest: a keyframe of a picture that is listed as it is ends a segment, and the next one shall end the
    /// next.
    pub(super) fn schedule_keyframe(&mut self, now: Instant, track: TrackId, frame: &Frame) {
        let is_listed = !matches!(self.packaging, Packaging::Off);
        let segment = self.settings.packager.segment_min.saturating_sub(KEYFRAME_LEAD);
        let Some(landed) = self.ingest.as_mut().and_then(|ingest| ingest.landed.as_mut()) else { return };
        let is_main = landed.tracks.iter().any(|known| known.id == track && known.is_main);
        let passes = frame.config.codec().kind() == MediaKind::Video && Listed::of(frame.config.codec()).passes();
        if frame.key && is_main && passes {
            landed.next_keyframe = is_listed.then(|| now + segment);
        }
    }

    /// Nobody may ask for frames any more: the ingest is gone.
    pub(super) fn end_landing(&mut self, landed: &Landed) {
        if landed.landing.is_some() {
            self.tap(landed.main_ids(), false);
        }
    }

    /// Ends the listing, and shows none until somebody asks again: what has ended here goes on elsewhere.
    pub(super) fn hide_listing(&mut self, now: Instant) {
        self.packaging = Packaging::Off;
        self.hides_listing = true;
        self.finish_listing(now);
        self.output.live.send_replace(None);
    }

    pub(super) fn is_listed(&self, now: Instant) -> bool {
        self.listed_until.is_some_and(|until| until > now)
    }

    fn begin_landing(&mut self, now: Instant) {
        let Some(landed) = self.ingest.as_mut().and_then(|ingest| ingest.landed.as_mut()) else { return };
        let tracks = landed.main_ids();
        if tracks.is_empty() {
            return;
        }
        landed.landing = Some(Landing::new(now));
        self.tap(tracks, true);
    }

    fn stop_landing(&mut self, now: Instant) {
        let Some(ingest) = &mut self.ingest else { return };
        let Some(landed) = ingest.landed.as_mut().filter(|landed| landed.landing.is_some()) else { return };
        (landed.landing, landed.next_keyframe) = (None, None);
        landed.tracks.iter_mut().for_each(|track| track.read_as = None);
        let (tapped, tracks) = (landed.main_ids(), std::mem::take(&mut ingest.tracks));
        self.tap(tapped, false);
        self.drain_hub(now);
        self.take_tracks_from_viewers();
        tracks.iter().for_each(|track| self.let_go(now, track.meter.info().id));
        self.apply_hub();
        self.show_tracks();
    }

    fn tap(&mut self, tracks: Vec<(TrackId, MediaKind)>, enabled: bool) {
        for (track, kind) in tracks {
            self.for_call.push_back(ForCall::Tap { track, enabled });
            if enabled && kind == MediaKind::Video {
                self.for_call.push_back(ForCall::Keyframe(track));
            }
        }
    }

    /// Takes the frames that have become whole. As with an encoder's, tracks go on as they are interleaved.
    fn take_landed(&mut self, now: Instant) {
        let mut last = None;
        loop {
            let landed = self.ingest.as_mut().and_then(|ingest| ingest.landed.as_mut());
            let Some(item) = landed.and_then(|landed| landed.landing.as_mut()?.poll(now)) else { break };
            match item {
                Item::Track(info) => {
                    let known = self.ingest.as_mut().is_some_and(|ingest| ingest.track_mut(info.id).is_some());
                    let replaces = known.then_some(info.id);
                    self.pass_on(now);
                    self.add_track(now, info, replaces);
                }
                Item::Frame(track, frame) => {
                    if last.replace(track).is_some_and(|last| last != track) {
                        self.drain_hub(now);
                    }
                    self.handle_frame(now, track, &frame);
                }
                Item::KeyframeWanted(track) => self.for_call.push_back(ForCall::Keyframe(track)),
                Item::Dropped(frames) => {
                    ShardCounters::add(&self.counters.ingest_frames_dropped, frames);
                    self.status.frames_dropped += frames;
                }
            }
        }
        if last.is_some() {
            self.pass_on(now);
        }
    }

    fn ask_for_keyframe(&mut self, now: Instant) {
        let Some(landed) = self.ingest.as_mut().and_then(|ingest| ingest.landed.as_mut()) else { return };
        if landed.next_keyframe.is_none_or(|at| at > now) {
            return;
        }
        landed.next_keyframe = Some(now + KEYFRAME_REPEAT);
        let pictures = landed.main_ids().into_iter().filter(|(_, kind)| *kind == MediaKind::Video);
        self.for_call.extend(pictures.map(|(track, _)| ForCall::Keyframe(track)));
    }

    fn landed_of(&mut self, participant: ParticipantId) -> Option<&mut Landed> {
        self.ingest.as_mut().filter(|ingest| ingest.participant == participant)?.landed.as_mut()
    }
}
