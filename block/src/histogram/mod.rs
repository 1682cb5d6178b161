//! A native histogram as a value: its layout and its counts, integer or float.
//!
//! Buckets lie in a sparse layout: spans of neighbouring bucket numbers, each with its distance from the end of the one before, and
//! one flat list of counts for all spans of a sign. Integer counts are differences, each to the bucket before it, the first
//! absolute; float counts are absolute. With schema [`CUSTOM_BUCKETS`] the positive buckets end at the listed bounds and there
//! are neither a zero bucket nor negative ones.

mod arithmetic;
mod bounds;
mod bucket;
mod check;
mod combine;
mod reduce;
mod reset;
mod side;
mod sum;
mod zero;

pub use bucket::Bucket;
pub use combine::Combined;
pub use sum::HistogramSum;

/// The schema of histograms whose bucket bounds are listed (Prometheus: `CustomBucketsSchema`).
pub const CUSTOM_BUCKETS: i32 = -53;

/// The schema with the widest buckets.
pub(crate) const MIN_SCHEMA: i32 = -4;

/// The schema with the narrowest buckets that is stored.
pub(crate) const MAX_SCHEMA: i32 = 8;

/// What is known of how a histogram follows from the one before it. The number is that of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum ResetHint {
    /// To be found out by comparing.
    #[default]
    Unknown = 0,
    /// The counters began anew with this sample.
    Reset = 1,
    /// The counters went on.
    NotReset = 2,
    /// It is a gauge: there is nothing to begin anew.
    Gauge = 3,
}

/// Neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// For the first span the number of its first bucket; for others how many buckets lie between it and the one before.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// The counts of a histogram.
#[derive(Debug, Clone)]
pub enum Counts {
    /// Whole numbers; buckets as differences.
    Integer {
        /// Observations in all.
        count: u64,
        /// Observations in the zero bucket.
        zero: u64,
        /// One for each bucket of the positive spans: the first absolute, others as difference to the bucket before.
        positive: Vec<i64>,
        /// The same for negative buckets.
        negative: Vec<i64>,
    },
    /// Floats; buckets absolute.
    Float {
        /// Observations in all.
        count: f64,
        /// Observations in the zero bucket.
        zero: f64,
        /// One for each bucket of the positive spans.
        positive: Vec<f64>,
        /// One for each bucket of the negative spans.
        negative: Vec<f64>,
    },
}

/// A native histogram at one moment.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// How it follows from the one before.
    pub hint: ResetHint,
    /// Resolution: bucket bounds are powers of `2^(2^-schema)` for -4 to 8; [`CUSTOM_BUCKETS`] for listed ones.
    pub schema: i32,
    /// Width of the zero bucket to either side.
    pub zero_threshold: f64,
    /// Sum of all observations; the stale marker (see [`is_stale`](crate::is_stale)) if the series ended.
    pub sum: f64,
    /// Layout of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Layout of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of the buckets of schema [`CUSTOM_BUCKETS`], rising, without the last, which is infinite; else empty.
    pub custom_values: Vec<f64>,
    /// How often.
    pub counts: Counts,
}

impl Default for Histogram {
    /// A histogram of integer counts without an observation.
    fn default() -> Self {
        Self { sum: 0.0, ..Self::stale(false) }
    }
}

impl Histogram {
    /// A stale marker, of integer or of float counts.
    pub const fn stale(is_float: bool) -> Self {
        let counts = if is_float {
            Counts::Float { count: 0.0, zero: 0.0, positive: Vec::new(), negative: Vec::new() }
        } else {
            Counts::Integer { count: 0, zero: 0, positive: Vec::new(), negative: Vec::new() }
        };
        Self {
            hint: ResetHint::Unknown,
            schema: 0,
            zero_threshold: 0.0,
            sum: f64::from_bits(crate::STALE_NAN_BITS),
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
            counts,
        }
    }

    /// Whether the counts are floats.
    pub const fn is_float(&self) -> bool {
        matches!(self.counts, Counts::Float { .. })
    }

    /// Whether this marks the end of a series.
    pub fn is_stale(&self) -> bool {
        crate::is_stale(self.sum)
    }

    /// Whether the buckets have listed bounds.
    pub const fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

impl PartialEq for Counts {
    /// Equality of bits, not of numbers.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Integer { count, zero, positive, negative },
                Self::Integer { count: c, zero: z, positive: p, negative: n },
            ) => count == c && zero == z && positive == p && negative == n,
            (
                Self::Float { count, zero, positive, negative },
                Self::Float { count: c, zero: z, positive: p, negative: n },
            ) => same_bits(&[*count, *zero], &[*c, *z]) && same_bits(positive, p) && same_bits(negative, n),
            _ => false,
        }
    }
}

impl PartialEq for Histogram {
    /// Equality of bits, not of numbers; the hint counts.
    fn eq(&self, other: &Self) -> bool {
        self.hint == other.hint
            && self.schema == other.schema
            && same_bits(&[self.zero_threshold, self.sum], &[other.zero_threshold, other.sum])
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && same_bits(&self.custom_values, &other.custom_values)
            && self.counts == other.counts
    }
}
