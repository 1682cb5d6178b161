//! Several runs of samples that overlap in time, as one.
//!
//! Where runs hold different values for one time, which one counts is no matter of taste: a compaction of the blocks must
//! give what Prometheus' compaction gives, and a query before it the same. Prometheus' rule is what its iterator
//! does: it stays with a run as long as that is ahead of all others, and at an equal time it turns to one of the others. The heap
//! of the others is Go's, whose treatment of equals decides too.

use crate::histogram::ResetHint;
use crate::sample::{Sample, Value};
use crate::series::heap::Heap;
use crate::time::Timestamp;

/// What a run is made of: samples of any kind, or, where all are floats, no more than these are.
pub trait Timed: Clone {
    /// When.
    fn time(&self) -> Timestamp;

    /// Its value, if that is a number.
    fn float(&self) -> Option<f64>;

    /// The same with something added to its value; `None` if that is no number. A NaN becomes a quiet one with its other bits, which is what
    /// an addition does to it.
    fn raised(&self, by: f64) -> Option<Self>;

    /// The same, but it says nothing of counters that went on: the sample before it is not the one it was told of.
    fn told_apart(&self) -> Self;
}

impl Timed for Sample {
    fn time(&self) -> Timestamp {
        self.t
    }

    fn float(&self) -> Option<f64> {
        match self.value {
            Value::Float(value) => Some(value),
            Value::Histogram(_) => None,
        }
    }

    fn raised(&self, by: f64) -> Option<Self> {
        let value = Value::Float(add(self.float()?, by));
        Some(Self { t: self.t, start: self.start, value })
    }

    fn told_apart(&self) -> Self {
        let mut sample = self.clone();
        if let Value::Histogram(histogram) = &mut sample.value
            && histogram.hint != ResetHint::Gauge
        {
            histogram.hint = ResetHint::Unknown;
        }
        sample
    }
}

/// The bit that makes a NaN a quiet one.
const QUIET: u64 = 1 << 51;

fn add(value: f64, by: f64) -> f64 {
    if value.is_nan() { f64::from_bits(value.to_bits() | QUIET) } else { value + by }
}

/// A float without a start timestamp.
pub(crate) type Float = (Timestamp, f64);

impl Timed for Float {
    fn time(&self) -> Timestamp {
        self.0
    }

    fn float(&self) -> Option<f64> {
        Some(self.1)
    }

    fn raised(&self, by: f64) -> Option<Self> {
        Some((self.0, add(self.1, by)))
    }

    fn told_apart(&self) -> Self {
        *self
    }
}

/// One of the runs that are waiting: where it stands, and the time there.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    time: Timestamp,
    run: usize,
    at: usize,
}

/// Who is where when all runs stand at one time and hold the same next one, after that one: who is in use, and the others as they lie in the
/// heap, by their places before. That depends on how many they are and on nothing else.
fn turn_of_all(runs: usize) -> Vec<usize> {
    let mut heap = Heap::new(|a: &(bool, usize), b: &(bool, usize)| !a.0 && b.0);
    (1..runs).for_each(|place| heap.push((false, place)));
    let mut used = 0;
    loop {
        heap.push((true, used));
        let Some((is_next, place)) = heap.pop() else { return vec![used] };
        used = place;
        if is_next {
            return std::iter::once(used).chain(heap.things().iter().map(|(_, place)| *place)).collect();
        }
    }
}

/// Goes on from `last`, at which all runs stand, for as long as they hold the same times: replicas mostly do. `order` has the run in use and then those
/// in the heap, each with its next sample. Gives the time at which all stand then.
fn together<S: Timed>(
    runs: &[Vec<S>],
    turn: &[usize],
    (order, mut last): (&mut Vec<(usize, usize)>, Timestamp),
    into: &mut Vec<S>,
) -> Timestamp {
    let sample = |&(run, next): &(usize, usize)| runs.get(run).and_then(|run| run.get(next));
    let mut before = Vec::with_capacity(order.len());
    loop {
        let next = order.first().and_then(sample).map(Timed::time);
        // Times that do not rise come from damage, and are not for this way.
        let Some(time) = next.filter(|next| *next > last) else { return last };
        if !order.iter().all(|place| sample(place).is_some_and(|found| found.time() == time)) {
            return last;
        }
        before.clone_from(order);
        for (&from, to) in turn.iter().zip(order.iter_mut()) {
            if let Some(&(run, next)) = before.get(from) {
                *to = (run, next + 1);
            }
        }
        let used = turn.first().and_then(|&used| before.get(used));
        into.extend(used.and_then(sample).map(Timed::told_apart));
        last = time;
    }
}

/// The samples of `runs`, each with rising times, appended to `into` with rising times and each time once. Prometheus
/// begins with the second of its chunks, so the caller puts the first of them last; of series it begins with the first.
pub fn interleave<S: Timed>(runs: &[Vec<S>], into: &mut Vec<S>) {
    let run_of = |run: usize| runs.get(run).map_or(&[][..], Vec::as_slice);
    let mut heap = Heap::new(|a: &Waiting, b: &Waiting| a.time < b.time);
    for run in 1..runs.len() {
        if let Some(first) = run_of(run).first() {
            heap.push(Waiting { time: first.time(), run, at: 0 });
        }
    }
    let (turn, mut order) = (turn_of_all(runs.len()), Vec::with_capacity(runs.len()));
    let mut last = None;
    let (mut run, mut next) = (0, 0);
    let mut samples = run_of(run);
    // Whether the sample before the next one comes from another run.
    let mut turned = true;
    let told = |sample: &S, turned: bool| if turned { sample.told_apart() } else { sample.clone() };
    loop {
        if let Some(stand) = last
            && runs.len() > 1
            && heap.things().len() + 1 == runs.len()
            && heap.things().iter().all(|other| other.time == stand)
        {
            order.clear();
            order.push((run, next));
            order.extend(heap.things().iter().map(|other| (other.run, other.at + 1)));
            let time = together(runs, &turn, (&mut order, stand), into);
            if time > stand {
                for (other, &(run, next)) in heap.things_mut().iter_mut().zip(order.iter().skip(1)) {
                    *other = Waiting { time, run, at: next - 1 };
                }
                if let Some(&used) = order.first() {
                    (run, next) = used;
                    samples = run_of(run);
                }
                (last, turned) = (Some(time), false);
            }
        }
        if let Some(found) = samples.get(next) {
            let (at, time) = (next, found.time());
            next += 1;
            if last == Some(time) {
                continue;
            }
            if heap.first().is_none_or(|first| time < first.time) {
                last = Some(time);
                into.push(told(found, turned));
                turned = false;
                continue;
            }
            heap.push(Waiting { time, run, at });
        }
        let Some(first) = heap.pop() else { return };
        (run, next) = (first.run, first.at + 1);
        samples = run_of(run);
        turned = true;
        if last != Some(first.time) {
            last = Some(first.time);
            into.extend(samples.get(first.at).map(|found| told(found, turned)));
            turned = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Prometheus' rule step by step, without what is known of runs that hold the same times.
    fn model(runs: &[Vec<Float>]) -> Vec<Float> {
        let mut heap = Heap::new(|a: &(i64, usize, usize), b: &(i64, usize, usize)| a.0 < b.0);
        for (run, samples) in runs.iter().enumerate().skip(1) {
            if let Some(first) = samples.first() {
                heap.push((first.0, run, 0));
            }
        }
        let mut merged: Vec<Float> = Vec::new();
        let (mut run, mut next) = (0, 0);
        loop {
            let last = merged.last().map(|sample| sample.0);
            if let Some(&found) = runs.get(run).and_then(|run| run.get(next)) {
                next += 1;
                if last == Some(found.0) {
                    continue;
                }
                if heap.first().is_none_or(|first| found.0 < first.0) {
                    merged.push(found);
                    continue;
                }
                heap.push((found.0, run, next - 1));
            }
            let Some((time, from, at)) = heap.pop() else { return merged };
            (run, next) = (from, at + 1);
            if last != Some(time) {
                merged.push(runs[from][at]);
            }
        }
    }

    /// Runs that hold most times of a few dozen; every value tells its run.
    fn runs() -> impl Strategy<Value = Vec<Vec<Float>>> {
        let run = (0..4i64, 0..60i64, proptest::collection::vec(0..100u8, 60));
        proptest::collection::vec(run, 0..7).prop_map(|runs| {
            let run = |(number, (from, to, missed)): (usize, (i64, i64, Vec<u8>))| {
                let times = (from..to).zip(missed).filter(|(_, missed)| *missed > 3);
                times.map(|(t, _)| (t, number as f64)).collect()
            };
            runs.into_iter().enumerate().map(run).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_short_way_leads_to_the_same_place(runs in runs()) {
            let mut merged = Vec::new();
            interleave(&runs, &mut merged);
            prop_assert_eq!(merged, model(&runs));
        }
    }
}
