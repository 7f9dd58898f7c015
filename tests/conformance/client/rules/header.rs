//! Rules about one playlist by itself: what its header says, versions, durations, dates.

use super::{Findings, excerpt};
use crate::client::record::Carries;
use crate::client::session::{Seen, Session};

/// Decimal fractions are compared with this much room for their binary form.
const EPSILON: f64 = 1e-9;

/// L1: PART-INF where there are parts.
pub fn part_inf(session: &Session, found: &mut Findings<'_>) {
    for seen in session.all_lists().filter(|seen| seen.list.has_parts()) {
        let target = seen.list.part_target;
        found.check(
            target.is_some_and(|target| target > 0.0),
            || "EXT-X-PART without EXT-X-PART-INF".into(),
            || excerpt(seen, &["EXT-X-PART-INF", "EXT-X-PART:"]),
        );
    }
}

fn low_latency(session: &Session) -> impl Iterator<Item = &Seen> {
    session.all_lists().filter(|seen| seen.list.has_parts() || seen.list.part_target.is_some())
}

/// L2: blocking reloads, and players at least three parts behind. The largest part target of all renditions counts.
pub fn part_hold_back(session: &Session, found: &mut Findings<'_>) {
    let largest = low_latency(session).filter_map(|seen| seen.list.part_target).fold(0.0, f64::max);
    for seen in low_latency(session) {
        let control = seen.list.control.clone().unwrap_or_default();
        let evidence = || excerpt(seen, &["SERVER-CONTROL", "PART-INF"]);
        found.check(
            control.can_block_reload || seen.list.ended,
            || "parts without CAN-BLOCK-RELOAD=YES".into(),
            evidence,
        );
        let Some(part_hold_back) = control.part_hold_back else {
            found.check(false, || "EXT-X-PART-INF without PART-HOLD-BACK".into(), evidence);
            continue;
        };
        found.check(
            part_hold_back >= 3.0 * largest - EPSILON,
            || format!("PART-HOLD-BACK={part_hold_back} is below three part targets of {largest}"),
            evidence,
        );
    }
}

/// L3. EXT-X-SERVER-CONTROL is the same in all media playlists (§6.2.4).
pub fn hold_back(session: &Session, found: &mut Findings<'_>) {
    let mut newest = session.logs.iter().filter_map(|log| log.seen.last());
    if let Some(first) = newest.next() {
        for other in newest {
            found.check(
                first.list.control == other.list.control,
                || "EXT-X-SERVER-CONTROL says other things in another playlist".into(),
                || excerpt(first, &["SERVER-CONTROL"]) + &excerpt(other, &["SERVER-CONTROL"]),
            );
        }
    }
    for seen in session.all_lists() {
        let Some(control) = &seen.list.control else { continue };
        let evidence = || excerpt(seen, &["SERVER-CONTROL", "TARGETDURATION"]);
        let target = seen.list.target_secs();
        if let Some(hold_back) = control.hold_back {
            found.check(
                hold_back >= 3.0 * target - EPSILON,
                || format!("HOLD-BACK={hold_back} is below three target durations"),
                evidence,
            );
        }
        if let Some(boundary) = control.can_skip_until {
            found.check(
                boundary >= 6.0 * target - EPSILON,
                || format!("CAN-SKIP-UNTIL={boundary} is below six target durations"),
                evidence,
            );
        }
        found.check(
            !control.can_skip_dateranges || control.can_skip_until.is_some(),
            || "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL".into(),
            evidence,
        );
    }
}

/// L12: a date in every playlist, and a version that its tags need.
pub fn dates_and_version(session: &Session, found: &mut Findings<'_>) {
    for seen in session.all_lists().filter(|seen| !seen.list.segments.is_empty()) {
        let list = &seen.list;
        // An asset has no place in the calendar.
        let dated = session.is_asset() || list.segments.iter().any(|segment| segment.date.is_some());
        found.check(dated, || "no EXT-X-PROGRAM-DATE-TIME".into(), || excerpt(seen, &["EXTINF", "EXT-X-PART:"]));
        let needed = match (&list.skip, list.i_frames_only) {
            (Some((_, true)), _) => 10,
            (Some(_), _) => 9,
            (None, false) if list.segments.iter().any(|segment| segment.map.is_some()) => 6,
            (None, true) => 5,
            (None, false) => 3,
        };
        let version = list.version.unwrap_or(1);
        found.check(
            version >= needed,
            || format!("EXT-X-VERSION is {version}, its tags need {needed} (§8)"),
            || excerpt(seen, &["VERSION", "EXT-X-SKIP", "EXT-X-MAP"]),
        );
    }
}

/// M3: no segment is longer than the target duration allows, and it is one for all renditions.
pub fn durations(session: &Session, found: &mut Findings<'_>) {
    let mut targets = Vec::new();
    for seen in session.all_lists() {
        let target = seen.list.target_secs();
        for segment in seen.list.finished() {
            found.check(
                segment.secs().round() <= target && segment.secs() <= target + 0.5,
                || format!("EXTINF {} over a target duration of {target} (segment {})", segment.secs(), segment.msn),
                || excerpt(seen, &["TARGETDURATION", "EXTINF"]),
            );
        }
    }
    for log in session.logs.iter().filter(|log| log.rendition.carries != Carries::IFrames) {
        targets.extend(log.seen.first().and_then(|seen| seen.list.target_duration));
    }
    found.check(
        targets.windows(2).all(|pair| pair[0] == pair[1]),
        || format!("renditions have different target durations: {targets:?}"),
        String::new,
    );
}

/// T7: windows above two minutes can be skipped.
pub fn long_windows(session: &Session, found: &mut Findings<'_>) {
    const LONG_SECS: f64 = 120.0;
    for seen in session.logs.iter().flat_map(|log| &log.seen) {
        if seen.list.listed_secs() <= LONG_SECS || seen.list.ended {
            continue;
        }
        let control = seen.list.control.clone().unwrap_or_default();
        let evidence = || excerpt(seen, &["SERVER-CONTROL"]);
        found.check(
            control.can_skip_until.is_some(),
            || "a window above two minutes without delta updates".into(),
            evidence,
        );
        let date_ranges = seen.exchange.text().contains("#EXT-X-DATERANGE");
        found.check(
            !date_ranges || control.can_skip_dateranges,
            || "date ranges in a long window that cannot be skipped".into(),
            evidence,
        );
    }
}
