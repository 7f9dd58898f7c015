//! Rules about parts: their attributes, their place, that they are there.

use super::{Findings, excerpt};
use crate::client::playlist::{Playlist, Segment};
use crate::client::record::MediaKind;
use crate::client::session::Session;

/// RFC 8216bis §4.4.4.9: what a part other than the last of its segment is filled to.
const FILL_MIN: f64 = 0.85;
const EPSILON: f64 = 1e-9;

/// L4: no part is longer than the part target, and none shorter than 85 % of it without a reason.
pub fn durations(session: &Session, found: &mut Findings<'_>) {
    for seen in session.all_lists() {
        let Some(target) = seen.list.part_target else { continue };
        for segment in &seen.list.segments {
            for (index, part) in segment.parts.iter().enumerate() {
                found.check(
                    part.duration <= target + EPSILON,
                    || format!("a part of {} over a part target of {target}", part.duration),
                    || excerpt(seen, &["PART-INF", &part.uri]),
                );
                let next = segment.parts.get(index + 1);
                // Without a next one it is the last of its segment, or may still become it.
                let Some(next) = next else { continue };
                let excused = part.independent || part.gap || next.gap;
                found.check(
                    excused || part.duration >= FILL_MIN * target - EPSILON,
                    || format!("a part of {} is below 85 % of the part target {target}", part.duration),
                    || excerpt(seen, &["PART-INF", &part.uri, &next.uri]),
                );
            }
        }
    }
}

/// L4: INDEPENDENT=YES where there is an independent frame, and nowhere else.
pub fn independent(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for segment in log.history.values() {
            for part in &segment.parts {
                let Some(samples) = log.samples(&part.resource, segment.map.as_ref()) else { continue };
                let holds = samples.iter().any(|sample| sample.sync);
                found.check(
                    holds == part.independent,
                    || match holds {
                        true => "a part with an independent frame is not listed as INDEPENDENT=YES".into(),
                        false => "a part is listed as INDEPENDENT=YES without an independent frame".into(),
                    },
                    || part.resource.url.clone(),
                );
            }
        }
    }
}

/// L5.
pub fn tags_before_parts(session: &Session, found: &mut Findings<'_>) {
    for seen in session.all_lists() {
        for segment in seen.list.segments.iter().filter(|segment| !segment.parts.is_empty()) {
            found.check(
                segment.late_tags.is_empty(),
                || format!("behind the first part of segment {}: {}", segment.msn, segment.late_tags.join(", ")),
                || seen.exchange.summary(),
            );
        }
    }
}

/// L7: whatever is listed is there when it is asked for at once.
pub fn available(session: &Session, found: &mut Findings<'_>) {
    for fetched in session.logs.iter().flat_map(|log| log.media.values()) {
        if fetched.kind == MediaKind::Hint {
            continue;
        }
        found.check(fetched.is_there(), || "listed, but not there".into(), || fetched.exchange.summary());
    }
}

/// L8: parts are listed for the end of the playlist only, and leave it in order.
pub fn window(session: &Session, found: &mut Findings<'_>) {
    for seen in session.all_lists().filter(|seen| seen.list.has_parts()) {
        let bare = seen.list.segments.iter().skip_while(|segment| segment.parts.is_empty());
        let bare = bare.filter(|segment| segment.parts.is_empty() && !segment.gap).map(|segment| segment.msn);
        let bare: Vec<u64> = bare.collect();
        found.check(
            bare.is_empty(),
            || format!("segments {bare:?} have no parts, but older ones have"),
            || excerpt(seen, &["MEDIA-SEQUENCE", "EXT-X-PART:"]),
        );
        if seen.list.ended {
            continue;
        }
        if let Some(segment) = far_parts(&seen.list) {
            found.check(
                false,
                || format!("parts of segment {} are more than three target durations from the end", segment.msn),
                || excerpt(seen, &["TARGETDURATION", "MEDIA-SEQUENCE", "EXTINF"]),
            );
        }
    }
}

/// A segment with parts whose end is more than three target durations from the end of the playlist.
fn far_parts(list: &Playlist) -> Option<&Segment> {
    let limit = 3.0 * list.target_secs() + 0.01;
    let mut after = 0.0;
    for segment in list.segments.iter().rev() {
        if after > limit && !segment.parts.is_empty() {
            return Some(segment);
        }
        after += segment.secs();
    }
    None
}
