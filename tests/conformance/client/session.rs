//! A record, read: playlists, media and what each segment was over time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::mp4::{self, Fragment, Init, Sample};
use super::multivariant::Multivariant;
use super::playlist::{Playlist, Resource, Segment};
use super::record::{Carries, Exchange, MediaKind, Probe, Record, Rendition, What};
use super::watch::Course;

/// A playlist and the exchange that brought it.
#[derive(Debug)]
pub struct Seen {
    pub exchange: Exchange,
    pub list: Playlist,
}

/// Media and the exchange that brought it.
#[derive(Debug)]
pub struct Fetched {
    pub exchange: Exchange,
    pub kind: MediaKind,
}

/// All that was seen of one rendition.
#[derive(Debug)]
pub struct Log {
    pub rendition: Rendition,
    /// The follower's playlists, in order.
    pub seen: Vec<Seen>,
    /// Whole playlists that probes brought.
    pub probed: Vec<Seen>,
    /// Answers to `_HLS_skip`.
    pub skips: Vec<Seen>,
    pub media: BTreeMap<Resource, Fetched>,
    /// Each segment with everything that was ever listed of it.
    pub history: BTreeMap<u64, Segment>,
    /// Segments that were seen whole with their parts.
    pub with_all_parts: BTreeSet<u64>,
    inits: BTreeMap<Resource, Result<Init, String>>,
}

/// The record, read.
#[derive(Debug)]
pub struct Session {
    pub record: Record,
    pub multivariants: Vec<(Exchange, Multivariant)>,
    pub logs: Vec<Log>,
}

impl Session {
    pub fn read(record: Record) -> Session {
        let mut multivariants = Vec::new();
        let mut logs: Vec<Log> = record.renditions.iter().cloned().map(Log::new).collect();
        for exchange in &record.exchanges {
            match &exchange.what {
                What::Multivariant if exchange.status == 200 => {
                    multivariants.push((exchange.clone(), Multivariant::read(&exchange.text(), &exchange.url)));
                }
                What::Playlist(index, _) | What::Probe(index, _) => logs[*index].note_playlist(exchange),
                What::Media(index, kind, resource) => {
                    let fetched = Fetched { exchange: exchange.clone(), kind: *kind };
                    logs[*index].media.insert(resource.clone(), fetched);
                }
                What::Multivariant | What::Removed(..) => {}
            }
        }
        logs.iter_mut().for_each(Log::read_inits);
        Session { record, multivariants, logs }
    }

    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.record.exchanges.iter()
    }

    /// It is an asset, and everything of it was fetched.
    pub fn is_asset(&self) -> bool {
        self.record.options.course == Course::Asset
    }

    /// Every media playlist that was seen.
    pub fn all_lists(&self) -> impl Iterator<Item = &Seen> {
        self.logs.iter().flat_map(|log| log.seen.iter().chain(&log.probed).chain(&log.skips))
    }

    /// Renditions that play: not I-frames.
    pub fn playing(&self) -> impl Iterator<Item = &Log> {
        let plays = |log: &&Log| matches!(log.rendition.carries, Carries::Variant | Carries::Sound);
        self.logs.iter().filter(plays)
    }

    /// EXT-X-TARGETDURATION of the stream.
    pub fn target(&self) -> Option<Duration> {
        let list = self.logs.iter().find_map(|log| log.seen.first())?;
        list.list.target_duration.map(Duration::from_secs)
    }
}

impl Log {
    fn new(rendition: Rendition) -> Log {
        Log {
            rendition,
            seen: Vec::new(),
            probed: Vec::new(),
            skips: Vec::new(),
            media: BTreeMap::new(),
            history: BTreeMap::new(),
            with_all_parts: BTreeSet::new(),
            inits: BTreeMap::new(),
        }
    }

    fn note_playlist(&mut self, exchange: &Exchange) {
        if exchange.status != 200 || !exchange.is_playlist() {
            return;
        }
        let list = Playlist::read(&exchange.text(), &exchange.url);
        let seen = Seen { exchange: exchange.clone(), list };
        match &exchange.what {
            What::Playlist(..) => {
                seen.list.segments.iter().for_each(|segment| self.note_segment(segment));
                self.seen.push(seen);
            }
            What::Probe(_, Probe::Skip(_)) => self.skips.push(seen),
            _ => self.probed.push(seen),
        }
    }

    fn note_segment(&mut self, segment: &Segment) {
        if segment.whole.is_some() && !segment.parts.is_empty() {
            self.with_all_parts.insert(segment.msn);
        }
        let known = self.history.entry(segment.msn).or_insert_with(|| segment.clone());
        if segment.parts.len() > known.parts.len() {
            known.parts.clone_from(&segment.parts);
        }
        if known.whole.is_none() && segment.whole.is_some() {
            let parts = std::mem::take(&mut known.parts);
            *known = Segment { parts, ..segment.clone() };
        }
    }

    fn read_inits(&mut self) {
        let inits = self.media.iter().filter(|(_, fetched)| fetched.kind == MediaKind::Init);
        let read = |(resource, fetched): (&Resource, &Fetched)| (resource.clone(), mp4::init(&fetched.exchange.body));
        self.inits = inits.filter(|(_, fetched)| fetched.is_there()).map(read).collect();
    }

    pub fn init(&self, map: Option<&Resource>) -> Option<&Result<Init, String>> {
        self.inits.get(map?)
    }

    pub fn inits(&self) -> impl Iterator<Item = (&Resource, &Result<Init, String>)> {
        self.inits.iter()
    }

    /// The first init segment that could be read.
    pub fn any_init(&self) -> Option<&Init> {
        self.inits.values().find_map(|init| init.as_ref().ok())
    }

    /// The fragments of a resource below `map`, if it was fetched.
    pub fn fragments(&self, resource: &Resource, map: Option<&Resource>) -> Option<Result<Vec<Fragment>, String>> {
        let fetched = self.media.get(resource).filter(|fetched| fetched.is_there())?;
        let init = self.init(map)?.as_ref().ok()?;
        Some(mp4::fragments(&fetched.exchange.body, init))
    }

    /// All samples of a resource.
    pub fn samples(&self, resource: &Resource, map: Option<&Resource>) -> Option<Vec<Sample>> {
        let fragments = self.fragments(resource, map)?.ok()?;
        Some(fragments.into_iter().flat_map(|fragment| fragment.samples).collect())
    }

    /// The picture that an I-frame playlist names by a range, which ends with it.
    pub fn picture(&self, segment: &Segment) -> Option<Result<Sample, String>> {
        let (resource, _) = segment.whole.as_ref().filter(|(resource, _)| resource.range.is_some())?;
        let fetched = self.media.get(resource).filter(|fetched| fetched.is_there())?;
        let init = self.init(segment.map.as_ref())?.as_ref().ok()?;
        Some(mp4::picture(&fetched.exchange.body, init))
    }

    /// The samples of a whole segment with their clock.
    pub fn segment_samples(&self, segment: &Segment) -> Option<(Vec<Sample>, u64)> {
        let (resource, _) = segment.whole.as_ref()?;
        let samples = self.samples(resource, segment.map.as_ref())?;
        let timescale = self.init(segment.map.as_ref())?.as_ref().ok()?.timescale;
        (!samples.is_empty()).then_some((samples, timescale))
    }
}

impl Fetched {
    pub fn is_there(&self) -> bool {
        matches!(self.exchange.status, 200 | 206) && self.exchange.error.is_none()
    }
}
