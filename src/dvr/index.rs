//! The index of a room's kept segments: an append-only file of lines, each with its checksum.
//!
//! A line is the CRC-32 of the rest in hexadecimal, a space, and a record as JSON. A process that is killed at any byte
//! leaves whole lines and perhaps one torn line behind them, which is cut off. What the lines say together is folded into
//! what the packager lists again ([`Facts`]). Nothing here opens a file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use telstar_hls::{CodecFacts, Init, KeptInit, KeptListing, KeyPicture, Segment};
use telstar_media::MediaKind;
use telstar_media::codec::VideoRange;
use telstar_units::{Epoch, Timescale, WallTime};

/// Bytes of a checksum and the space behind it.
const CHECKSUM_LEN: usize = 9;
/// The layout of the records. Another one is not read: what was kept is a window, not an archive.
pub(super) const LAYOUT: u32 = 1;

/// Audio or video, in one letter; also in file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Kind {
    #[serde(rename = "v")]
    Video,
    #[serde(rename = "a")]
    Audio,
}

impl From<MediaKind> for Kind {
    fn from(kind: MediaKind) -> Kind {
        match kind {
            MediaKind::Video => Kind::Video,
            MediaKind::Audio => Kind::Audio,
        }
    }
}

impl From<Kind> for MediaKind {
    fn from(kind: Kind) -> MediaKind {
        match kind {
            Kind::Video => MediaKind::Video,
            Kind::Audio => MediaKind::Audio,
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub(super) enum Record {
    /// Whose index it is. Always the first.
    Room { layout: u32, name: String },
    /// An init segment, whose file was written before.
    Init(InitRecord),
    /// A segment, whose file was written before.
    Segment(SegmentRecord),
    /// Players may have seen every number below this.
    Next { msn: u64 },
    /// Segments below this number are gone.
    Discard { kind: Kind, below: u64 },
    /// What comes before is not listed any more.
    Over,
    /// The stream has ended.
    Ended,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct InitRecord {
    pub kind: Kind,
    pub epoch: u64,
    pub number: u32,
    hz: u32,
    part_target_ms: u64,
    target_duration_secs: u64,
    /// Frames per second as the bits of a double, so that it reads back exactly.
    frame_rate: Option<u64>,
    rfc6381: Option<String>,
    size: Option<(u32, u32)>,
    channels: Option<u8>,
    /// VIDEO-RANGE.
    #[serde(default)]
    range: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SegmentRecord {
    pub kind: Kind,
    pub epoch: u64,
    pub msn: u64,
    pub init: u32,
    discontinuity: bool,
    discontinuity_sequence: u64,
    wall: i64,
    independent: bool,
    pub gap: bool,
    /// Seconds as the bits of a double, so that EXTINF is the same again.
    secs: u64,
    hz: u32,
    entry: u64,
    /// Offset, size, decode time, composition offset, duration.
    pictures: Vec<(u64, u32, u64, i64, u32)>,
    pub lens: Vec<u32>,
    /// The first number that was listed when this one was.
    from: u64,
}

/// The line of a record.
pub(super) fn line(record: &Record) -> Vec<u8> {
    let json = serde_json::to_vec(record).expect("records are plain values");
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    line
}

/// The records of an index, up to the first line that is not whole, and how many bytes they take.
pub(super) fn parse(bytes: &[u8]) -> (Vec<Record>, usize) {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(len) = bytes[at..].iter().position(|&byte| byte == b'\n') {
        let Some(record) = parse_line(&bytes[at..at + len]) else { break };
        records.push(record);
        at += len + 1;
    }
    (records, at)
}

fn parse_line(line: &[u8]) -> Option<Record> {
    let (checksum, json) = line.split_at_checked(CHECKSUM_LEN)?;
    let checksum = std::str::from_utf8(checksum).ok()?.strip_suffix(' ')?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    (crc32fast::hash(json) == checksum).then(|| serde_json::from_slice(json).ok())?
}

/// What an index says.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub name: String,
    pub inits: Vec<InitRecord>,
    pub segments: Vec<SegmentRecord>,
    pub next_msn: u64,
    pub ended: bool,
    /// Of each rendition: the first number that was listed, and whether it had been a smaller one.
    listed_from: BTreeMap<Kind, (u64, bool)>,
}

impl Facts {
    /// Of a room that begins to list.
    pub fn of_room(name: &str) -> Facts {
        Facts { name: name.to_owned(), ..Facts::default() }
    }

    /// Reads records in order. `None`: not an index of this layout.
    pub fn of(records: Vec<Record>) -> Option<Facts> {
        let mut records = records.into_iter();
        let Record::Room { layout: LAYOUT, name } = records.next()? else { return None };
        let mut facts = Facts { name, ..Facts::default() };
        for record in records {
            facts.add(record);
        }
        Some(facts)
    }

    fn add(&mut self, record: Record) {
        match record {
            Record::Room { .. } => {}
            Record::Init(init) => self.inits.push(init),
            Record::Segment(segment) => {
                self.ended = false;
                let (from, slid) = self.listed_from.get(&segment.kind).copied().unwrap_or((segment.from, false));
                self.listed_from.insert(segment.kind, (from.max(segment.from), slid || segment.from > from));
                self.segments.push(segment);
            }
            Record::Next { msn } => self.next_msn = self.next_msn.max(msn),
            Record::Discard { kind, below } => {
                self.segments.retain(|segment| segment.kind != kind || segment.msn >= below);
                let needed = self.segments.iter().find(|segment| segment.kind == kind).map(|segment| segment.init);
                // Without a segment that needs one, the newest is for what follows.
                let newest = || self.inits.iter().rfind(|init| init.kind == kind).map(|init| init.number);
                let first = needed.or_else(newest).unwrap_or(0);
                self.inits.retain(|init| init.kind != kind || init.number >= first);
                // The rendition was given up. If it comes back it says itself where it begins.
                if below == u64::MAX {
                    self.listed_from.remove(&kind);
                } else if self.listed_from.get(&kind).is_some_and(|(from, _)| *from < below) {
                    self.listed_from.insert(kind, (below, true));
                }
            }
            Record::Over => {
                self.inits.clear();
                self.segments.clear();
                self.listed_from.clear();
                self.ended = false;
            }
            Record::Ended => self.ended = true,
        }
    }

    /// Takes out what must not be listed again: what had left the list. The list may have slid since the last record, by
    /// about as many segments as came after it.
    pub fn forget_unlisted(&mut self) {
        let newest = self.segments.iter().map(|segment| segment.msn).max().unwrap_or(0);
        let unknown = self.next_msn.saturating_sub(newest);
        let listed_from = &self.listed_from;
        self.segments.retain(|segment| match listed_from.get(&segment.kind) {
            Some((from, slid)) => segment.msn >= from.saturating_add(if *slid { unknown } else { 0 }),
            None => true,
        });
        let used: BTreeSet<(Kind, u64, u32)> =
            self.segments.iter().map(|segment| (segment.kind, segment.epoch, segment.init)).collect();
        self.inits.retain(|init| used.contains(&(init.kind, init.epoch, init.number)));
    }

    /// Takes out the segments whose init segment is not there: nothing can be played without it.
    pub fn forget_unplayable(&mut self, is_there: impl Fn(&InitRecord) -> bool) {
        self.inits.retain(is_there);
        let known: BTreeSet<(Kind, u64, u32)> =
            self.inits.iter().map(|init| (init.kind, init.epoch, init.number)).collect();
        self.segments.retain(|segment| known.contains(&(segment.kind, segment.epoch, segment.init)));
    }

    /// The same as a short index.
    pub fn records(&self) -> Vec<Record> {
        let room = Record::Room { layout: LAYOUT, name: self.name.clone() };
        let inits = self.inits.iter().cloned().map(Record::Init);
        let segments = self.segments.iter().cloned().map(Record::Segment);
        let next = Record::Next { msn: self.next_msn };
        let ended = self.ended.then_some(Record::Ended);
        std::iter::once(room).chain(inits).chain(segments).chain([next]).chain(ended).collect()
    }

    /// What the packager takes up. `init_bytes` are those of the init segments, in order; without them nothing that needs
    /// them can be played.
    pub fn listing(&self, init_bytes: impl Fn(&InitRecord) -> Option<Vec<u8>>) -> KeptListing {
        KeptListing {
            inits: self.inits.iter().filter_map(|init| init.kept(init_bytes(init)?)).collect(),
            segments: self.segments.iter().filter_map(|segment| Some((segment.kind.into(), segment.kept()?))).collect(),
            next_msn: self.next_msn,
            ended: self.ended,
            shortened: self.listed_from.values().any(|(_, slid)| *slid),
        }
    }
}

impl InitRecord {
    pub fn of(kept: &KeptInit) -> InitRecord {
        let CodecFacts { rfc6381, size, channels, range } = kept.init.facts.clone();
        InitRecord {
            kind: kept.kind.into(),
            epoch: kept.init.epoch.0,
            number: kept.init.number,
            hz: kept.timescale.hz(),
            part_target_ms: kept.part_target_ms,
            target_duration_secs: kept.target_duration_secs,
            frame_rate: kept.frame_rate.map(f64::to_bits),
            rfc6381,
            size,
            channels,
            range: range.map(|range| range.name().to_owned()),
        }
    }

    fn kept(&self, bytes: Vec<u8>) -> Option<KeptInit> {
        let facts = CodecFacts {
            rfc6381: self.rfc6381.clone(),
            size: self.size,
            channels: self.channels,
            range: self.range.as_deref().and_then(VideoRange::from_name),
        };
        Some(KeptInit {
            kind: self.kind.into(),
            init: Init { epoch: Epoch(self.epoch), number: self.number, bytes: bytes.into(), facts },
            timescale: Timescale::new(self.hz)?,
            part_target_ms: self.part_target_ms,
            target_duration_secs: self.target_duration_secs,
            frame_rate: self.frame_rate.map(f64::from_bits),
        })
    }

    pub fn file_name(&self) -> String {
        init_file_name(self.kind, self.epoch, self.number)
    }
}

impl SegmentRecord {
    pub fn of(kind: MediaKind, segment: &Segment, listed_from: u64) -> SegmentRecord {
        let picture = |picture: &KeyPicture| {
            let KeyPicture { offset, size, decode_time, composition_offset, duration } = *picture;
            (offset, size, decode_time, composition_offset, duration)
        };
        SegmentRecord {
            kind: kind.into(),
            epoch: segment.epoch.0,
            msn: segment.msn,
            init: segment.init,
            discontinuity: segment.discontinuity,
            discontinuity_sequence: segment.discontinuity_sequence,
            wall: segment.wall.0,
            independent: segment.independent,
            gap: segment.gap,
            secs: segment.duration_secs.unwrap_or(0.0).to_bits(),
            hz: segment.timescale.hz(),
            entry: segment.first_entry,
            pictures: segment.pictures.iter().map(picture).collect(),
            lens: segment.part_lens().map(|len| u32::try_from(len).unwrap_or(u32::MAX)).collect(),
            from: listed_from,
        }
    }

    fn kept(&self) -> Option<Segment> {
        let picture = |&(offset, size, decode_time, composition_offset, duration): &(u64, u32, u64, i64, u32)| {
            KeyPicture { offset, size, decode_time, composition_offset, duration }
        };
        let secs = f64::from_bits(self.secs);
        if self.discontinuity_sequence < u64::from(self.discontinuity) {
            return None;
        }
        Some(Segment {
            epoch: Epoch(self.epoch),
            msn: self.msn,
            init: self.init,
            discontinuity: self.discontinuity,
            discontinuity_sequence: self.discontinuity_sequence,
            wall: WallTime(self.wall),
            independent: self.independent,
            gap: self.gap,
            parts: Vec::new(),
            duration_secs: Some(secs).filter(|secs| secs.is_finite() && *secs >= 0.0),
            timescale: Timescale::new(self.hz)?,
            first_entry: self.entry,
            pictures: self.pictures.iter().map(picture).collect(),
            kept: (!self.gap).then(|| self.lens.clone().into()),
        })
    }

    /// Bytes of its file.
    pub fn len(&self) -> u64 {
        self.lens.iter().map(|&len| u64::from(len)).sum()
    }

    pub fn file_name(&self) -> String {
        segment_file_name(self.kind, self.epoch, self.msn)
    }
}

pub(super) fn segment_file_name(kind: Kind, epoch: u64, msn: u64) -> String {
    format!("{}-{epoch}-{msn}.m4s", kind.letter())
}

pub(super) fn init_file_name(kind: Kind, epoch: u64, number: u32) -> String {
    format!("{}-{epoch}-init-{number}.mp4", kind.letter())
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Kind::Video => 'v',
            Kind::Audio => 'a',
        }
    }
}

#[cfg(test)]
mod tests;
