//! Histograms of float counts added, subtracted and divided, and whether a counter began anew between two of them.
//!
//! All of it is what Prometheus' `FloatHistogram` does, to the last bit and to the last span: aggregates of histograms are written from
//! what comes out. Zero buckets of unequal width are brought to the wider one, schemas to the lower one, and custom buckets to
//! those bounds that both have. Only exponential and custom buckets do not go together.

use super::bounds::upper_bound;
use super::side::{Side, numbered};
use super::{CUSTOM_BUCKETS, Counts, Histogram, ResetHint, Span};
use crate::error::Error;

/// The float counts of a histogram, borrowed.
struct Floats<'a> {
    count: f64,
    zero: f64,
    positive: &'a [f64],
    negative: &'a [f64],
}

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
    pub fn add(&mut self, other: &Self) -> Result<(), Error> {
        self.combine(other, 1.0)
    }

    /// Takes the observations of `other` away; counts may become negative.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn subtract(&mut self, other: &Self) -> Result<(), Error> {
        self.combine(other, -1.0)
    }

    /// Divides sum and counts by `divisor`. By zero, no bucket is left.
    ///
    /// # Errors
    /// `Invalid`, and nothing is changed, for integer counts.
    pub fn divide(&mut self, divisor: f64) -> Result<(), Error> {
        let Counts::Float { count, zero, positive, negative } = &mut self.counts else {
            return Err(integers());
        };
        *zero /= divisor;
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
        let (zero, threshold) = previous.zero_bucket_of(self.zero_threshold);
        if threshold != self.zero_threshold || now.zero < zero {
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
        let falls = |spans, now, old_spans, before| {
            falls(self.beyond_zero(spans, now), self.beyond_zero(old_spans, before))
        };
        Ok(falls(&self.positive_spans, now.positive, &previous.positive_spans, before.positive)
            || falls(&self.negative_spans, now.negative, &previous.negative_spans, before.negative))
    }

    fn floats(&self) -> Result<Floats<'_>, Error> {
        match &self.counts {
            Counts::Float { count, zero, positive, negative } => {
                Ok(Floats { count: *count, zero: *zero, positive, negative })
            }
            Counts::Integer { .. } => Err(integers()),
        }
    }

    /// The buckets from the first one on that ends beyond this histogram's zero bucket.
    fn beyond_zero<'a>(
        &self,
        spans: &'a [Span],
        buckets: &'a [f64],
    ) -> impl Iterator<Item = (i64, f64)> + 'a {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        numbered(spans, buckets).skip_while(move |&(number, _)| {
            schema != CUSTOM_BUCKETS && upper_bound(number, schema) <= threshold
        })
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<(), Error> {
        let added = other.floats()?;
        self.floats()?;
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(Error::invalid("histogram", "exponential and custom buckets do not add up"));
        }
        self.adjust_hint(other.hint);
        let zero = if self.has_custom_buckets() { None } else { Some(self.match_zero_bucket(other)) };
        self.sum += sign * other.sum;
        let differ = self.has_custom_buckets() && self.custom_values != other.custom_values;
        let mut reduced = None;
        let other = if other.schema > self.schema && !self.has_custom_buckets() {
            let same = reduced.insert(other.clone());
            same.reduce_resolution(self.schema);
            same
        } else {
            self.reduce_resolution(other.schema);
            other
        };
        let Floats { positive: more_positive, negative: more_negative, .. } = other.floats()?;
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let Counts::Float { count, zero: own_zero, positive, negative } = &mut self.counts else {
            return Err(integers());
        };
        *count += sign * added.count;
        if let Some(zero) = zero {
            *own_zero += sign * zero;
        }
        if differ {
            self.add_with_other_bounds(other, sign);
            return Ok(());
        }
        let beyond_zero = |number| schema == CUSTOM_BUCKETS || upper_bound(number, schema) > threshold;
        let sides = [
            (&mut self.positive_spans, positive, &other.positive_spans, more_positive),
            (&mut self.negative_spans, negative, &other.negative_spans, more_negative),
        ];
        for (spans, buckets, more_spans, more) in sides {
            let all = more_spans.first().is_none_or(|first| beyond_zero(first.offset.into()));
            if all && spans == more_spans && buckets.len() == more.len() {
                buckets.iter_mut().zip(more).for_each(|(bucket, more)| *bucket += sign * more);
            } else {
                let counted = numbered(more_spans, more).skip_while(|&(number, _)| !beyond_zero(number));
                Side { spans, buckets }.add(counted.map(|(number, count)| (number, sign * count)));
            }
        }
        Ok(())
    }

    /// The hint of a sum.
    fn adjust_hint(&mut self, other: ResetHint) {
        self.hint = match (self.hint, other) {
            (own, other) if own == other => own,
            (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
    }

    /// What the zero bucket would hold if it were `width` wide, at least as wide as it is, and how wide it has to be so that no bucket with
    /// observations is cut.
    fn zero_bucket_of(&self, width: f64) -> (f64, f64) {
        let Ok(own) = self.floats() else { return (0.0, width) };
        if width == self.zero_threshold {
            return (own.zero, width);
        }
        let mut width = width;
        loop {
            let mut zero = own.zero;
            for (number, count) in numbered(&self.positive_spans, own.positive) {
                let (lower, upper) = self.positive_bounds(number);
                if lower >= width {
                    break;
                }
                zero += count;
                if upper > width {
                    if count != 0.0 {
                        width = upper;
                    }
                    break;
                }
            }
            let before = width;
            for (number, count) in numbered(&self.negative_spans, own.negative) {
                let (lower, upper) = (upper_bound(number - 1, self.schema), upper_bound(number, self.schema));
                if lower >= width {
                    break;
                }
                zero += count;
                if upper > width {
                    // The positive buckets have to be looked at again.
                    if count != 0.0 {
                        width = upper;
                    }
                    break;
                }
            }
            if width == before || width.is_nan() {
                return (zero, width);
            }
        }
    }

    /// Widens the own zero bucket until it is that of `other`, and tells what that one then holds.
    fn match_zero_bucket(&mut self, other: &Self) -> f64 {
        let Ok(Floats { mut zero, .. }) = other.floats() else { return 0.0 };
        let mut width = other.zero_threshold;
        // What is not a number is never matched.
        while !width.is_nan() && !self.zero_threshold.is_nan() && width != self.zero_threshold {
            if width < self.zero_threshold {
                (zero, width) = other.zero_bucket_of(self.zero_threshold);
            }
            if width > self.zero_threshold {
                let (own, widened) = self.zero_bucket_of(width);
                self.zero_threshold = widened;
                if let Counts::Float { zero, .. } = &mut self.counts {
                    *zero = own;
                }
                self.empty_within_zero();
            }
        }
        zero
    }

    /// Leaves out the buckets that the zero bucket now holds, and empty ones.
    fn empty_within_zero(&mut self) {
        let (schema, width) = (self.schema, self.zero_threshold);
        let Counts::Float { positive, negative, .. } = &mut self.counts else { return };
        for (spans, buckets) in [(&mut self.positive_spans, positive), (&mut self.negative_spans, negative)] {
            let within = numbered(spans, buckets)
                .take_while(|&(number, _)| upper_bound(number - 1, schema) < width)
                .count();
            buckets.iter_mut().take(within).for_each(|bucket| *bucket = 0.0);
            Side { spans, buckets }.compact();
        }
    }

    /// Adds custom buckets with other bounds: what lies between two bounds that both have comes into one bucket.
    fn add_with_other_bounds(&mut self, other: &Self, sign: f64) {
        let shared = shared_bounds(&self.custom_values, &other.custom_values);
        let mut sums = vec![0.0; shared.len() + 1];
        let Ok(more) = other.floats() else { return };
        let Counts::Float { positive, .. } = &mut self.counts else { return };
        sum_between(&shared, (&self.positive_spans, positive, &self.custom_values), 1.0, &mut sums);
        sum_between(&shared, (&other.positive_spans, more.positive, &other.custom_values), sign, &mut sums);
        self.positive_spans = vec![Span { offset: 0, length: sums.len() as u32 }];
        *positive = sums;
        Side { spans: &mut self.positive_spans, buckets: positive }.compact();
        self.custom_values = shared;
    }

    /// Whether between two bounds that both have there are fewer observations than in `previous`.
    fn falls_between_shared_bounds(&self, previous: &Self) -> bool {
        let (Ok(now), Ok(before)) = (self.floats(), previous.floats()) else { return false };
        let shared = shared_bounds(&self.custom_values, &previous.custom_values);
        let (mut sums, mut old) = (vec![0.0; shared.len() + 1], vec![0.0; shared.len() + 1]);
        sum_between(&shared, (&self.positive_spans, now.positive, &self.custom_values), 1.0, &mut sums);
        let told = (&*previous.positive_spans, before.positive, &*previous.custom_values);
        sum_between(&shared, told, 1.0, &mut old);
        sums.iter().zip(&old).any(|(now, before)| now < before)
    }
}

#[cold]
fn integers() -> Error {
    Error::invalid("histogram", "only histograms of float counts are computed with")
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

/// The bounds that both have; both rise.
fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut others = b.iter().copied().peekable();
    let shared = a.iter().copied().filter(|bound| {
        while others.next_if(|other| other < bound).is_some() {}
        others.peek() == Some(bound)
    });
    shared.collect()
}

/// Adds `sign` times the buckets with their own bounds to the sums of the buckets with the `shared` ones.
fn sum_between(
    shared: &[f64],
    (spans, buckets, bounds): (&[Span], &[f64], &[f64]),
    sign: f64,
    sums: &mut [f64],
) {
    for (number, count) in numbered(spans, buckets) {
        let bound = usize::try_from(number).ok().and_then(|number| bounds.get(number));
        // The last bucket has no bound.
        let into = bound.map_or(shared.len(), |bound| shared.partition_point(|shared| shared < bound));
        if let Some(sum) = sums.get_mut(into) {
            *sum += sign * count;
        }
    }
}

#[cfg(test)]
mod tests;
