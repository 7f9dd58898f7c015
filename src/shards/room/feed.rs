//! From the hub to the SFU of the same thread: the main picture and sound as packets of sources.
//!
//! In: which sources there are and which are watched, tracks that come and go. Out: packets with numbers that only rise and
//! times of one timeline, whatever encoder or worker they come from. A source that nobody watches costs nothing.

mod lane;

use std::time::Instant;

use telstar_media::hub::{Start, SubscriberSpec, View, WhenFull};
use telstar_media::rtp::Packetiser;
use telstar_media::{Codec, MediaKind, TrackInfo};
use telstar_sfu::FeedFormat;
use telstar_transcode::Target;
use telstar_units::{Timescale, TrackId, rescale};

use super::super::Feed;
use super::super::joint::ForCall;
use super::{BASE, ShardRoom};
use lane::{Carried, Lane};
pub(super) use lane::{FeedClock, Role};

/// Packets of one source between the hub and the SFU, which they leave in the turn in which they came: the newest group of
/// pictures (4 MiB) and one turn's batches fit. When it is full they go, up to the next keyframe.
const FEED_ITEMS_MAX: usize = 16_384;

/// The sources of a room's call.
#[derive(Default)]
pub(super) struct Feeder {
    lanes: Vec<Lane>,
    clock: FeedClock,
}

impl Feeder {
    pub(super) fn is_bound(&self) -> bool {
        !self.lanes.is_empty()
    }
}

/// What a source is to carry.
#[derive(Clone, Debug, PartialEq)]
enum Choice {
    /// A track as it is.
    Direct(TrackId),
    /// What a worker makes of one.
    Converted(TrackInfo, Target),
}

impl ShardRoom {
    /// These sources take the main picture and sound from now on. Those that stay go on with their numbers.
    pub(in super::super) fn feed(&mut self, feed: Feed, is_wanted: impl Fn(TrackId) -> bool) {
        let mut before = std::mem::take(&mut self.feeder.lanes);
        let roles = [(Role::Picture, feed.video), (Role::Sound, feed.audio), (Role::Alternate, feed.alternate)];
        for (role, source) in roles {
            let Some(source) = source else { continue };
            let known = before.iter().position(|lane| lane.source == source && lane.role == role);
            let mut lane = known.map_or_else(|| Lane::new(role, source), |at| before.swap_remove(at));
            lane.wanted = is_wanted(source);
            self.feeder.lanes.push(lane);
        }
        for gone in before {
            self.stop(gone.carried);
        }
    }

    /// Whether a source is watched has changed.
    pub(in super::super) fn handle_feed_demand(&mut self, source: TrackId, wanted: bool) {
        for lane in self.feeder.lanes.iter_mut().filter(|lane| lane.source == source) {
            lane.wanted = wanted;
        }
    }

    /// A source is over.
    pub(in super::super) fn forget_source(&mut self, source: TrackId) {
        let at = self.feeder.lanes.iter().position(|lane| lane.source == source);
        if let Some(at) = at {
            let gone = self.feeder.lanes.remove(at);
            self.stop(gone.carried);
        }
    }

    /// Another connection publishes: its times have another zero.
    pub(super) fn begin_feed_timeline(&mut self) {
        self.feeder.clock.begin_timeline();
    }

    /// A frame of the ingest came, before anything is made of it.
    pub(super) fn note_arrival(&mut self, now: Instant, dts: i64, timescale: Timescale) {
        self.feeder.clock.handle_arrival(now, rescale(dts, timescale, Timescale::MICROS));
    }

    /// The conversions that watched sources need.
    pub(super) fn feed_needs(&self) -> impl Iterator<Item = (TrackInfo, Target)> {
        let wanted = self.feeder.lanes.iter().filter(|lane| lane.wanted);
        wanted.filter_map(|lane| match self.choice(lane.role)? {
            Choice::Converted(track, to) => Some((track, to)),
            Choice::Direct(_) => None,
        })
    }

    /// Lets each source carry what it should, as tracks, conversions and demand are now.
    pub(super) fn route_feed(&mut self) {
        for index in 0..self.feeder.lanes.len() {
            let choice = self.choice(self.feeder.lanes[index].role);
            self.announce(index, choice.as_ref());
            let lane = &self.feeder.lanes[index];
            let track = choice.filter(|_| lane.wanted).and_then(|choice| match choice {
                Choice::Direct(track) => Some(track),
                Choice::Converted(track, to) => self.conversions.converted(track.id, to),
            });
            if lane.carried.as_ref().map(|carried| carried.track) == track {
                continue;
            }
            let before = self.feeder.lanes[index].carried.take();
            self.stop(before);
            self.feeder.lanes[index].carried = track.and_then(|track| self.carry(track));
        }
        self.apply_hub();
    }

    /// Takes what the hub has for each source.
    pub(super) fn collect_feed(&mut self, now: Instant) {
        let mut newest: Option<i64> = None;
        let mut oldest: Option<i64> = None;
        for lane in &mut self.feeder.lanes {
            let Some(carried) = &mut lane.carried else { continue };
            self.hub.drain(carried.subscriber, &mut self.items);
            carried.take(&mut self.items);
            for micros in carried.span_micros() {
                newest = newest.max(Some(micros));
                oldest = Some(oldest.map_or(micros, |least| least.min(micros)));
            }
        }
        let (Some(newest), Some(oldest)) = (newest, oldest) else { return };
        let shift_micros = self.feeder.clock.shift_micros(now, oldest, newest);
        if let (Some(zero), Some(lane)) = (self.feeder.clock.poll_zero(), self.feeder.lanes.first()) {
            // All of them are of one participant.
            self.for_call.push_back(ForCall::Zero { source: lane.source, zero });
        }
        for index in 0..self.feeder.lanes.len() {
            let Some(carried) = &self.feeder.lanes[index].carried else { continue };
            let Some(format) = self.format_of(carried.track) else { continue };
            let lane = &mut self.feeder.lanes[index];
            let packets = lane.packets(shift_micros);
            if !packets.is_empty() {
                self.for_call.push_back(ForCall::Feed { source: lane.source, format, packets });
            }
        }
    }

    /// Tells the SFU what a source will be before anybody watches it, so that whoever does not decode it asks for the
    /// alternate at once.
    fn announce(&mut self, index: usize, choice: Option<&Choice>) {
        let format = match choice {
            Some(Choice::Direct(track)) => self.format_of(*track),
            Some(Choice::Converted(_, to)) => Some(FeedFormat { codec: to.codec(), profile_level_id: None }),
            None => None,
        };
        let lane = &mut self.feeder.lanes[index];
        let Some(format) = format.filter(|format| lane.told != Some(format.codec)) else { return };
        lane.told = Some(format.codec);
        self.for_call.push_back(ForCall::Feed { source: lane.source, format, packets: Vec::new() });
    }

    fn choice(&self, role: Role) -> Option<Choice> {
        // What came by the SFU is there already.
        let ingest = self.ingest.as_ref().filter(|ingest| ingest.landed.is_none())?;
        let track = ingest.main(role.kind())?;
        // How it is encoded is known from its first frame on.
        track.meter.config()?;
        let info = track.meter.info();
        let passes = passes(info.codec) && !(info.codec == Codec::H264 && track.meter.shows_late());
        Some(match (role, info.codec) {
            (Role::Picture | Role::Sound, _) if passes => Choice::Direct(info.id),
            (Role::Picture, _) => Choice::Converted(info.clone(), Target::H264),
            (Role::Sound, _) => Choice::Converted(info.clone(), Target::Opus),
            (Role::Alternate, Codec::Vp8 | Codec::Vp9 | Codec::Av1) if passes => {
                Choice::Converted(info.clone(), Target::H264)
            }
            (Role::Alternate, _) => Choice::Converted(info.clone(), Target::Vp8),
        })
    }

    fn carry(&mut self, track: TrackId) -> Option<Carried> {
        let info = self.hub.tracks().find(|info| info.id == track)?.clone();
        let spec = SubscriberSpec {
            track,
            layer: BASE,
            view: View::Packets,
            start: Start::Gop,
            when_full: WhenFull::DropToKeyframe,
            items_max: FEED_ITEMS_MAX,
        };
        match self.hub.subscribe(spec) {
            Ok(subscriber) => Some(Carried::new(&info, subscriber)),
            Err(error) => {
                tracing::warn!(%error, "a source of the call is not fed");
                None
            }
        }
    }

    fn stop(&mut self, carried: Option<Carried>) {
        if let Some(carried) = carried {
            self.hub.unsubscribe(carried.subscriber);
        }
    }
}

/// WebRTC carries it as it is. Browsers that decode HEVC are few, and none decodes B-frames over it.
fn passes(codec: Codec) -> bool {
    match codec {
        Codec::H264 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus => Packetiser::new(codec).is_some(),
        Codec::H265 | Codec::Aac | Codec::Mp3 | Codec::Flac | Codec::Ac3 | Codec::Eac3 => false,
    }
}

impl Role {
    fn kind(self) -> MediaKind {
        match self {
            Role::Picture | Role::Alternate => MediaKind::Video,
            Role::Sound => MediaKind::Audio,
        }
    }
}
