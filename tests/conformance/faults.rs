//! The client's own test: it finds nothing wrong with a correct origin, and the one thing wrong with a broken one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::asset_faults::ASSET_FAULTS;
use crate::client::{Course, Options, RULES, Report, examine};
use crate::origin::{Fault, Origin};

/// Long enough for a segment to leave the window and be asked for again, and for the discontinuity to leave.
const WATCH: Duration = Duration::from_secs(8);
/// Origins that are watched at once. They mostly wait; more would only make two cores late.
const AT_ONCE: usize = 40;

async fn watch(fault: Fault, course: Course, over_tls: bool) -> Report {
    let origin = Origin::start(fault, course, over_tls).await;
    let options = Options {
        url: origin.url(),
        watch: WATCH,
        course,
        i_frames_required: true,
        keyframes_in_time: true,
        apart_secs_max: None,
    };
    examine(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correct_origin_breaks_no_rule() {
    let mut courses = JoinSet::new();
    for (course, over_tls) in
        [(Course::Live, false), (Course::Live, true), (Course::Stalls, false), (Course::Ends, false)]
    {
        courses.spawn(async move { (course, over_tls, watch(Fault::None, course, over_tls).await) });
    }
    let mut judged = BTreeSet::new();
    while let Some(done) = courses.join_next().await {
        let (course, over_tls, report) = done.expect("the client does not panic");
        report.assert_clean(&format!("{course:?}, TLS: {over_tls}"));
        assert!(report.playlists > 30 && report.media > 80, "it looked at too little: {report}");
        judged.extend(report.judged);
    }
    // A rule that never had anything to look at would be clean as well.
    // It has no ladder and no captions either; what an asset breaks is in `asset_faults`.
    let all: BTreeSet<&str> =
        RULES.iter().map(|rule| rule.id).filter(|id| !["T7", "M5", "M7", "M8"].contains(id)).collect();
    assert_eq!(all.difference(&judged).collect::<Vec<_>>(), Vec::<&&str>::new(), "rules that judged nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_caught_by_the_rule_it_breaks_and_by_no_other() {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    // What takes longest begins first.
    let (slow, quick): (Vec<&Fault>, Vec<&Fault>) =
        Fault::ALL.iter().partition(|fault| **fault == Fault::TooFarHeld || fault.course() != Course::Live);
    for fault in slow.into_iter().chain(quick) {
        let places = Arc::clone(&places);
        runs.spawn(async move {
            let _place = places.acquire().await.expect("it is never closed");
            (*fault, watch(*fault, fault.course(), *fault == Fault::NoHttp2).await)
        });
    }
    let mut wrong = Vec::new();
    while let Some(done) = runs.join_next().await {
        let (fault, report) = done.expect("the client does not panic");
        let (rule, follow) = fault.breaks();
        let broken = report.broken();
        if !broken.contains(rule) {
            wrong.push(format!("{fault:?} is not caught by {rule}: {report}"));
        }
        let others = report.violations.iter().filter(|found| found.rule != rule && !follow.contains(&found.rule));
        for other in others {
            wrong.push(format!("{fault:?} breaks {rule}, but this is found: {other:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(Fault::ALL.len() >= 20);
}

/// Every rule but those about what this origin does not do has a fault that breaks it.
#[test]
fn every_rule_has_a_fault_that_breaks_it() {
    const UNBROKEN: &[&str] = &["G3", "T7"];
    let by_origin = Fault::ALL.iter().map(|fault| fault.breaks().0);
    let broken: BTreeSet<&str> = by_origin.chain(ASSET_FAULTS.iter().map(|fault| fault.rule)).collect();
    for rule in RULES.iter().filter(|rule| !UNBROKEN.contains(&rule.id)) {
        assert!(broken.contains(rule.id), "nothing breaks {} ({})", rule.id, rule.section);
    }
}
