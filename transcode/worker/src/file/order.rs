//! When samples are decoded that are not shown in the order they come in.
//!
//! In: a group of samples in decode order, and when the next group is shown. Out: decode times that fill exactly the time
//! in which the group is shown, none of them behind its sample's presentation time. So composition offsets are never
//! negative, which FFmpeg's demuxer takes for a delay of all pictures and not of their sound; nothing has to be decoded
//! before the asset begins; and no edit list is needed. Real decoders go by the order alone.

use super::cutter::Sample;

/// The decode times of a group that begins with what is shown first, and is shown until `until`. They are as even as
/// those it came with, but for its ends: a few are brought forward before the second picture is shown, and as much time
/// is given back behind the last, so that no sample reaches into the next group.
pub fn decode_times(samples: &[Sample], until: i64) -> Vec<i64> {
    let Some((first, rest)) = samples.split_first() else { return Vec::new() };
    let lead = first.pts - first.dts;
    let late = samples.iter().map(|sample| sample.dts + lead - sample.pts).max().unwrap_or(0).max(0);
    let second = rest.iter().map(|sample| sample.pts).min().unwrap_or(until);
    let mut times: Vec<i64> = samples.iter().map(|sample| (sample.dts + lead - late).max(second)).collect();
    times[0] = first.pts;
    let mut next = until;
    for (time, sample) in times.iter_mut().zip(samples).skip(1).rev() {
        *time = (*time).min(sample.pts).min(next - 1);
        next = *time;
    }
    // Of a short group the last to be shown may be among those; players take its end for that of everything.
    let last = samples.iter().enumerate().max_by_key(|(_, sample)| sample.pts).map_or(0, |(index, _)| index);
    let lasts = (until - samples[last].pts).min(second - first.pts);
    next = times.get(last + 1).copied().unwrap_or(until) - lasts + 1;
    for (index, time) in times.iter_mut().enumerate().take(last + 1).skip(1).rev() {
        *time = (*time).min(next - 1).max(first.pts + index as i64);
        next = *time;
    }
    next = until;
    for (time, sample) in times.iter_mut().zip(samples).skip(1).rev() {
        *time = (*time).max(next - (until - sample.pts).max(1));
        next = *time;
    }
    let ends = times.iter().skip(1).chain([&until]);
    if times.iter().zip(ends).all(|(time, end)| time < end) {
        return times;
    }
    // Presentation times of a broken file: what is left is the order.
    let step = ((until - first.pts) / samples.len() as i64).max(1);
    (0..samples.len() as i64).map(|index| first.pts + index * step).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: i64 = 3_000;

    /// Pictures that are shown in this order, decoded at an even rate, `delay` pictures before the first is shown.
    fn group(shown: &[i64], delay: i64) -> Vec<Sample> {
        let sample = |(index, shown): (i64, &i64)| {
            let (dts, pts) = ((index - delay) * FRAME, shown * FRAME);
            Sample { dts, pts, duration: FRAME, key: index == 0, data: Vec::new() }
        };
        (0..).zip(shown).map(sample).collect()
    }

    /// Decode times in pictures, and the ticks that are left over.
    fn times(shown: &[i64], delay: i64, until: i64) -> Vec<(i64, i64)> {
        let near = |time: i64| (time + FRAME / 2).div_euclid(FRAME);
        let of = decode_times(&group(shown, delay), until * FRAME);
        of.into_iter().map(|time| (near(time), time - near(time) * FRAME)).collect()
    }

    #[test]
    fn what_comes_in_the_order_of_showing_is_decoded_when_it_is_shown() {
        for delay in [0, 2] {
            assert_eq!(times(&[0, 1, 2, 3], delay, 4), [(0, 0), (1, 0), (2, 0), (3, 0)]);
        }
        assert_eq!(times(&[0], 2, 50), [(0, 0)]);
        assert_eq!(decode_times(&[], 5), []);
    }

    #[test]
    fn pictures_that_wait_for_others_are_decoded_early_and_the_last_last_longer() {
        // I P B b b P B b b
        let shown = [0, 4, 2, 1, 3, 8, 6, 5, 7];
        let wanted = [(0, 0), (1, -2), (1, -1), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (7, 0)];
        for delay in [2, 5] {
            assert_eq!(times(&shown, delay, 9), wanted);
        }
        assert_eq!(times(&[0, 2, 1, 3], 1, 4), [(0, 0), (1, -1), (1, 0), (3, 0)]);
        // The second is the last to be shown, and lasts as long as it is.
        assert_eq!(times(&[0, 3, 2, 1], 2, 4), [(0, 0), (0, 1), (1, -1), (1, 0)]);
    }

    #[test]
    fn broken_times_keep_their_order() {
        let mut broken = group(&[3, 1, 2, 2, 0], 0);
        broken[4].pts = -FRAME;
        for until in [i64::MIN / 4, 0, 1, 4 * FRAME, i64::MAX / 4] {
            let times = decode_times(&broken, until);
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        }
    }

    proptest! {
        #[test]
        fn none_is_decoded_after_it_is_shown_or_reaches_beyond_the_end(
            gaps in prop::collection::vec(50..9_000_i64, 1..40),
            places in prop::collection::vec(0..40_usize, 0..40),
            delay in 0..20_000_i64,
        ) {
            // Whatever order the encoder liked behind the first, at times however uneven.
            let shown: Vec<i64> = gaps.iter().scan(500, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut order: Vec<usize> = (1..shown.len()).collect();
            places.into_iter().enumerate().for_each(|(from, to)| {
                if from < order.len() && to < order.len() { order.swap(from, to); }
            });
            order.insert(0, 0);
            let sample = |(index, place): (usize, &usize)| {
                let (dts, pts) = (shown[index] - delay, shown[*place]);
                Sample { dts, pts, duration: 1, key: index == 0, data: Vec::new() }
            };
            let samples: Vec<Sample> = order.iter().enumerate().map(sample).collect();
            let until = shown[shown.len() - 1] + 3_000;
            let times = decode_times(&samples, until);
            prop_assert_eq!(times[0], shown[0]);
            let (ends, mut end_of_all) = (times.iter().skip(1).chain([&until]), 0);
            for ((time, end), sample) in times.iter().zip(ends).zip(&samples) {
                prop_assert!(time < end && *time <= sample.pts, "{:?} {:?}", times, samples);
                prop_assert!(sample.pts + end - time <= until, "{:?} {:?}", times, samples);
                end_of_all = end_of_all.max(sample.pts + end - time);
            }
            let second = shown.get(1).copied().unwrap_or(until);
            let lasts = 3_000.min(second - shown[0]) - samples.len() as i64;
            prop_assert!(end_of_all >= until - 3_000 + lasts, "{:?} {:?}", times, samples);
        }
    }
}
