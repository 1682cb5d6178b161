//! Two replicas of one series as one believable series.
//!
//! Thanos' penalty deduplication: the samples of the replica that was used last go on being used; the other one is passed over until its
//! next sample lies twice the last step ahead, so that two scrapers that are out of step do not give twice the samples. The result is that
//! of Thanos' compactor for samples of one kind, to the last sample, so its weakness too: what the replica not in use has near its end may
//! be passed over. More than two replicas are folded, one after the other.

use crate::series::overlap::Timed;
use crate::time::Timestamp;

/// By how much the replica that does not begin is passed over: as no step is known yet, one of common length, in milliseconds.
const FIRST_PENALTY: i64 = 5000;

/// One of the two replicas.
struct Side<'a, S> {
    /// What is left of it.
    samples: &'a [S],
    penalty: i64,
}

impl<'a, S: Timed> Side<'a, S> {
    const fn new(samples: &'a [S]) -> Self {
        Self { samples, penalty: 0 }
    }

    /// Time of the next sample.
    fn time(&self) -> Option<Timestamp> {
        self.samples.first().map(Timed::time)
    }

    /// Passes over what is not to be used behind `last`.
    fn pass(&mut self, last: Timestamp) {
        let from = last.saturating_add(1).saturating_add(self.penalty);
        while let [first, rest @ ..] = self.samples
            && first.time() < from
        {
            self.samples = rest;
        }
    }

    /// Takes the next sample.
    fn next(&mut self) -> Option<&'a S> {
        let (first, rest) = self.samples.split_first()?;
        self.samples = rest;
        Some(first)
    }
}

/// The samples of `base` and `other`, each with rising times, as one such run. Where both are as good, those of `base` are used.
pub(super) fn believable<S: Timed>(base: &[S], other: &[S]) -> Vec<S> {
    let mut used = Vec::with_capacity(base.len().max(other.len()));
    let (mut a, mut b) = (Side::new(base), Side::new(other));
    let mut last: Option<Timestamp> = None;
    loop {
        if let Some(last) = last {
            a.pass(last);
            b.pass(last);
        }
        let (winner, loser) = match (a.time(), b.time()) {
            (None, None) => return used,
            (Some(_), None) => (&mut a, None),
            (None, Some(_)) => (&mut b, None),
            (Some(ta), Some(tb)) if ta <= tb => (&mut a, Some(&mut b)),
            (Some(_), Some(_)) => (&mut b, Some(&mut a)),
        };
        let Some(sample) = winner.next() else { return used };
        winner.penalty = 0;
        if let Some(loser) = loser {
            let step = |last: Timestamp| sample.time().saturating_sub(last).saturating_mul(2);
            loser.penalty = last.map_or(FIRST_PENALTY, step);
        }
        last = Some(sample.time());
        used.push(sample.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use proptest::prelude::*;

    fn run(samples: &[(i64, i64)]) -> Vec<Sample> {
        samples.iter().map(|&(t, v)| Sample::float(t, v as f64)).collect()
    }

    #[test]
    fn the_replica_in_use_stays_in_use_until_it_has_a_gap() {
        let a = run(&[(0, 1), (10_000, 2), (20_000, 3), (50_000, 6), (60_000, 7)]);
        let b: Vec<_> = (0..7).map(|i| (1_000 + i * 10_000, (i + 1) * 10)).collect();
        let expected = run(&[(0, 1), (10_000, 2), (20_000, 3), (41_000, 50), (51_000, 60), (61_000, 70)]);
        assert_eq!(believable(&a, &run(&b)), expected);
    }

    /// As in Thanos: the first sample of the other lies within the penalty, and then there is no step in which it might win.
    #[test]
    fn the_tail_of_the_other_may_be_passed_over() {
        let a = run(&[(0, 1), (10_000, 2), (20_000, 3)]);
        let b = run(&[(0, 5), (10_000, 6), (20_000, 7), (30_000, 8)]);
        assert_eq!(believable(&a, &b), a);
    }

    /// The rule as it is told in words, with both replicas kept whole and looked through anew at each step.
    fn model(a: &[(i64, i64)], b: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut used: Vec<(i64, i64)> = Vec::new();
        let mut from = [i64::MIN; 2];
        let mut penalty = [0i64; 2];
        loop {
            let last = used.last().map(|used| used.0);
            if let Some(last) = last {
                for i in 0..2 {
                    from[i] = from[i].max(last + 1 + penalty[i]);
                }
            }
            let next = |run: &[(i64, i64)], from| run.iter().copied().find(|sample| sample.0 >= from);
            let (sample, winner, both) = match (next(a, from[0]), next(b, from[1])) {
                (None, None) => return used,
                (Some(a), Some(b)) if a.0 <= b.0 => (a, 0, true),
                (Some(_), Some(b)) => (b, 1, true),
                (Some(a), None) => (a, 0, false),
                (None, Some(b)) => (b, 1, false),
            };
            penalty[winner] = 0;
            if both {
                penalty[1 - winner] = last.map_or(5000, |last| 2 * (sample.0 - last));
            }
            used.push(sample);
        }
    }

    proptest! {
        #[test]
        fn as_told(
            a in proptest::collection::btree_map(0i64..60_000, 0i64..9, 0..60),
            b in proptest::collection::btree_map(0i64..60_000, 10i64..19, 0..60),
        ) {
            let (a, b): (Vec<_>, Vec<_>) = (a.into_iter().collect(), b.into_iter().collect());
            prop_assert_eq!(believable(&run(&a), &run(&b)), run(&model(&a, &b)));
        }
    }
}
