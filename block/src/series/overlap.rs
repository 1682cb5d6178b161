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
pub(super) trait Timed: Clone {
    /// When.
    fn time(&self) -> Timestamp;

    /// The same, but it says nothing of counters that went on: the sample before it is not the one it was told of.
    fn told_apart(&self) -> Self;
}

impl Timed for Sample {
    fn time(&self) -> Timestamp {
        self.t
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

/// A float without a start timestamp.
pub(crate) type Float = (Timestamp, f64);

impl Timed for Float {
    fn time(&self) -> Timestamp {
        self.0
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

/// The samples of `runs`, each with rising times, appended to `into` with rising times and each time once. Prometheus
/// begins with the second of its chunks, so the caller puts the first of them last.
pub(super) fn interleave<S: Timed>(runs: &[Vec<S>], into: &mut Vec<S>) {
    let run_of = |run: usize| runs.get(run).map_or(&[][..], Vec::as_slice);
    let mut heap = Heap::new(|a: &Waiting, b: &Waiting| a.time < b.time);
    for run in 1..runs.len() {
        if let Some(first) = run_of(run).first() {
            heap.push(Waiting { time: first.time(), run, at: 0 });
        }
    }
    let mut last = None;
    let (mut run, mut next) = (0, 0);
    let mut samples = run_of(run);
    // Whether the sample before the next one comes from another run.
    let mut turned = true;
    let told = |sample: &S, turned: bool| if turned { sample.told_apart() } else { sample.clone() };
    loop {
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
