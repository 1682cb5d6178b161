//! Numbers of one native histogram: count, sum, mean and how far observations lie from it.

use sarsen_block::{Bucket, Counts, Histogram};

use crate::FunctionId;
use crate::func::kahan::Kahan;

/// The function that makes a number of a histogram; numbers in its argument are left out.
pub(crate) fn histogram_function(id: FunctionId) -> Option<fn(&Histogram) -> f64> {
    Some(match id {
        FunctionId::HistogramCount => count,
        FunctionId::HistogramSum => |histogram| histogram.sum,
        FunctionId::HistogramAvg => |histogram| histogram.sum / count(histogram),
        FunctionId::HistogramStddev => |histogram| variance(histogram).sqrt(),
        FunctionId::HistogramStdvar => variance,
        _ => return None,
    })
}

/// How many observations.
pub(super) const fn count(histogram: &Histogram) -> f64 {
    match &histogram.counts {
        Counts::Float { count, .. } => *count,
        Counts::Integer { count, .. } => *count as f64,
    }
}

/// Of the whole population; each observation counts for the middle of its bucket.
fn variance(histogram: &Histogram) -> f64 {
    let count = count(histogram);
    let mean = histogram.sum / count;
    let custom = histogram.has_custom_buckets();
    let mut sum = Kahan::default();
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        let distance = middle(&bucket, custom) - mean;
        sum.add(bucket.count * distance * distance);
    }
    sum.total() / count
}

/// The arithmetic mean of the bounds of a custom bucket, zero in the zero bucket, else the geometric mean.
fn middle(bucket: &Bucket, custom: bool) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if custom {
        return (upper + lower) / 2.0;
    }
    if lower <= 0.0 && upper >= 0.0 {
        return 0.0;
    }
    let mean = (upper * lower).sqrt();
    if upper < 0.0 { -mean } else { mean }
}
