//! How the bandwidth estimator behaves, as a table: `cargo run -p telstar-sim --release --example estimator`.
//!
//! Prints the table and writes it into docs/performance.md, between its marks. Virtual time: the figures do not depend on the machine.

use std::fmt::Write;
use std::time::{Duration, Instant};

use str0m::format::Codec;
use telstar_sim::call::Call;
use telstar_sim::decoder::FREEZE;
use telstar_sim::link::{Bursts, Link};

/// What a camera with three layers sends, as browsers do.
const LAYERS: [(Option<&str>, u64); 3] = [(Some("l"), 150_000), (Some("m"), 500_000), (Some("h"), 1_700_000)];
/// A line is measured so many times with other seeds; the table shows medians, and the longest freeze of all.
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
/// How long each part of a line takes.
const PART: Duration = Duration::from_secs(20);
/// What is measured of a part for the utilisation: its end, when it has settled.
const TAIL: Duration = Duration::from_secs(8);
/// A layer needs so much more than its rate: headers and the padding that looks for more.
const NEEDS_PERCENT: u64 = 115;
const BEGIN: &str = "<!-- estimator begins -->";
const END: &str = "<!-- estimator ends -->";

/// A path in one or two parts.
struct Line {
    name: &'static str,
    /// What the path carries at first and afterwards, in kbit/s; 0 for no limit.
    limits_kbps: (u64, u64),
    spoil: fn(&mut Link),
}

const LINES: [Line; 9] = [
    Line { name: "no limit", limits_kbps: (0, 0), spoil: |_| {} },
    Line { name: "3 Mbit/s", limits_kbps: (3_000, 3_000), spoil: |_| {} },
    Line { name: "1 Mbit/s", limits_kbps: (1_000, 1_000), spoil: |_| {} },
    Line { name: "300 kbit/s", limits_kbps: (300, 300), spoil: |_| {} },
    Line { name: "3 Mbit/s, then 300 kbit/s", limits_kbps: (3_000, 300), spoil: |_| {} },
    Line { name: "300 kbit/s, then 3 Mbit/s", limits_kbps: (300, 3_000), spoil: |_| {} },
    Line { name: "1 Mbit/s, 5 % loss", limits_kbps: (1_000, 1_000), spoil: |link| link.loss_permille = 50 },
    Line {
        name: "1 Mbit/s, bursts of loss",
        limits_kbps: (1_000, 1_000),
        spoil: |link| link.bursts = Bursts { begin_permille: 5, end_permille: 200, loss_permille: 1_000 },
    },
    Line {
        name: "1 Mbit/s, 100 ms away, 30 ms of jitter",
        limits_kbps: (1_000, 1_000),
        spoil: |link| (link.delay, link.jitter) = (Duration::from_millis(100), Duration::from_millis(30)),
    },
];

/// What one run measured, in its last part.
#[derive(Clone, Copy)]
struct Figures {
    /// Received of what the best layer that fits sends, in percent.
    utilisation: f64,
    /// The estimate of what the path carries, in percent; of no limit none.
    estimate: Option<f64>,
    queue_p50: Duration,
    queue_p95: Duration,
    /// Until 80 % of the best layer that fits was received within a second.
    rise: Option<Duration>,
    freezes: usize,
    longest: Duration,
}

fn main() -> std::io::Result<()> {
    let mut table = String::from(
        "| path | received of the best layer that fits | estimate of the path | waited in its queue, p50 | p95 | until 80 % | freezes | longest |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for line in &LINES {
        let runs: Vec<Figures> = SEEDS.iter().map(|seed| measure(line, *seed).expect("no rule is broken")).collect();
        writeln!(table, "{}", row(line, &runs)).expect("a text takes all");
    }
    print!("{table}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/performance.md");
    let page = std::fs::read_to_string(path)?;
    let (Some(begin), Some(end)) = (page.find(BEGIN), page.find(END)) else {
        return Err(std::io::Error::other("docs/performance.md has no marks for the estimator"));
    };
    std::fs::write(path, format!("{}{BEGIN}\n\n{table}\n{}", &page[..begin], &page[end..]))
}

fn row(line: &Line, runs: &[Figures]) -> String {
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0} %"));
    let millis = |time: Duration| format!("{} ms", time.as_millis());
    let estimate = median(runs.iter().filter_map(|run| run.estimate));
    let rises: Vec<f64> = runs.iter().filter_map(|run| run.rise).map(|time| time.as_secs_f64()).collect();
    let all_rose = rises.len() == runs.len();
    let rise = median(rises.into_iter()).filter(|_| all_rose).map_or("never".to_owned(), |rise| format!("{rise:.1} s"));
    let duration = |of: fn(&Figures) -> Duration| median(runs.iter().map(|run| of(run).as_secs_f64())).unwrap_or(0.0);
    let freezes = median(runs.iter().map(|run| run.freezes as f64)).unwrap_or(0.0);
    let longest = runs.iter().map(|run| run.longest).max().unwrap_or_default();
    format!(
        "| {} | {} | {} | {} | {} | {rise} | {freezes:.0} | {} |",
        line.name,
        percent(median(runs.iter().map(|run| run.utilisation))),
        percent(estimate),
        millis(Duration::from_secs_f64(duration(|run| run.queue_p50))),
        millis(Duration::from_secs_f64(duration(|run| run.queue_p95))),
        if longest > FREEZE { millis(longest) } else { "-".to_owned() },
    )
}

fn measure(line: &Line, seed: u64) -> Result<Figures, String> {
    let mut call = Call::new(seed, Instant::now(), Codec::Vp8);
    call.add_sender(&LAYERS, true);
    let viewer = call.add_viewer();
    let limit = |kbps: u64| (kbps > 0).then_some(kbps * 1_000);
    let down = &mut call.world.client(viewer).down;
    down.delay = Duration::from_millis(20);
    down.limit_bps = limit(line.limits_kbps.0);
    (line.spoil)(down);
    call.connect()?;
    let has_change = line.limits_kbps.0 != line.limits_kbps.1;
    if has_change {
        call.film(PART)?;
        call.world.client(viewer).down.limit_bps = limit(line.limits_kbps.1);
    }
    let best = best(line.limits_kbps.1);
    let begin = call.world.now;
    call.world.client(viewer).down.waits = Some(Vec::new());
    let (mut seconds, mut estimates, mut tail_bytes) = (Vec::new(), Vec::new(), 0);
    while call.world.now < begin + PART {
        let (before, until) = (call.world.client(viewer).media_bytes, call.world.now + Duration::from_millis(500));
        while call.world.now < until {
            call.frame()?;
        }
        let bytes = call.world.client(viewer).media_bytes - before;
        seconds.push((call.world.now - begin, bytes));
        if call.world.now > begin + PART - TAIL {
            tail_bytes += bytes;
            estimates.extend(call.world.sfu.allocated(viewer).map(|share| share.estimate_bps as f64));
        }
    }
    let mut waits = call.world.client(viewer).down.waits.take().unwrap_or_default();
    waits.sort_unstable();
    let at = |percent: usize| waits.get(waits.len() * percent / 100).copied().unwrap_or_default();
    let enough = |bytes: u64| bytes * 8 * 2 * 100 >= best * 80;
    let (freezes, longest) = freezes(&call, begin);
    Ok(Figures {
        utilisation: tail_bytes as f64 * 8.0 / TAIL.as_secs_f64() / best as f64 * 100.0,
        estimate: limit(line.limits_kbps.1)
            .and_then(|limit| Some(median(estimates.into_iter())? / limit as f64 * 100.0)),
        queue_p50: at(50),
        queue_p95: at(95),
        rise: seconds.windows(2).find(|pair| pair.iter().all(|(_, bytes)| enough(*bytes))).map(|pair| pair[1].0),
        freezes,
        longest,
    })
}

/// The rate of the best layer that a path carries.
fn best(kbps: u64) -> u64 {
    let fits = |rate: u64| kbps == 0 || rate * NEEDS_PERCENT / 100 <= kbps * 1_000;
    LAYERS.iter().rev().map(|(_, rate)| *rate).find(|rate| fits(*rate)).unwrap_or(LAYERS[0].1)
}

/// How often the picture stood still since `begin`, and for how long at most.
fn freezes(call: &Call, begin: Instant) -> (usize, Duration) {
    let Some((decoder, _)) = call.viewers[0].screens.values().next() else { return (0, Duration::ZERO) };
    let shown = decoder.shown.iter().map(|shown| shown.at).filter(|at| *at >= begin);
    // A picture that stands still in the end does so until the end.
    let shown: Vec<Instant> = shown.chain([call.world.now]).collect();
    let gaps: Vec<Duration> = shown.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > FREEZE).collect();
    (gaps.len(), gaps.into_iter().max().unwrap_or_default())
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
