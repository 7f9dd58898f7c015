use super::*;

/// What a path does with what is sent over it at a steady rate, told ten times a second.
struct Path {
    carries_bps: u64,
    queue_ms: u64,
    random_loss: f64,
}

/// When an overshoot was found after the path had become `after`, in milliseconds, and what it was then taken to carry.
fn found(sent_bps: u64, before: &Path, after: &Path) -> Option<(u64, u64)> {
    let (mut overshoot, start) = (Overshoot::new(), Instant::now());
    let (mut sent, mut queued_bits, mut losses) = (0, 0.0f64, Vec::new());
    let mut seen_waits = Duration::ZERO;
    for step in 1..=60u64 {
        let path = if step <= 30 { before } else { after };
        sent += sent_bps / 80;
        let most = path.carries_bps as f64 * path.queue_ms as f64 / 1_000.0;
        let coming = queued_bits + sent_bps as f64 / 10.0 - path.carries_bps as f64 / 10.0;
        queued_bits = coming.clamp(0.0, most);
        let overflow = (coming - most).max(0.0) / (sent_bps as f64 / 10.0);
        losses.push(overflow + (1.0 - overflow) * path.random_loss);
        let waits = Duration::from_secs_f64(queued_bits / path.carries_bps as f64);
        // What waits at the end of the queue is not acknowledged yet: the newest that is waited less.
        let passed = 1.0 - (path.carries_bps as f64 / sent_bps as f64).min(1.0);
        seen_waits = waits.min(seen_waits + Duration::from_millis(100).mul_f64(passed));
        let round_trip = Duration::from_millis(30) + seen_waits;
        let seen: Vec<f64> = losses.iter().rev().skip((waits.as_millis() / 100) as usize).take(10).copied().collect();
        let loss = (seen.iter().sum::<f64>() / seen.len().max(1) as f64) as f32;
        let now = start + Duration::from_millis(step * 100);
        if let Verdict::Overshoot(bps) = overshoot.handle_sample(now, sent, Some(round_trip), Some(loss)) {
            return Some(((step - 30) * 100, bps));
        }
    }
    None
}

const WIDE: Path = Path { carries_bps: 10_000_000, queue_ms: 300, random_loss: 0.0 };

#[test]
fn a_path_that_becomes_thin_is_noticed_within_four_reports_and_taken_for_what_it_delivers() {
    for (sent_bps, carries_bps) in
        [(2_500_000, 300_000), (1_700_000, 300_000), (1_700_000, 600_000), (600_000, 300_000)]
    {
        let thin = Path { carries_bps, queue_ms: 300, random_loss: 0.0 };
        let (after_ms, bps) = found(sent_bps, &WIDE, &thin).expect("it is noticed");
        assert!(after_ms <= 400, "{sent_bps} over {carries_bps}: after {after_ms} ms");
        assert!((carries_bps / 3..=carries_bps.max(LEAST_BPS)).contains(&bps), "{sent_bps} over {carries_bps}: {bps}");
    }
}

#[test]
fn a_path_without_a_queue_is_noticed_by_its_loss() {
    let thin = Path { carries_bps: 300_000, queue_ms: 20, random_loss: 0.0 };
    let (after_ms, bps) = found(1_700_000, &WIDE, &thin).expect("it is noticed");
    assert!(after_ms <= 600, "after {after_ms} ms");
    assert!(bps <= 600_000, "{bps}");
}

#[test]
fn loss_of_five_percent_alone_is_no_overshoot() {
    let lossy = Path { random_loss: 0.05, ..WIDE };
    assert_eq!(found(1_700_000, &WIDE, &lossy), None);
}

#[test]
fn a_path_with_jitter_is_neither_overrun_nor_unclear_for_long() {
    let (mut overshoot, start) = (Overshoot::new(), Instant::now());
    let (mut random, mut clear) = (1u64, 0);
    // Two ways with up to 60 ms each.
    let mut millis = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % 61
    };
    for step in 1..=3_000u64 {
        let round_trip = Duration::from_millis(120 + millis() + millis());
        let now = start + Duration::from_millis(step * 100);
        let verdict = overshoot.handle_sample(now, step * 25_000, Some(round_trip), None);
        assert_eq!(verdict, Verdict::Fine, "after {step} reports");
        clear += u32::from(overshoot.may_be_clear());
    }
    assert!(clear > 300, "{clear} of 3000");
}

#[test]
fn an_overshoot_of_a_tenth_is_left_to_the_estimator() {
    let thin = Path { carries_bps: 1_550_000, queue_ms: 300, random_loss: 0.0 };
    assert_eq!(found(1_700_000, &WIDE, &thin), None);
}

#[test]
fn nothing_is_found_again_while_the_last_one_settles() {
    let (mut overshoot, start) = (Overshoot::new(), Instant::now());
    let mut cuts = Vec::new();
    for step in 1..=40u64 {
        let queue = Duration::from_millis(step.saturating_sub(20) * 70);
        let round_trip = Some(Duration::from_millis(30) + queue.min(Duration::from_millis(900)));
        let now = start + Duration::from_millis(step * 100);
        if let Verdict::Overshoot(_) = overshoot.handle_sample(now, step * 20_000, round_trip, None) {
            cuts.push(step);
        }
    }
    assert!(!cuts.is_empty());
    assert!(cuts.windows(2).all(|pair| pair[1] - pair[0] >= 15), "{cuts:?}");
}
