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

/// One of the runs that are waiting: where it stands, and the time there.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    time: Timestamp,
    run: usize,
    at: usize,
}

/// The samples of `runs`, each with rising times, appended to `into` with rising times and each time once. Prometheus
/// begins with the second of its chunks, so the caller puts the first of them last.
pub(super) fn interleave(runs: &[Vec<Sample>], into: &mut Vec<Sample>) {
    let sample = |run: usize, at: usize| runs.get(run).and_then(|run| run.get(at));
    let mut heap = Heap::new(|a: &Waiting, b| a.time < b.time);
    for run in 1..runs.len() {
        if let Some(first) = sample(run, 0) {
            heap.push(Waiting { time: first.t, run, at: 0 });
        }
    }
    let mut last = None;
    let (mut run, mut next) = (0, 0);
    // Whether the sample before the next one comes from another run.
    let mut turned = true;
    loop {
        let found = sample(run, next);
        if let Some(found) = found {
            let at = next;
            next += 1;
            if last == Some(found.t) {
                continue;
            }
            if heap.first().is_none_or(|first| found.t < first.time) {
                last = Some(found.t);
                into.push(told_apart(found, turned));
                turned = false;
                continue;
            }
            heap.push(Waiting { time: found.t, run, at });
        }
        let Some(first) = heap.pop() else { return };
        (run, next) = (first.run, first.at + 1);
        turned = true;
        if last != Some(first.time) {
            last = Some(first.time);
            into.extend(sample(first.run, first.at).map(|found| told_apart(found, turned)));
            turned = false;
        }
    }
}

/// `sample`, which says nothing of counters that went on if the one before it is not the one it was told of.
fn told_apart(sample: &Sample, turned: bool) -> Sample {
    let mut sample = sample.clone();
    if let (true, Value::Histogram(histogram)) = (turned, &mut sample.value)
        && histogram.hint != ResetHint::Gauge
    {
        histogram.hint = ResetHint::Unknown;
    }
    sample
}
