//! Requests of the StoreAPI, checked and free of protobuf.

use bytes::Bytes;
use sarsen_block::codec::xxh64;
use sarsen_block::{LabelsRef, Matcher, TimeRange};
use sarsen_downsample::Aggregate;

/// Which series are asked for, and in what form.
#[derive(Debug, Clone)]
pub(crate) struct SeriesQuery {
    /// Closed on both sides; may be empty (`min > max`).
    pub(crate) range: TimeRange,
    /// All of them must hold, external labels included. May be none.
    pub(crate) matchers: Vec<Matcher>,
    /// The coarsest resolution that will do, in milliseconds; 0: raw samples only.
    pub(crate) max_resolution_ms: i64,
    /// Parts of downsampled chunks that are wanted; raw chunks are sent whatever stands here.
    pub(crate) aggregates: Vec<Aggregate>,
    /// Only labels are wanted; then resolution and aggregates do not matter.
    pub(crate) skip_chunks: bool,
    /// How many series to send at most, counted after merging; 0: all.
    pub(crate) limit: u64,
    /// Which part of the series is wanted; `None`: all.
    pub(crate) shard: Option<Shard>,
    /// Labels to remove, from series and external labels alike, sorted.
    pub(crate) without: Vec<Bytes>,
    /// Conditions on blocks: their external labels and `__block_id`.
    pub(crate) block_matchers: Vec<Matcher>,
    /// Series a message; 0 or 1: one.
    pub(crate) batch: usize,
    /// Whether a part that cannot be read is an error instead of a warning.
    pub(crate) abort: bool,
    /// Whether the caller reads XOR2 chunks and histograms with start times.
    pub(crate) xor2: bool,
    /// Whose request it is, for limits and metrics.
    pub(crate) tenant: Option<String>,
    /// Whether it is wanted what was read and whom others were asked of: [`Hints`](super::Hints).
    pub(crate) stats: bool,
    /// Only stores that fit one of these sets of matchers are asked, by their address (`__address__`) and external labels;
    /// none: all. Only those who ask others look at it.
    pub(crate) stores: Vec<Vec<Matcher>>,
    /// What is going to be done with the series.
    pub(crate) hints: QueryHints,
}

/// What a caller is going to do with series; a store may leave out what that does not need, or make nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct QueryHints {
    /// Time between two results, in milliseconds; 0: unknown.
    pub(crate) step_ms: i64,
    /// The range of the range selector, in milliseconds; 0: none.
    pub(crate) range_ms: i64,
    /// The function or aggregation around it; empty: none.
    pub(crate) function: String,
    /// Whether `grouping` are the labels that stay; else the others do.
    pub(crate) by: bool,
    /// Labels of the aggregation around it.
    pub(crate) grouping: Vec<String>,
}

impl SeriesQuery {
    /// A query for all chunks in `range` of the series that match, with nothing else asked for.
    pub(crate) fn new(range: TimeRange, matchers: Vec<Matcher>) -> Self {
        Self {
            range,
            matchers,
            max_resolution_ms: 0,
            aggregates: Vec::new(),
            skip_chunks: false,
            limit: 0,
            shard: None,
            without: Vec::new(),
            block_matchers: Vec::new(),
            batch: 0,
            abort: false,
            xor2: false,
            tenant: None,
            stats: false,
            stores: Vec::new(),
            hints: QueryHints::default(),
        }
    }
}

/// Of which series names or values are asked for.
#[derive(Debug, Clone)]
pub(crate) struct LabelsQuery {
    /// Closed on both sides; may be empty. Only chooses blocks, no chunk is looked at.
    pub(crate) range: TimeRange,
    /// All of them must hold, external labels included. May be none: all series.
    pub(crate) matchers: Vec<Matcher>,
    /// Labels that do not exist for this caller, sorted.
    pub(crate) without: Vec<Bytes>,
    /// How many names or values at most, the first ones; 0: all.
    pub(crate) limit: u64,
    /// Conditions on blocks: their external labels and `__block_id`.
    pub(crate) block_matchers: Vec<Matcher>,
    /// Whose request it is.
    pub(crate) tenant: Option<String>,
    /// Whether a part that cannot be read is an error instead of a warning.
    pub(crate) abort: bool,
    /// As of a [`SeriesQuery`].
    pub(crate) stores: Vec<Vec<Matcher>>,
}

impl LabelsQuery {
    /// A query over the series that match in `range`, with nothing else asked for.
    pub(crate) fn new(range: TimeRange, matchers: Vec<Matcher>) -> Self {
        Self {
            range,
            matchers,
            without: Vec::new(),
            limit: 0,
            block_matchers: Vec::new(),
            tenant: None,
            abort: false,
            stores: Vec::new(),
        }
    }
}

/// Exemplars of which series are asked for.
#[derive(Debug, Clone)]
pub(crate) struct ExemplarsQuery {
    /// One of these sets of matchers must hold.
    pub(crate) selectors: Vec<Vec<Matcher>>,
    /// Closed on both sides.
    pub(crate) range: TimeRange,
    /// Whose request it is.
    pub(crate) tenant: Option<String>,
    /// Whether a part that cannot be read is an error instead of a warning.
    pub(crate) abort: bool,
    /// As of a [`SeriesQuery`].
    pub(crate) stores: Vec<Vec<Matcher>>,
}

impl ExemplarsQuery {
    /// A query for the exemplars in `range` of the series that one of the selectors takes, with nothing else asked for.
    pub(crate) const fn new(selectors: Vec<Vec<Matcher>>, range: TimeRange) -> Self {
        Self { selectors, range, tenant: None, abort: false, stores: Vec::new() }
    }
}

/// One part of all series, told by a hash of their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    index: u64,
    total: u64,
    /// Whether `labels` are those that are hashed; else all others are.
    by: bool,
    /// Sorted.
    labels: Vec<Bytes>,
}

impl Shard {
    /// Part `index` of `total`; `None` if everything is in it, which is so for fewer than one part.
    pub(crate) fn new(index: i64, total: i64, by: bool, mut labels: Vec<Bytes>) -> Option<Self> {
        let total = u64::try_from(total).ok().filter(|&total| total > 0)?;
        labels.sort_unstable();
        // No hash leaves a negative remainder: such a part is empty, as in Thanos.
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        Some(Self { index, total, by, labels })
    }

    /// The number of this part; one that no part has if nothing is in it.
    pub(crate) const fn index(&self) -> u64 {
        self.index
    }

    /// How many parts there are.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Whether [`labels`](Self::labels) are those that are hashed; else all others are.
    pub(crate) const fn is_by(&self) -> bool {
        self.by
    }

    /// Names of labels, sorted.
    pub(crate) fn labels(&self) -> &[Bytes] {
        &self.labels
    }

    /// Whether the series is in this part. The labels are those that go out: with external labels, without replica labels.
    pub(crate) fn takes(&self, labels: LabelsRef<'_>, scratch: &mut Vec<u8>) -> bool {
        scratch.clear();
        for (name, value) in labels.iter() {
            if self.labels.binary_search_by(|listed| (**listed).cmp(name)).is_ok() == self.by {
                scratch.extend_from_slice(name);
                scratch.push(0xFF);
                scratch.extend_from_slice(value);
                scratch.push(0xFF);
            }
        }
        xxh64(scratch) % self.total == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::Labels;

    fn shard(index: i64, total: i64, by: bool, labels: &[&'static str]) -> Option<Shard> {
        Shard::new(index, total, by, labels.iter().map(|name| Bytes::from_static(name.as_bytes())).collect())
    }

    #[test]
    fn every_series_is_in_one_part() {
        let mut scratch = Vec::new();
        for pod in 0..50 {
            let labels =
                Labels::from_pairs([("pod", pod.to_string()), ("a", "b".into()), ("z", "y".into())]).unwrap();
            for (by, names) in [(true, &["pod"][..]), (false, &["z", "a"]), (false, &[])] {
                let takers = (0..3)
                    .filter(|&index| shard(index, 3, by, names).unwrap().takes(labels.as_ref(), &mut scratch))
                    .count();
                assert_eq!(takers, 1);
            }
        }
    }

    #[test]
    fn only_the_listed_labels_count_or_only_the_others() {
        let mut scratch = Vec::new();
        let labels = |replica| Labels::from_pairs([("pod", "a"), ("replica", replica)]).unwrap();
        let (by, without) = (shard(0, 7, true, &["pod"]).unwrap(), shard(0, 7, false, &["replica"]).unwrap());
        for replica in ["0", "1", "2", "3"] {
            let labels = labels(replica);
            let expected = xxh64(b"pod\xFFa\xFF").is_multiple_of(7);
            assert_eq!(by.takes(labels.as_ref(), &mut scratch), expected);
            assert_eq!(without.takes(labels.as_ref(), &mut scratch), expected);
        }
    }

    #[test]
    fn fewer_than_one_part_is_no_sharding() {
        assert_eq!(shard(0, 0, true, &[]), None);
        assert_eq!(shard(1, -3, true, &[]), None);
        let nothing = shard(-1, 2, true, &[]).unwrap();
        assert!(!nothing.takes(LabelsRef::default(), &mut Vec::new()));
    }
}
