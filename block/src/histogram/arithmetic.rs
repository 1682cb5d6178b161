//! Histograms of float counts added, subtracted, multiplied and divided.
//!
//! All of it is what Prometheus' `FloatHistogram` does, to the last bit and to the last span: aggregates of histograms are written from
//! what comes out. Zero buckets of unequal width are brought to the wider one, schemas to the lower one, and custom buckets to
//! those bounds that both have. Only exponential and custom buckets do not go together. Sums of many are in `sum`.

use super::combine::{Combined, Open, integers};
use super::side::Side;
use super::{CUSTOM_BUCKETS, Counts, Histogram, ResetHint};
use crate::error::Error;

impl Histogram {
    /// The same with float counts; custom buckets lose a zero bucket and negative ones, which they must not have.
    #[must_use]
    pub fn to_float(mut self) -> Self {
        let Counts::Integer { count, zero, positive, negative } = &self.counts else { return self };
        let absolute = |deltas: &[i64]| {
            let mut last = 0.0;
            let floats = deltas.iter().map(|&delta| {
                last += delta as f64;
                last
            });
            floats.collect::<Vec<f64>>()
        };
        let custom = self.has_custom_buckets();
        self.counts = Counts::Float {
            count: *count as f64,
            zero: if custom { 0.0 } else { *zero as f64 },
            positive: absolute(positive),
            negative: if custom { Vec::new() } else { absolute(negative) },
        };
        if custom {
            self.zero_threshold = 0.0;
            self.negative_spans.clear();
        }
        self
    }

    /// Adds the observations of `other`. A gauge stays one, and becomes one if `other` is.
    ///
    /// # Errors
    /// `Invalid`, and nothing is changed, if one of the two has integer counts, or only one of them custom buckets.
    pub fn add(&mut self, other: &Self) -> Result<Combined, Error> {
        self.combine(other, 1.0)
    }

    /// Takes the observations of `other` away; counts may become negative.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn subtract(&mut self, other: &Self) -> Result<Combined, Error> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Combined, Error> {
        let mut open = Open::<f64>::take(self)?;
        let combined = open.combine(other, sign);
        let Open { shape, count, sum, zero, positive, negative } = open;
        *self = Self { sum, counts: Counts::Float { count, zero, positive, negative }, ..shape };
        combined
    }

    /// Multiplies sum and counts by `factor`; by less than 0, it becomes a gauge.
    ///
    /// # Errors
    /// `Invalid`, and nothing is changed, for integer counts.
    pub fn multiply(&mut self, factor: f64) -> Result<(), Error> {
        let Counts::Float { count, zero, positive, negative } = &mut self.counts else {
            return Err(integers());
        };
        // Custom buckets have no zero bucket, and infinitely often nothing would not be a number.
        *zero = if self.schema == CUSTOM_BUCKETS { 0.0 } else { *zero * factor };
        for number in [count, &mut self.sum].into_iter().chain(positive).chain(negative) {
            *number *= factor;
        }
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
        Ok(())
    }

    /// Divides sum and counts by `divisor`. By zero, no bucket is left.
    ///
    /// # Errors
    /// `Invalid`, and nothing is changed, for integer counts.
    pub fn divide(&mut self, divisor: f64) -> Result<(), Error> {
        let Counts::Float { count, zero, positive, negative } = &mut self.counts else {
            return Err(integers());
        };
        // Custom buckets have no zero bucket, and nothing by nothing would not be a number.
        *zero = if self.schema == CUSTOM_BUCKETS { 0.0 } else { *zero / divisor };
        *count /= divisor;
        self.sum /= divisor;
        if divisor == 0.0 {
            positive.clear();
            negative.clear();
            self.positive_spans.clear();
            self.negative_spans.clear();
            return Ok(());
        }
        positive.iter_mut().chain(negative).for_each(|bucket| *bucket /= divisor);
        if divisor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
        Ok(())
    }

    /// Leaves out buckets without observations; buckets that touch come to lie in one span.
    ///
    /// # Errors
    /// `Invalid`, and nothing is changed, for integer counts.
    pub fn compact(&mut self) -> Result<(), Error> {
        let Counts::Float { positive, negative, .. } = &mut self.counts else { return Err(integers()) };
        Side { spans: &mut self.positive_spans, buckets: positive }.compact();
        Side { spans: &mut self.negative_spans, buckets: negative }.compact();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
