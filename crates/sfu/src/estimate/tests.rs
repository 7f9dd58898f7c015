use proptest::prelude::*;

use super::*;
use line::{Call, Line, Media, Random, Sample};

mod line;

const SEEDS: u64 = 20;
const START_BPS: u64 = 300_000;
/// What line is looked at: bits per second, the time it is found within, the mean queue in milliseconds that is borne.
const LINES: [(u64, f64, f64); 6] = [
    (300_000, 0.5, 65.0),
    (500_000, 0.5, 60.0),
    (1_000_000, 0.5, 40.0),
    (2_500_000, 0.6, 35.0),
    (5_000_000, 0.8, 35.0),
    (10_000_000, 1.0, 35.0),
];

fn greedy() -> Media {
    Media { bps: 12_000_000, wanted: 12_000_000, keyframe: None, layers: &[] }
}

fn little(bps: u64, wanted: u64) -> Media {
    Media { bps, wanted, keyframe: None, layers: &[] }
}

fn between(samples: &[Sample], from: f64, to: f64) -> &[Sample] {
    let at = |secs: f64| samples.partition_point(|sample| sample.secs < secs);
    &samples[at(from)..at(to)]
}

fn mean(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(of).sum::<f64>() / samples.len().max(1) as f64
}

fn estimate(samples: &[Sample]) -> f64 {
    mean(samples, |sample| sample.estimate as f64)
}

fn lowest(samples: &[Sample]) -> u64 {
    samples.iter().map(|sample| sample.estimate).min().unwrap_or(0)
}

fn carried(samples: &[Sample]) -> f64 {
    let (first, last) = (samples.first().expect("a sample"), samples.last().expect("a sample"));
    (last.carried - first.carried) as f64 * 8.0 / (last.secs - first.secs)
}

fn at(samples: &[Sample], secs: f64) -> u64 {
    between(samples, secs, secs + 0.05)[0].estimate
}

/// When an estimate was first so high.
fn found(samples: &[Sample], bps: f64) -> f64 {
    samples.iter().find(|sample| sample.estimate as f64 >= bps).map_or(f64::INFINITY, |sample| sample.secs)
}

/// The worst and the middle one of all seeds, where more is worse.
fn over_seeds(of: impl Fn(u64) -> f64) -> (f64, f64) {
    let mut all: Vec<f64> = (0..SEEDS).map(of).collect();
    all.sort_by(f64::total_cmp);
    (all[all.len() - 1], all[all.len() / 2])
}

struct Greedy {
    found: f64,
    queue: f64,
    carried: f64,
    estimate: f64,
    loss: f64,
}

/// A sender that takes all it gets, on a line: what was seen after 10 s of 30, as parts of the line; the worst of all seeds.
fn greedy_on(line: &Line) -> Greedy {
    let bps = line.rate(0) as f64;
    let mut worst = Greedy { found: 0.0, queue: 0.0, carried: f64::INFINITY, estimate: f64::INFINITY, loss: 0.0 };
    for seed in 0..SEEDS {
        let mut call = Call::new(seed, line.clone(), greedy(), START_BPS);
        let mut samples = call.run_until(10.0);
        let (sent, lost) = (call.sent, call.lost);
        samples.append(&mut call.run_until(30.0));
        let late = between(&samples, 10.0, 30.0);
        worst.loss = worst.loss.max((call.lost - lost) as f64 / (call.sent - sent) as f64);
        worst.found = worst.found.max(found(&samples, bps * 0.8));
        worst.queue = worst.queue.max(mean(late, |sample| sample.queue_ms));
        worst.carried = worst.carried.min(carried(late) / bps);
        worst.estimate = worst.estimate.min(estimate(late) / bps);
    }
    let Greedy { found, queue, carried, estimate, loss } = worst;
    println!(
        "{bps:>9}: found after {found:.1} s, queue {queue:.0} ms, carried {carried:.2}, estimate {estimate:.2}, loss {loss:.3}"
    );
    worst
}

#[test]
fn a_line_is_found_within_a_second_and_used_without_a_standing_queue() {
    for (bps, within, queue) in LINES {
        let worst = greedy_on(&Line::of(bps));
        assert!(worst.found <= within && worst.queue <= queue && worst.carried >= 0.8, "{bps}");
    }
}

#[test]
fn a_long_line_is_found_as_well() {
    for (bps, ..) in LINES {
        let worst = greedy_on(&Line { delay_ms: 120, ..Line::of(bps) });
        assert!(worst.found <= 2.5 && worst.queue <= 80.0 && worst.carried >= 0.75, "{bps}");
    }
}

#[test]
fn jitter_of_15_ms_does_not_hide_a_line() {
    for (bps, _, queue) in LINES {
        let worst = greedy_on(&Line::of(bps).jittering(15.0));
        assert!(worst.found <= 8.0 && worst.queue <= queue * 2.0 && worst.carried >= 0.78, "{bps}");
    }
}

#[test]
fn random_loss_of_2_and_of_5_percent_is_borne() {
    for (bps, _, queue) in LINES {
        for (loss, least) in [(0.02, 0.72), (0.05, 0.70)] {
            let worst = greedy_on(&Line::of(bps).losing(loss));
            assert!(worst.found <= 6.0 && worst.queue <= queue && worst.estimate >= least, "{bps} {loss}");
        }
    }
}

#[test]
fn random_loss_of_5_percent_does_not_drive_down_a_sender_that_sends_little() {
    let (worst, _) = over_seeds(|seed| {
        let line = Line::of(3_000_000).losing(0.05);
        let samples = Call::new(seed, line, little(1_000_000, 2_500_000), START_BPS).run_until(40.0);
        -estimate(between(&samples, 5.0, 40.0)) / 3e6
    });
    println!("estimate {:.2}", -worst);
    assert!(-worst >= 0.7);
}

#[test]
fn a_line_with_hardly_a_queue_is_used_mostly() {
    for (bps, ..) in LINES {
        // Ten packets, or 40 ms of more.
        let queue_ms = (10 * 1_200 * 8_000 / bps).max(40);
        let worst = greedy_on(&Line { queue_ms, ..Line::of(bps) });
        assert!(worst.carried >= 0.82 && worst.loss <= 0.1, "{bps}");
    }
}

#[test]
fn a_fall_to_a_third_is_followed_within_1500_ms() {
    for bps in [900_000, 3_000_000, 9_000_000] {
        let (worst, middle) = over_seeds(|seed| {
            let line = Line::of(bps).then(20.0, bps / 3);
            let samples = Call::new(seed, line, greedy(), START_BPS).run_until(30.0);
            let late = between(&samples, 20.0, 30.0);
            let followed = late.iter().find(|sample| sample.estimate <= bps / 3);
            let queue = mean(between(&samples, 23.0, 30.0), |sample| sample.queue_ms);
            assert!(queue < 100.0, "the queue is gone");
            followed.map_or(f64::INFINITY, |sample| sample.secs - 20.0)
        });
        println!("{bps}: followed within {worst:.2} s, mostly {middle:.2} s");
        assert!(worst <= 1.5, "{bps}");
    }
}

#[test]
fn a_line_that_was_narrow_for_3_s_is_found_again() {
    let (worst, middle) = over_seeds(|seed| {
        let line = Line::of(3_000_000).then(20.0, 1_000_000).then(23.0, 3_000_000);
        let samples = Call::new(seed, line, greedy(), START_BPS).run_until(35.0);
        found(between(&samples, 23.0, 35.0), 2_200_000.0) - 23.0
    });
    println!("found again within {worst:.1} s, mostly {middle:.1} s");
    assert!(worst <= 8.0);
}

#[test]
fn a_wider_line_is_found_within_5_s_although_little_is_sent() {
    for bps in [100_000, 400_000, 600_000] {
        let (worst, middle) = over_seeds(|seed| {
            let at = 20.0 + seed as f64 * 0.2;
            let line = Line::of(1_000_000).then(at, 4_000_000);
            let samples = Call::new(seed, line, little(bps, 3_000_000), START_BPS).run_until(30.0);
            found(between(&samples, at, 30.0), 2_400_000.0) - at
        });
        println!("sending {bps}: found within {worst:.1} s, mostly {middle:.1} s");
        assert!(worst <= 5.0, "{bps}");
    }
}

#[test]
fn a_sender_whose_next_layer_does_not_fit_finds_a_wider_line() {
    let (worst, middle) = over_seeds(|seed| {
        let at = 20.0 + seed as f64 * 0.4;
        let line = Line::of(1_000_000).then(at, 4_000_000);
        let samples = Call::new(seed, line, little(850_000, 2_500_000), START_BPS).run_until(40.0);
        found(between(&samples, at, 40.0), 2_400_000.0) - at
    });
    println!("found within {worst:.1} s, mostly {middle:.1} s");
    assert!(worst <= 9.0);
}

#[test]
fn a_sender_of_layers_takes_what_fits_within_5_s_and_stays_there() {
    const LAYERS: &[u64] = &[100_000, 300_000, 700_000, 1_500_000, 2_400_000];
    for (bps, fits) in [(400_000, 300_000), (1_300_000, 700_000), (2_000_000, 1_500_000), (3_000_000, 2_400_000)] {
        for (jitter, loss) in [(0.0, 0.0), (0.0, 0.02), (15.0, 0.0)] {
            let (worst, middle) = over_seeds(|seed| {
                let media = Media { layers: LAYERS, ..little(100_000, 2_400_000) };
                let mut call = Call::new(seed, Line::of(bps).losing(loss).jittering(jitter), media, START_BPS);
                call.run_until(60.0);
                let early = call.switches.iter().filter(|switch| switch.0 <= 5.0).map(|switch| switch.2).max();
                assert!(early >= Some(fits / 3), "{bps} {jitter} {loss} {early:?}");
                call.switches.iter().filter(|switch| switch.0 > 5.0 && switch.2 < switch.1).count() as f64
            });
            println!("{bps} jitter {jitter} loss {loss}: a lower layer {worst} times in 55 s, mostly {middle}");
            assert!(worst <= 15.0 && middle <= 4.0, "{bps} {jitter} {loss}");
        }
    }
}

#[test]
fn a_sender_that_sends_little_keeps_what_its_probes_found() {
    for seed in 0..SEEDS {
        let mut call = Call::new(seed, Line::of(3_000_000), little(300_000, 2_500_000), START_BPS);
        let samples = call.run_until(120.0);
        assert!(lowest(between(&samples, 1.0, 120.0)) >= 2_500_000);
        assert!(call.probes.len() <= 5, "nothing is looked for any more");
    }
}

#[test]
fn a_keyframe_after_little_does_not_make_the_estimate_fall_to_little() {
    for (jitter, least) in [(0.0, 2_000_000), (15.0, 1_000_000)] {
        let (worst, _) = over_seeds(|seed| {
            let media = Media { keyframe: Some((5.0, 60_000)), ..little(400_000, 2_500_000) };
            let samples = Call::new(seed, Line::of(3_000_000).jittering(jitter), media, START_BPS).run_until(60.0);
            -(lowest(between(&samples, 2.0, 60.0)) as f64)
        });
        println!("least {:.0}", -worst);
        assert!(-worst as u64 >= least);
    }
}

#[test]
fn more_is_looked_for_when_more_is_wanted_and_not_when_nothing_is() {
    for seed in 0..SEEDS {
        let mut call = Call::new(seed, Line::of(5_000_000), little(200_000, 0), START_BPS);
        call.run_until(10.0);
        assert!(call.probes.is_empty() && call.estimator.estimate_bps() < 400_000);
        call.estimator.set_wanted(call.instant(), 600_000);
        let samples = call.run_until(11.0);
        assert!(found(&samples, 600_000.0) < 11.0);
        call.run_until(20.0);
        let before = call.probes.len();
        call.estimator.set_wanted(call.instant(), 4_000_000);
        let samples = call.run_until(22.5);
        assert!(call.probes[before].0 < 20.1, "at once");
        assert!(found(&samples, 4_000_000.0) <= 22.5);
    }
}

#[test]
fn to_begin_anew_forgets_what_is_on_its_way_and_probes_as_at_first() {
    for seed in 0..SEEDS {
        let mut call = Call::new(seed, Line::of(3_000_000), little(400_000, 2_500_000), START_BPS);
        call.run_until(10.0);
        let (loss, round_trip) = (call.estimator.loss(), call.estimator.round_trip());
        let before = call.probes.len();
        call.estimator.set_estimate(call.instant(), 500_000);
        assert_eq!((call.estimator.loss(), call.estimator.round_trip()), (loss, round_trip));
        assert_eq!(call.estimator.estimate_bps(), 500_000);
        let samples = call.run_until(11.0);
        assert_eq!(at(&samples, 10.04), 500_000);
        let rates: Vec<u64> = call.probes[before..].iter().take(2).map(|(_, probe)| probe.bps).collect();
        assert_eq!(rates, [1_500_000, 3_000_000]);
        let ids: std::collections::HashSet<u32> = call.probes.iter().map(|(_, probe)| probe.id).collect();
        assert_eq!(ids.len(), call.probes.len(), "no number twice");
        assert!(found(&samples, 2_400_000.0) < 11.0);
    }
}

/// An estimator that sent so many packets of 1,000 bytes, one each 10 ms, from number 65,500 on.
fn sent(packets: u64) -> (Estimator, Instant) {
    let start = Instant::now();
    let mut estimator = Estimator::new(start, START_BPS);
    for index in 0..packets {
        let now = start + Duration::from_millis(index * 10);
        estimator.handle_sent(now, 65_500 + index, 1_000, Kind::Media, None);
    }
    (estimator, start + Duration::from_millis(packets * 10))
}

#[test]
fn the_round_trip_is_of_the_newest_packet_that_came_and_the_loss_of_what_was_reported() {
    let (mut estimator, now) = sent(80);
    assert_eq!((estimator.round_trip(), estimator.loss()), (None, None));
    // Every fifth is lost, and so is the last.
    let statuses =
        (0..50u16).map(|index| (65_500u16.wrapping_add(index), (index % 5 < 4).then_some(i64::from(index) * 10_000)));
    estimator.handle_feedback(now, 65_500, statuses.clone());
    assert_eq!(estimator.round_trip(), Some(Duration::from_millis(320)));
    assert_eq!(estimator.loss(), Some(0.2));
    estimator.handle_feedback(now, 65_500, statuses);
    assert_eq!(estimator.loss(), Some(0.2), "once");
    // Half of them come after all.
    let late = (0..50u16).step_by(10).map(|index| (65_504u16.wrapping_add(index), Some(500_000)));
    estimator.handle_feedback(now, 65_504, late);
    assert_eq!(estimator.loss(), Some(0.1));
    estimator.handle_timeout(now + Duration::from_secs(3));
    assert_eq!(estimator.loss(), None, "of the last second");
}

#[test]
fn numbers_that_were_not_sent_or_too_long_ago_are_passed_over() {
    let (mut estimator, now) = sent(300);
    let report = |estimator: &mut Estimator, now: Instant, base: u16, count: u16| {
        estimator.handle_feedback(now, base, (0..count).map(|index| (base.wrapping_add(index), Some(1_000_000))));
        estimator.round_trip()
    };
    assert_eq!(report(&mut estimator, now, 65_490, 10), None, "before the first");
    assert_eq!(report(&mut estimator, now, 264, 500), None, "after the newest");
    let later = now + Duration::from_millis(2_500);
    assert_eq!(report(&mut estimator, later, 65_500, 50), None, "5 s ago");
    assert_eq!(report(&mut estimator, later, 263, 500), Some(Duration::from_millis(2_510)), "the newest");
    assert_eq!(Estimator::new(now, 1).history.extend(7), None);
}

#[test]
fn a_path_that_falls_silent_is_given_less_and_less_and_one_that_never_spoke_is_not() {
    let run = |mut estimator: Estimator, now: Instant, secs: u64| {
        let mut calls = 0;
        let end = now + Duration::from_secs(secs);
        while let Some(due) = estimator.poll_timeout().filter(|due| *due < end) {
            estimator.handle_timeout(due);
            calls += 1;
        }
        (estimator.estimate_bps(), calls)
    };
    let (estimator, now) = sent(100);
    assert_eq!(run(estimator, now, 60), (START_BPS, 0));
    let (mut estimator, now) = sent(100);
    estimator.handle_feedback(now, 65_500, [(65_500, Some(0))].into_iter());
    estimator.handle_sent(now, 65_600, 1_000, Kind::Media, None);
    let (bps, calls) = run(estimator, now, 10);
    assert!((50_000..100_000).contains(&bps) && calls < 20, "{bps} {calls}");
}

#[test]
fn time_is_asked_for_at_most_every_25_ms() {
    let (mut estimator, mut now) = sent(10);
    estimator.set_wanted(now, 5_000_000);
    for _ in 0..1_000 {
        let due = estimator.poll_timeout().expect("more is wanted");
        assert!(due >= now || estimator.timeout_at == 0);
        now = now.max(due);
        estimator.handle_timeout(now);
        assert!(estimator.poll_timeout().is_none_or(|next| next >= now + Duration::from_millis(25)));
    }
}

#[test]
fn the_peers_clock_may_wrap() {
    let mut clock = Clock::default();
    let times: Vec<i64> = [CLOCK_PERIOD - 1_000, 500, 400, 2_000].map(|raw| clock.unwrap(raw)).into();
    assert_eq!(times, [0, 1_500, 1_400, 3_000]);
    let mut clock = Clock::default();
    assert_eq!([i64::MIN, i64::MAX, 0].map(|raw| clock.unwrap(raw).abs() <= 3 * CLOCK_STEP_MAX), [true; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn feedback_of_anything_neither_panics_nor_raises_what_was_not_carried(seed: u64) {
        let mut random = Random::new(seed);
        let start = Instant::now();
        let mut estimator = Estimator::new(start, 1_000_000);
        let (mut now, mut number) = (start, random.word() % 100_000);
        for _ in 0..200 {
            now += Duration::from_micros(random.word() % 100_000);
            for _ in 0..random.word() % 20 {
                number += 1 + u64::from(random.unit() < 0.01) * (random.word() % 6_000);
                estimator.handle_sent(now, number, random.word() as usize % 2_000, Kind::Media, None);
            }
            // Numbers that are not sent yet, on a clock of any kind.
            let base = (number as u16).wrapping_add(1 + random.word() as u16 % 30_000);
            let statuses: Vec<_> = (0..random.word() % 2_000)
                .map(|_| (base.wrapping_add(random.word() as u16 % 2_000), Some(random.word() as i64)))
                .collect();
            estimator.handle_feedback(now, base, statuses.into_iter());
            prop_assert_eq!(estimator.estimate_bps(), 1_000_000);
        }
        for _ in 0..200 {
            now += Duration::from_micros(random.word() % 100_000);
            estimator.handle_sent(now, number, 1_200, Kind::Media, Some(random.word() as u32));
            number += 1;
            // Numbers that were sent, with any times.
            let base = (number as u16).wrapping_sub(random.word() as u16 % 5_000);
            let statuses: Vec<_> = (0..random.word() % 2_000)
                .map(|index| (base.wrapping_add(index as u16), (index % 3 > 0).then(|| random.word() as i64 >> (index % 60))))
                .collect();
            estimator.handle_feedback(now, base, statuses.into_iter());
            estimator.handle_timeout(now);
            prop_assert!(estimator.estimate_bps() <= 1_500_000 && estimator.estimate_bps() >= 30_000);
        }
    }
}
