//! One JSON line about a measurement.

use serde_json::{Value, json};

use crate::players::{Arrivals, Mode};

pub fn of(mode: Mode, players: usize, arrivals: &Arrivals) -> Value {
    let mut delays_ms: Vec<f64> = arrivals.delays.iter().map(|secs| secs * 1_000.0).collect();
    delays_ms.sort_by(f64::total_cmp);
    json!({
        "mode": match mode { Mode::Fetch => "fetch", Mode::Hint => "hint", Mode::List => "list" },
        "players": players,
        "parts": arrivals.parts,
        "readings": delays_ms.len(),
        "p50_ms": quantile(&delays_ms, 0.50),
        "p99_ms": quantile(&delays_ms, 0.99),
        "max_ms": quantile(&delays_ms, 1.0),
        "errors": arrivals.errors,
        "first_error": arrivals.first_error,
    })
}

/// The smallest reading that is not exceeded by this share of all, in tenths of a millisecond.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).map(|ms| (ms * 10.0).round() / 10.0)
}
