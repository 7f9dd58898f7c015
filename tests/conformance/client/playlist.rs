//! A media playlist: what its lines say, segment by segment (RFC 8216bis §4.4.3 to §4.4.5).
//!
//! Text and its address go in; segments with their parts, and complaints about grammar and order come out. It judges
//! nothing that needs another playlist, the media or a clock.

use reqwest::Url;

use super::date::date_micros;
use super::line::{Attributes, Kind, Line, is_float, is_integer, lines};

/// Something to fetch: an address and perhaps a range of it (offset, length).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    pub url: String,
    pub range: Option<(u64, u64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub resource: Resource,
    /// As it is written.
    pub uri: String,
    pub duration: f64,
    pub independent: bool,
    pub gap: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    pub msn: u64,
    pub discontinuity: bool,
    /// Its own discontinuity included.
    pub discontinuity_sequence: u64,
    pub map: Option<Resource>,
    /// EXT-X-PROGRAM-DATE-TIME in microseconds, when it stands at this segment.
    pub date: Option<i64>,
    pub gap: bool,
    pub parts: Vec<Part>,
    /// Address and EXTINF, once it is whole.
    pub whole: Option<(Resource, f64)>,
    /// Its address as it is written.
    pub uri: Option<String>,
    /// Tags of the segment that stand behind its first part.
    pub late_tags: Vec<String>,
}

impl Segment {
    pub fn parts_secs(&self) -> f64 {
        self.parts.iter().map(|part| part.duration).sum()
    }

    /// EXTINF, or what its parts last so far.
    pub fn secs(&self) -> f64 {
        self.whole.as_ref().map_or_else(|| self.parts_secs(), |(_, secs)| *secs)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    pub kind: String,
    pub resource: Resource,
    pub has_length: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RenditionReport {
    pub uri: String,
    pub url: String,
    pub last_msn: Option<u64>,
    pub last_part: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct ServerControl {
    pub can_block_reload: bool,
    pub can_skip_until: Option<f64>,
    pub can_skip_dateranges: bool,
    pub hold_back: Option<f64>,
    pub part_hold_back: Option<f64>,
}

/// A media playlist as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Playlist {
    pub version: Option<u64>,
    pub target_duration: Option<u64>,
    pub media_sequence: u64,
    pub discontinuity_sequence: u64,
    pub has_discontinuity_sequence: bool,
    pub control: Option<ServerControl>,
    pub part_target: Option<f64>,
    pub playlist_type: Option<String>,
    pub i_frames_only: bool,
    pub independent_segments: bool,
    pub ended: bool,
    /// EXT-X-SKIP: how many segments, and whether it lists removed date ranges.
    pub skip: Option<(u64, bool)>,
    pub segments: Vec<Segment>,
    pub hints: Vec<Hint>,
    pub reports: Vec<RenditionReport>,
    /// Every URI as it is written, with the line it stands in.
    pub uris: Vec<(usize, String)>,
    /// What breaks §4.1 and §4.2.
    pub grammar: Vec<String>,
    /// Tags that are missing, doubled or in the wrong place.
    pub order: Vec<String>,
}

/// The place of a part: number of its segment and its index there.
pub type Place = (u64, usize);

impl Playlist {
    pub fn read(text: &str, url: &str) -> Playlist {
        let mut reader = Reader::new(url);
        for line in lines(text, &mut reader.complaints) {
            reader.take(&line);
        }
        reader.finish()
    }

    pub fn finished(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.whole.is_some())
    }

    pub fn listed_secs(&self) -> f64 {
        self.finished().map(Segment::secs).sum()
    }

    pub fn has_parts(&self) -> bool {
        self.segments.iter().any(|segment| !segment.parts.is_empty())
    }

    pub fn last_msn(&self) -> Option<u64> {
        self.segments.last().map(|segment| segment.msn)
    }

    pub fn last_finished_msn(&self) -> Option<u64> {
        self.finished().next_back().map(|segment| segment.msn)
    }

    /// The newest part that is listed.
    pub fn last_part(&self) -> Option<Place> {
        let segment = self.segments.iter().rev().find(|segment| !segment.parts.is_empty())?;
        Some((segment.msn, segment.parts.len() - 1))
    }

    /// Where the next part will be listed, as far as the playlist tells.
    pub fn next_place(&self) -> Option<Place> {
        let last = self.segments.last()?;
        Some(if last.whole.is_some() { (last.msn + 1, 0) } else { (last.msn, last.parts.len()) })
    }

    pub fn part_hint(&self) -> Option<&Hint> {
        self.hints.iter().find(|hint| hint.kind == "PART")
    }

    pub fn target_secs(&self) -> f64 {
        self.target_duration.unwrap_or(1) as f64
    }

    pub fn segment(&self, msn: u64) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.msn == msn)
    }

    /// The calendar time of each segment: its own date, or counted on from the last one.
    pub fn dates(&self) -> Vec<Option<i64>> {
        let mut at = None;
        let date = |segment: &Segment| {
            at = segment.date.or(at);
            let date = at;
            at = at.map(|at: i64| at + (segment.secs() * 1e6).round() as i64);
            date
        };
        self.segments.iter().map(date).collect()
    }
}

struct Reader {
    base: Option<Url>,
    list: Playlist,
    next: Segment,
    map: Option<Resource>,
    extinf: Option<f64>,
    byterange: Option<String>,
    /// Where the last range of a resource ended (§4.4.4.2: an offset that is not stated).
    range_end: Option<(String, u64)>,
    skipped: u64,
    complaints: Vec<String>,
    seen: Vec<String>,
}

/// Tags that stand at most once.
const ONCE: &[&str] = &[
    "EXTM3U",
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-ENDLIST",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-SKIP",
    "EXT-X-START",
];

/// Tags of the multivariant playlist, which have no place in a media playlist (§4.1).
const FOREIGN: &[&str] =
    &["EXT-X-MEDIA", "EXT-X-STREAM-INF", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-SESSION-DATA", "EXT-X-SESSION-KEY"];

impl Reader {
    fn new(url: &str) -> Reader {
        Reader {
            base: Url::parse(url).ok(),
            list: Playlist::default(),
            next: Segment::default(),
            map: None,
            extinf: None,
            byterange: None,
            range_end: None,
            skipped: 0,
            complaints: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn resource(&mut self, number: usize, uri: &str, range: Option<&str>) -> Resource {
        self.list.uris.push((number, uri.to_owned()));
        let url = self.base.as_ref().and_then(|base| base.join(uri).ok()).map_or_else(|| uri.to_owned(), String::from);
        let Some(range) = range else { return Resource { url, range: None } };
        let (len, offset) = range.split_once('@').map_or((range, None), |(len, offset)| (len, Some(offset)));
        if !is_integer(len) || !offset.is_none_or(is_integer) {
            self.complaints.push(format!("line {number}: a byte range is not length@offset: {range}"));
        }
        let begun = self.range_end.as_ref().filter(|(known, _)| *known == url).map_or(0, |(_, end)| *end);
        let offset = offset.and_then(|offset| offset.parse().ok()).unwrap_or(begun);
        let len = len.parse().unwrap_or(0);
        self.range_end = Some((url.clone(), offset + len));
        Resource { url, range: Some((offset, len)) }
    }

    fn order(&mut self, line: &Line, what: &str) {
        self.list.order.push(format!("line {}: {what}: {}", line.number, line.text));
    }

    fn take(&mut self, line: &Line) {
        match &line.kind {
            Kind::Uri => self.take_uri(line),
            Kind::Comment | Kind::Blank => {}
            Kind::Tag { name, value } => {
                if ONCE.contains(&name.as_str()) && self.seen.contains(name) {
                    self.order(line, "a tag that stands once stands again");
                }
                if FOREIGN.contains(&name.as_str()) {
                    self.order(line, "a tag of the multivariant playlist");
                }
                self.seen.push(name.clone());
                let value = value.as_deref().unwrap_or("");
                if !self.take_header(line, name, value) {
                    self.take_of_segment(line, name, value);
                }
            }
        }
    }

    fn attributes(&mut self, name: &str, value: &str) -> Attributes {
        Attributes::read(name, value, &mut self.complaints)
    }

    fn integer(&mut self, line: &Line, value: &str) -> u64 {
        if !is_integer(value) {
            self.complaints.push(format!("line {}: not a decimal integer: {}", line.number, line.text));
        }
        value.parse().unwrap_or(0)
    }

    /// Tags of the whole playlist. Returns whether it was one.
    fn take_header(&mut self, line: &Line, name: &str, value: &str) -> bool {
        let first = self.list.segments.is_empty() && self.next == Segment::default() && self.skipped == 0;
        match name {
            "EXTM3U" => {}
            "EXT-X-VERSION" => self.list.version = Some(self.integer(line, value)),
            "EXT-X-TARGETDURATION" => self.list.target_duration = Some(self.integer(line, value)),
            "EXT-X-MEDIA-SEQUENCE" | "EXT-X-DISCONTINUITY-SEQUENCE" => {
                if !first {
                    self.order(line, "stands behind the first segment");
                }
                let number = self.integer(line, value);
                if name == "EXT-X-MEDIA-SEQUENCE" {
                    self.list.media_sequence = number;
                } else {
                    self.list.discontinuity_sequence = number;
                    self.list.has_discontinuity_sequence = true;
                }
            }
            "EXT-X-PLAYLIST-TYPE" => self.list.playlist_type = Some(value.to_owned()),
            "EXT-X-I-FRAMES-ONLY" => self.list.i_frames_only = true,
            "EXT-X-INDEPENDENT-SEGMENTS" => self.list.independent_segments = true,
            "EXT-X-ENDLIST" => self.list.ended = true,
            "EXT-X-PART-INF" => {
                let attributes = self.attributes(name, value);
                self.list.part_target = attributes.float("PART-TARGET");
            }
            "EXT-X-SERVER-CONTROL" => {
                let attributes = self.attributes(name, value);
                self.list.control = Some(ServerControl {
                    can_block_reload: attributes.is_yes("CAN-BLOCK-RELOAD"),
                    can_skip_until: attributes.float("CAN-SKIP-UNTIL"),
                    can_skip_dateranges: attributes.is_yes("CAN-SKIP-DATERANGES"),
                    hold_back: attributes.float("HOLD-BACK"),
                    part_hold_back: attributes.float("PART-HOLD-BACK"),
                });
            }
            "EXT-X-SKIP" => {
                if !first {
                    self.order(line, "stands behind the first segment");
                }
                let attributes = self.attributes(name, value);
                self.skipped = attributes.integer("SKIPPED-SEGMENTS").unwrap_or(0);
                self.list.skip = Some((self.skipped, attributes.has("RECENTLY-REMOVED-DATERANGES")));
            }
            "EXT-X-PRELOAD-HINT" => self.take_hint(line, name, value),
            "EXT-X-RENDITION-REPORT" => {
                let attributes = self.attributes(name, value);
                let uri = attributes.text("URI").unwrap_or_default().to_owned();
                let url = self.resource(line.number, &uri, None).url;
                let (last_msn, last_part) = (attributes.integer("LAST-MSN"), attributes.integer("LAST-PART"));
                self.list.reports.push(RenditionReport { uri, url, last_msn, last_part });
            }
            _ => return false,
        }
        true
    }

    fn take_hint(&mut self, line: &Line, name: &str, value: &str) {
        let attributes = self.attributes(name, value);
        let uri = attributes.text("URI").unwrap_or_default().to_owned();
        let resource = self.resource(line.number, &uri, None);
        let length = attributes.integer("BYTERANGE-LENGTH");
        let range = attributes.integer("BYTERANGE-START").map(|start| (start, length.unwrap_or(0)));
        let kind = attributes.text("TYPE").unwrap_or_default().to_owned();
        self.list.hints.push(Hint { kind, resource: Resource { range, ..resource }, has_length: length.is_some() });
    }

    fn take_of_segment(&mut self, line: &Line, name: &str, value: &str) {
        let of_segment = matches!(name, "EXT-X-DISCONTINUITY" | "EXT-X-MAP" | "EXT-X-PROGRAM-DATE-TIME" | "EXT-X-KEY");
        if of_segment && !self.next.parts.is_empty() {
            self.next.late_tags.push(line.text.clone());
        }
        match name {
            "EXTINF" => {
                let secs = value.split(',').next().unwrap_or_default();
                if !is_float(secs) || !value.contains(',') {
                    self.complaints
                        .push(format!("line {}: not EXTINF:<duration>,[<title>]: {}", line.number, line.text));
                }
                self.extinf = Some(secs.parse().unwrap_or(0.0));
            }
            "EXT-X-BYTERANGE" => self.byterange = Some(value.to_owned()),
            "EXT-X-DISCONTINUITY" => self.next.discontinuity = true,
            "EXT-X-GAP" => self.next.gap = true,
            "EXT-X-MAP" => {
                let attributes = self.attributes(name, value);
                let uri = attributes.text("URI").unwrap_or_default().to_owned();
                self.map = Some(self.resource(line.number, &uri, attributes.text("BYTERANGE")));
            }
            "EXT-X-PROGRAM-DATE-TIME" => {
                self.next.date = date_micros(value);
                if self.next.date.is_none() {
                    self.complaints.push(format!("line {}: not an ISO 8601 date with a zone: {value}", line.number));
                }
            }
            "EXT-X-PART" => {
                let attributes = self.attributes(name, value);
                let uri = attributes.text("URI").unwrap_or_default().to_owned();
                let resource = self.resource(line.number, &uri, attributes.text("BYTERANGE"));
                self.next.parts.push(Part {
                    resource,
                    uri,
                    duration: attributes.float("DURATION").unwrap_or(0.0),
                    independent: attributes.is_yes("INDEPENDENT"),
                    gap: attributes.is_yes("GAP"),
                });
            }
            "EXT-X-KEY" | "EXT-X-DATERANGE" | "EXT-X-START" => {
                self.attributes(name, value);
            }
            _ => {}
        }
    }

    fn take_uri(&mut self, line: &Line) {
        let Some(secs) = self.extinf.take() else { return self.order(line, "a URI without EXTINF") };
        let range = self.byterange.take();
        let resource = self.resource(line.number, &line.text, range.as_deref());
        self.next.whole = Some((resource, secs));
        self.next.uri = Some(line.text.clone());
        self.push();
    }

    fn push(&mut self) {
        let mut segment = std::mem::take(&mut self.next);
        segment.msn = self.list.media_sequence + self.skipped + self.list.segments.len() as u64;
        segment.map = self.map.clone();
        let before = self.list.segments.last();
        let before = before.map_or(self.list.discontinuity_sequence, |last| last.discontinuity_sequence);
        segment.discontinuity_sequence = before + u64::from(segment.discontinuity);
        self.list.segments.push(segment);
    }

    fn finish(mut self) -> Playlist {
        if self.extinf.is_some() {
            self.list.order.push("EXTINF without a URI".into());
        }
        if self.list.target_duration.is_none() {
            self.list.order.push("no EXT-X-TARGETDURATION (§4.4.3.1)".into());
        }
        if !self.next.parts.is_empty() {
            self.push();
        }
        self.list.grammar = self.complaints;
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12.0\n\
        #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:10\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
        #EXT-X-SKIP:SKIPPED-SEGMENTS=4\n#EXT-X-MAP:URI=\"i.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-21T12:00:00.250Z\n#EXTINF:2.0,\n14.m4s\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.5,URI=\"15.0.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"15.1.m4s\"\n\
        #EXT-X-RENDITION-REPORT:URI=\"../a/index.m3u8\",LAST-MSN=15,LAST-PART=0\n";

    #[test]
    fn segments_are_numbered_behind_what_is_skipped() {
        let list = Playlist::read(TEXT, "http://h/live/v/index.m3u8?t=1");
        assert_eq!((list.grammar.clone(), list.order.clone()), (Vec::new(), Vec::new()));
        assert_eq!(list.segments.iter().map(|s| s.msn).collect::<Vec<_>>(), [14, 15]);
        assert_eq!(list.segments.iter().map(|s| s.discontinuity_sequence).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(list.segments[1].parts[0].resource.url, "http://h/live/v/15.0.m4s");
        assert_eq!((list.last_part(), list.next_place()), (Some((15, 0)), Some((15, 1))));
        assert_eq!(list.reports[0].url, "http://h/live/a/index.m3u8");
        let dates = list.dates();
        assert_eq!(dates[1].expect("counted on") - dates[0].expect("stated"), 2_000_000);
    }

    #[test]
    fn a_tag_behind_the_first_part_of_its_segment_is_late() {
        let text = TEXT.replace("#EXT-X-PRELOAD", "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T12:00:00Z\n#EXT-X-PRELOAD");
        assert_eq!(Playlist::read(&text, "http://h/").segments[1].late_tags.len(), 1);
    }
}
