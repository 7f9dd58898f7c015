//! Reads a media playlist line by line, and notes what is wrong with it.

use reqwest::Url;

use super::super::date::date_micros;
use super::super::line::{Attributes, Kind, Line, is_float, is_integer};
use super::{Hint, Part, Playlist, RenditionReport, Resource, Segment, ServerControl};

pub(super) struct Reader {
    base: Option<Url>,
    list: Playlist,
    next: Segment,
    map: Option<Resource>,
    extinf: Option<f64>,
    byterange: Option<String>,
    /// Where the last range of a resource ended (§4.4.4.2: an offset that is not stated).
    range_end: Option<(String, u64)>,
    skipped: u64,
    pub(super) complaints: Vec<String>,
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
    pub(super) fn new(url: &str) -> Reader {
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

    pub(super) fn take(&mut self, line: &Line) {
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

    pub(super) fn finish(mut self) -> Playlist {
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
