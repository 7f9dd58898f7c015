//! Signalling storm (being built).
use crate::scenario::{Report, Scenario};
use std::time::Instant;
/// Runs.
pub fn run(_seed: u64, _now: Instant) -> Result<Report, String> {
    Ok(Report { scenario: Scenario::Storm, settled: Default::default(), digest: 0 })
}
