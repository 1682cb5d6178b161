//! Sums of many histograms, with what rounding takes away kept beside each number.
//!
//! The algorithm for a number is Kahan's as improved by Neumaier, and the order of all steps is that of Prometheus' `KahanAdd`, so that
//! sums equal its own to the last bit.

use super::bounds::lies_within;
use super::combine::{Combined, Open};
use super::side::{Count, numbered};
use super::{Counts, Histogram};
use crate::error::Error;

/// A number and what rounding took from it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Compensated {
    pub(super) value: f64,
    pub(super) rest: f64,
}

impl Compensated {
    fn increase(&mut self, more: f64) {
        let sum = self.value + more;
        if sum.is_infinite() {
            self.rest = 0.0;
        } else if self.value.abs() >= more.abs() {
            self.rest += (self.value - sum) + more;
        } else {
            self.rest += (more - sum) + self.value;
        }
        self.value = sum;
    }

    fn total(self) -> f64 {
        if self.rest == 0.0 { self.value } else { self.value + self.rest }
    }
}

impl From<f64> for Compensated {
    fn from(value: f64) -> Self {
        Self { value, rest: 0.0 }
    }
}

impl From<Compensated> for f64 {
    /// What is plainly added has no rest.
    fn from(number: Compensated) -> Self {
        number.value
    }
}

impl Count for Compensated {
    fn add(&mut self, other: Self) {
        self.increase(other.value);
        if other.rest != 0.0 {
            self.increase(other.rest);
        }
    }

    fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, rest: self.rest * factor }
    }

    fn is_empty(&self) -> bool {
        self.value == 0.0 && self.rest == 0.0
    }
}

/// The sum of many histograms of float counts; rounding errors are compensated for.
#[derive(Debug, Clone)]
pub struct HistogramSum {
    open: Open<Compensated>,
}

impl HistogramSum {
    /// A sum of one.
    ///
    /// # Errors
    /// `Invalid` for integer counts.
    pub fn new(first: &Histogram) -> Result<Self, Error> {
        Ok(Self { open: Open::new(first)? })
    }

    /// Adds another; what of zero buckets, schemas, bounds and hints is as in [`Histogram::add`].
    ///
    /// # Errors
    /// `Invalid`, and nothing is changed, for integer counts, or if only one of the two has custom buckets.
    pub fn add(&mut self, other: &Histogram) -> Result<Combined, Error> {
        self.open.combine(other, 1.0)
    }

    /// Multiplies sum, counts and what rounding took away.
    pub fn multiply(&mut self, factor: f64) {
        self.open.each(|number| number.times(factor));
    }

    /// Divides sum, counts and what rounding took away by `divisor`, which is not 0.
    pub fn divide(&mut self, divisor: f64) {
        let divide =
            |Compensated { value, rest }| Compensated { value: value / divisor, rest: rest / divisor };
        self.open.each(divide);
    }

    /// Whether a number of it became infinite.
    pub fn has_overflow(&self) -> bool {
        !self.open.all(|number| !number.value.is_infinite())
            || self.open.shape.custom_values.iter().any(|bound| bound.is_infinite())
    }

    /// Whether all of its numbers are at most `limit` from zero; none of them is NaN then.
    pub fn is_within(&self, limit: f64) -> bool {
        self.open.all(|number| number.value.abs() <= limit)
    }

    /// The sum.
    pub fn into_histogram(mut self) -> Histogram {
        // Buckets that lie within the zero bucket, which they should not, are left as they are when the rest is added.
        let (schema, threshold) = (self.open.shape.schema, self.open.shape.zero_threshold);
        for side in self.open.sides() {
            let within = numbered(side.spans, side.buckets)
                .take_while(|&(number, _)| lies_within(number, schema, threshold))
                .count();
            side.buckets.iter_mut().take(within).for_each(|bucket| bucket.rest = 0.0);
        }
        let Open { shape, count, sum, zero, positive, negative } = self.open;
        let [positive, negative] =
            [positive, negative].map(|buckets| buckets.into_iter().map(Compensated::total).collect());
        let counts = Counts::Float { count: count.total(), zero: zero.total(), positive, negative };
        Histogram { sum: sum.total(), counts, ..shape }
    }
}

#[cfg(test)]
mod tests;
