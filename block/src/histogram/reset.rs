//! Whether the counters of a histogram began anew, as Prometheus' `DetectReset` finds it out.

use super::bounds::lies_within;
use super::combine::{shared_bounds, sum_between};
use super::side::numbered;
use super::zero::zero_bucket_of;
use super::{Histogram, ResetHint, Span};
use crate::error::Error;

impl Histogram {
    /// Whether the counters began anew between `previous` and this: as the hint says, else by comparing all that must not fall. A gauge
    /// is compared like a counter.
    ///
    /// # Errors
    /// `Invalid` for integer counts.
    pub fn is_reset_since(&self, previous: &Self) -> Result<bool, Error> {
        match self.hint {
            ResetHint::Reset => return Ok(true),
            ResetHint::NotReset => return Ok(false),
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        let (now, before) = (self.floats()?, previous.floats()?);
        if now.count < before.count {
            return Ok(true);
        }
        if self.has_custom_buckets() {
            if !previous.has_custom_buckets() {
                return Ok(true);
            }
            if self.custom_values != previous.custom_values {
                return Ok(self.falls_between_shared_bounds(previous));
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return Ok(true);
        }
        let sides = (before.positive, before.negative);
        let (zero, threshold) = zero_bucket_of(previous, before.zero, sides, self.zero_threshold);
        if threshold != self.zero_threshold || now.zero < zero.value {
            return Ok(true);
        }
        let mut reduced = None;
        let previous = if previous.schema == self.schema {
            previous
        } else {
            let same = reduced.insert(previous.clone());
            same.reduce_resolution(self.schema);
            same
        };
        let before = previous.floats()?;
        let falls = |spans: &[Span], now: &[f64], old_spans: &[Span], before: &[f64]| {
            let begins_beyond = spans
                .first()
                .is_some_and(|first| !lies_within(first.offset.into(), self.schema, self.zero_threshold));
            if begins_beyond && spans == old_spans && now.len() == before.len() {
                return now.iter().zip(before).any(|(now, before)| now < before);
            }
            falls(self.beyond_zero(spans, now), self.beyond_zero(old_spans, before))
        };
        Ok(falls(&self.positive_spans, now.positive, &previous.positive_spans, before.positive)
            || falls(&self.negative_spans, now.negative, &previous.negative_spans, before.negative))
    }

    /// The buckets from the first one on that ends beyond this histogram's zero bucket.
    fn beyond_zero<'a>(
        &self,
        spans: &'a [Span],
        buckets: &'a [f64],
    ) -> impl Iterator<Item = (i64, f64)> + 'a {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        numbered(spans, buckets).skip_while(move |&(number, _)| lies_within(number, schema, threshold))
    }

    /// Whether between two bounds that both have there are fewer observations than in `previous`.
    fn falls_between_shared_bounds(&self, previous: &Self) -> bool {
        let (Ok(now), Ok(before)) = (self.floats(), previous.floats()) else { return false };
        let shared = shared_bounds(&self.custom_values, &previous.custom_values);
        let (mut sums, mut old) = (vec![0.0; shared.len() + 1], vec![0.0; shared.len() + 1]);
        let buckets = numbered(&self.positive_spans, now.positive);
        sum_between(&shared, buckets, &self.custom_values, &mut sums);
        let buckets = numbered(&previous.positive_spans, before.positive);
        sum_between(&shared, buckets, &previous.custom_values, &mut old);
        sums.iter().zip(&old).any(|(now, before)| now < before)
    }
}

/// Whether a bucket of `before` has more observations than that of `now`; one that is not there has none.
fn falls(now: impl Iterator<Item = (i64, f64)>, before: impl Iterator<Item = (i64, f64)>) -> bool {
    let mut now = now.peekable();
    for (number, count) in before {
        while now.next_if(|&(own, _)| own < number).is_some() {}
        let falls = match now.peek() {
            Some(&(own, now)) if own == number => now < count,
            _ => count != 0.0,
        };
        if falls {
            return true;
        }
    }
    false
}
