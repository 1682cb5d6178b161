//! What was written, by the blocks that it came in: the plain model that buckets are held against.
//!
//! A compactor never makes up a block: each says of which blocks of level 1 it is. So what a block has to hold is the union of what
//! these held, whatever was merged with whatever, and for a coarser one the aggregates of that union, added up here window
//! by window in the simplest way.

use std::collections::BTreeMap;
use std::ops::Range;

use sarsen_benches::Shipper;
use sarsen_block::{BlockId, BlockMeta, Counts, Labels, ResetHint, Sample, Timestamp, Value};

/// How long a group keeps its resolutions, in milliseconds; 0 is for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) raw: i64,
    pub(crate) five_minutes: i64,
    pub(crate) one_hour: i64,
}

impl Kept {
    /// Whether a block with this end and resolution is to be gone by `now`.
    pub(crate) fn is_due(&self, resolution: i64, max_time: Timestamp, now: Timestamp) -> bool {
        let keep = match resolution {
            0 => self.raw,
            300_000 => self.five_minutes,
            _ => self.one_hour,
        };
        keep > 0 && now > max_time.div_euclid(1000) * 1000 + keep
    }
}

/// A block of level 1, as it was brought into the bucket.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) tenant: &'static str,
    pub(crate) shipper: Shipper,
    pub(crate) range: Range<Timestamp>,
}

/// Everything that was ever brought.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) sources: BTreeMap<BlockId, Source>,
    pub(crate) kept: BTreeMap<&'static str, Kept>,
}

/// Numbers of a series, times rising: its values, or how many observations its histograms have.
pub(crate) type Samples = Vec<(Timestamp, f64)>;

/// The number that stands for a value.
pub(crate) fn number(value: &Value) -> f64 {
    match value {
        Value::Float(value) => *value,
        Value::Histogram(histogram) => match histogram.counts {
            Counts::Integer { count, .. } => count as f64,
            Counts::Float { count, .. } => count,
        },
    }
}

/// The same samples as numbers.
pub(crate) fn numbers(samples: &[Sample]) -> Samples {
    samples.iter().map(|sample| (sample.t, number(&sample.value))).collect()
}

/// A sample without what a histogram says of the one before it: that depends on where chunks begin.
pub(crate) fn plain(mut sample: Sample) -> Sample {
    if let Value::Histogram(histogram) = &mut sample.value {
        histogram.hint = ResetHint::Unknown;
    }
    sample
}

/// What a window of a series comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Window {
    pub(crate) const EMPTY: Self = Self { count: 0.0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    /// This one and another part of the same window.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

impl Model {
    pub(crate) fn add(&mut self, tenant: &'static str, shipper: &Shipper, meta: &BlockMeta) {
        let range = meta.min_time..meta.max_time;
        let known = self.sources.insert(meta.id, Source { tenant, shipper: shipper.clone(), range });
        assert!(known.is_none(), "{} was brought twice", meta.id);
    }

    /// The samples of these blocks together.
    pub(crate) fn samples(&self, sources: &[BlockId]) -> BTreeMap<Labels, Vec<Sample>> {
        let mut all: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
        for source in sources {
            let Source { shipper, range, .. } = &self.sources[source];
            for (labels, samples) in shipper.series(range.clone()) {
                all.entry(labels).or_default().extend(samples);
            }
        }
        for samples in all.values_mut() {
            samples.sort_unstable_by_key(|sample| sample.t);
            samples.dedup();
        }
        all
    }
}

/// The windows of a series, by number.
pub(crate) fn windows(samples: &Samples, resolution: i64) -> BTreeMap<i64, Window> {
    let mut windows = BTreeMap::new();
    for &(t, value) in samples {
        let window = windows.entry(t.div_euclid(resolution)).or_insert(Window::EMPTY);
        *window = window.and(Window { count: 1.0, sum: value, min: value, max: value });
    }
    windows
}

/// By how much a counter rose from nothing, resets included.
pub(crate) fn total(samples: &Samples) -> f64 {
    let mut total = 0.0;
    let mut last = 0.0;
    for &(_, value) in samples {
        total += if value < last { value } else { value - last };
        last = value;
    }
    total
}
