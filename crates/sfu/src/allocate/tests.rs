use super::*;
use proptest::prelude::*;

/// Three layers as our clients send them: 150, 500 and 1,700 kbit/s.
fn camera(track: u64) -> Wanted {
    let sizes = [(320, 180, 150_000), (640, 360, 500_000), (1_280, 720, 1_700_000)];
    let option = |(rung, (width, height, bitrate_bps)): (usize, (u16, u16, u64))| LayerOption {
        layer: Layer::whole(rung as u8),
        width,
        height,
        frame_rate: 30,
        bitrate_bps,
    };
    Wanted {
        track: TrackId(track),
        source: Source::Person,
        subscription: Subscription::default(),
        options: sizes.into_iter().enumerate().map(option).collect(),
    }
}

fn screen(track: u64, bitrate_bps: u64) -> Wanted {
    let layer = Layer::whole(0);
    let options = vec![LayerOption { layer, width: 1_920, height: 1_080, frame_rate: 15, bitrate_bps }];
    Wanted { source: Source::Screen, options, ..camera(track) }
}

fn rungs(allocation: &Allocation) -> Vec<Option<u8>> {
    allocation.assigned.iter().map(|(_, layer)| layer.map(|layer| layer.rung)).collect()
}

/// What a fresh allocator says, whose estimate has no past.
fn check(estimate_bps: u64, wanted: &[Wanted], expect: &[Option<u8>]) {
    let allocation = Allocator::new().allocate(Instant::now(), estimate_bps, 0, wanted);
    assert_eq!(rungs(&allocation), expect, "{estimate_bps}");
}

#[test]
fn everybody_gets_the_lowest_layer_before_anybody_gets_more() {
    let three = [camera(1), camera(2), camera(3)];
    check(10_000_000, &three, &[Some(2), Some(2), Some(2)]);
    check(1_700_000, &three, &[Some(1), Some(1), Some(1)]);
    check(1_000_000, &three, &[Some(1), Some(0), Some(0)]);
    check(450_000, &three, &[Some(0), Some(0), Some(0)]);
    check(449_999, &three, &[Some(0), Some(0), None]);
    check(100_000, &three, &[None, None, None]);
    check(0, &three, &[None, None, None]);
}

#[test]
fn the_screen_comes_first_and_then_priority() {
    let mut dear = camera(9);
    dear.subscription.priority = 200;
    let all = [camera(1), dear, screen(12, 1_000_000)];
    check(1_000_000, &all, &[None, None, Some(0)]);
    check(1_150_000, &all, &[None, Some(0), Some(0)]);
    check(1_900_000, &all, &[Some(0), Some(1), Some(0)]);
}

#[test]
fn a_screen_that_begins_takes_what_cameras_had_above_their_lowest() {
    let (mut allocator, start) = (Allocator::new(), Instant::now());
    let cameras = [camera(1), camera(2)];
    assert_eq!(rungs(&allocator.allocate(start, 4_000_000, 0, &cameras)), [Some(2), Some(2)]);
    let all = [camera(1), camera(2), screen(3, 2_500_000)];
    let after = allocator.allocate(start + Duration::from_millis(1), 4_000_000, 0, &all);
    assert_eq!(rungs(&after), [Some(1), Some(1), Some(0)]);
}

#[test]
fn no_layer_larger_or_faster_than_the_request_is_sent() {
    let mut tile = camera(1);
    (tile.subscription.width, tile.subscription.height) = (300, 170);
    check(10_000_000, &[tile.clone()], &[Some(0)]);
    (tile.subscription.width, tile.subscription.height) = (500, 300);
    check(10_000_000, &[tile.clone()], &[Some(1)]);
    (tile.subscription.width, tile.subscription.height) = (4_000, 3_000);
    check(10_000_000, &[tile.clone()], &[Some(2)]);
    tile.subscription = Subscription { frame_rate: 15, ..Subscription::default() };
    tile.options = (0..3u8)
        .map(|temporal| LayerOption {
            layer: Layer { rung: 0, temporal },
            frame_rate: 8 << temporal,
            ..tile.options[usize::from(temporal)]
        })
        .collect();
    let allocation = Allocator::new().allocate(Instant::now(), 10_000_000, 0, &[tile]);
    assert_eq!(allocation.assigned[0].1, Some(Layer { rung: 0, temporal: 1 }));
}

#[test]
fn tracks_that_are_paused_or_not_wanted_take_nothing() {
    let (mut paused, mut disabled) = (camera(1), camera(2));
    paused.subscription.paused = true;
    disabled.subscription.enabled = false;
    let allocation = Allocator::new().allocate(Instant::now(), 10_000_000, 64_000, &[paused, disabled]);
    assert_eq!(rungs(&allocation), [None, None]);
    assert_eq!((allocation.total_bps, allocation.desired_bps), (64_000, 64_000));
}

#[test]
fn audio_is_reserved_before_any_picture() {
    let allocation = Allocator::new().allocate(Instant::now(), 250_000, 101_000, &[camera(1)]);
    assert_eq!((rungs(&allocation), allocation.total_bps), (vec![None], 101_000));
    assert_eq!(allocation.desired_bps, 1_801_000);
}

#[test]
fn a_layer_that_costs_as_much_as_a_better_one_is_not_used() {
    let mut wanted = camera(1);
    wanted.options[0].bitrate_bps = 600_000;
    check(650_000, &[wanted], &[Some(1)]);
}

/// Runs `estimate` over `secs`; returns how often the camera's layer changed, and its last rung.
fn run(secs: u64, estimate: impl Fn(u64) -> u64) -> (usize, Option<u8>) {
    let (mut allocator, start) = (Allocator::new(), Instant::now());
    let mut seen: Vec<Option<u8>> = vec![];
    for millis in (0..secs * 1_000).step_by(200) {
        let now = start + Duration::from_millis(millis);
        let allocation = allocator.allocate(now, estimate(millis), 0, &[camera(1)]);
        assert!(allocation.total_bps <= estimate(millis), "at {millis}");
        seen.push(rungs(&allocation)[0]);
    }
    seen.dedup();
    (seen.len() - 1, seen.last().copied().flatten())
}

#[test]
fn down_is_at_once_and_up_after_the_hold_time() {
    let (mut allocator, start) = (Allocator::new(), Instant::now());
    let mut at = |millis, estimate| {
        rungs(&allocator.allocate(start + Duration::from_millis(millis), estimate, 0, &[camera(1)]))[0]
    };
    assert_eq!(at(0, 3_000_000), Some(2));
    assert_eq!(at(30_000, 3_000_000), Some(2));
    assert_eq!(at(30_100, 300_000), Some(0));
    assert_eq!(at(31_000, 3_000_000), Some(0));
    assert_eq!(at(32_300, 3_000_000), Some(0), "the estimate has been up for 1.3 s");
    assert_eq!(at(32_600, 3_000_000), Some(2));
}

#[test]
fn a_rise_needs_headroom_that_staying_does_not() {
    assert_eq!(run(60, |_| 1_800_000), (0, Some(1)), "1.7 Mbit/s are more than 90 %");
    assert_eq!(run(60, |millis| if millis < 5_000 { 2_000_000 } else { 1_700_000 }), (0, Some(2)));
}

#[test]
fn an_estimate_that_oscillates_does_not_make_the_picture_flap() {
    // Faster than the hold time: it stays below.
    let (changes, last) = run(60, |millis| if millis / 500 % 2 == 0 { 2_500_000 } else { 1_200_000 });
    assert!(changes <= 1, "{changes}");
    assert_eq!(last, Some(1));
    // Slower than the hold time: each rise that did not last makes the next wait longer.
    let (changes, _) = run(120, |millis| if millis / 4_000 % 2 == 0 { 2_500_000 } else { 1_200_000 });
    assert!(changes <= 8, "{changes} in 15 periods");
}

#[test]
fn the_top_layer_is_back_within_five_seconds_of_the_end_of_a_limit() {
    let estimate = |millis: u64| if (10_000..40_000).contains(&millis) { 300_000 } else { 5_000_000 };
    assert_eq!(run(39, estimate).1, Some(0));
    assert_eq!(run(45, estimate).1, Some(2));
}

#[test]
fn more_tracks_than_there_may_be_get_nothing() {
    let crowd: Vec<_> = (0..150).map(camera).collect();
    let allocation = Allocator::new().allocate(Instant::now(), u64::MAX, 0, &crowd);
    assert_eq!(allocation.assigned.iter().filter(|(_, layer)| layer.is_some()).count(), TRACKS_MAX);
}

fn any_wanted() -> impl Strategy<Value = Vec<Wanted>> {
    let option = (0u8..4, 0u8..3, 0u16..2_000, 0u8..60, 0u64..4_000_000);
    let one = (0u8..3, any::<u8>(), 0u16..2_000, 0u8..60, proptest::collection::vec(option, 0..12));
    proptest::collection::vec(one, 0..20).prop_map(|tracks| {
        let wanted = tracks.into_iter().enumerate().map(|(index, (source, priority, size, frame_rate, options))| {
            let options = options.into_iter().map(|(rung, temporal, size, frame_rate, bitrate_bps)| LayerOption {
                layer: Layer { rung, temporal },
                width: size,
                height: size / 2,
                frame_rate,
                bitrate_bps,
            });
            Wanted {
                track: TrackId(index as u64),
                source: [Source::Person, Source::Screen, Source::Other][usize::from(source)],
                subscription: Subscription { priority, width: size, frame_rate, ..Subscription::default() },
                options: options.collect(),
            }
        });
        wanted.collect()
    })
}

proptest! {
    #[test]
    fn the_sum_never_exceeds_the_estimate_and_the_answer_is_the_same_again(
        wanted in any_wanted(),
        steps in proptest::collection::vec((0u64..3_000, 0u64..20_000_000, 0u64..500_000), 1..40),
    ) {
        let (mut first, mut second, start) = (Allocator::new(), Allocator::new(), Instant::now());
        let mut millis = 0;
        for (passed, estimate, audio) in steps {
            millis += passed;
            let now = start + Duration::from_millis(millis);
            let allocation = first.allocate(now, estimate, audio, &wanted);
            prop_assert!(allocation.total_bps <= estimate.max(audio));
            prop_assert!(allocation.desired_bps >= allocation.total_bps);
            let rate = |(wanted, (_, layer)): (&Wanted, &(TrackId, Option<Layer>))| {
                let options = wanted.options.iter().filter(|option| Some(option.layer) == *layer);
                options.map(|option| option.bitrate_bps).min().unwrap_or(0)
            };
            prop_assert!(wanted.iter().zip(&allocation.assigned).map(rate).sum::<u64>() + audio <= allocation.total_bps);
            prop_assert_eq!(allocation, second.allocate(now, estimate, audio, &wanted));
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A steady estimate is settled by the second answer after the longest wait, and never changes again; what is
    /// paused then would not have fitted.
    #[test]
    fn a_steady_estimate_settles(wanted in any_wanted(), before in 0u64..20_000_000, estimate in 0u64..20_000_000) {
        let (mut allocator, start) = (Allocator::new(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        for millis in (0..5_000).step_by(500) {
            allocator.allocate(at(millis), before, 0, &wanted);
        }
        for millis in (5_000..60_000).step_by(500) {
            allocator.allocate(at(millis), estimate, 0, &wanted);
        }
        let settled = allocator.allocate(at(60_000), estimate, 0, &wanted);
        for millis in (60_500..90_000).step_by(500) {
            prop_assert_eq!(&allocator.allocate(at(millis), estimate, 0, &wanted), &settled);
        }
        let desired = settled.desired_bps;
        if desired <= estimate * 9 / 10 {
            prop_assert_eq!(settled.total_bps, desired, "there was room for everything");
        }
    }

}

proptest! {
    #[test]
    fn a_more_important_track_is_never_worse_off_than_an_equal_one(estimate in 0u64..6_000_000, priority in 129u8..) {
        let mut dear = camera(2);
        dear.subscription.priority = priority;
        let allocation = Allocator::new().allocate(Instant::now(), estimate, 0, &[camera(1), dear]);
        let got = rungs(&allocation);
        prop_assert!(got[1] >= got[0]);
    }
}
