//! Reads every snapshot as a viewer would and asserts the rules of checklists and standard on it (RFC 8216bis).
//!
//! quick-m3u8 parses, so that our writer is not judged by our own reading of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::hls::{PreloadHintType, Tag};
use quick_m3u8::tag::{HlsPlaylistType, KnownTag};
use quick_m3u8::{HlsLine, Reader};
use telstar_hls::request::{self, Answer, Directives, Media};
use telstar_hls::{PartId, RenditionId, RenditionView, Snapshot, State, rendition_name};
use telstar_media::MediaKind;
use telstar_units::Epoch;

use super::media::{ReadPart, read_parts};
use super::room::UNIX_SECS;

/// A second of video.
const LONG_PAUSE_TICKS: i64 = 90_000;
/// The longest time from decoding to showing a keyframe in any source here.
const REORDERED_MAX_MS: i64 = 500;

/// What a source can be held to.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    /// Frames come evenly: every part is filled, and leaves with its last frame.
    pub even: bool,
    /// Every segment begins with a keyframe.
    pub keyframes_in_time: bool,
    /// Both renditions end their segments within one audio frame of each other.
    pub aligned: bool,
}

impl Default for Expect {
    fn default() -> Expect {
        Expect { even: true, keyframes_in_time: true, aligned: true }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedPart {
    pub uri: String,
    pub duration: f64,
    pub independent: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListedSegment {
    pub msn: u64,
    pub discontinuity: bool,
    pub discontinuity_sequence: u64,
    pub map: String,
    pub date_time: String,
    pub parts: Vec<ListedPart>,
    pub gap: bool,
    /// URI and EXTINF, once it is finished.
    pub whole: Option<(String, f64)>,
}

/// A playlist as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Playlist {
    pub target_duration: u64,
    pub part_target: f64,
    pub part_hold_back: f64,
    pub hold_back: f64,
    pub media_sequence: u64,
    pub discontinuity_sequence: u64,
    pub independent_segments: bool,
    /// EXT-X-PLAYLIST-TYPE:EVENT.
    pub is_event: bool,
    pub can_skip_until: Option<f64>,
    /// SKIPPED-SEGMENTS of a delta update.
    pub skipped: u64,
    pub segments: Vec<ListedSegment>,
    pub hint: Option<String>,
    pub reports: Vec<(String, u64, u64)>,
    pub ended: bool,
}

impl Playlist {
    pub fn read(text: &str) -> Playlist {
        let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
        let mut reader = Reader::from_str(text, options);
        let mut playlist = Playlist::default();
        let mut next = ListedSegment::default();
        let mut extinf = None;
        let mut block_reload = false;
        let mut version_read = 0;
        while let Some(line) = reader.read_line().expect("every line is valid") {
            match line {
                HlsLine::Uri(uri) => {
                    next.whole = Some((uri.to_string(), extinf.take().expect("EXTINF before each URI")));
                    let map = next.map.clone();
                    playlist.push(std::mem::take(&mut next));
                    next.map = map;
                }
                HlsLine::KnownTag(KnownTag::Hls(tag)) => match tag {
                    Tag::M3u(_) => {}
                    Tag::Version(version) => version_read = version.version(),
                    Tag::PlaylistType(tag) => {
                        assert_eq!(tag.playlist_type(), HlsPlaylistType::Event);
                        playlist.is_event = true;
                    }
                    Tag::Skip(tag) => playlist.skipped = tag.skipped_segments(),
                    Tag::Targetduration(tag) => playlist.target_duration = tag.target_duration(),
                    Tag::MediaSequence(tag) => playlist.media_sequence = tag.media_sequence(),
                    Tag::DiscontinuitySequence(tag) => playlist.discontinuity_sequence = tag.discontinuity_sequence(),
                    Tag::IndependentSegments(_) => playlist.independent_segments = true,
                    Tag::PartInf(tag) => playlist.part_target = tag.part_target(),
                    Tag::ServerControl(tag) => {
                        block_reload = tag.can_block_reload();
                        playlist.part_hold_back = tag.part_hold_back().expect("L2: required with parts");
                        playlist.hold_back = tag.hold_back().expect("stated");
                        playlist.can_skip_until = tag.can_skip_until();
                    }
                    Tag::Discontinuity(_) => next.before_parts("DISCONTINUITY").discontinuity = true,
                    Tag::Map(map) => next.before_parts("MAP").map = map.uri().into(),
                    Tag::ProgramDateTime(tag) => {
                        next.before_parts("PROGRAM-DATE-TIME").date_time = tag.program_date_time().to_string();
                    }
                    Tag::Part(part) => next.parts.push(ListedPart {
                        uri: part.uri().into(),
                        duration: part.duration(),
                        independent: part.independent(),
                    }),
                    Tag::Gap(_) => next.gap = true,
                    Tag::Inf(inf) => extinf = Some(inf.duration()),
                    Tag::PreloadHint(hint) => {
                        assert_eq!(hint.hint_type(), PreloadHintType::Part.into());
                        assert!(playlist.hint.replace(hint.uri().into()).is_none(), "L9: one hint of a type");
                    }
                    Tag::RenditionReport(report) => {
                        let last_part = report.last_part().expect("L11");
                        playlist.reports.push((report.uri().into(), report.last_msn(), last_part));
                    }
                    Tag::Endlist(_) => playlist.ended = true,
                    other => panic!("a tag that nobody asked for: {other:?}"),
                },
                other => panic!("a line that is neither tag nor URI: {other:?}"),
            }
        }
        assert!(block_reload, "L2");
        assert_eq!(version_read, if playlist.skipped > 0 { 9 } else { 6 }, "L12");
        if !next.parts.is_empty() {
            playlist.push(next);
        }
        playlist
    }

    fn push(&mut self, mut segment: ListedSegment) {
        segment.msn = self.media_sequence + self.skipped + self.segments.len() as u64;
        let before = self.segments.last().map_or(self.discontinuity_sequence, |last| last.discontinuity_sequence);
        segment.discontinuity_sequence = before + u64::from(segment.discontinuity);
        self.segments.push(segment);
    }

    /// What a client has after this delta update, if it had `before`.
    pub fn applied_to(mut self, before: &Playlist) -> Playlist {
        let skipped = self.media_sequence..self.media_sequence + self.skipped;
        let known = before.segments.iter().filter(|segment| skipped.contains(&segment.msn));
        let mut segments: Vec<ListedSegment> = known.cloned().collect();
        assert_eq!(segments.len() as u64, self.skipped, "the client knows what was left out");
        // Far from the end parts are not listed any more.
        segments.iter_mut().for_each(|segment| segment.parts.clear());
        self.skipped = 0;
        for mut segment in std::mem::take(&mut self.segments) {
            let last = segments.last().expect("something was left out");
            if segment.map.is_empty() {
                segment.map = last.map.clone();
            }
            segment.discontinuity_sequence = last.discontinuity_sequence + u64::from(segment.discontinuity);
            segments.push(segment);
        }
        self.segments = segments;
        self
    }

    pub fn finished(&self) -> impl DoubleEndedIterator<Item = &ListedSegment> {
        self.segments.iter().filter(|segment| segment.whole.is_some())
    }

    fn listed_secs(&self) -> f64 {
        self.finished().filter_map(|segment| segment.whole.as_ref()).map(|(_, secs)| secs).sum()
    }
}

impl ListedSegment {
    fn before_parts(&mut self, tag: &str) -> &mut ListedSegment {
        assert!(self.parts.is_empty(), "L5: {tag} stands before the segment's first part");
        self
    }
}

#[derive(Default)]
struct History {
    retention: bool,
    last: Option<Playlist>,
    /// Everything that was ever listed, by number.
    segments: BTreeMap<u64, ListedSegment>,
    /// Parts that have left the list, with their removal.
    removed_parts: Vec<(PartId, Instant)>,
    removed_segments: Vec<(String, Instant, f64)>,
    longest_secs: f64,
    newest_part_at: Option<Instant>,
    parts: BTreeMap<String, ReadPart>,
    /// Segments whose bytes were compared with their parts'.
    checked: BTreeSet<u64>,
    dropped_hints: Vec<String>,
    slowest_part: Duration,
    waited: Vec<usize>,
}

/// Follows one room.
pub struct Checker {
    expect: Expect,
    kinds: Vec<MediaKind>,
    history: BTreeMap<&'static str, History>,
    pub snapshots: usize,
    /// The name of the frame that was handed over last.
    pub newest_frame: String,
    /// What left the list is still fetchable.
    pub retention: bool,
}

impl Checker {
    pub fn new(expect: Expect, kinds: Vec<MediaKind>) -> Checker {
        Checker { expect, kinds, history: BTreeMap::new(), snapshots: 0, newest_frame: String::new(), retention: true }
    }

    pub fn expect(&self) -> Expect {
        self.expect
    }

    /// Numbers (in order of appearance) of parts that were listed with a frame other than their last one.
    pub fn parts_that_waited(&self, kind: MediaKind) -> &[usize] {
        self.history.get(rendition_name(kind)).map_or(&[], |history| &history.waited)
    }

    /// Asserts every rule on a snapshot.
    pub fn check(&mut self, now: Instant, snapshot: &Snapshot) {
        self.snapshots += 1;
        if snapshot.state == State::Waiting || snapshot.multivariant.is_none() {
            return;
        }
        let mut playlists = Vec::new();
        for id in RenditionId::ALL {
            let Some(view) = snapshot.rendition(id).filter(|view| view.playlist().is_some()) else { continue };
            assert!(self.kinds.contains(&id.kind()), "{id:?} was never sent");
            let text = view.playlist().expect("listed").text();
            let text = String::from_utf8(text.to_vec()).expect("UTF-8");
            let playlist = Playlist::read(&text);
            let name = rendition_name(id);
            let history = self.history.entry(name).or_default();
            check_header(&playlist);
            check_parts(&playlist, self.expect, snapshot.state);
            check_media(&playlist, view, history, self.expect, &self.newest_frame);
            history.retention = self.retention;
            history.follow(now, &playlist, view, snapshot.state, self.expect);
            check_directives(snapshot, id, &playlist, view);
            playlists.push((id, playlist));
        }
        if let [(_, first), others @ ..] = playlists.as_slice() {
            for (id, other) in others {
                check_pair(first, other, self.expect);
                if *id == RenditionId::Alternate {
                    check_twins(first, other, self.expect);
                }
            }
        }
        for (id, playlist) in &playlists {
            let others: Vec<_> = playlists.iter().filter(|(other, _)| other != id).collect();
            check_reports(snapshot, playlist, &others);
        }
    }

    /// The alternate has left: when it comes again, it is another playlist.
    pub fn forget_alternate(&mut self) {
        self.history.remove(rendition_name(RenditionId::Alternate));
    }

    /// All samples of a rendition, in order of their segments.
    pub fn samples(&self, id: impl Into<RenditionId>) -> Vec<super::media::ReadSample> {
        let Some(history) = self.history.get(rendition_name(id)) else { return Vec::new() };
        let mut uris: Vec<(u64, u32, &ReadPart)> = history
            .parts
            .iter()
            .map(|(uri, part)| {
                let id = part_id(uri);
                (id.msn, id.part, part)
            })
            .collect();
        uris.sort_by_key(|&(msn, part, _)| (msn, part));
        uris.into_iter().flat_map(|(_, _, part)| part.samples.clone()).collect()
    }

    pub fn segments(&self, id: impl Into<RenditionId>) -> Vec<ListedSegment> {
        self.history.get(rendition_name(id)).map(|h| h.segments.values().cloned().collect()).unwrap_or_default()
    }

    pub fn playlist(&self, id: impl Into<RenditionId>) -> Playlist {
        self.history[rendition_name(id)].last.clone().expect("a playlist")
    }

    /// Hints that did not come true.
    pub fn dropped_hints(&self, kind: MediaKind) -> &[String] {
        &self.history[rendition_name(kind)].dropped_hints
    }

    /// The longest time between two new parts while live.
    pub fn slowest_part(&self, kind: MediaKind) -> Duration {
        self.history[rendition_name(kind)].slowest_part
    }
}

fn check_header(playlist: &Playlist) {
    assert!(playlist.part_target > 0.0, "L1");
    assert!(playlist.part_hold_back >= 3.0 * playlist.part_target - 1e-9, "L2: {playlist:?}");
    assert!(playlist.hold_back >= 3.0 * playlist.target_duration as f64, "L3");
    assert!(playlist.target_duration >= 2);
    for segment in &playlist.segments {
        assert!(!segment.date_time.is_empty(), "L12: {segment:?}");
        assert!(!segment.map.is_empty() || segment.gap, "a map before {segment:?}");
    }
    for segment in playlist.finished() {
        let (_, duration) = segment.whole.as_ref().expect("finished");
        assert!(
            duration.round() <= playlist.target_duration as f64,
            "EXTINF {duration} over {}",
            playlist.target_duration
        );
        assert!(*duration <= playlist.target_duration as f64 + 0.5, "M3");
    }
}

fn check_parts(playlist: &Playlist, expect: Expect, state: State) {
    let mut after_secs = 0.0;
    for (index, segment) in playlist.segments.iter().enumerate().rev() {
        let open = segment.whole.is_none();
        assert!(!open || index + 1 == playlist.segments.len(), "only the newest segment is open");
        let parts_secs: f64 = segment.parts.iter().map(|part| part.duration).sum();
        for (n, part) in segment.parts.iter().enumerate() {
            let last = n + 1 == segment.parts.len() && (!open || state != State::Live);
            if expect.even {
                assert!(part.duration < playlist.part_target, "L4, and room to be listed longer: {part:?}");
                // The open segment's newest part may turn out to be its last.
                let newest = n + 1 == segment.parts.len();
                let full = part.duration >= 0.85 * playlist.part_target;
                assert!(
                    last || newest || full,
                    "L4: {part:?} of {segment:?} is below 85 % of {}",
                    playlist.part_target
                );
            }
        }
        if let Some((_, duration)) = &segment.whole
            && !segment.parts.is_empty()
        {
            // Players that place parts by what is listed of those before must not fall back when EXTINF comes. A segment of
            // which only the end is there is longer.
            let apart = (parts_secs - duration).abs();
            assert!(!(1e-10..=0.001).contains(&apart), "EXTINF {duration} is not the sum of {:?}", segment.parts);
            assert!((parts_secs - duration).abs() < 0.001 || !expect.even, "L6: {parts_secs} and {duration}");
            assert!(after_secs <= 3.0 * playlist.target_duration as f64 + 0.001, "L8: parts far from the end");
        }
        after_secs += segment.whole.as_ref().map_or(parts_secs, |(_, duration)| *duration);
    }
    assert_eq!(playlist.hint.is_some(), state == State::Live, "L9: a hint while live, none else");
    assert_eq!(playlist.ended, state == State::Ended);
}

pub fn part_id(uri: &str) -> PartId {
    let (epoch, file) = uri.split_once('/').expect("epoch/file");
    let mut fields = file.trim_end_matches(".m4s").split('.');
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).expect("a number");
    let epoch = Epoch(number(Some(epoch)));
    PartId { epoch, msn: number(fields.next()), part: number(fields.next()) as u32 }
}

fn segment_id(uri: &str) -> (Epoch, u64) {
    let (epoch, file) = uri.split_once('/').expect("epoch/file");
    (Epoch(epoch.parse().expect("a number")), file.trim_end_matches(".m4s").parse().expect("a number"))
}

/// L6: what is listed can be fetched, a segment is its parts, and the boxes say what the playlist says. Bytes are read once.
fn check_media(playlist: &Playlist, view: &RenditionView, history: &mut History, expect: Expect, newest: &str) {
    for segment in &playlist.segments {
        for part in &segment.parts {
            let held = view
                .part(part_id(&part.uri))
                .unwrap_or_else(|| panic!("L7: {} is available the instant it is listed; {playlist:#?}", part.uri));
            if history.parts.contains_key(&part.uri) {
                continue;
            }
            let bytes = held.chunks().concat();
            assert_eq!(held.len(), bytes.len() as u64);
            let read = read_parts(&bytes);
            let [read] = read.as_slice() else { panic!("a part is one chunk") };
            let independent = read.samples.iter().any(|sample| sample.sync);
            assert_eq!(independent, part.independent, "L4: INDEPENDENT of {part:?}");
            let last = read.samples.last().expect("a part has a sample");
            if !last.payload.starts_with(newest.as_bytes()) {
                history.waited.push(history.parts.len());
            }
            history.parts.insert(part.uri.clone(), read.clone());
        }
        if let Some((uri, _)) = segment.whole.as_ref().filter(|_| !segment.gap) {
            check_whole(segment, uri, view, history.checked.insert(segment.msn));
            let aligned = segment.parts.is_empty() || segment.parts[0].independent;
            assert!(!expect.keyframes_in_time || aligned && playlist.independent_segments, "L6: {segment:?}");
        }
    }
}

fn check_whole(segment: &ListedSegment, uri: &str, view: &RenditionView, first_time: bool) {
    let (epoch, msn) = segment_id(uri);
    assert_eq!(msn, segment.msn);
    let held = view.segment(epoch, msn).expect("a listed segment can be fetched");
    let (epoch, init) = segment.map.split_once('/').expect("epoch/init");
    let number = init.trim_start_matches("init-").trim_end_matches(".mp4").parse().expect("a number");
    assert!(view.init(Epoch(epoch.parse().expect("a number")), number).is_some(), "the init segment can be fetched");
    if first_time && !segment.parts.is_empty() {
        let parts = segment.parts.iter().map(|part| view.part(part_id(&part.uri)).expect("listed"));
        let parts: Vec<u8> = parts.flat_map(|part| part.chunks().concat()).collect();
        let whole: Vec<u8> = held.chunks().flat_map(|chunk| chunk.iter().copied()).collect();
        assert_eq!(held.len(), whole.len() as u64);
        assert!(whole == parts, "L6: parts and segment carry the same bytes");
    }
}

impl History {
    fn follow(&mut self, now: Instant, playlist: &Playlist, view: &RenditionView, state: State, expect: Expect) {
        if let Some(last) = self.last.take() {
            self.compare(now, &last, playlist, state, expect);
        }
        for segment in &playlist.segments {
            let known = self.segments.entry(segment.msn).or_insert_with(|| segment.clone());
            let parts = known.parts.len().min(segment.parts.len());
            assert_eq!(known.parts[..parts], segment.parts[..parts], "what was listed never changes");
            assert_eq!(
                (known.discontinuity, known.discontinuity_sequence, &known.map, &known.date_time),
                (segment.discontinuity, segment.discontinuity_sequence, &segment.map, &segment.date_time)
            );
            if known.whole.is_some() {
                assert_eq!(known.whole, segment.whole);
            }
            if segment.parts.len() >= known.parts.len() {
                *known = segment.clone();
            } else {
                known.whole = segment.whole.clone();
            }
        }
        self.longest_secs = self.longest_secs.max(playlist.listed_secs());
        if !self.retention {
            self.removed_parts.clear();
            self.removed_segments.clear();
        }
        for (id, removed) in &self.removed_parts {
            let held_for = Duration::from_secs(3 * playlist.target_duration);
            let gone = now.duration_since(*removed) > held_for;
            assert!(gone || view.has_part(*id), "L8: {id:?} is fetchable for three target durations");
        }
        for (uri, removed, secs) in &self.removed_segments {
            let (epoch, msn) = segment_id(uri);
            let gone = now.duration_since(*removed) >= Duration::from_secs_f64(*secs);
            assert!(gone || view.segment(epoch, msn).is_some(), "§6.2.2: {uri} is fetchable for {secs} s");
        }
        let held_for = Duration::from_secs(3 * playlist.target_duration);
        self.removed_parts.retain(|(_, removed)| now.duration_since(*removed) <= held_for);
        self.removed_segments.retain(|(_, removed, secs)| now.duration_since(*removed).as_secs_f64() < *secs);
        self.check_continuity(playlist, expect);
        self.last = Some(playlist.clone());
    }

    fn compare(&mut self, now: Instant, last: &Playlist, playlist: &Playlist, state: State, expect: Expect) {
        assert!(playlist.media_sequence >= last.media_sequence);
        assert!(playlist.discontinuity_sequence >= last.discontinuity_sequence);
        if !last.ended {
            assert_eq!(playlist.target_duration, last.target_duration, "§6.2.1: it never changes");
            let newest = |list: &Playlist| list.segments.last().map_or(0, |segment| segment.msn);
            assert!(newest(playlist) >= newest(last));
            let long_enough = playlist.listed_secs() >= 3.0 * playlist.target_duration as f64;
            assert!(
                playlist.media_sequence == last.media_sequence || long_enough,
                "§6.2.2: three target durations stay"
            );
        }
        let listed = |list: &Playlist| -> Vec<String> {
            list.segments.iter().flat_map(|segment| segment.parts.iter().map(|part| part.uri.clone())).collect()
        };
        let (before, after) = (listed(last), listed(playlist));
        let kept = before.iter().position(|uri| after.contains(uri)).unwrap_or(before.len());
        assert!(before[kept..].iter().all(|uri| after.contains(uri)), "L8: parts leave in order");
        self.removed_parts.extend(before[..kept].iter().map(|uri| (part_id(uri), now)));
        for segment in last.finished().filter(|segment| segment.msn < playlist.media_sequence && !segment.gap) {
            let (uri, secs) = segment.whole.clone().expect("finished");
            self.removed_segments.push((uri, now, secs + self.longest_secs));
        }
        let new: Vec<&String> = after.iter().filter(|uri| !before.contains(uri)).collect();
        if let (Some(first), Some(hint)) = (new.first(), &last.hint)
            && *first != hint
        {
            self.dropped_hints.push(format!("{hint} but {first}"));
        }
        if !new.is_empty() && state == State::Live {
            let since = self.newest_part_at.replace(now).map_or(Duration::ZERO, |at| now - at);
            self.slowest_part = self.slowest_part.max(since);
            // A frame may be a millisecond late on the source's clock, and a segment's end waits for the next frame.
            let slack = Duration::from_millis(2);
            let target = Duration::from_secs_f64(playlist.part_target);
            let continued = new.len() < 3;
            assert!(!expect.even || !continued || since <= target + slack, "L7: a part after {since:?}");
        } else if state != State::Live {
            self.newest_part_at = None;
        }
    }

    /// Sample durations add up to the next decode time between discontinuities.
    fn check_continuity(&self, playlist: &Playlist, expect: Expect) {
        let mut end = None;
        for segment in &playlist.segments {
            if segment.discontinuity || segment.gap {
                end = None;
            }
            for part in &segment.parts {
                let read = &self.parts[&part.uri];
                let first = part.uri == segment.parts[0].uri;
                if let Some(end) = end.replace(read.end()) {
                    // A pause may be shown where a segment begins: with a keyframe, or long after the one before was
                    // ended for the sound's sake.
                    let begins = first && (read.samples[0].sync || read.decode_time > end + LONG_PAUSE_TICKS);
                    let pause = begins && !expect.even && read.decode_time > end;
                    assert!(pause || read.decode_time == end, "{} begins where the part before ends", part.uri);
                }
            }
        }
    }
}

/// L11: there is a report of every other playlist, of its newest part.
fn check_reports(snapshot: &Snapshot, playlist: &Playlist, others: &[&(RenditionId, Playlist)]) {
    if snapshot.state == State::Ended {
        return;
    }
    assert_eq!(playlist.reports.len(), others.len(), "L11: a report of every other rendition");
    for ((uri, msn, part), (id, other)) in playlist.reports.iter().zip(others) {
        assert_eq!(*uri, format!("../{}/index.m3u8", rendition_name(*id)));
        let newest = other.segments.last().expect("something is listed");
        // A part target that changes at a discontinuity takes the parts before it off the list until the next one comes.
        let last = newest.parts.len().checked_sub(1).map_or(*part, |last| last as u64);
        assert_eq!((*msn, *part), (newest.msn, last));
    }
}

/// The picture twice: the same segments, cut at the same pictures.
fn check_twins(video: &Playlist, alternate: &Playlist, expect: Expect) {
    assert_eq!(video.part_target, alternate.part_target);
    for segment in video.finished().filter(|_| expect.even) {
        let Some(twin) = alternate.finished().find(|twin| twin.msn == segment.msn) else { continue };
        // As far as the source's clock of milliseconds is exact.
        assert!((millis_of(&segment.date_time) - millis_of(&twin.date_time)).abs() <= 1);
        let secs = |segment: &ListedSegment| segment.whole.as_ref().map_or(0.0, |(_, secs)| *secs);
        // The end of all lies where the last picture of each in decode order is over.
        let is_last = video.ended && segment.msn == video.segments.last().map_or(0, |last| last.msn);
        assert!(is_last || (secs(segment) - secs(twin)).abs() < 0.002, "{segment:?} {twin:?}");
    }
}

/// Both renditions: one target duration, the same discontinuities at the same numbers, ends in step.
fn check_pair(video: &Playlist, audio: &Playlist, expect: Expect) {
    assert_eq!(video.target_duration, audio.target_duration, "M3");
    assert_eq!(video.part_hold_back, audio.part_hold_back);
    for segment in &video.segments {
        let Some(twin) = audio.segments.iter().find(|twin| twin.msn == segment.msn) else { continue };
        assert_eq!(segment.discontinuity_sequence, twin.discontinuity_sequence, "{segment:?} {twin:?}");
        if expect.aligned {
            let apart = millis_of(&segment.date_time) - millis_of(&twin.date_time);
            // A stretch begins with the sound from before the first picture is shown: while that was being decoded.
            let begins = segment.discontinuity || segment.msn == UNIX_SECS;
            let earlier = if begins { REORDERED_MAX_MS } else { 0 };
            assert!((-30..=30 + earlier).contains(&apart), "segments {} begin {apart} ms apart", segment.msn);
        }
    }
}

/// Milliseconds within the day: enough to compare two times of one test.
pub fn millis_of(date_time: &str) -> i64 {
    let time = date_time.split('T').nth(1).expect("a time");
    let field = |range: std::ops::Range<usize>| time[range].parse::<i64>().expect("digits");
    let fraction: String = time[9..].chars().take_while(char::is_ascii_digit).collect();
    let millis = format!("{fraction:0<3}")[..3].parse::<i64>().expect("digits");
    ((field(0..2) * 60 + field(3..5)) * 60 + field(6..8)) * 1_000 + millis
}

/// D1 to D6 and L10 against what this very playlist lists.
fn check_directives(snapshot: &Snapshot, kind: RenditionId, playlist: &Playlist, view: &RenditionView) {
    let ask = |query: String| match Directives::parse(&query) {
        Ok(directives) => request::answer(snapshot, kind, &directives),
        Err(error) => Answer::BadRequest(error),
    };
    let is_ready = |query: String| matches!(ask(query), Answer::Ready(_));
    let waits = |query: String| matches!(ask(query), Answer::Wait);
    let refused = |query: String| matches!(ask(query), Answer::BadRequest(_));
    let newest = playlist.segments.last().expect("something is listed");
    assert!(is_ready(String::new()) && is_ready("t=x".into()));
    assert!(refused("_HLS_part=0".into()), "D6");
    assert!(is_ready(format!("_HLS_msn={}", playlist.media_sequence.saturating_sub(9))), "D3");
    if playlist.ended {
        assert!(is_ready(format!("_HLS_msn={}&_HLS_part=9", newest.msn + 9)), "D4");
        return;
    }
    let parts = newest.parts.len() as u64;
    // RFC 8216bis §6.2.5.2: two segments beyond the last, and parts beyond the last by the Advance Part Limit.
    let limit = if playlist.part_target < 1.0 { (3.0 / playlist.part_target).ceil() as u64 } else { 3 };
    assert!(refused(format!("_HLS_msn={}", newest.msn + 3)), "D5");
    assert!(waits(format!("_HLS_msn={}", newest.msn + 2)), "D5");
    assert!(waits(format!("_HLS_msn={}", newest.msn + 1)), "D1");
    for segments in 1..3 {
        assert!(waits(format!("_HLS_msn={}&_HLS_part={}", newest.msn + segments, limit - segments)), "D5");
        assert!(refused(format!("_HLS_msn={}&_HLS_part={}", newest.msn + segments, limit - segments + 1)), "D5");
    }
    if newest.whole.is_some() {
        assert!(is_ready(format!("_HLS_msn={}", newest.msn)), "D1");
        assert!(waits(format!("_HLS_msn={}&_HLS_part={}", newest.msn, parts + 50)), "D2");
    } else {
        assert!(waits(format!("_HLS_msn={}", newest.msn)), "D1");
        assert!(is_ready(format!("_HLS_msn={}&_HLS_part={}", newest.msn, parts - 1)), "D1");
        assert!(waits(format!("_HLS_msn={}&_HLS_part={parts}", newest.msn)), "D1");
        assert!(waits(format!("_HLS_msn={}&_HLS_part={}", newest.msn, parts - 1 + limit)), "D5");
        assert!(refused(format!("_HLS_msn={}&_HLS_part={}", newest.msn, parts + limit)), "D5");
    }
    if let Some(hint) = &playlist.hint {
        let id = part_id(hint);
        assert_eq!(view.hint(), Some(id));
        assert!(matches!(request::part(snapshot, kind, id), Media::Wait), "L10: the hinted part is held for");
        let beyond = PartId { part: id.part + 1, ..id };
        assert!(matches!(request::part(snapshot, kind, beyond), Media::NotFound), "L10");
    }
}
