use super::*;

const LIMITED: Situation = Situation { estimate: 1_000_000.0, is_congested: false, is_limited: true };

/// Probes of so many seconds, each with its second; every one is sent, and answered when `answer` says with which part of its rate.
fn probes(probing: &mut Probing, secs: u64, situation: Situation, answer: Option<f64>) -> Vec<(f64, u64)> {
    let mut all = Vec::new();
    for now in (0..secs * SECOND).step_by(25_000) {
        probing.handle_time(now, situation);
        while let Some(probe) = probing.poll() {
            all.push((now as f64 / 1e6, probe.bps));
            probing.handle_sent(probe.id);
            if let Some(part) = answer {
                probing.handle_answer();
                probing.handle_result(now, probe.bps as f64 * part, situation);
            }
        }
    }
    all
}

#[test]
fn the_first_two_are_of_three_and_six_times_the_estimate_and_no_more_than_twice_what_is_wanted() {
    for (wanted, rates) in [(10_000_000.0, [3_000_000, 6_000_000]), (2_000_000.0, [3_000_000, 4_000_000])] {
        let mut probing = Probing::new(1);
        probing.set_wanted(wanted);
        let first: Vec<u64> = probes(&mut probing, 1, LIMITED, None).iter().map(|(_, bps)| *bps).collect();
        assert_eq!(first, rates);
    }
}

#[test]
fn a_probe_that_finds_nothing_is_repeated_at_most_every_4_s_by_a_sender_that_sends_little() {
    let mut probing = Probing::new(1);
    probing.set_wanted(5_000_000.0);
    let all = probes(&mut probing, 60, LIMITED, Some(0.4));
    let gaps: Vec<f64> = all.windows(2).skip(1).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| (1.5..=4.05).contains(gap)), "{gaps:?}");
    assert!(gaps.last().is_some_and(|gap| *gap > 3.9));
    let mut probing = Probing::new(1);
    probing.set_wanted(5_000_000.0);
    let using = probes(&mut probing, 60, Situation { is_limited: false, ..LIMITED }, Some(0.4));
    assert!(using.len() < all.len(), "one that uses its path is disturbed less");
}

#[test]
fn the_first_two_are_tried_three_times_when_nothing_comes_back_and_for_ever_when_none_could_be_sent() {
    let mut probing = Probing::new(1);
    probing.set_wanted(5_000_000.0);
    let all = probes(&mut probing, 10, LIMITED, None);
    assert_eq!(all.iter().filter(|(_, bps)| *bps == 6_000_000).count(), 3);
    let mut probing = Probing::new(1);
    probing.set_wanted(5_000_000.0);
    for second in 0..20 {
        probing.handle_time(second * SECOND, LIMITED);
        assert_eq!(probing.poll().map(|probe| probe.bps), Some(3_000_000), "{second}");
        assert_eq!(probing.poll().map(|probe| probe.bps), Some(6_000_000));
    }
}

#[test]
fn nothing_is_looked_for_while_the_path_is_congested_or_nothing_is_wanted() {
    let mut probing = Probing::new(1);
    assert_eq!(probes(&mut probing, 20, LIMITED, None), []);
    assert_eq!(probing.timeout(0, LIMITED), None);
    probing.set_wanted(900_000.0);
    assert_eq!(probes(&mut probing, 20, LIMITED, None), []);
    probing.set_wanted(9_000_000.0);
    assert_eq!(probes(&mut probing, 20, Situation { is_congested: true, ..LIMITED }, None), []);
}

#[test]
fn what_was_before_a_large_fall_is_looked_for_once_it_ended() {
    let mut probing = Probing::new(1);
    probing.set_wanted(5_000_000.0);
    probes(&mut probing, 2, LIMITED, Some(0.4));
    let fell = 10 * SECOND;
    probing.handle_fall(fell, 3_000_000.0, 1_600_000.0);
    probing.handle_fall(fell + SECOND / 2, 1_600_000.0, 1_000_000.0);
    let mut sent = Vec::new();
    // The periodic ones are not due: one was sent.
    probing.last = probing.last.map(|last| Last { at: fell, ..last });
    for now in (fell..fell + 2 * SECOND).step_by(25_000) {
        probing.handle_time(now, LIMITED);
        sent.extend(probing.poll().map(|probe| (now, probe.bps)));
    }
    assert_eq!(sent[0], (fell + SECOND * 3 / 2, 2_550_000));
}
