//! Whose job is next.
//!
//! In: what is ready, and how much of whom is under way. Out: one of them. The first rendition of anybody's new asset goes
//! before everybody's posters, and those before everybody's extra renditions; among equals the owner of whom least is under
//! way, then the oldest.

use std::collections::BTreeMap;

use telstar_units::WallTime;

/// What a job is for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody waits for it to be playable.
    First,
    /// Somebody looks at a list and sees no picture of it yet. Takes seconds.
    Preview,
    /// It is playable, and gets better. May take hours.
    Extra,
}

/// A job that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub job: u64,
    /// Whose.
    pub owner: i64,
    /// What for.
    pub class: Class,
    /// Since when it is wanted.
    pub wanted_at: WallTime,
}

/// The job that is begun next; `running` are those of each owner under way.
pub fn next(ready: &[Candidate], running: &BTreeMap<i64, usize>) -> Option<Candidate> {
    let under_way = |owner: i64| running.get(&owner).copied().unwrap_or(0);
    ready.iter().copied().min_by_key(|one| (one.class, under_way(one.owner), one.wanted_at, one.job))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(job: u64, owner: i64, class: Class, secs: i64) -> Candidate {
        Candidate { job, owner, class, wanted_at: WallTime(secs * 1_000_000) }
    }

    /// The order in which all of them begin on a machine that does `at_once`, each ending as the next begins.
    fn order(mut ready: Vec<Candidate>, at_once: usize) -> Vec<u64> {
        let (mut order, mut running) = (Vec::new(), Vec::new());
        loop {
            if running.len() == at_once {
                running.remove(0);
            }
            let mut of = BTreeMap::new();
            running.iter().for_each(|owner| *of.entry(*owner).or_insert(0) += 1);
            let Some(begun) = next(&ready, &of) else { return order };
            ready.retain(|one| *one != begun);
            running.push(begun.owner);
            order.push(begun.job);
        }
    }

    #[test]
    fn a_new_assets_first_rendition_goes_before_everybodys_extra_ones() {
        let ready =
            vec![candidate(1, 1, Class::Extra, 1), candidate(2, 1, Class::Extra, 2), candidate(3, 2, Class::First, 9)];
        assert_eq!(order(ready, 1), [3, 1, 2]);
    }

    #[test]
    fn a_poster_waits_for_nobodys_ladder() {
        let ready = vec![
            candidate(1, 1, Class::Extra, 1),
            candidate(2, 2, Class::Preview, 2),
            candidate(3, 2, Class::First, 9),
        ];
        assert_eq!(order(ready, 1), [3, 2, 1]);
    }

    #[test]
    fn who_wants_much_does_not_keep_the_others_waiting() {
        let mut ready: Vec<Candidate> = (0..50).map(|job| candidate(job, 1, Class::First, job as i64)).collect();
        ready.push(candidate(100, 2, Class::First, 99));
        ready.push(candidate(101, 3, Class::First, 100));
        assert_eq!(&order(ready, 3)[..3], [0, 100, 101]);
    }

    #[test]
    fn nothing_is_next_when_nothing_is_ready() {
        assert_eq!(next(&[], &BTreeMap::new()), None);
    }
}
