//! Series of which it is known from which replica their chunks come, for those who want a query explained.
//!
//! A store that takes replica labels out does not tell whose chunk is whose. So they are left in, everything that a selection finds is
//! collected, and the labels are taken out here: the same chunks in the same order, each with its origin. What is collected is bounded; a
//! selection that is larger is asked again in the usual way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{Labels, Timed, Timestamp};

use super::seen::Seen;
use crate::store::{StoreChunk, StoreSeries, by_order};

/// Bytes of chunks and labels that are collected for one selection.
const MOST_BYTES: usize = 128 << 20;
/// Sets of replica labels that are told apart.
const MOST_SETS: usize = 10_000;

/// Why the replicas of a selection are not told apart.
pub(super) const TOO_MUCH: &str = "it is more than can be collected";

/// A series, with the origin of each of its chunks.
pub(super) type Apart = (StoreSeries, Origins);

/// From which replicas the chunks of a series come.
pub(super) struct Origins {
    /// For each chunk which of the sets.
    of: Vec<u16>,
    sets: Arc<Vec<Labels>>,
    seen: Arc<Seen>,
}

/// What has been collected.
#[derive(Default)]
pub(super) struct Collected {
    sets: BTreeMap<Labels, u16>,
    series: Vec<(Labels, u16, Vec<StoreChunk>)>,
    bytes: usize,
}

impl Collected {
    /// Takes a series in, whose labels are complete; whether there is room for more.
    pub(super) fn take(&mut self, series: StoreSeries, replica_labels: &[Bytes]) -> bool {
        let is_replica = |name: &[u8]| replica_labels.iter().any(|label| label == name);
        let part = |replica: bool| series.labels.as_ref().keeping(|name| is_replica(name) == replica);
        let (set, rest) = (part(true), part(false));
        let next = u16::try_from(self.sets.len()).unwrap_or(u16::MAX);
        let set = *self.sets.entry(set).or_insert(next);
        self.bytes += rest.as_ref().as_bytes().len();
        self.bytes += series.chunks.iter().map(StoreChunk::bytes).sum::<usize>();
        self.series.push((rest, set, series.chunks));
        self.bytes <= MOST_BYTES && self.sets.len() <= MOST_SETS
    }

    /// The series by their labels, each once.
    pub(super) fn finish(mut self, seen: &Arc<Seen>) -> VecDeque<Apart> {
        self.series.sort_by(|a, b| a.0.cmp(&b.0));
        let mut sets = vec![Labels::default(); self.sets.len()];
        for (labels, number) in self.sets {
            if let Some(place) = sets.get_mut(usize::from(number)) {
                *place = labels;
            }
        }
        let sets = Arc::new(sets);
        let mut all: VecDeque<(Labels, Vec<(StoreChunk, u16)>)> = VecDeque::new();
        for (labels, set, chunks) in self.series {
            let chunks = chunks.into_iter().map(|chunk| (chunk, set));
            match all.back_mut() {
                Some((last, known)) if *last == labels => known.extend(chunks),
                _ => all.push_back((labels, chunks.collect())),
            }
        }
        let one = |(labels, mut chunks): (Labels, Vec<(StoreChunk, u16)>)| {
            chunks.sort_by(|a, b| by_order(&a.0, &b.0));
            chunks.dedup_by(|a, b| a.0 == b.0);
            let (chunks, of) = chunks.into_iter().unzip();
            (StoreSeries { labels, chunks }, Origins { of, sets: Arc::clone(&sets), seen: Arc::clone(seen) })
        };
        all.into_iter().map(one).collect()
    }
}

/// A sample that knows in which row of chunks it was.
#[derive(Debug, Clone)]
pub(super) struct Tagged<S> {
    pub(super) sample: S,
    pub(super) row: usize,
}

impl<S: Timed> Timed for Tagged<S> {
    fn time(&self) -> Timestamp {
        self.sample.time()
    }

    fn float(&self) -> Option<f64> {
        self.sample.float()
    }

    fn raised(&self, by: f64) -> Option<Self> {
        Some(Self { sample: self.sample.raised(by)?, row: self.row })
    }

    fn told_apart(&self) -> Self {
        Self { sample: self.sample.told_apart(), row: self.row }
    }
}

/// Counts the samples of a series by their origin.
pub(super) struct Counting<'a> {
    origins: &'a Origins,
    /// For each row its chunks: first time, and which set.
    rows: Vec<Vec<(Timestamp, u16)>>,
    counts: BTreeMap<u16, u64>,
    last: Option<u16>,
    switches: u64,
}

impl Origins {
    /// Of chunks in these rows, by their numbers among all chunks of the series.
    pub(super) fn counting<'a>(&'a self, chunks: &[StoreChunk], rows: &[Vec<usize>]) -> Counting<'a> {
        let of = |&at: &usize| Some((chunks.get(at)?.range.min, *self.of.get(at)?));
        let rows = rows.iter().map(|row| row.iter().filter_map(of).collect()).collect();
        let counts = self.of.iter().map(|&set| (set, 0)).collect();
        Counting { origins: self, rows, counts, last: None, switches: 0 }
    }
}

impl Counting<'_> {
    /// A sample at `t` of this row counts.
    pub(super) fn count(&mut self, row: usize, t: Timestamp) {
        let Some(chunks) = self.rows.get(row) else { return };
        // Chunks of a row do not overlap: it is in the last one that has begun.
        let begun = chunks.partition_point(|(first, _)| *first <= t);
        let Some((_, set)) = chunks.get(begun.saturating_sub(1)) else { return };
        *self.counts.entry(*set).or_default() += 1;
        self.switches += u64::from(self.last.is_some_and(|last| last != *set));
        self.last = Some(*set);
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        let sets = &self.origins.sets;
        let named =
            self.counts.iter().filter_map(|(set, count)| Some((sets.get(usize::from(*set))?, *count)));
        self.origins.seen.counted(&named.collect(), self.switches);
    }
}
