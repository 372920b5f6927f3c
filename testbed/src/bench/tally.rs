//! All reads there were: a wrong number counts wherever it came, in a window that is looked at or in none.

use super::load::{Read, Verdict};
use serde::Serialize;
use std::iter::Sum;

/// How many reads there were, those of warm-ups and between windows included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All of them.
    pub reads: usize,
    /// How many got a number that was not theirs.
    pub wrong: usize,
}

impl Tally {
    pub(super) fn of<'a>(reads: impl IntoIterator<Item = &'a Read>) -> Self {
        reads.into_iter().map(|read| Self { reads: 1, wrong: (read.verdict == Verdict::Wrong).into() }).sum()
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |all, one| Self {
            reads: all.reads + one.reads,
            wrong: all.wrong + one.wrong,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_read_counts_and_only_a_number_that_is_not_its_own_is_wrong() {
        let read =
            |verdict| Read { planned: Duration::ZERO, late: Duration::ZERO, took: Duration::ZERO, verdict };
        let part = Tally::of(&[Verdict::Right, Verdict::Failed, Verdict::Wrong].map(read));
        assert_eq!(part, Tally { reads: 3, wrong: 1 });
        assert_eq!([part, part].into_iter().sum::<Tally>(), Tally { reads: 6, wrong: 2 });
    }
}
