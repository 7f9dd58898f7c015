//! The conversions that a room needs: which tracks, to what, and the rings between the hub and whoever converts.
//!
//! In: what sources of the call and the listing need, rings of a conversion that begins. Out: the list of what is wanted,
//! frames, and converted tracks in the hub. Once per track and target, however many need it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telstar_media::hub::{Item, Start, SubscriberId, SubscriberSpec, View, WhenFull};
use telstar_media::{CodecConfig, TrackInfo};
use telstar_sfu::FeedFormat;
use telstar_transcode::Target;
use telstar_units::TrackId;

use super::super::Want;
use super::super::viewer::ViewerItem;
use super::{BASE, IngestItem, IngestRing, ShardCounters, ShardRoom, TrackMeter, ViewerRing};

/// How long a conversion goes on after the last who needed it. Higher: a worker runs for nobody; lower: one viewer who
/// reloads the page costs a new worker and a second without sound. A guess.
pub(super) const CONVERSION_HOLD: Duration = Duration::from_secs(5);
/// Frames of one conversion in the hub, from where they are moved after every batch: the newest group of pictures must fit.
const CONVERSION_HUB_ITEMS_MAX: usize = 4_096;
/// Conversions of one room at most: a picture to each codec and a sound to each, of what is main and what it replaces.
/// More are not made, which shows as a source that carries nothing. A guess.
const CONVERSIONS_MAX: usize = 8;
/// Bit of a track id that says that a worker made it. Encoders' ids are a participant's number and 20 bits of their own,
/// and those of calls are counted: neither reaches it.
const CONVERTED: u64 = 1 << 63;
/// Bits that count the conversions of one ingest, as encoders count their tracks.
const NUMBER_BITS: u32 = 20;

/// What is converted now.
#[derive(Default)]
pub(super) struct Conversions {
    all: Vec<Conversion>,
}

struct Conversion {
    want: Want,
    unneeded_since: Option<Instant>,
    running: Option<Running>,
}

/// The rings of a conversion.
struct Running {
    frames: Arc<ViewerRing>,
    subscriber: SubscriberId,
    converted: Arc<IngestRing>,
    /// What came back, once it did.
    made: Option<TrackMeter>,
}

impl Conversions {
    /// The track that a conversion makes, once it is there.
    pub(super) fn converted(&self, track: TrackId, to: Target) -> Option<TrackId> {
        let of = |conversion: &&Conversion| conversion.want.track.id == track && conversion.want.to == to;
        let made = self.all.iter().find(of)?.running.as_ref()?.made.as_ref()?;
        Some(made.info().id)
    }

    /// The room is gone.
    pub(super) fn close(&self) {
        for running in self.all.iter().filter_map(|conversion| conversion.running.as_ref()) {
            running.frames.close();
            running.converted.detach();
        }
    }

    fn note_made(&mut self, info: TrackInfo) {
        let of = |conversion: &&mut Conversion| conversion.want.as_track == info.id;
        if let Some(running) = self.all.iter_mut().find(of).and_then(|conversion| conversion.running.as_mut()) {
            running.made = Some(TrackMeter::new(info));
        }
    }

    fn wants(&self) -> Vec<Want> {
        self.all.iter().map(|conversion| conversion.want.clone()).collect()
    }

    /// The newest configuration of what a conversion made.
    fn config(&self, made: TrackId) -> Option<(&TrackInfo, &Arc<CodecConfig>)> {
        let meters = self.all.iter().filter_map(|conversion| conversion.running.as_ref()?.made.as_ref());
        let meter = meters.into_iter().find(|meter| meter.info().id == made)?;
        Some((meter.info(), meter.config()?))
    }

    /// When the next one has been held long enough.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.all.iter().filter_map(|conversion| Some(conversion.unneeded_since? + CONVERSION_HOLD)).min()
    }
}

impl ShardRoom {
    /// Begins what is needed and is not there, and ends what nobody has needed for a while.
    pub(super) fn update_conversions(&mut self, now: Instant) {
        let needs: Vec<(TrackInfo, Target)> = self.feed_needs().chain(self.listing_needs(now)).collect();
        for (track, to) in &needs {
            let known = self.conversions.all.iter().any(|one| one.want.track == *track && one.want.to == *to);
            if known || self.conversions.all.len() >= CONVERSIONS_MAX {
                continue;
            }
            let Some(ingest) = &mut self.ingest else { return };
            let number = ingest.conversions_begun;
            ingest.conversions_begun += 1;
            let as_track = TrackId(CONVERTED | ingest.participant.0 << NUMBER_BITS | number);
            let want = Want { track: track.clone(), to: *to, as_track };
            self.conversions.all.push(Conversion { want, unneeded_since: None, running: None });
        }
        let mut over = Vec::new();
        for conversion in &mut self.conversions.all {
            let is_of =
                |(track, to): &(TrackInfo, Target)| *track == conversion.want.track && *to == conversion.want.to;
            let since = match needs.iter().any(is_of) {
                true => None,
                false => Some(conversion.unneeded_since.unwrap_or(now)),
            };
            conversion.unneeded_since = since;
            if since.is_some_and(|since| now.saturating_duration_since(since) >= CONVERSION_HOLD) {
                over.push(conversion.want.as_track);
            }
        }
        over.into_iter().for_each(|as_track| self.end_conversion(now, as_track));
        let wants = self.conversions.wants();
        if wants != self.status.wants {
            self.status.wants = wants;
            self.publish_status();
        }
    }

    /// Somebody converts: from the newest group of pictures on.
    pub(in super::super) fn convert(
        &mut self,
        now: Instant,
        as_track: TrackId,
        frames: Arc<ViewerRing>,
        converted: Arc<IngestRing>,
    ) {
        let at = self.conversions.all.iter().position(|conversion| conversion.want.as_track == as_track);
        let track = at.map(|at| self.conversions.all[at].want.track.clone());
        let subscribed = track.as_ref().map(|track| {
            self.stop_converting(now, as_track);
            self.hub.subscribe(SubscriberSpec {
                track: track.id,
                layer: BASE,
                view: View::Frames,
                start: Start::Gop,
                when_full: WhenFull::DropToKeyframe,
                items_max: CONVERSION_HUB_ITEMS_MAX,
            })
        });
        let (Some(at), Some(track), Some(Ok(subscriber))) = (at, track, subscribed) else {
            // It was wanted a moment ago.
            frames.close();
            return converted.detach();
        };
        frames.push(ViewerItem::Tracks { tracks: vec![track], restarts: true });
        self.conversions.all[at].running = Some(Running { frames, subscriber, converted, made: None });
        self.apply_hub();
        self.drain_conversions();
    }

    /// Moves what the hub has for each conversion into its ring.
    pub(super) fn drain_conversions(&mut self) {
        let mut lost = 0;
        for conversion in &self.conversions.all {
            let Some(running) = &conversion.running else { continue };
            self.hub.drain(running.subscriber, &mut self.items);
            for item in self.items.drain(..) {
                if let Item::Frame(_, frame) = item {
                    lost += running.frames.push(ViewerItem::Frame(conversion.want.track.id, frame));
                }
            }
        }
        if lost > 0 {
            ShardCounters::add(&self.counters.frames_dropped, lost);
        }
    }

    /// Takes what came back, up to so many batches of each. True: more is waiting.
    pub(super) fn take_converted(&mut self, now: Instant, batches_max: usize) -> bool {
        let mut more = false;
        for at in 0..self.conversions.all.len() {
            let conversion = &self.conversions.all[at];
            let Some(running) = &conversion.running else { continue };
            let (as_track, ring) = (conversion.want.as_track, Arc::clone(&running.converted));
            ring.answer();
            for _ in 0..batches_max {
                let Some(batch) = ring.take() else { break };
                batch.into_iter().for_each(|item| self.handle_converted(now, as_track, item));
                self.drain_hub(now);
                self.drain_viewers();
            }
            more |= ring.has_batches();
            if ring.is_over() {
                self.stop_converting(now, as_track);
            }
        }
        more
    }

    /// A track is over, and with it what is made of it.
    pub(super) fn end_conversions_of(&mut self, now: Instant, track: TrackId) {
        for want in self.conversions.wants().iter().filter(|want| want.track.id == track) {
            self.end_conversion(now, want.as_track);
        }
    }

    /// What the packets of a track are.
    pub(super) fn format_of(&self, track: TrackId) -> Option<FeedFormat> {
        let ingested = self.ingest.as_ref().and_then(|ingest| {
            let meter = &ingest.tracks.iter().find(|known| known.meter.info().id == track)?.meter;
            Some((meter.info(), meter.config()?))
        });
        let (info, config) = ingested.or_else(|| self.conversions.config(track))?;
        let profile_level_id = match &**config {
            CodecConfig::H264(config) => Some([config.profile, config.compatibility, config.level]),
            _ => None,
        };
        Some(FeedFormat { codec: info.codec, profile_level_id })
    }

    fn end_conversion(&mut self, now: Instant, as_track: TrackId) {
        self.stop_converting(now, as_track);
        self.conversions.all.retain(|conversion| conversion.want.as_track != as_track);
    }

    /// Lets go of whoever converts; another may come.
    fn stop_converting(&mut self, now: Instant, as_track: TrackId) {
        let of = |conversion: &&mut Conversion| conversion.want.as_track == as_track;
        let running = self.conversions.all.iter_mut().find(of).and_then(|conversion| conversion.running.take());
        let Some(running) = running else { return };
        self.hub.unsubscribe(running.subscriber);
        running.frames.close();
        running.converted.detach();
        if running.made.is_some() {
            self.let_go(now, as_track);
        }
        self.apply_hub();
    }

    fn handle_converted(&mut self, now: Instant, as_track: TrackId, item: IngestItem) {
        let of = |conversion: &&mut Conversion| conversion.want.as_track == as_track;
        let Some(conversion) = self.conversions.all.iter_mut().find(of) else { return };
        let (source, to) = (conversion.want.track.clone(), conversion.want.to);
        let Some(running) = &mut conversion.running else { return };
        match item {
            // The next worker says it again.
            IngestItem::Track(_) if running.made.is_some() => {}
            IngestItem::Track(info) if info.id != as_track || info.codec != to.codec() => {
                tracing::warn!(?to, "a conversion made another track than was agreed");
            }
            IngestItem::Track(info) => match self.take_into_hub(&info) {
                Ok(()) => {
                    self.conversions.note_made(info.clone());
                    self.offer_converted(now, &source, info);
                }
                Err(error) => tracing::warn!(%error, "a converted track was not taken"),
            },
            IngestItem::Frame(track, frame) if track == as_track => {
                let Some(made) = &mut running.made else { return };
                made.handle_frame(&frame);
                self.push_into_hub(track, &frame);
            }
            IngestItem::Dropped(frames) => ShardCounters::add(&self.counters.ingest_frames_dropped, frames),
            IngestItem::Frame(..)
            | IngestItem::TrackReplaced { .. }
            | IngestItem::ClockRestarted
            | IngestItem::Warning(_) => {}
        }
    }
}
