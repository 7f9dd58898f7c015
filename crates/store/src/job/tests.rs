//! A model of a job among workers that crash, hang and speak late, over random histories.

use proptest::prelude::*;

use super::*;

const NOW: WallTime = WallTime(1_800_000_000_000_000);

fn secs(secs: u64) -> WallTime {
    after(NOW, Duration::from_secs(secs))
}

#[test]
fn a_job_waits_for_those_before_it() {
    let mut job = Job::new(NOW, 2);
    assert_eq!(job.lease(NOW), Err(Refusal::NotReady));
    job.handle_unblocked(NOW);
    assert_eq!(job.lease(NOW), Err(Refusal::NotReady));
    job.handle_unblocked(secs(5));
    assert_eq!(job.state, State::Ready(secs(5)));
    job.handle_blocked();
    assert_eq!(job.state, State::Blocked(1), "the first was asked for again");
    job.handle_unblocked(secs(6));
    assert_eq!(job.lease(secs(6)), Ok(Attempt(1)));
    assert_eq!(job.lease(secs(6)), Err(Refusal::NotReady), "once at a time");
}

#[test]
fn who_lost_the_lease_commits_nothing() {
    let mut job = Job::new(NOW, 0);
    let first = job.lease(NOW).expect("it is ready");
    assert_eq!(job.heartbeat(secs(20), first), Ok(()));
    assert_eq!(job.handle_timeout(secs(49)), None, "the heartbeat counts");
    assert_eq!(job.complete(secs(50), first), Err(Refusal::LeaseLost), "its lease has ended, noticed or not");
    assert_eq!(job.handle_timeout(secs(50)), Some(first));
    let second = job.lease(secs(52)).expect("behind the back-off");
    assert_ne!(first, second);
    assert_eq!(job.heartbeat(secs(53), first), Err(Refusal::LeaseLost));
    assert_eq!(job.fail(secs(53), first, Failure::Permanent), Err(Refusal::LeaseLost));
    assert_eq!(job.complete(secs(53), second), Ok(()));
    assert_eq!(job.complete(secs(53), second), Err(Refusal::LeaseLost), "once");
}

#[test]
fn each_failure_waits_longer_and_the_last_gives_up() {
    let mut job = Job::new(NOW, 0);
    let (mut now, mut waits) = (NOW, Vec::new());
    while let Ok(attempt) = job.lease(now) {
        job.fail(now, attempt, Failure::Transient).expect("it is the current one");
        let State::Ready(from) = job.state else { break };
        assert_eq!(job.lease(WallTime(from.0 - 1)), Err(Refusal::NotReady));
        waits.push((from.0 - now.0) / 1_000_000);
        now = from;
    }
    assert_eq!((waits.as_slice(), job.state), ([2, 8, 32, 128].as_slice(), State::Failed));
    job.requeue(now, 0).expect("by hand");
    assert_eq!(job.lease(now), Ok(Attempt(6)), "numbers go on");
    assert_eq!(job.fail(now, Attempt(6), Failure::Permanent), Ok(()));
    assert_eq!(job.state, State::Failed, "no attempt would succeed");
}

#[test]
fn a_server_that_stops_fails_nobody() {
    let mut job = Job::new(NOW, 0);
    for number in 1..20 {
        let attempt = job.lease(NOW).expect("it is ready");
        assert_eq!(attempt, Attempt(number));
        job.release(NOW, attempt).expect("it is the current one");
    }
    assert_eq!(job.failures, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Timeout,
    Lease,
    Unblock,
    Block,
    Cancel,
    Requeue(u32),
    /// What the worker of one of the latest attempts does, the current one or an old one.
    Heartbeat(usize),
    Complete(usize),
    Fail(usize, bool),
    Release(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_u64).prop_map(Step::Pass),
        Just(Step::Timeout),
        Just(Step::Lease),
        Just(Step::Unblock),
        Just(Step::Block),
        Just(Step::Cancel),
        (0..3_u32).prop_map(Step::Requeue),
        (0..3_usize).prop_map(Step::Heartbeat),
        (0..3_usize).prop_map(Step::Complete),
        (0..3_usize, any::<bool>()).prop_map(|(who, permanent)| Step::Fail(who, permanent)),
        (0..3_usize).prop_map(Step::Release),
    ]
}

/// What must hold whatever happens, kept beside the job in the simplest way.
#[derive(Default)]
struct Model {
    /// Attempts that believe that they have the job.
    workers: Vec<Attempt>,
    /// Until when the last lease holds.
    until: Option<(Attempt, WallTime)>,
    commits_since_asked: u32,
}

proptest! {
    #[test]
    fn one_lease_at_a_time_and_one_commit_each_time_it_is_wanted(blockers in 0..3_u32, steps in prop::collection::vec(step(), 1..200)) {
        let (mut job, mut now, mut model) = (Job::new(NOW, blockers), NOW, Model::default());
        for step in steps {
            let before = job;
            let who = |index: usize| model.workers.iter().rev().nth(index).copied();
            match step {
                Step::Pass(passed) => now = after(now, Duration::from_secs(passed)),
                Step::Timeout => {
                    if let Some(lost) = job.handle_timeout(now) {
                        prop_assert!(model.until.is_some_and(|(attempt, until)| attempt == lost && until <= now));
                        model.until = None;
                    }
                }
                Step::Lease => if let Ok(attempt) = job.lease(now) {
                    prop_assert!(model.until.is_none(), "two leases at once");
                    prop_assert!(!model.workers.contains(&attempt), "a number came twice");
                    prop_assert!(matches!(before.state, State::Ready(from) if from <= now));
                    model.workers.push(attempt);
                    model.until = Some((attempt, after(now, LEASE)));
                },
                Step::Unblock => job.handle_unblocked(now),
                Step::Block => job.handle_blocked(),
                Step::Cancel => if job.cancel().is_ok() {
                    prop_assert!(!before.is_over());
                    model.until = None;
                },
                Step::Requeue(blockers) => if job.requeue(now, blockers).is_ok() {
                    prop_assert!(before.is_over());
                    model.commits_since_asked = 0;
                },
                Step::Heartbeat(index) | Step::Complete(index) | Step::Fail(index, _) | Step::Release(index) => {
                    let Some(attempt) = who(index) else { continue };
                    let holds = model.until.is_some_and(|(current, until)| current == attempt && now < until);
                    let outcome = match step {
                        Step::Heartbeat(_) => job.heartbeat(now, attempt),
                        Step::Complete(_) => job.complete(now, attempt),
                        Step::Fail(_, true) => job.fail(now, attempt, Failure::Permanent),
                        Step::Fail(_, false) => job.fail(now, attempt, Failure::Transient),
                        _ => job.release(now, attempt),
                    };
                    prop_assert_eq!(outcome.is_ok(), holds);
                    prop_assert!(holds || job == before, "who is refused changes nothing");
                    if holds {
                        model.until = match step {
                            Step::Heartbeat(_) => Some((attempt, after(now, LEASE))),
                            _ => None,
                        };
                        model.commits_since_asked += u32::from(matches!(step, Step::Complete(_)));
                    }
                }
            }
            prop_assert_eq!(model.until.is_some(), matches!(job.state, State::Leased(..)));
            prop_assert_eq!(job.poll_timeout(), model.until.map(|(_, until)| until));
            prop_assert!(job.attempts >= before.attempts && job.failures <= FAILURES_MAX);
            prop_assert_eq!(job.state == State::Done, model.commits_since_asked == 1);
            prop_assert!(model.commits_since_asked <= 1);
        }
    }
}
