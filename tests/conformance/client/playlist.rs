//! A media playlist: what its lines say, segment by segment (RFC 8216bis §4.4.3 to §4.4.5).
//!
//! Text and its address go in; segments with their parts, and complaints about grammar and order come out. It judges
//! nothing that needs another playlist, the media or a clock.

mod reader;

use super::line::lines;
use reader::Reader;

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
