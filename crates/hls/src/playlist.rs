//! The live media playlist, RFC 8216bis §4.4.3 to §4.4.5, written by hand because no library models parts.
//!
//! A listing goes in, text comes out. It decides what is listed as parts, nothing else.

use std::fmt::Write;

use telstar_media::MediaKind;

use crate::config::{HOLD_BACK_TARGET_DURATIONS, PART_HOLD_BACK_TARGETS};
use crate::listing::{Facts, Listing};
use crate::rendered::Rendered;
use crate::segment::Segment;

/// EXT-X-MAP outside of I-frame playlists needs version 6; parts and gaps need none (RFC 8216bis §8).
pub(crate) const VERSION: u32 = 6;
/// EXT-X-SKIP needs version 9 (RFC 8216bis §8), and 10 only where it stands for date ranges, of which there are none.
pub(crate) const VERSION_WITH_SKIP: u32 = 9;
/// The file name of the I-frame playlist.
pub(crate) const PICTURES_PLAYLIST: &str = "iframes.m3u8";

macro_rules! line {
    ($text:expr, $($argument:tt)*) => {
        writeln!($text, $($argument)*).expect("writing to a string does not fail")
    };
}
pub(crate) use line;

/// Names a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartId {
    /// The epoch in its URI.
    pub epoch: telstar_units::Epoch,
    /// Media sequence number of its segment.
    pub msn: u64,
    /// Index within the segment.
    pub part: u32,
}

/// Names a rendition of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenditionId {
    /// What the source's track of a kind is listed as.
    Source(MediaKind),
    /// The picture once more, in H.264, beside one that not every player decodes.
    Alternate,
}

impl RenditionId {
    /// All that a room may have.
    pub const ALL: [RenditionId; 3] =
        [RenditionId::Source(MediaKind::Video), RenditionId::Source(MediaKind::Audio), RenditionId::Alternate];

    /// What its samples are.
    pub fn kind(self) -> MediaKind {
        match self {
            RenditionId::Source(kind) => kind,
            RenditionId::Alternate => MediaKind::Video,
        }
    }
}

impl From<MediaKind> for RenditionId {
    fn from(kind: MediaKind) -> RenditionId {
        RenditionId::Source(kind)
    }
}

/// The directory of a rendition below the room, and of its playlist.
pub fn rendition_name(id: impl Into<RenditionId>) -> &'static str {
    match id.into() {
        RenditionId::Source(MediaKind::Video) => "video",
        RenditionId::Source(MediaKind::Audio) => "audio",
        RenditionId::Alternate => "h264",
    }
}

/// Writes the playlist, without its first `skip` segments and their tags. What EXT-X-MAP said of them goes on to apply: a
/// client that takes a delta update has read it.
pub(crate) fn render(listing: &Listing, skip: usize) -> Rendered {
    let facts = &listing.facts;
    let mut text = String::with_capacity(4_096);
    write_top(&mut text, listing, skip > 0);
    write_server_control(&mut text, listing);
    line!(text, "#EXT-X-PART-INF:PART-TARGET={}", secs(facts.part_target_ms));
    let first = listing.segments().next();
    line!(text, "#EXT-X-MEDIA-SEQUENCE:{}", first.map_or(0, |segment| segment.msn));
    write_state(&mut text, listing);
    if skip > 0 {
        line!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skip}");
    }
    let mut init = init_before(listing, skip);
    for segment in listing.segments().skip(skip) {
        write_segment(
            &mut text,
            segment,
            init.replace((segment.epoch, segment.init)) != Some((segment.epoch, segment.init)),
            (segment.msn >= facts.parts_from_msn).then_some(facts.part_target_ms),
        );
    }
    write_footer(&mut text, facts);
    Rendered::new(text)
}

/// The init segment that applies where `skip` segments are left out.
pub(crate) fn init_before(listing: &Listing, skip: usize) -> Option<(telstar_units::Epoch, u32)> {
    let last = listing.finished().get(skip.checked_sub(1)?)?;
    Some((last.epoch, last.init))
}

/// What every playlist of the listing begins with.
pub(crate) fn write_top(text: &mut String, listing: &Listing, skips: bool) {
    line!(text, "#EXTM3U");
    line!(text, "#EXT-X-VERSION:{}", if skips { VERSION_WITH_SKIP } else { VERSION });
    line!(text, "#EXT-X-TARGETDURATION:{}", listing.facts.target_duration_secs);
    if listing.facts.is_event {
        line!(text, "#EXT-X-PLAYLIST-TYPE:EVENT");
    }
}

/// RFC 8216bis §6.2.4: the same in every media playlist, that of I-frames included, which has no parts.
pub(crate) fn write_server_control(text: &mut String, listing: &Listing) {
    let part_hold_back = secs(listing.facts.part_target_max_ms * PART_HOLD_BACK_TARGETS);
    let hold_back = listing.facts.target_duration_secs * HOLD_BACK_TARGET_DURATIONS;
    let skip = match listing.facts.skips {
        true => format!(",CAN-SKIP-UNTIL={}.0", listing.skip_until_secs()),
        false => String::new(),
    };
    line!(
        text,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={part_hold_back},HOLD-BACK={hold_back}.0{skip}"
    );
}

/// What stands between EXT-X-MEDIA-SEQUENCE and the segments.
pub(crate) fn write_state(text: &mut String, listing: &Listing) {
    // RFC 8216bis §6.2.2: it grows when the tag leaves the playlist, not while the tag is the first thing listed.
    let first = listing.segments().next();
    let before = first.map_or(0, |segment| segment.discontinuity_sequence - u64::from(segment.discontinuity));
    line!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{before}");
    if listing.facts.all_independent {
        line!(text, "#EXT-X-INDEPENDENT-SEGMENTS");
    }
}

/// RFC 8216bis §4.4.4: what applies to a segment stands before its first part.
fn write_segment(text: &mut String, segment: &Segment, new_init: bool, part_target_ms: Option<u64>) {
    let Segment { epoch, msn, .. } = segment;
    let complete = segment.duration_secs;
    if complete.is_none() && segment.parts.is_empty() {
        return;
    }
    if segment.discontinuity {
        line!(text, "#EXT-X-DISCONTINUITY");
    }
    if new_init {
        line!(text, "#EXT-X-MAP:URI=\"{epoch}/init-{}.mp4\"", segment.init);
    }
    line!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", segment.wall.to_rfc3339_millis());
    if let Some(part_target_ms) = part_target_ms {
        for (index, part) in segment.parts.iter().enumerate() {
            let independent = if part.independent() { ",INDEPENDENT=YES" } else { "" };
            let duration = part.listed_secs(part_target_ms);
            line!(text, "#EXT-X-PART:DURATION={duration:.12},URI=\"{epoch}/{msn}.{index}.m4s\"{independent}");
        }
    }
    if let Some(duration) = complete {
        if segment.gap {
            line!(text, "#EXT-X-GAP");
        }
        line!(text, "#EXTINF:{duration:.12},");
        line!(text, "{epoch}/{msn}.m4s");
    }
}

fn write_footer(text: &mut String, facts: &Facts) {
    if facts.ended {
        line!(text, "#EXT-X-ENDLIST");
        return;
    }
    if let Some(PartId { epoch, msn, part }) = facts.hint {
        line!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{epoch}/{msn}.{part}.m4s\"");
    }
    for (other, PartId { msn, part, .. }) in &facts.reports {
        let name = rendition_name(*other);
        line!(text, "#EXT-X-RENDITION-REPORT:URI=\"../{name}/index.m3u8\",LAST-MSN={msn},LAST-PART={part}");
    }
}

/// Milliseconds as decimal seconds.
fn secs(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}
