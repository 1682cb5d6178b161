//! Several runs of samples that overlap in time, as one.
//!
//! Where runs hold different values for one time, which one counts is no matter of taste: a compaction of the blocks must
//! give what Prometheus' compaction gives, and a query before it the same. Prometheus' rule is what its iterator
//! does: it stays with a run as long as that is ahead of all others, and at an equal time it turns to one of the others. The heap
//! of the others is Go's, whose treatment of equals decides too; so it is written out here.

use crate::histogram::ResetHint;
use crate::sample::{Sample, Value};
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
    let mut heap = Heap::default();
    for run in 1..runs.len() {
        if let Some(first) = sample(run, 0) {
            heap.push(Waiting { time: first.t, run, at: 0 });
        }
    }
    let mut last = None;
    let (mut run, mut next) = (0, 0);
    // Whether the sample before the next one comes from another run.
    let mut turned = false;
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

/// A binary heap, least time first, that orders equals as Go's `container/heap` does.
#[derive(Debug, Default)]
struct Heap(Vec<Waiting>);

impl Heap {
    fn first(&self) -> Option<Waiting> {
        self.0.first().copied()
    }

    fn less(&self, i: usize, j: usize) -> bool {
        matches!((self.0.get(i), self.0.get(j)), (Some(a), Some(b)) if a.time < b.time)
    }

    fn push(&mut self, waiting: Waiting) {
        self.0.push(waiting);
        let mut child = self.0.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.less(child, parent) {
                return;
            }
            self.0.swap(child, parent);
            child = parent;
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        if self.0.is_empty() {
            return None;
        }
        // The last one takes the first one's place and sinks.
        let first = self.0.swap_remove(0);
        let mut parent = 0;
        loop {
            let (left, right) = (2 * parent + 1, 2 * parent + 2);
            let child = if self.less(right, left) { right } else { left };
            if !self.less(child, parent) {
                return Some(first);
            }
            self.0.swap(child, parent);
            parent = child;
        }
    }
}
