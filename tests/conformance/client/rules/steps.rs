//! Rules about one playlist after the other (RFC 8216bis §6.2.1, §6.2.2).

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Findings, excerpt};
use crate::client::playlist::Segment;
use crate::client::record::{Probe, What};
use crate::client::session::{Log, Seen, Session};
use crate::client::watch::Course;

/// RFC 8216bis §4.4.4.9 and §6.2.2, for this many target durations.
const STAYS_TARGETS: u32 = 3;
/// Asked later than this before the time is over, a request may arrive too late.
const ON_THE_WAY: Duration = Duration::from_millis(400);

fn pairs(log: &Log) -> impl Iterator<Item = (&Seen, &Seen)> {
    log.seen.windows(2).map(|pair| (&pair[0], &pair[1]))
}

/// S1: numbers never go back, a segment never changes once it is listed, parts are only added at its end.
pub fn only_grow(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for (before, after) in pairs(log) {
            let evidence = || format!("{}\n{}", before.exchange.summary(), after.exchange.summary());
            found.check(
                after.list.media_sequence >= before.list.media_sequence,
                || {
                    format!(
                        "EXT-X-MEDIA-SEQUENCE goes from {} to {}",
                        before.list.media_sequence, after.list.media_sequence
                    )
                },
                evidence,
            );
            found.check(
                after.list.next_place() >= before.list.next_place(),
                || format!("the end goes from {:?} to {:?}", before.list.next_place(), after.list.next_place()),
                evidence,
            );
            let later: BTreeMap<u64, &Segment> =
                after.list.segments.iter().map(|segment| (segment.msn, segment)).collect();
            for segment in &before.list.segments {
                if let Some(change) = later.get(&segment.msn).and_then(|later| change(segment, later)) {
                    found.check(false, || format!("segment {}: {change}", segment.msn), evidence);
                }
            }
        }
    }
}

/// What is different about a segment that may only have grown.
fn change(before: &Segment, after: &Segment) -> Option<String> {
    if before.whole.is_some() && before.whole != after.whole {
        return Some(format!("{:?} became {:?}", before.whole, after.whole));
    }
    if before.date != after.date {
        return Some("its EXT-X-PROGRAM-DATE-TIME changed".into());
    }
    if before.discontinuity != after.discontinuity {
        return Some("its EXT-X-DISCONTINUITY came or went".into());
    }
    if before.map != after.map {
        return Some("its EXT-X-MAP changed".into());
    }
    let kept = after.parts.get(..before.parts.len());
    // All of them may have left the list together (L8 judges when).
    let same = after.parts.is_empty() || kept.is_some_and(|kept| *kept == before.parts[..]);
    (!same).then(|| "parts that were listed changed".into())
}

/// S2.
pub fn target_duration(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for (before, after) in pairs(log) {
            found.check(
                before.list.target_duration == after.list.target_duration,
                || "EXT-X-TARGETDURATION changed".into(),
                || excerpt(after, &["TARGETDURATION"]),
            );
        }
    }
}

/// S3: each segment keeps its discontinuity sequence number, and the tag is there if there is any discontinuity.
pub fn discontinuity_sequence(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
        for seen in log.seen.iter().chain(&log.skips) {
            let list = &seen.list;
            let evidence = || excerpt(seen, &["MEDIA-SEQUENCE", "DISCONTINUITY"]);
            if list.segments.iter().any(|segment| segment.discontinuity) {
                found.check(
                    list.has_discontinuity_sequence,
                    || "EXT-X-DISCONTINUITY without EXT-X-DISCONTINUITY-SEQUENCE (Apple 7)".into(),
                    evidence,
                );
            }
            // Behind EXT-X-SKIP a discontinuity may be among what was skipped: D8 judges that header.
            if list.skip.is_some() {
                continue;
            }
            for segment in &list.segments {
                let number = *numbers.entry(segment.msn).or_insert(segment.discontinuity_sequence);
                found.check(
                    number == segment.discontinuity_sequence,
                    || {
                        let now = segment.discontinuity_sequence;
                        format!("segment {} had discontinuity sequence number {number}, now it is {now}", segment.msn)
                    },
                    evidence,
                );
            }
        }
        found.check(
            numbers.values().zip(numbers.values().skip(1)).all(|(before, after)| before <= after),
            || "discontinuity sequence numbers go back".into(),
            || log.rendition.url.clone(),
        );
    }
}

/// S4: segments leave only if three target durations stay.
pub fn window(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for (before, after) in pairs(log) {
            if after.list.media_sequence == before.list.media_sequence {
                continue;
            }
            let (listed, target) = (after.list.listed_secs(), after.list.target_secs());
            found.check(
                listed >= f64::from(STAYS_TARGETS) * target - 0.01,
                || format!("a segment was removed, and {listed:.3} s stay: less than three target durations"),
                || excerpt(after, &["TARGETDURATION", "MEDIA-SEQUENCE", "EXTINF"]),
            );
        }
    }
}

/// S5: nothing follows ENDLIST, and a stream that ends says so.
pub fn end(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for (before, after) in pairs(log).filter(|(before, _)| before.list.ended) {
            found.check(
                after.list == before.list,
                || "a playlist changed behind its end".into(),
                || after.exchange.summary(),
            );
        }
        let last = log.seen.last();
        if session.record.options.course == Course::Ends {
            found.check(
                last.is_some_and(|seen| seen.list.ended),
                || "the stream has ended, and EXT-X-ENDLIST does not say so".into(),
                || last.map(|seen| seen.exchange.summary()).unwrap_or_default(),
            );
        }
        let again = log.probed.iter().filter(|seen| matches!(seen.exchange.what, What::Probe(_, Probe::EndedAgain)));
        for (seen, last) in again.zip(last) {
            found.check(
                seen.list.segments == last.list.segments && seen.list.ended,
                || "a playlist changed behind its end".into(),
                || seen.exchange.summary(),
            );
        }
    }
}

/// L8: bytes stay for three target durations behind their removal.
pub fn retention(session: &Session, found: &mut Findings<'_>) {
    let Some(target) = session.target() else { return };
    for exchange in session.exchanges() {
        let What::Removed(_, _, since) = exchange.what else { continue };
        let age = exchange.sent.saturating_duration_since(since);
        if age + ON_THE_WAY >= target * STAYS_TARGETS {
            continue;
        }
        found.check(
            matches!(exchange.status, 200 | 206),
            || format!("gone {:.1} s after it left the playlist", age.as_secs_f64()),
            || exchange.summary(),
        );
    }
}

/// M5: EVENT only grows, VOD is whole; a playlist has one type for good.
pub fn playlist_type(session: &Session, found: &mut Findings<'_>) {
    for log in &session.logs {
        for seen in &log.seen {
            let Some(kind) = &seen.list.playlist_type else { continue };
            let evidence = || excerpt(seen, &["PLAYLIST-TYPE", "MEDIA-SEQUENCE", "ENDLIST"]);
            found.check(matches!(kind.as_str(), "EVENT" | "VOD"), || format!("EXT-X-PLAYLIST-TYPE:{kind}"), evidence);
            found.check(kind != "VOD" || seen.list.ended, || "VOD without EXT-X-ENDLIST".into(), evidence);
        }
        for (before, after) in pairs(log) {
            let (was, is) = (&before.list.playlist_type, &after.list.playlist_type);
            let stays = before.list.media_sequence == after.list.media_sequence;
            found.check(
                was.is_none() || stays,
                || "a segment was removed from a playlist of a type that forbids it".into(),
                || excerpt(after, &["PLAYLIST-TYPE", "MEDIA-SEQUENCE"]),
            );
            found.check(
                was == is || (was.as_deref() == Some("EVENT") && after.list.ended),
                || format!("EXT-X-PLAYLIST-TYPE goes from {was:?} to {is:?}"),
                || excerpt(after, &["PLAYLIST-TYPE"]),
            );
        }
    }
}
