//! Wider buckets: the same histogram with less resolution.

use super::{CUSTOM_BUCKETS, Counts, Histogram, Span};

impl Histogram {
    /// Lowers the schema to `schema`: each step down makes one bucket of two. Nothing happens if it is not above `schema`, or if
    /// either has listed bounds. Empty buckets stay; neighbouring ones come to lie in one span.
    pub fn reduce_resolution(&mut self, schema: i32) {
        if self.schema <= schema || self.schema == CUSTOM_BUCKETS || schema == CUSTOM_BUCKETS {
            return;
        }
        let steps = (self.schema - schema).min(31) as u32;
        let (positive, negative) = (&self.positive_spans, &self.negative_spans);
        let (positive_spans, negative_spans) = match &mut self.counts {
            Counts::Integer { positive: p, negative: n, .. } => {
                (reduce_deltas(positive, p, steps), reduce_deltas(negative, n, steps))
            }
            Counts::Float { positive: p, negative: n, .. } => {
                (reduce(positive, p, steps, |a, b| a + b), reduce(negative, n, steps, |a, b| a + b))
            }
        };
        (self.positive_spans, self.negative_spans, self.schema) = (positive_spans, negative_spans, schema);
    }
}

/// As [`reduce`], of buckets that are stored as differences.
fn reduce_deltas(spans: &[Span], buckets: &mut Vec<i64>, steps: u32) -> Vec<Span> {
    let mut last = 0i64;
    for bucket in buckets.iter_mut() {
        last = last.wrapping_add(*bucket);
        *bucket = last;
    }
    let spans = reduce(spans, buckets, steps, i64::wrapping_add);
    let mut last = 0i64;
    for bucket in buckets {
        let absolute = *bucket;
        *bucket = absolute.wrapping_sub(last);
        last = absolute;
    }
    spans
}

/// Adds up the absolute `buckets` in `spans` that fall into one bucket `steps` schemas below, and gives the new spans.
pub(super) fn reduce<T: Copy>(
    spans: &[Span],
    buckets: &mut Vec<T>,
    steps: u32,
    add: impl Fn(T, T) -> T,
) -> Vec<Span> {
    let mut reduced: Vec<Span> = Vec::new();
    let (mut kept, mut read) = (0, 0);
    let (mut number, mut last) = (0i32, 0i32);
    for span in spans {
        number = number.wrapping_add(span.offset);
        for _ in 0..span.length {
            let Some(&bucket) = buckets.get(read) else { break };
            // A bucket holds what lies up to its upper bound, so the first of two has the uneven number.
            let target = (number.wrapping_sub(1) >> steps).wrapping_add(1);
            let begun = reduced.last_mut();
            match (begun, target.wrapping_sub(last)) {
                (Some(_), 0) => kept -= 1,
                (Some(span), 1) => span.length += 1,
                (Some(_), gap) => reduced.push(Span { offset: gap.wrapping_sub(1), length: 1 }),
                (None, _) => reduced.push(Span { offset: target, length: 1 }),
            }
            let merges = target == last && read > 0;
            if let Some(place) = buckets.get_mut(kept) {
                *place = if merges { add(*place, bucket) } else { bucket };
            }
            (last, kept, read) = (target, kept + 1, read + 1);
            number = number.wrapping_add(1);
        }
    }
    buckets.truncate(kept);
    reduced
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn histogram(schema: i32, spans: &[(i32, u32)], buckets: &[i64]) -> Histogram {
        let positive_spans = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        let counts = Counts::Integer { count: 0, zero: 0, positive: buckets.to_vec(), negative: vec![] };
        Histogram { schema, positive_spans, counts, ..Histogram::default() }
    }

    /// Number and observations of each bucket.
    fn absolute(histogram: &Histogram) -> BTreeMap<i64, i64> {
        let Counts::Integer { positive, .. } = &histogram.counts else { panic!("integer counts") };
        let (mut number, mut last, mut at) = (0i64, 0, positive.iter());
        let mut found = BTreeMap::new();
        for span in &histogram.positive_spans {
            number += i64::from(span.offset);
            for _ in 0..span.length {
                last += at.next().unwrap();
                assert!(found.insert(number, last).is_none());
                number += 1;
            }
        }
        assert_eq!(at.next(), None);
        found
    }

    #[test]
    fn two_buckets_become_one() {
        // Bucket 1 of schema 1 ends at 2^0.5, bucket 2 at 2: both lie in bucket 1 of schema 0, which ends at 2.
        let mut histogram = histogram(1, &[(-1, 3), (0, 1), (2, 1)], &[1, 1, 1, 1, 1]);
        histogram.reduce_resolution(0);
        assert_eq!(absolute(&histogram), BTreeMap::from([(0, 1 + 2), (1, 3 + 4), (3, 5)]));
        assert_eq!(histogram.positive_spans, [Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }]);
        assert_eq!(histogram.schema, 0);
    }

    #[test]
    fn what_cannot_be_reduced_stays() {
        for (schema, to) in [(0, 0), (0, 3), (CUSTOM_BUCKETS, -60), (3, CUSTOM_BUCKETS)] {
            let before = histogram(schema, &[(0, 2)], &[1, 1]);
            let mut after = before.clone();
            after.reduce_resolution(to);
            assert_eq!(before, after);
        }
    }

    proptest! {
        #[test]
        fn every_observation_stays_in_the_bucket_around_its_own(
            spans in proptest::collection::vec((0..5i32, 0..5u32), 0..6),
            first in -40..40i32,
            buckets in proptest::collection::vec(-9..9i64, 30),
            (from, to) in (0..52i32, 0..52i32),
        ) {
            let mut spans = spans;
            if let Some(span) = spans.first_mut() {
                span.0 = first;
            }
            let length: u32 = spans.iter().map(|span| span.1).sum();
            let mut reduced = histogram(from, &spans, &buckets[..length as usize]);
            let mut wanted = BTreeMap::new();
            for (number, observations) in absolute(&reduced) {
                let target = (0..(from - to).max(0)).fold(number, |n, _| (n + 1).div_euclid(2));
                *wanted.entry(target).or_insert(0) += observations;
            }
            reduced.reduce_resolution(to);
            prop_assert_eq!(absolute(&reduced), wanted);
        }
    }
}
