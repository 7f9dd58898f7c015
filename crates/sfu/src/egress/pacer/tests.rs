use proptest::prelude::*;

use super::*;

/// A packet that left: when, how large, what it was.
#[derive(Clone, Copy, Debug)]
struct Left {
    at_us: u64,
    bytes: usize,
    /// `None`: padding.
    item: Option<u32>,
    probe: Option<u32>,
}

/// A pacer in virtual time, woken exactly when it wants to be.
struct Line {
    pacer: Pacer<(u32, usize)>,
    start: Instant,
    now: Instant,
    left: Vec<Left>,
    /// The size of padding packets, if there are any.
    padding: Option<usize>,
    asked: usize,
    /// How late it is woken.
    late: Duration,
}

impl Line {
    fn new(estimate_bps: u64, padding_bps: u64) -> Line {
        let now = Instant::now();
        let mut pacer = Pacer::new(now);
        pacer.set_rate(now, estimate_bps, padding_bps);
        Line { pacer, start: now, now, left: Vec::new(), padding: Some(1_000), asked: 0, late: Duration::ZERO }
    }

    fn push(&mut self, class: Class, item: u32, bytes: usize) -> bool {
        self.pacer.push(self.now, class, bytes, (item, bytes))
    }

    fn video(&mut self, items: std::ops::Range<u32>, bytes: usize) {
        items.for_each(|item| assert!(self.push(Class::Video, item, bytes)));
    }

    fn at_us(&self) -> u64 {
        self.now.duration_since(self.start).as_micros() as u64
    }

    /// Everything that may leave now; how many times there was something.
    fn drain(&mut self) -> usize {
        let mut rounds = 0;
        while let Some(release) = self.pacer.poll(self.now) {
            rounds += 1;
            let at_us = self.at_us();
            match release {
                Release::Send((item, bytes), probe) => self.left.push(Left { at_us, bytes, item: Some(item), probe }),
                Release::Padding { bytes, probe } => {
                    assert_eq!(self.pacer.queued(), 0, "padding, although something waits");
                    self.asked += 1;
                    let packets = self.padding.map_or(0, |size| bytes.div_ceil(size));
                    let size = self.padding.unwrap_or_default();
                    (0..packets).for_each(|_| self.left.push(Left { at_us, bytes: size, item: None, probe }));
                    self.pacer.handle_padding(self.now, packets * size);
                }
            }
            assert!(rounds < 10_000, "no end");
        }
        rounds
    }

    /// Time passes; the pacer is woken when it asked for it, and has something whenever it did.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        let mut vain = 0;
        while let Some(at) = self.pacer.poll_timeout().map(|at| at + self.late).filter(|at| *at <= end) {
            self.now = self.now.max(at);
            // A probe that is given up at that moment is the one reason for nothing.
            vain = if self.drain() == 0 { vain + 1 } else { 0 };
            assert!(vain <= 5, "woken in vain");
        }
        self.now = end;
        self.drain();
    }

    fn bytes(&self, of: impl Fn(&Left) -> bool) -> u64 {
        self.left.iter().filter(|left| of(left)).map(|left| left.bytes as u64).sum()
    }

    fn items(&self) -> Vec<u32> {
        self.left.iter().filter_map(|left| left.item).collect()
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

#[test]
fn without_anything_to_do_there_is_no_deadline() {
    let mut line = Line::new(1_000_000, 0);
    assert_eq!(line.pacer.poll_timeout(), None);
    line.video(0..1, 1_200);
    assert_eq!(line.drain(), 1);
    assert_eq!((line.pacer.poll_timeout(), line.pacer.queued()), (None, 0));
}

#[test]
fn what_the_budget_carries_passes_without_a_queue() {
    let mut line = Line::new(1_000_000, 0);
    let mut passed = 0;
    while line.pacer.pass(line.now, 500) == Passage::Free(None) {
        passed += 1;
    }
    assert_eq!(passed, 4, "5 ms of 2.5 Mbit/s, and the one that ends it");
    assert!(line.pacer.resends.capacity() + line.pacer.video.capacity() == 0, "nothing was allocated");
    line.video(0..1, 500);
    line.now += SECOND;
    assert_eq!(line.pacer.pass(line.now, 500), Passage::Wait, "not before what waits");
    line.drain();
    assert_eq!(line.pacer.pass(line.now, 500), Passage::Free(None));
    line.pacer.start_probe(line.now, 7, 2_000_000, 5, 4_000);
    assert_eq!(line.pacer.pass(line.now, 500), Passage::Free(Some(7)));
    assert_eq!(line.pacer.pass(line.now, 500), Passage::Wait, "the probe has its own rate");
}

#[test]
fn a_picture_leaves_in_bursts_at_two_and_a_half_times_the_estimate() {
    let mut line = Line::new(2_000_000, 0);
    line.video(0..100, 1_250);
    line.run(SECOND);
    let last = line.left.last().expect("left").at_us;
    assert!((190_000..=205_000).contains(&last), "100 × 2 ms: {last}");
    let wakes = line.left.chunk_by(|a, b| a.at_us == b.at_us).count();
    assert!((30..=40).contains(&wakes), "three packets at a time: {wakes}");
}

#[test]
fn whoever_is_woken_late_keeps_the_rate_and_whoever_is_idle_saves_nothing_up() {
    let mut line = Line::new(2_000_000, 0);
    line.late = 7 * MILLI;
    line.video(0..100, 1_250);
    line.run(SECOND);
    let last = line.left.last().expect("left").at_us;
    assert!((190_000..=215_000).contains(&last), "100 × 2 ms: {last}");
    let most = line.left.chunk_by(|a, b| a.at_us == b.at_us).map(<[Left]>::len).max();
    assert!(most.is_some_and(|most| most <= 8), "12 + 2 ms: {most:?}");
    line.left.clear();
    line.video(100..200, 1_250);
    line.drain();
    assert_eq!(line.left.len(), 3, "a burst");
    line.now += SECOND;
    line.drain();
    assert_eq!(line.left.len() - 3, 8, "15 + 2 ms");
}

#[test]
fn resends_leave_before_video() {
    let mut line = Line::new(300_000, 0);
    line.video(0..5, 1_200);
    line.drain();
    for item in 100..103 {
        assert!(line.push(Class::Resend, item, 1_200));
    }
    line.run(SECOND);
    assert_eq!(line.items(), [0, 100, 101, 102, 1, 2, 3, 4]);
}

#[test]
fn a_queue_of_ten_seconds_leaves_within_two() {
    let mut line = Line::new(100_000, 0);
    // 312 kB at 250 kbit/s.
    line.video(0..260, 1_200);
    line.run(Duration::from_millis(2_100));
    assert_eq!(line.pacer.queued(), 0);
    // And the haste ends with it.
    line.run(SECOND);
    assert_eq!(line.pacer.pass(line.now, 1_250), Passage::Free(None));
    line.video(0..1, 1_250);
    assert_eq!(line.pacer.poll_timeout(), Some(line.now + 40 * MILLI));
}

#[test]
fn more_than_the_path_carries_waits_no_longer_than_a_few_seconds() {
    let mut line = Line::new(200_000, 0);
    // 1 Mbit/s, twice what the pacer is made for.
    for item in 0..1_000 {
        assert!(line.push(Class::Video, item, 1_250));
        line.run(10 * MILLI);
    }
    let longest = line.left.iter().map(|left| left.at_us - u64::from(left.item.expect("media")) * 10_000).max();
    assert!(longest.is_some_and(|longest| longest < 4_000_000), "{longest:?}");
}

#[test]
fn a_full_queue_takes_nothing_and_resends_do_not_fill_it() {
    let mut line = Line::new(300_000, 0);
    let resends = (0..1_000).filter(|item| line.push(Class::Resend, *item, 100)).count();
    assert_eq!(resends, RESENDS_WAITING_MAX);
    let video = (0..5_000).filter(|item| line.push(Class::Video, *item, 100)).count();
    assert_eq!(resends + video, QUEUE_PACKETS_MAX);
    line.run(60 * SECOND);
    assert_eq!((line.left.len(), line.pacer.queued()), (QUEUE_PACKETS_MAX, 0));
    assert!(line.pacer.video.capacity() <= QUEUE_ROOM_KEPT, "its memory is given back");
}

#[test]
fn sound_is_accounted_for() {
    let mut line = Line::new(400_000, 0);
    // 40 ms of 1 Mbit/s.
    line.pacer.handle_sent(line.now, 5_000);
    line.video(0..1, 1_000);
    line.run(34 * MILLI);
    assert!(line.left.is_empty());
    line.run(7 * MILLI);
    assert_eq!(line.left.len(), 1);
}

#[test]
fn what_is_owed_is_owed_in_bytes() {
    let mut line = Line::new(400_000, 0);
    line.pacer.handle_sent(line.now, 5_000);
    line.video(0..1, 1_000);
    assert_eq!(line.pacer.poll_timeout(), Some(line.now + 40 * MILLI));
    line.pacer.set_rate(line.now, 4_000_000, 0);
    let at = line.pacer.poll_timeout().expect("it waits") - line.now;
    assert!(at.abs_diff(4 * MILLI) < Duration::from_micros(1), "{at:?}");
    line.pacer.set_rate(line.now, 1, 0);
    assert_eq!(line.pacer.poll_timeout(), Some(line.now + DEBT_MAX), "but for no longer");
    line.pacer.handle_sent(line.now, 1_000_000);
    assert_eq!(line.pacer.poll_timeout(), Some(line.now + DEBT_MAX));
}

#[test]
fn padding_fills_up_what_media_leaves() {
    let mut line = Line::new(1_000_000, 800_000);
    // 400 kbit/s.
    for item in 0..500 {
        line.video(item..item + 1, 1_000);
        line.run(20 * MILLI);
    }
    let (padding, media) = (line.bytes(|left| left.item.is_none()), line.bytes(|left| left.item.is_some()));
    assert_eq!(media, 500_000);
    assert!((450_000..550_000).contains(&padding), "{padding}");
    // More media than that, and no padding is left.
    line.left.clear();
    for item in 0..500 {
        line.video(item..item + 1, 1_000);
        line.run(9 * MILLI);
    }
    assert!(line.bytes(|left| left.item.is_none()) < 20_000);
}

#[test]
fn when_there_is_nothing_to_pad_with_it_is_asked_every_twenty_milliseconds() {
    let mut line = Line::new(1_000_000, 500_000);
    line.padding = None;
    line.run(SECOND);
    assert_eq!(line.asked, 51);
    line.pacer.start_probe(line.now, 1, 3_000_000, 5, 5_000);
    line.run(2 * SECOND);
    assert!((150..=153).contains(&line.asked), "nor does a probe ask more often: {}", line.asked);
}

#[test]
fn padding_is_asked_for_once_until_it_is_answered() {
    let mut line = Line::new(1_000_000, 500_000);
    assert!(matches!(line.pacer.poll(line.now), Some(Release::Padding { bytes: 312, probe: None })));
    assert_eq!((line.pacer.poll(line.now + SECOND), line.pacer.poll_timeout()), (None, None));
    line.video(0..1, 100);
    line.drain();
    assert_eq!(line.left.len(), 1, "media does not wait for it");
    line.pacer.handle_padding(line.now, 300);
    line.pacer.handle_padding(line.now, 300);
    assert_eq!(line.pacer.poll(line.now), None);
}

#[test]
fn a_probe_without_padding_is_given_up_and_holds_nothing_up() {
    let mut line = Line::new(500_000, 0);
    line.padding = None;
    line.pacer.start_probe(line.now, 1, 1_500_000, 5, 50_000);
    for item in 0..100 {
        line.video(item..item + 1, 500);
        line.run(20 * MILLI);
    }
    assert_eq!(line.left.len(), 100);
    assert!(line.left.iter().all(|left| left.at_us == u64::from(left.item.expect("media")) * 20_000), "none waited");
    let probe = line.left.iter().rposition(|left| left.probe.is_some()).expect("a probe");
    assert!(line.left[probe].at_us <= 1_000_000);
    assert_eq!(line.pacer.poll_timeout(), None);
}

#[test]
fn probes_come_one_after_the_other_and_at_most_five_wait() {
    let mut line = Line::new(300_000, 0);
    (0..8).for_each(|id| line.pacer.start_probe(line.now, id, 2_000_000, 5, 4_000));
    line.run(SECOND);
    let mut ids: Vec<u32> = line.left.iter().filter_map(|left| left.probe).collect();
    assert!(ids.is_sorted());
    ids.dedup();
    assert_eq!(ids, [0, 4, 5, 6, 7], "newer ones know the path better");
}

#[test]
fn a_probe_that_was_late_is_not_made_up_for_by_a_burst() {
    let mut line = Line::new(1_000_000, 0);
    line.pacer.start_probe(line.now, 1, 4_000_000, 5, 60_000);
    line.now += 60 * MILLI;
    line.drain();
    assert_eq!(line.left.len(), 1, "it begins when it begins");
    line.now += 60 * MILLI;
    let before = line.bytes(|_| true);
    line.drain();
    let burst = line.bytes(|_| true) - before;
    assert!(burst <= 7_000, "10 ms of 4 Mbit/s: {burst}");
}

#[test]
fn a_fast_probe_wakes_every_two_milliseconds() {
    let mut line = Line::new(300_000, 0);
    line.pacer.start_probe(line.now, 1, 20_000_000, 5, 100_000);
    line.video(0..1_000, 100);
    line.run(39 * MILLI);
    let wakes = line.left.chunk_by(|a, b| a.at_us == b.at_us).count();
    assert_eq!(wakes, 21, "the last one because the test ends there");
    assert!(line.left.len() > 900, "{}", line.left.len());
}

#[test]
fn media_that_was_a_probe_is_paid_for_afterwards() {
    let mut line = Line::new(300_000, 0);
    line.pacer.start_probe(line.now, 1, 3_000_000, 5, 10_000);
    line.video(0..40, 1_000);
    line.run(SECOND);
    let during = line.left.iter().filter(|left| left.probe.is_some()).count();
    assert_eq!(during, 10);
    // 10 kB at 750 kbit/s.
    let after = line.left[during].at_us - line.left[during - 1].at_us;
    assert!(after > 70_000, "{after}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_more_leaves_than_rate_and_burst_and_everything_in_its_order(
        estimate in 100_000u64..20_000_000,
        packets in proptest::collection::vec((0u64..8_000, 60usize..1_400, any::<bool>()), 1..250),
        late_us in prop_oneof![Just(0), 0u64..15_000],
    ) {
        let mut line = Line::new(estimate, 0);
        line.late = Duration::from_micros(late_us);
        let pace = estimate * 25 / 10;
        let (mut total, mut accepted) = (0, Vec::new());
        for (index, (gap_us, bytes, is_resend)) in packets.into_iter().enumerate() {
            total += bytes as u64;
            if total * 8 > pace {
                // More than a second of it, and haste begins.
                break;
            }
            line.run(Duration::from_micros(gap_us));
            let class = if is_resend { Class::Resend } else { Class::Video };
            if line.push(class, index as u32, bytes) {
                accepted.push((index as u32, class));
            }
        }
        line.run(10 * SECOND);
        for class in [Class::Resend, Class::Video] {
            let of_class = |item: &u32| accepted.contains(&(*item, class));
            let expected: Vec<u32> = accepted.iter().map(|(item, _)| *item).filter(|item| of_class(item)).collect();
            let found: Vec<u32> = line.items().into_iter().filter(|item| of_class(item)).collect();
            prop_assert_eq!(found, expected);
        }
        for (index, first) in line.left.iter().enumerate() {
            let mut bytes = 0;
            for last in &line.left[index..] {
                let made_up_us = late_us.min(LATE_MAX.as_micros() as u64);
                let allowed = pace * (last.at_us - first.at_us + 5_000 + made_up_us + 2) / 8_000_000;
                prop_assert!(bytes <= allowed + 1, "{} bytes before the last of {}", bytes, allowed);
                bytes += last.bytes as u64;
            }
        }
    }

    #[test]
    fn a_probe_has_its_rate_whatever_it_is_made_of(
        probe_bps in 300_000u64..50_000_000,
        estimate in 100_000u64..5_000_000,
        padding in 200usize..1_200,
        media in proptest::collection::vec((0u64..4_000, 100usize..1_300), 0..40),
        late_us in 0u64..1_000,
    ) {
        let mut line = Line::new(estimate, 0);
        line.padding = Some(padding);
        let least = (probe_bps * 15 / 8_000) as usize;
        line.pacer.start_probe(line.now, 9, probe_bps, 5, least);
        for (index, (gap_us, bytes)) in media.into_iter().enumerate() {
            line.video(index as u32..index as u32 + 1, bytes);
            line.run(Duration::from_micros(gap_us + late_us));
        }
        line.run(SECOND);
        let probe: Vec<&Left> = line.left.iter().filter(|left| left.probe == Some(9)).collect();
        let bytes: u64 = probe.iter().map(|left| left.bytes as u64).sum();
        prop_assert!(probe.len() >= 5 && bytes >= least as u64);
        prop_assert!(bytes <= least as u64 + probe_bps / 4_000 + 7 * 1_300, "no more than is wanted: {}", bytes);
        // As an estimator sees it: without what left last.
        let end = probe.last().expect("five").at_us;
        let before: u64 = probe.iter().filter(|left| left.at_us < end).map(|left| left.bytes as u64).sum();
        let rate = before * 8_000_000 / (end - probe[0].at_us);
        prop_assert!(rate * 10 >= probe_bps * 8 && rate * 10 <= probe_bps * 12, "{} of {}", rate, probe_bps);
    }

    #[test]
    fn anything_in_any_order_ends(
        steps in proptest::collection::vec((0u8..10, any::<u32>(), 0u64..30_000), 1..300),
    ) {
        let mut line = Line::new(500_000, 100_000);
        for (kind, value, gap_us) in steps {
            match kind {
                0 => line.pacer.set_rate(line.now, u64::from(value) << (value % 32), u64::from(value) % 50_000_000),
                1 => line.pacer.set_rate(line.now, u64::from(value % 3_000_000), 0),
                2 => line.pacer.start_probe(line.now, value, u64::from(value) * 4, value % 10, value as usize % 100_000),
                3 => line.pacer.handle_sent(line.now, value as usize),
                4 => line.pacer.handle_padding(line.now, value as usize),
                5 => line.padding = (value % 2 == 0).then_some(value as usize % 1_000 + 20),
                6 => _ = line.push(Class::Resend, value, value as usize % 1_500),
                7 => _ = line.pacer.pass(line.now, value as usize % 1_500),
                _ => (0..value % 50).for_each(|item| _ = line.push(Class::Video, item, value as usize % 1_500)),
            }
            line.run(Duration::from_micros(gap_us));
        }
        line.pacer.set_rate(line.now, 1_000_000, 0);
        line.run(10 * SECOND);
        prop_assert_eq!((line.pacer.queued(), line.pacer.bytes, line.pacer.since_us), (0, 0, 0));
        prop_assert_eq!(line.pacer.poll_timeout(), None);
    }
}
