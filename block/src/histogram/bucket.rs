//! The buckets of a histogram of float counts with their bounds, as they lie on the line of numbers.

use super::Histogram;
use super::bounds::upper_bound;
use super::combine::Floats;
use super::side::{numbered, numbered_down};

/// Observations between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether an observation may equal the lower bound.
    pub lower_inclusive: bool,
    /// Whether an observation may equal the upper bound.
    pub upper_inclusive: bool,
    /// How many observations.
    pub count: f64,
}

impl Bucket {
    fn exponential((lower, upper): (f64, f64), count: f64) -> Self {
        Self { lower, upper, lower_inclusive: lower < 0.0, upper_inclusive: upper > 0.0, count }
    }
}

/// No buckets, for histograms of integer counts.
const NONE: Floats<'static> = Floats { count: 0.0, zero: 0.0, positive: &[], negative: &[] };

impl Histogram {
    /// The buckets of float counts from the lowest one up, empty ones included where the layout has them, the zero bucket only if something is in
    /// it. Buckets that reach into the zero bucket end at its bounds. None for integer counts.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let floats = self.floats().unwrap_or(NONE);
        let negative = numbered_down(&self.negative_spans, floats.negative);
        let positive = numbered(&self.positive_spans, floats.positive);
        let below = negative.map(|(number, count)| self.beside_zero(self.negative_bucket(number, count)));
        let above = positive.map(|(number, count)| self.beside_zero(self.positive_bucket(number, count)));
        below.chain(self.zero_bucket()).chain(above)
    }

    /// The same from the highest one down.
    pub fn buckets_down(&self) -> impl Iterator<Item = Bucket> + '_ {
        let floats = self.floats().unwrap_or(NONE);
        let negative = numbered(&self.negative_spans, floats.negative);
        let positive = numbered_down(&self.positive_spans, floats.positive);
        let below = negative.map(|(number, count)| self.beside_zero(self.negative_bucket(number, count)));
        let above = positive.map(|(number, count)| self.beside_zero(self.positive_bucket(number, count)));
        above.chain(self.zero_bucket()).chain(below)
    }

    /// The positive buckets from the lowest one up, in the order of their counts, with the bounds of their schema.
    pub fn positive_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let floats = self.floats().unwrap_or(NONE);
        numbered(&self.positive_spans, floats.positive)
            .map(|(number, count)| self.positive_bucket(number, count))
    }

    /// The negative buckets from the one next to zero down, in the order of their counts, with the bounds of their schema.
    pub fn negative_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let floats = self.floats().unwrap_or(NONE);
        numbered(&self.negative_spans, floats.negative)
            .map(|(number, count)| self.negative_bucket(number, count))
    }

    /// The zero bucket, if something is in it.
    pub fn zero_bucket(&self) -> Option<Bucket> {
        let count = self.floats().unwrap_or(NONE).zero;
        let (lower, upper) = (-self.zero_threshold, self.zero_threshold);
        (count > 0.0).then_some(Bucket { lower, upper, lower_inclusive: true, upper_inclusive: true, count })
    }

    fn positive_bucket(&self, number: i64, count: f64) -> Bucket {
        let bounds = self.positive_bounds(number);
        if !self.has_custom_buckets() {
            return Bucket::exponential(bounds, count);
        }
        let (lower, upper) = bounds;
        Bucket { lower, upper, lower_inclusive: number == 0, upper_inclusive: true, count }
    }

    fn negative_bucket(&self, number: i64, count: f64) -> Bucket {
        let bounds = (-upper_bound(number, self.schema), -upper_bound(number - 1, self.schema));
        Bucket::exponential(bounds, count)
    }

    fn beside_zero(&self, mut bucket: Bucket) -> Bucket {
        let threshold = self.zero_threshold;
        if bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        } else if bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        }
        bucket
    }
}
