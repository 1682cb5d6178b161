//! Whether a histogram that comes from outside is one: the rules of Prometheus (`Validate`).
//!
//! What breaks one of them must not enter a head. Chunks are not checked again when they are read: they are carried as they are.

use super::{CUSTOM_BUCKETS, Counts, Histogram, MAX_SCHEMA, MIN_SCHEMA, Span};
use crate::error::Error;

impl Histogram {
    /// Whether this can be stored: the schema is -4 to 8 or [`CUSTOM_BUCKETS`]; spans and buckets fit each other, and no bucket has less than no
    /// observations; custom bounds are finite, rise and suffice; integer counts add up, or, where the sum is not a number, do not
    /// exceed the whole. Histograms of schema 9 to 52 can be made storable by [`reduce_resolution`](Self::reduce_resolution).
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first rule that is broken.
    pub fn check(&self) -> Result<(), Error> {
        self.broken_rule().map_or(Ok(()), |why| Err(Error::invalid("histogram", why)))
    }

    fn broken_rule(&self) -> Option<String> {
        let (positive, negative) = match &self.counts {
            Counts::Integer { positive, negative, .. } => (positive.len(), negative.len()),
            Counts::Float { positive, negative, .. } => (positive.len(), negative.len()),
        };
        match self.schema {
            CUSTOM_BUCKETS => self.broken_custom(positive, negative),
            MIN_SCHEMA..=MAX_SCHEMA => broken_spans(&self.positive_spans, positive)
                .map(|why| format!("positive side: {why}"))
                .or_else(|| {
                    broken_spans(&self.negative_spans, negative).map(|why| format!("negative side: {why}"))
                })
                .or_else(|| {
                    (!self.custom_values.is_empty()).then(|| "custom bounds with another schema".to_owned())
                }),
            other => Some(format!("schema {other}, which must be -4 to 8, or -53 for custom buckets")),
        }
        .or_else(|| self.broken_counts())
    }

    fn broken_custom(&self, positive: usize, negative: usize) -> Option<String> {
        let mut last = f64::NEG_INFINITY;
        for &bound in &self.custom_values {
            if bound.is_nan() || bound <= last {
                return Some(format!("custom bound {bound} is not above {last}"));
            }
            last = bound;
        }
        if last == f64::INFINITY {
            return Some("the last custom bound, which is infinite, must not be listed".to_owned());
        }
        if let Some(why) = broken_spans(&self.positive_spans, positive) {
            return Some(why);
        }
        if self.positive_spans.first().is_some_and(|span| span.offset < 0) {
            return Some("a first span with a negative offset in custom buckets".to_owned());
        }
        let reach: i64 =
            self.positive_spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum();
        if self.custom_values.len() as i64 + 1 < reach {
            return Some(format!("{} custom bounds for {reach} buckets", self.custom_values.len()));
        }
        let zero = match self.counts {
            Counts::Integer { zero, .. } => zero != 0,
            Counts::Float { zero, .. } => zero != 0.0,
        };
        let why = if zero {
            "custom buckets with a zero bucket"
        } else if self.zero_threshold != 0.0 {
            "custom buckets with a zero threshold"
        } else if !self.negative_spans.is_empty() || negative != 0 {
            "custom buckets with negative buckets"
        } else {
            return None;
        };
        Some(why.to_owned())
    }

    fn broken_counts(&self) -> Option<String> {
        let (count, zero, positive, negative) = match &self.counts {
            Counts::Integer { count, zero, positive, negative } => (*count, *zero, positive, negative),
            // Whether floats add up is a matter of rounding.
            Counts::Float { positive, negative, .. } => {
                return positive
                    .iter()
                    .chain(negative)
                    .find(|&&bucket| bucket < 0.0)
                    .map(|bucket| format!("a bucket with {bucket} observations"));
            }
        };
        let mut sum = zero;
        for buckets in [negative, positive] {
            let mut bucket = 0i64;
            for step in buckets {
                bucket = bucket.wrapping_add(*step);
                let Ok(observations) = u64::try_from(bucket) else {
                    return Some(format!("a bucket with {bucket} observations"));
                };
                sum = sum.wrapping_add(observations);
            }
        }
        let sound = if self.sum.is_nan() { sum <= count } else { sum == count };
        (!sound).then(|| format!("{sum} observations in the buckets, {count} in all"))
    }
}

fn broken_spans(spans: &[Span], buckets: usize) -> Option<String> {
    if let Some(span) = spans.iter().skip(1).find(|span| span.offset < 0) {
        return Some(format!("a span with offset {} behind another", span.offset));
    }
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    (needed != buckets as u64).then(|| format!("spans for {needed} buckets, {buckets} are there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Histogram {
        Histogram {
            schema: 3,
            sum: 7.0,
            positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 3, length: 2 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            counts: Counts::Integer { count: 12, zero: 1, positive: vec![2, 1, -1], negative: vec![4] },
            ..Histogram::default()
        }
    }

    fn custom() -> Histogram {
        Histogram {
            schema: CUSTOM_BUCKETS,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            custom_values: vec![-1.0, 2.5],
            counts: Counts::Float { count: 3.0, zero: 0.0, positive: vec![1.0, 2.0], negative: vec![] },
            ..Histogram::default()
        }
    }

    fn breaks(of: fn() -> Histogram, change: impl FnOnce(&mut Histogram)) -> bool {
        let mut histogram = of();
        change(&mut histogram);
        histogram.check().is_err()
    }

    fn integers(histogram: &mut Histogram, count: u64, positive: Vec<i64>) {
        histogram.counts = Counts::Integer { count, zero: 1, positive, negative: vec![4] };
    }

    #[test]
    fn sound_ones_pass() {
        sound().check().unwrap();
        custom().check().unwrap();
        Histogram::default().check().unwrap();
        Histogram::stale(true).check().unwrap();
        Histogram::stale(false).check().unwrap();
        assert!(!breaks(sound, |h| h.positive_spans.insert(1, Span { offset: 0, length: 0 })));
    }

    #[test]
    fn every_rule_counts() {
        for schema in [-5, 9, 52, -52, i32::MAX] {
            assert!(breaks(sound, |h| h.schema = schema));
        }
        assert!(breaks(sound, |h| h.positive_spans[1].offset = -1));
        assert!(breaks(sound, |h| h.negative_spans[0].length = 2));
        assert!(breaks(sound, |h| h.positive_spans[0].length = u32::MAX));
        assert!(breaks(sound, |h| h.custom_values.push(1.0)));
        assert!(breaks(sound, |h| integers(h, 11, vec![2, 1, -1])));
        assert!(breaks(sound, |h| integers(h, 12, vec![2, -3, 4])));
        assert!(breaks(sound, |h| integers(h, 12, vec![i64::MAX, 1, 0])));
        assert!(breaks(custom, |h| h.custom_values[1] = -1.0));
        assert!(breaks(custom, |h| h.custom_values[1] = f64::NAN));
        assert!(breaks(custom, |h| h.custom_values[1] = f64::INFINITY));
        assert!(breaks(custom, |h| h.custom_values.truncate(1)));
        assert!(breaks(custom, |h| h.positive_spans[0].offset = -1));
        assert!(breaks(custom, |h| h.zero_threshold = 0.1));
        assert!(breaks(custom, |h| h.negative_spans.push(Span::default())));
        let float = |zero, positive| Counts::Float { count: 3.0, zero, positive, negative: vec![] };
        assert!(breaks(custom, |h| h.counts = float(1.0, vec![1.0, 2.0])));
        assert!(breaks(custom, |h| h.counts = float(0.0, vec![1.0, -2.0])));
    }

    #[test]
    fn observations_that_are_no_numbers_are_in_no_bucket() {
        assert!(!breaks(sound, |h| {
            h.sum = f64::NAN;
            integers(h, 13, vec![2, 1, -1]);
        }));
        assert!(breaks(sound, |h| {
            h.sum = f64::NAN;
            integers(h, 11, vec![2, 1, -1]);
        }));
    }
}
