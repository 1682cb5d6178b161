//! Many replicas of one series as one, sample by sample, as a querier of Thanos gives it.
//!
//! The rule is that of `dedup.rs`, for any number of replicas: they are folded from the left, `((1, 2), 3)`, each fold being a pair with
//! penalties of its own. For counters there is more to it: where a pair turns from one side to the other and the new value is less than
//! the last one, all later values of that replica are raised by the difference, for a counter does not fall. Replicas come as slices
//! whose last sample may lie behind the end that was asked for: a reader that seeks, as this rule does, stops there and not before it.
//!
//! Not for storing: a compaction uses `dedup.rs`, which knows no counters.

use crate::series::overlap::Timed;
use crate::time::Timestamp;

/// By how much the side that does not begin is passed over, in milliseconds.
const FIRST_PENALTY: i64 = 5000;

/// More replicas than these are never met, and each is a step in depth. What lies beyond is left out, as what a penalty passes over.
const MOST: usize = 256;

/// One replica: what it holds, and where its reader stands.
#[derive(Debug)]
struct Leaf<'a, S> {
    samples: &'a [S],
    /// Index of the sample it stands at, once it was asked.
    at: usize,
    begun: bool,
    /// What is added to its values.
    raise: f64,
}

/// What a pair remembers. Its left side is the pair before it, or the first replica; its right one a replica.
#[derive(Debug)]
struct Pair {
    /// Whether the left side stands at a sample, and the right one.
    on: (bool, bool),
    penalty: (i64, i64),
    /// Whether the left side is in use.
    left: bool,
    /// Whether the value comes from the left side: as `left`, but for the time after both ended.
    value_left: bool,
    last: Option<Timestamp>,
}

/// The samples of several replicas as those of one series.
#[derive(Debug)]
pub struct Replicas<'a, S> {
    leaves: Vec<Leaf<'a, S>>,
    pairs: Vec<Pair>,
    max: Timestamp,
    counter: bool,
    /// Which replica gave the last sample, and which of its samples that was.
    given: Option<(usize, usize)>,
}

impl<S: Timed> Iterator for Replicas<'_, S> {
    type Item = S;

    fn next(&mut self) -> Option<S> {
        let top = self.leaves.len().checked_sub(1)?;
        if self.step(top) { self.sample(top) } else { None }
    }
}

impl<'a, S: Timed> Replicas<'a, S> {
    /// Of `replicas`, each with rising times; among equal times the earlier one counts. Of what lies behind `max` a replica should hold the
    /// first sample and nothing else. The values of a `counter` never fall from sample to sample but by a replica's own resets.
    pub fn new(replicas: impl IntoIterator<Item = &'a [S]>, max: Timestamp, counter: bool) -> Self {
        let leaf = |samples| Leaf { samples, at: 0, begun: false, raise: 0.0 };
        let leaves: Vec<_> = replicas.into_iter().take(MOST).map(leaf).collect();
        let counter = counter && leaves.len() > 1;
        let mut all = Self { pairs: Vec::with_capacity(leaves.len()), leaves, max, counter, given: None };
        for right in 1..all.leaves.len() {
            let on = (all.step(right - 1), all.leaf_step(right));
            all.pairs.push(Pair { on, penalty: (0, 0), left: true, value_left: true, last: None });
        }
        all
    }

    /// The first sample from `t` on that is reached step by step, the present one included. As in Thanos, one that was never asked for its next
    /// sample says that it stands at the first of its first replica.
    pub fn seek(&mut self, t: Timestamp) -> Option<S> {
        let top = self.leaves.len().checked_sub(1)?;
        if top == 0 {
            if self.leaves.first().is_some_and(|leaf| !leaf.begun) && !self.leaf_step(0) {
                return None;
            }
            return if self.leaf_seek(0, t) { self.sample(0) } else { None };
        }
        if self.pair_seek(top, t) { self.sample(top) } else { None }
    }

    /// The sample that node `node` stands at.
    fn sample(&mut self, node: usize) -> Option<S> {
        let leaf = self.source(node);
        let found = self.leaves.get(leaf)?;
        let sample = found.samples.get(found.at)?;
        // What a histogram says of the one before it is true only right behind that.
        let follows = self.given.is_some_and(|(before, at)| before == leaf && found.at <= at + 1);
        self.given = Some((leaf, found.at));
        let raised = if self.counter { sample.raised(found.raise) } else { None };
        Some(raised.unwrap_or_else(|| if follows { sample.clone() } else { sample.told_apart() }))
    }

    /// The replica whose value a node shows.
    fn source(&self, node: usize) -> usize {
        let mut node = node;
        while let Some(pair) = node.checked_sub(1).and_then(|n| self.pairs.get(n)) {
            if !pair.value_left {
                return node;
            }
            node -= 1;
        }
        0
    }

    fn time(&self, node: usize) -> Timestamp {
        let mut node = node;
        while let Some(pair) = node.checked_sub(1).and_then(|n| self.pairs.get(n)) {
            if !pair.left {
                return self.leaf_time(node);
            }
            node -= 1;
        }
        self.leaf_time(0)
    }

    fn leaf_time(&self, leaf: usize) -> Timestamp {
        let Some(leaf) = self.leaves.get(leaf) else { return Timestamp::MIN };
        leaf.samples.get(leaf.at).or(leaf.samples.last()).map_or(0, Timed::time)
    }

    /// The number that a node shows, with what is added to it.
    fn float(&self, node: usize) -> Option<f64> {
        let leaf = self.leaves.get(self.source(node))?;
        Some(leaf.samples.get(leaf.at)?.float()? + leaf.raise)
    }

    fn step(&mut self, node: usize) -> bool {
        if node == 0 { self.leaf_step(0) } else { self.pair_step(node) }
    }

    fn seek_node(&mut self, node: usize, t: Timestamp) -> bool {
        if node == 0 { self.leaf_seek(0, t) } else { self.pair_seek(node, t) }
    }

    fn leaf_step(&mut self, leaf: usize) -> bool {
        let max = self.max;
        let Some(leaf) = self.leaves.get_mut(leaf) else { return false };
        leaf.at = if leaf.begun { (leaf.at + 1).min(leaf.samples.len()) } else { 0 };
        leaf.begun = true;
        leaf.samples.get(leaf.at).is_some_and(|sample| sample.time() <= max)
    }

    fn leaf_seek(&mut self, leaf: usize, t: Timestamp) -> bool {
        let max = self.max;
        let Some(leaf) = self.leaves.get_mut(leaf) else { return false };
        if t > max {
            return false;
        }
        while leaf.samples.get(leaf.at).is_some_and(|sample| sample.time() < t) {
            leaf.at += 1;
        }
        leaf.at < leaf.samples.len()
    }

    fn pair_seek(&mut self, node: usize, t: Timestamp) -> bool {
        loop {
            let time = self.time(node);
            if time >= t {
                let left = node.checked_sub(1).and_then(|n| self.pairs.get(n)).is_some_and(|pair| pair.left);
                return if left { self.seek_node(node - 1, time) } else { self.leaf_seek(node, time) };
            }
            if !self.pair_step(node) {
                return false;
            }
        }
    }

    fn pair_step(&mut self, node: usize) -> bool {
        let Some(before) = node.checked_sub(1) else { return false };
        let Some(&Pair { on, penalty, left, last, .. }) = self.pairs.get(before) else { return false };
        let shown = if self.counter && (if left { on.0 } else { on.1 }) { self.float(node) } else { None };
        let from =
            |penalty| last.map_or(Timestamp::MIN, |last| last.saturating_add(1).saturating_add(penalty));
        let on =
            (on.0 && self.seek_node(before, from(penalty.0)), on.1 && self.leaf_seek(node, from(penalty.1)));
        let times = (self.time(before), self.leaf_time(node));
        let Some(pair) = self.pairs.get_mut(before) else { return false };
        pair.on = on;
        let step = |t: Timestamp| last.map_or(FIRST_PENALTY, |last| t.saturating_sub(last).saturating_mul(2));
        match on {
            (false, false) => {
                pair.left = false;
                return false;
            }
            (false, true) => (pair.left, pair.penalty.1) = (false, 0),
            (true, false) => (pair.left, pair.penalty.0) = (true, 0),
            (true, true) if times.0 <= times.1 => {
                (pair.left, pair.penalty) = (true, (0, step(times.0)));
            }
            (true, true) => (pair.left, pair.penalty) = (false, (step(times.1), 0)),
        }
        pair.value_left = pair.left;
        pair.last = Some(if pair.left { times.0 } else { times.1 });
        if pair.left != left
            && let Some(shown) = shown
        {
            self.raise_sides(node, on, shown);
        }
        true
    }

    /// Raises both sides of a pair to at least `to`, where they stand at numbers.
    fn raise_sides(&mut self, node: usize, on: (bool, bool), to: f64) {
        if on.1 && self.float_kind(node) {
            self.raise_leaf(node, to);
        }
        if on.0 && node.checked_sub(1).is_some_and(|before| self.float(before).is_some()) {
            self.raise_node(node - 1, to);
        }
    }

    fn raise_node(&mut self, node: usize, to: f64) {
        match node.checked_sub(1).and_then(|n| self.pairs.get(n)).map(|pair| pair.on) {
            Some(on) => self.raise_sides(node, on, to),
            None => self.raise_leaf(node, to),
        }
    }

    fn float_kind(&self, leaf: usize) -> bool {
        self.leaves.get(leaf).and_then(|leaf| leaf.samples.get(leaf.at)).is_some_and(|s| s.float().is_some())
    }

    fn raise_leaf(&mut self, leaf: usize, to: f64) {
        let Some(leaf) = self.leaves.get_mut(leaf) else { return };
        let Some(value) = leaf.samples.get(leaf.at).and_then(Timed::float) else { return };
        let value = value + leaf.raise;
        if to > value {
            leaf.raise += to - value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{Histogram, ResetHint};
    use crate::sample::{Sample, Value};
    use crate::series::dedup::believable;
    use proptest::prelude::*;

    type Float = (Timestamp, f64);

    fn one(replicas: &[Vec<Float>], max: Timestamp, counter: bool) -> Vec<Float> {
        let mut all = Replicas::new(replicas.iter().map(Vec::as_slice), max, counter);
        std::iter::from_fn(|| all.next()).collect()
    }

    /// Replicas that scrape every ten seconds or so, each out of step with the others, with gaps; values never fall.
    fn replicas() -> impl Strategy<Value = Vec<Vec<Float>>> {
        let step = (9_000i64..11_000, 0u8..6, 0u8..5);
        let replica = (0i64..20_000, proptest::collection::vec(step, 0..40));
        proptest::collection::vec(replica, 0..5).prop_map(|replicas| {
            let replica = |(begin, steps): (i64, Vec<(i64, u8, u8)>)| {
                let (mut t, mut value) = (begin, 0.0);
                let sample = |(step, gap, gain): (i64, u8, u8)| {
                    t += step * if gap == 0 { 5 } else { 1 };
                    value += f64::from(gain);
                    (t, value)
                };
                steps.into_iter().map(sample).collect()
            };
            replicas.into_iter().map(replica).collect()
        })
    }

    proptest! {
        /// Without an end and without counters it is the rule of compaction, pair by pair.
        #[test]
        fn folded_pair_by_pair(replicas in replicas()) {
            let folded = replicas.iter().cloned().reduce(|base, other| believable(&base, &other));
            prop_assert_eq!(one(&replicas, Timestamp::MAX, false), folded.unwrap_or_default());
        }

        #[test]
        fn what_lies_behind_the_end_changes_nothing_before_it(replicas in replicas(), max in 0i64..500_000) {
            let until = |samples: Vec<Float>| samples.into_iter().filter(|sample| sample.0 <= max).collect::<Vec<_>>();
            let all = until(one(&replicas, Timestamp::MAX, false));
            prop_assert_eq!(until(one(&replicas, max, false)), all);
        }

        /// Values of counters whose replicas do not fall do not fall, and the times are those of other series.
        #[test]
        fn counters_do_not_fall(replicas in replicas()) {
            let (raised, plain) = (one(&replicas, Timestamp::MAX, true), one(&replicas, Timestamp::MAX, false));
            prop_assert!(raised.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{raised:?}");
            prop_assert!(raised.iter().map(|s| s.0).eq(plain.iter().map(|s| s.0)));
        }
    }

    #[test]
    fn a_histogram_of_another_replica_says_nothing_of_the_one_before() {
        let run = |times: &[Timestamp]| -> Vec<Sample> {
            let histogram = Histogram { hint: ResetHint::NotReset, ..Histogram::stale(true) };
            times.iter().map(|&t| Sample::histogram(t, histogram.clone())).collect()
        };
        let (a, b) = (run(&[0, 10_000, 20_000]), run(&[1_000, 11_000, 21_000, 31_000, 41_000, 51_000]));
        let mut all = Replicas::new([a.as_slice(), b.as_slice()], Timestamp::MAX, false);
        let hints: Vec<_> = std::iter::from_fn(|| all.next())
            .map(|sample| match sample.value {
                Value::Histogram(histogram) => (sample.t, histogram.hint),
                Value::Float(_) => (sample.t, ResetHint::Gauge),
            })
            .collect();
        let (unknown, not) = (ResetHint::Unknown, ResetHint::NotReset);
        assert_eq!(hints[..3], [(0, unknown), (10_000, not), (20_000, not)]);
        assert_eq!(hints[3].1, unknown, "{hints:?}");
        assert!(hints[4..].iter().all(|hint| hint.1 == not) && hints.len() > 4, "{hints:?}");
    }

    #[test]
    fn a_flood_of_replicas_is_cut() {
        let replicas: Vec<Vec<Float>> = (0..10_000).map(|t| vec![(t, 0.0), (t + 100_000, 1.0)]).collect();
        assert!(one(&replicas, Timestamp::MAX, true).len() > 1);
    }
}
