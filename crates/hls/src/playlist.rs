//! The live media playlist, RFC 8216bis §4.4.3 to §4.4.5, written by hand because no library models parts.
//!
//! A rendition's segments go in, text comes out. It decides what is listed as parts, nothing else.

use std::fmt::Write;
use std::sync::Arc;

use telstar_media::MediaKind;

use crate::config::{HOLD_BACK_TARGET_DURATIONS, PART_HOLD_BACK_TARGETS};
use crate::rendered::Rendered;
use crate::segment::Segment;

/// EXT-X-MAP outside of I-frame playlists needs version 6; parts and gaps need none (RFC 8216bis §8).
const VERSION: u32 = 6;

/// What stands in the header and the footer.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub target_duration_secs: u64,
    pub part_target_ms: u64,
    /// The largest part target of all renditions, which sets the hold-back of all (RFC 8216bis §4.4.3.8).
    pub part_target_max_ms: u64,
    pub parts_from_msn: u64,
    /// Where the next part will be found, while one is expected.
    pub hint: Option<PartId>,
    /// The other rendition and its last part.
    pub report: Option<(MediaKind, PartId)>,
    pub ended: bool,
}

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

/// The directory of a rendition below the room, and of its playlist.
pub fn rendition_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
    }
}

/// Writes the playlist of `finished` segments and the `open` one.
pub(crate) fn render<'a>(
    finished: impl Iterator<Item = &'a Arc<Segment>> + Clone,
    open: Option<&'a Segment>,
    facts: &Facts,
) -> Rendered {
    let mut text = String::with_capacity(4_096);
    let segments = || finished.clone().map(Arc::as_ref).chain(open);
    write_header(&mut text, segments(), facts);
    let mut init = None;
    for segment in segments() {
        write_segment(
            &mut text,
            segment,
            init != Some((segment.epoch, segment.init)),
            (segment.msn >= facts.parts_from_msn).then_some(facts.part_target_ms),
        );
        init = Some((segment.epoch, segment.init));
    }
    write_footer(&mut text, facts);
    Rendered::new(text)
}

macro_rules! line {
    ($text:expr, $($argument:tt)*) => {
        writeln!($text, $($argument)*).expect("writing to a string does not fail")
    };
}

fn write_header<'a>(text: &mut String, mut segments: impl Iterator<Item = &'a Segment> + Clone, facts: &Facts) {
    let hold_back = facts.target_duration_secs * HOLD_BACK_TARGET_DURATIONS;
    let part_hold_back = secs(facts.part_target_max_ms * PART_HOLD_BACK_TARGETS);
    let first = segments.clone().next();
    line!(text, "#EXTM3U");
    line!(text, "#EXT-X-VERSION:{VERSION}");
    line!(text, "#EXT-X-TARGETDURATION:{}", facts.target_duration_secs);
    line!(text, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={part_hold_back},HOLD-BACK={hold_back}.0");
    line!(text, "#EXT-X-PART-INF:PART-TARGET={}", secs(facts.part_target_ms));
    line!(text, "#EXT-X-MEDIA-SEQUENCE:{}", first.map_or(0, |segment| segment.msn));
    // RFC 8216bis §6.2.2: it grows when the tag leaves the playlist, not while the tag is the first thing listed.
    let before = first.map_or(0, |segment| segment.discontinuity_sequence - u64::from(segment.discontinuity));
    line!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{before}");
    if segments.all(|segment| segment.starts_independent) {
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
            let duration = listed_part_secs(part.duration_secs(), part_target_ms);
            line!(text, "#EXT-X-PART:DURATION={duration:.6},URI=\"{epoch}/{msn}.{index}.m4s\"{independent}");
        }
    }
    if let Some(duration) = complete {
        if segment.gap {
            line!(text, "#EXT-X-GAP");
        }
        line!(text, "#EXTINF:{duration:.6},");
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
    if let Some((kind, PartId { msn, part, .. })) = facts.report {
        let name = rendition_name(kind);
        line!(text, "#EXT-X-RENDITION-REPORT:URI=\"../{name}/index.m3u8\",LAST-MSN={msn},LAST-PART={part}");
    }
}

/// A part's duration as it is listed: rounded up to a microsecond and one more, within the part target. Shaka 5 places
/// each part by the sum of those before it. If that falls behind the media by as little as a rounding error it sets the
/// buffer's timestamp offset anew, for which it resets the parser, and what follows is dropped up to the next keyframe.
/// Ahead of it, it has a millisecond; segments (EXTINF) are exact, so nothing adds up beyond one of them.
fn listed_part_secs(secs: f64, part_target_ms: u64) -> f64 {
    const MICROS: f64 = 1e6;
    ((secs * MICROS).ceil() + 1.0).min(part_target_ms as f64 * 1e3) / MICROS
}

/// Milliseconds as decimal seconds.
fn secs(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}
