//! The I-frame playlist (RFC 8216bis §4.4.3.6), for players that run through a stream or show a still of each moment.
//!
//! Each entry is a keyframe with a header of its own, made from what its segment knows of it (see
//! [`crate::segment::KeyPicture`]), so that a keyframe in the middle of a part is an address too. It lists finished
//! segments only and has no parts. A segment without a keyframe is a gap, so that the entries last as long as the media.

use std::fmt::Write;

use crate::listing::Listing;
use crate::playlist::{init_before, line, write_server_control, write_state, write_top};
use crate::rendered::Rendered;
use crate::segment::Segment;

/// The number of the entry behind the last one that is listed.
pub(crate) fn next_entry(listing: &Listing) -> Option<u64> {
    listing.finished().last().map(|segment| segment.first_entry + segment.entries())
}

/// Writes the playlist without the entries of the first `skip` segments.
pub(crate) fn render(listing: &Listing, skip: usize) -> Rendered {
    let mut text = String::with_capacity(4_096);
    write_top(&mut text, listing, skip > 0);
    line!(text, "#EXT-X-I-FRAMES-ONLY");
    write_server_control(&mut text, listing);
    let first = listing.segments().next();
    line!(text, "#EXT-X-MEDIA-SEQUENCE:{}", first.map_or(0, |segment| segment.first_entry));
    write_state(&mut text, listing);
    if skip > 0 {
        let skipped: u64 = listing.finished()[..skip].iter().map(|segment| segment.entries()).sum();
        line!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
    }
    let mut init = init_before(listing, skip);
    for segment in &listing.finished()[skip..] {
        let is_new = init.replace((segment.epoch, segment.init)) != Some((segment.epoch, segment.init));
        write_segment(&mut text, segment, is_new);
    }
    if listing.facts.ended {
        line!(text, "#EXT-X-ENDLIST");
    }
    Rendered::new(text)
}

fn write_segment(text: &mut String, segment: &Segment, new_init: bool) {
    let Segment { epoch, msn, .. } = segment;
    if segment.discontinuity {
        line!(text, "#EXT-X-DISCONTINUITY");
    }
    if new_init {
        line!(text, "#EXT-X-MAP:URI=\"{epoch}/init-{}.mp4\"", segment.init);
    }
    if segment.pictures.is_empty() {
        line!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", segment.wall.to_rfc3339_millis());
        line!(text, "#EXT-X-GAP");
        line!(text, "#EXTINF:{:.6},", segment.duration_secs.unwrap_or(0.0));
        line!(text, "{epoch}/{msn}.i0.m4s");
    }
    let mut ticks = 0;
    for (index, picture) in segment.pictures.iter().enumerate() {
        let since_micros = (segment.timescale.seconds(ticks) * 1e6).round() as i64;
        line!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", segment.wall.plus_micros(since_micros).to_rfc3339_millis());
        line!(text, "#EXTINF:{:.6},", segment.timescale.seconds(picture.duration.into()));
        line!(text, "{epoch}/{msn}.i{index}.m4s");
        ticks += i64::from(picture.duration);
    }
}
