//! LL-HLS conformance: a client that judges, streams of the server that it judges, and an origin that it is tested with.
//!
//! - `client` speaks HTTP to a base address and judges every line of the checklist that can be judged at a socket;
//! - `streams` starts this server with streams of every kind and lets the client watch them;
//! - `tests/vod_conformance.rs` lets it fetch assets of every kind;
//! - `faults` lets it watch an origin that does one thing wrong at a time, and nothing wrong at all.
//!
//! `CONFORMANCE_URL=https://host/live/room/index.m3u8 cargo test --test conformance -- any_server --nocapture` judges
//! another server (`CONFORMANCE_SECONDS` says how long); `CONFORMANCE_COURSE=asset` takes it for an asset that is whole, and
//! `CONFORMANCE_LONG_GROUPS=1` allows it keyframes that are further apart than is recommended.

#[allow(
    dead_code,
    reason = "shared with the tests of assets, which use all of it; here it says which rules have a fault"
)]
mod asset_faults;
#[allow(dead_code, unused_imports, reason = "shared with the tests of assets, which fetch what need not be listed")]
mod client;
mod faults;
mod origin;
mod streams;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of the ground, which use all of it")]
mod support;

use std::time::Duration;

use client::{Course, NOT_JUDGED, Options, RULES, examine};

/// Whoever names an address gets a report on it; without one there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn any_server_that_is_named_conforms() {
    let Ok(url) = std::env::var("CONFORMANCE_URL") else { return };
    let secs = std::env::var("CONFORMANCE_SECONDS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(20);
    let watch = Duration::from_secs(secs);
    let report = examine(Options {
        url,
        watch,
        course: if told("CONFORMANCE_COURSE", "asset") { Course::Asset } else { Course::Live },
        i_frames_required: true,
        keyframes_in_time: !told("CONFORMANCE_LONG_GROUPS", "1"),
        apart_secs_max: None,
    })
    .await;
    println!("{report}");
    for (line, reason) in NOT_JUDGED {
        println!("not judged: {line}: {reason}");
    }
    report.assert_clean("the server breaks rules");
}

fn told(variable: &str, value: &str) -> bool {
    std::env::var(variable).is_ok_and(|said| said == value)
}

/// Lines of the checklist, grouped as it groups them.
const CHECKLIST: &[(&str, usize)] = &[("L", 12), ("D", 10), ("T", 7), ("M", 9)];

#[test]
fn every_line_of_the_checklist_is_judged_or_excused_with_a_reason() {
    for (group, lines) in CHECKLIST {
        for line in 1..=*lines {
            let id = format!("{group}{line}");
            let judged = RULES.iter().any(|rule| rule.id == id && !rule.section.is_empty());
            let excused = NOT_JUDGED
                .iter()
                .any(|(excused, reason)| excused.split([',', ' ']).next() == Some(id.as_str()) && !reason.is_empty());
            assert!(judged || excused, "{id} is neither judged nor excused");
        }
    }
}
