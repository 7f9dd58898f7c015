use super::*;
use line::{Call, Line, Media, Random, Sample};

mod line;

const SEEDS: u64 = 20;
const START_BPS: u64 = 300_000;

fn greedy(bps: u64) -> Media {
    Media { bps, wanted: bps, keyframe: None }
}

fn mean(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(of).sum::<f64>() / samples.len().max(1) as f64
}

fn between(samples: &[Sample], from: f64, to: f64) -> &[Sample] {
    let first = samples.partition_point(|sample| sample.secs < from);
    let last = samples.partition_point(|sample| sample.secs < to);
    &samples[first..last]
}

fn carried_bps(samples: &[Sample]) -> f64 {
    let (first, last) = (samples.first().expect("some"), samples.last().expect("some"));
    (last.carried - first.carried) as f64 * 8.0 / (last.secs - first.secs)
}

fn reached(samples: &[Sample], bps: f64) -> f64 {
    samples.iter().find(|sample| sample.estimate as f64 >= bps).map_or(f64::INFINITY, |sample| sample.secs)
}

#[test]
fn figures() {
    for bps in [300_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000] {
        for (loss, jitter, queue_ms) in
            [(0.0, 0.0, 500), (0.02, 0.0, 500), (0.05, 0.0, 500), (0.0, 15.0, 500), (0.0, 0.0, 40), (0.0, 0.0, 15)]
        {
            let mut lines = Vec::new();
            for seed in 0..SEEDS {
                let line = Line { loss, jitter_ms: jitter, queue_ms, ..Line::of(bps) };
                let samples = Call::new(seed, line, greedy(12_000_000), START_BPS).run_until(40.0);
                let late = between(&samples, 10.0, 40.0);
                let mut queues: Vec<f64> = late.iter().map(|s| s.queue_ms).collect();
                queues.sort_by(f64::total_cmp);
                lines.push([
                    reached(&samples, bps as f64 * 0.8),
                    mean(late, |s| s.queue_ms),
                    queues[queues.len() * 95 / 100],
                    carried_bps(late) / bps as f64,
                    mean(late, |s| s.estimate as f64) / bps as f64,
                    late.iter().map(|s| s.estimate).min().unwrap() as f64 / bps as f64,
                ]);
            }
            let column = |i: usize| {
                let mut c: Vec<f64> = lines.iter().map(|l| l[i]).collect();
                c.sort_by(f64::total_cmp);
                (c[c.len() / 2], c[c.len() - 1], c[0])
            };
            let (t, q, p, u, e, m) = (column(0), column(1), column(2), column(3), column(4), column(5));
            println!(
                "{bps:>9} loss {loss} jitter {jitter} queue {queue_ms}: 80% at {:.1} (worst {:.1}), queue {:.0} (worst {:.0}) p95 {:.0} ({:.0}), used {:.2} (worst {:.2}), est {:.2} (worst {:.2}, least {:.2})",
                t.0, t.1, q.0, q.1, p.0, p.1, u.0, u.2, e.0, e.2, m.2
            );
        }
    }
}

#[test]
fn scenes() {
    let run = |name: &str, line: Line, media: Media, start: u64, at: &[f64]| {
        let mut rows = vec![Vec::new(); at.len()];
        let mut probes = 0;
        for seed in 0..SEEDS {
            let mut call = Call::new(seed, line.clone(), media.clone(), start);
            let samples = call.run_until(at[at.len() - 1] + 0.1);
            probes += call.probes.len();
            for (row, at) in rows.iter_mut().zip(at) {
                row.push(between(&samples, *at, at + 0.05)[0].estimate / 1_000);
            }
        }
        println!("{name}: probes per call {:.1}", probes as f64 / SEEDS as f64);
        for (row, at) in rows.iter_mut().zip(at) {
            row.sort();
            println!("  {at:>5}: min {} median {} max {}", row[0], row[row.len() / 2], row[row.len() - 1]);
        }
    };
    run(
        "drop 3M to 1M",
        Line::of(3_000_000).then(20.0, 1_000_000),
        greedy(12_000_000),
        START_BPS,
        &[10.0, 19.9, 20.5, 21.0, 21.5, 22.0, 25.0, 30.0],
    );
    run(
        "drop 9M to 3M",
        Line::of(9_000_000).then(20.0, 3_000_000),
        greedy(12_000_000),
        START_BPS,
        &[10.0, 19.9, 20.5, 21.0, 21.5, 22.0, 25.0, 30.0],
    );
    run(
        "hole of 3 s",
        Line::of(3_000_000).then(20.0, 1_000_000).then(23.0, 3_000_000),
        greedy(12_000_000),
        START_BPS,
        &[19.9, 21.0, 22.9, 24.0, 25.0, 26.0, 28.0, 30.0],
    );
    run(
        "rise 1M to 4M, sends 600k",
        Line::of(1_000_000).then(20.0, 4_000_000),
        Media { bps: 600_000, wanted: 3_000_000, keyframe: None },
        START_BPS,
        &[5.0, 19.9, 22.0, 23.0, 25.0, 30.0],
    );
    run(
        "limited 300k of 3M",
        Line::of(3_000_000),
        Media { bps: 300_000, wanted: 2_500_000, keyframe: None },
        START_BPS,
        &[1.0, 2.0, 5.0, 10.0, 30.0, 60.0],
    );
    run(
        "keyframes 60k every 5 s in 400k of 3M",
        Line::of(3_000_000),
        Media { bps: 400_000, wanted: 2_500_000, keyframe: Some((5.0, 60_000)) },
        START_BPS,
        &[4.9, 5.3, 6.0, 10.3, 11.0, 15.3, 20.3, 30.3, 30.9, 60.0],
    );
    run(
        "keyframes 60k jitter",
        Line { jitter_ms: 15.0, ..Line::of(3_000_000) },
        Media { bps: 400_000, wanted: 2_500_000, keyframe: Some((5.0, 60_000)) },
        START_BPS,
        &[4.9, 5.3, 6.0, 10.3, 11.0, 15.3, 20.3, 30.3, 30.9, 60.0],
    );
    run(
        "stuck layer: sends 800k, wants 2.5M of 4M from 20",
        Line::of(1_000_000).then(20.0, 4_000_000),
        Media { bps: 800_000, wanted: 2_500_000, keyframe: None },
        START_BPS,
        &[5.0, 19.9, 22.0, 23.0, 25.0, 30.0, 35.0, 40.0],
    );
}

#[test]
fn debug() {
    for seed in 0..SEEDS {
        let line = Line { loss: 0.02, ..Line::of(10_000_000) };
        let mut call = Call::new(seed, line, greedy(12_000_000), START_BPS);
        let samples = call.run_until(40.0);
        let late = between(&samples, 10.0, 40.0);
        let low = late.iter().min_by_key(|s| s.estimate).unwrap();
        println!("seed {seed} least {} at {}", low.estimate, low.secs);
        if low.estimate < 3_000_000 {
            for s in between(&samples, low.secs - 0.5, low.secs + 1.0).iter().step_by(5) {
                println!("   {:?}", s);
            }
            println!("{:?}", call.probes.iter().filter(|p| (p.0 - low.secs).abs() < 3.0).collect::<Vec<_>>());
            break;
        }
    }
}
