//! Rules about several renditions at once, and about the pace of parts. All of it in media time, so that a slow machine
//! breaks none.

use super::media::{segments, shown_at};
use super::{Findings, excerpt};
use crate::client::playlist::{Place, Playlist};
use crate::client::record::What;
use crate::client::session::{Log, Seen, Session};

/// Answers that brought more than was waited for are counted when the wait was at least this share of a part: then the
/// server was not already ahead of a slow client.
const WAITED_SHARE: f64 = 0.5;
/// Fewer waits say nothing about the pace.
const WAITS_MIN: usize = 4;
/// Part targets that the ends of two renditions may be apart: one for the update, one for the part itself.
const APART_PART_TARGETS: f64 = 2.0;
/// Sound and pictures that belong together may be stamped this far apart, in seconds: a frame of either.
const SYNC_ROOM_SECS: f64 = 0.06;

/// Parts behind `asked` that a playlist lists, `asked` included.
fn parts_from(list: &Playlist, asked: Place) -> usize {
    let of = |segment: &crate::client::playlist::Segment| match segment.msn.cmp(&asked.0) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => segment.parts.len().saturating_sub(asked.1),
        std::cmp::Ordering::Greater => segment.parts.len(),
    };
    list.segments.iter().map(of).sum()
}

/// L7: a request that waits for the next part is answered with it, and not only when one more is there.
pub fn pace(session: &Session, found: &mut Findings<'_>) {
    for log in session.playing() {
        let Some(target) = log.seen.first().and_then(|seen| seen.list.part_target) else { continue };
        let waited = |seen: &&Seen| {
            let blocked = matches!(seen.exchange.what, What::Playlist(_, Some(_)));
            blocked && !seen.list.ended && seen.exchange.took().as_secs_f64() >= WAITED_SHARE * target
        };
        let waits: Vec<usize> = log
            .seen
            .iter()
            .filter(waited)
            .filter_map(|seen| match seen.exchange.what {
                What::Playlist(_, Some(asked)) => Some(parts_from(&seen.list, asked)),
                _ => None,
            })
            .collect();
        if waits.len() < WAITS_MIN {
            continue;
        }
        let late = waits.iter().filter(|parts| **parts > 1).count();
        found.check(
            late < waits.len(),
            || format!("all {late} answers came with more than the part that was waited for"),
            || log.rendition.url.clone(),
        );
    }
}

fn same_address(one: &str, other: &str) -> bool {
    one.split('?').next() == other.split('?').next()
}

/// L11: one report for each other rendition, relative, and right.
pub fn reports(session: &Session, found: &mut Findings<'_>) {
    for log in session.playing() {
        let others: Vec<&Log> = session.playing().filter(|other| other.rendition.url != log.rendition.url).collect();
        for seen in log.seen.iter().filter(|seen| seen.list.has_parts() && !seen.list.ended) {
            let evidence = || excerpt(seen, &["RENDITION-REPORT"]);
            for report in &seen.list.reports {
                found.check(
                    !report.uri.contains("://") && !report.uri.starts_with("//"),
                    || "the URI of a rendition report is not relative".into(),
                    evidence,
                );
            }
            for other in &others {
                let report = seen.list.reports.iter().find(|report| same_address(&report.url, &other.rendition.url));
                let Some(report) = report else {
                    found.check(false, || format!("no report for {}", other.rendition.url), evidence);
                    continue;
                };
                // What equals the playlist's own may be left out.
                let own = seen.list.last_part().unwrap_or((seen.list.last_msn().unwrap_or(0), 0));
                let msn = report.last_msn.unwrap_or(own.0);
                let part = report.last_part.map_or(own.1, |part| part as usize);
                check_report(seen, other, (msn, part), found);
            }
        }
    }
}

/// A report is neither behind what was known when its playlist was asked for, nor ahead of what is seen afterwards.
fn check_report(seen: &Seen, other: &Log, reported: Place, found: &mut Findings<'_>) {
    let evidence = || excerpt(seen, &["RENDITION-REPORT"]);
    let known = other.seen.iter().filter(|known| known.exchange.done <= seen.exchange.sent);
    let known = known.filter_map(|known| known.list.last_part()).max();
    if let Some(known) = known {
        found.check(
            !is_stale(other, reported, known),
            || format!("the report says {reported:?}, but {known:?} was listed before the request"),
            evidence,
        );
    }
    let later = other.seen.iter().find(|later| later.exchange.sent >= seen.exchange.done);
    if let Some(listed) = later.and_then(|later| later.list.last_part()) {
        found.check(
            listed >= reported,
            || format!("the report says {reported:?}, but afterwards {listed:?} is the newest"),
            evidence,
        );
    }
}

/// More than one part behind.
fn is_stale(other: &Log, reported: Place, known: Place) -> bool {
    if reported.0 == known.0 {
        return known.1 > reported.1 + 1;
    }
    let parts = other.history.get(&reported.0).map_or(0, |segment| segment.parts.len());
    reported.0 + 1 < known.0 || (reported.0 < known.0 && (known.1 >= 1 || reported.1 + 1 < parts))
}

/// Calendar time at which a part ends.
fn end_of_part(log: &Log, (msn, part): Place) -> Option<i64> {
    let segment = log.history.get(&msn)?;
    let parts = segment.parts.get(..=part)?;
    Some(segment.date? + (parts.iter().map(|part| part.duration).sum::<f64>() * 1e6) as i64)
}

/// T3: at any moment the renditions end within one part target of each other.
pub fn together(session: &Session, found: &mut Findings<'_>) {
    let target = session.playing().filter_map(|log| log.seen.first()?.list.part_target).fold(0.0, f64::max);
    for log in session.playing() {
        for seen in log.seen.iter().filter(|seen| !seen.list.ended) {
            let own = seen.list.last_part().and_then(|place| end_of_part(log, place));
            for report in &seen.list.reports {
                let other = session.playing().find(|other| same_address(&other.rendition.url, &report.url));
                let place = report.last_msn.zip(report.last_part).map(|(msn, part)| (msn, part as usize));
                let theirs = other.zip(place).and_then(|(other, place)| end_of_part(other, place));
                let (Some(own), Some(theirs)) = (own, theirs) else { continue };
                let apart = (own - theirs).abs() as f64 / 1e6;
                let most = session.record.options.apart_secs_max.unwrap_or(APART_PART_TARGETS * target + 0.01);
                found.check(
                    apart <= most,
                    || format!("two renditions end {apart:.3} s apart, part targets are {target}"),
                    || excerpt(seen, &["RENDITION-REPORT"]),
                );
            }
        }
    }
}

/// What a segment's date stands for on the media clock.
struct Offset {
    sequence: u64,
    date: i64,
    /// Calendar time less media time.
    secs: f64,
}

fn offsets(log: &Log) -> Vec<Offset> {
    let dated = segments(log).filter_map(|(segment, samples, timescale)| {
        let date = segment.date?;
        let secs = date as f64 / 1e6 - shown_at(&samples, timescale);
        Some(Offset { sequence: segment.discontinuity_sequence, date, secs })
    });
    dated.collect()
}

/// M6: renditions have one clock, and their discontinuities are the same.
pub fn one_presentation(session: &Session, found: &mut Findings<'_>) {
    let logs: Vec<&Log> = session.playing().collect();
    for pair in logs.windows(2) {
        let [one, other] = pair else { continue };
        let theirs = offsets(other);
        for Offset { sequence, date, secs } in offsets(one) {
            let nearest =
                theirs.iter().filter(|their| their.sequence == sequence).min_by_key(|their| (their.date - date).abs());
            let Some(their) = nearest else { continue };
            found.check(
                (secs - their.secs).abs() <= SYNC_ROOM_SECS,
                || format!("media clocks of two renditions differ by {:.3} s", secs - their.secs),
                || format!("{}\n{}", one.rendition.url, other.rendition.url),
            );
        }
        check_discontinuities(one, other, found);
    }
}

fn check_discontinuities(one: &Log, other: &Log, found: &mut Findings<'_>) {
    let of = |log: &Log| -> Vec<(u64, i64)> {
        let discontinuous = log.history.values().filter(|segment| segment.discontinuity);
        discontinuous.filter_map(|segment| Some((segment.discontinuity_sequence, segment.date?))).collect()
    };
    let span = |log: &Log| {
        let dates = || log.history.values().filter_map(|segment| segment.date);
        Some((dates().min()?, dates().max()?))
    };
    let (Some(theirs), target) = (span(other), one.seen.first().map_or(1.0, |seen| seen.list.target_secs())) else {
        return;
    };
    let room = (target * 1e6) as i64;
    for (sequence, date) in of(one) {
        if date <= theirs.0 + room || date >= theirs.1 - room {
            continue;
        }
        let there = of(other).iter().any(|(known, at)| *known == sequence && (at - date).abs() <= room);
        found.check(
            there,
            || format!("discontinuity {sequence} is not in the other rendition"),
            || format!("{}\n{}", one.rendition.url, other.rendition.url),
        );
    }
}
