//! A histogram as a text: the label values that `count_values` makes of histograms.

use std::fmt::Write as _;

use sarsen_block::{Bucket, Counts, Histogram};

use crate::number::general;

/// Count, sum and the buckets that are not empty, with their bounds from the lowest up: `{count:3, sum:1.5, (0.5,1]:2, (1,2]:1}`. The form is
/// that of Prometheus (`FloatHistogram.String`).
pub(crate) fn text(histogram: &Histogram) -> String {
    let Counts::Float { count, zero, .. } = &histogram.counts else { return String::new() };
    let mut text = format!("{{count:{}, sum:{}", general(*count), general(histogram.sum));
    let mut negative: Vec<Bucket> = histogram.negative_buckets().collect();
    negative.reverse();
    let width = histogram.zero_threshold;
    let zero =
        Bucket { lower: -width, upper: width, lower_inclusive: true, upper_inclusive: true, count: *zero };
    let all = negative.into_iter().chain([zero]).chain(histogram.positive_buckets());
    for bucket in all.filter(|bucket| bucket.count != 0.0) {
        let (open, close) =
            (if bucket.lower_inclusive { '[' } else { '(' }, if bucket.upper_inclusive { ']' } else { ')' });
        let (lower, upper, count) = (general(bucket.lower), general(bucket.upper), general(bucket.count));
        // Writing to a string does not fail.
        let _done = write!(text, ", {open}{lower},{upper}{close}:{count}");
    }
    text.push('}');
    text
}
