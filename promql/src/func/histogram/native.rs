//! Quantiles and fractions of one native histogram.
//!
//! Observations are taken to lie evenly within a bucket: on a line in custom buckets and in the zero bucket, else on a logarithmic one.
//! Observations that are not numbers are counted but in no bucket; the sum, then not a number either, gives them away.
//! All as Prometheus' `HistogramQuantile` and `HistogramFraction` do it.

use sarsen_block::{Bucket, Counts, Histogram};

use super::moments::count;
use crate::annotations::Note;
use crate::func::elementary::{exp2, log2};
use crate::histogram::fraction_below;

/// What is to be noted: a text for the name of the metric.
pub(super) type Told = Option<fn(&[u8]) -> Note>;

/// Whether there are negative and positive buckets.
fn sides(histogram: &Histogram) -> (bool, bool) {
    match &histogram.counts {
        Counts::Float { positive, negative, .. } => (!negative.is_empty(), !positive.is_empty()),
        Counts::Integer { .. } => (false, false),
    }
}

/// A zero bucket beside buckets of one sign only holds observations of that sign only.
fn one_sided(bucket: &mut Bucket, histogram: &Histogram) {
    match sides(histogram) {
        (false, true) => bucket.lower = 0.0,
        (true, false) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The value below which the part `q` of all observations lies.
pub(super) fn quantile(q: f64, histogram: &Histogram) -> (f64, Told) {
    let total = count(histogram);
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if total == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let unsure = histogram.sum.is_nan();
    // From whichever end is nearer; but the upper one is not known if there are observations that are not numbers.
    let up = unsure || q < 0.5;
    let rank = if up { q * total } else { (1.0 - q) * total };
    let mut buckets: Box<dyn Iterator<Item = Bucket>> =
        if up { Box::new(histogram.buckets()) } else { Box::new(histogram.buckets_down()) };
    let (mut bucket, counted) = reach(&mut *buckets, rank);
    if let Some(bound) = beside_infinity(&mut bucket, histogram) {
        return (bound, None);
    }
    // Rounding may make the buckets hold more than all of it.
    let mut counted = if counted > total { total } else { counted };
    if counted < rank {
        let nan: Told = Some(Note::quantile_nan_result);
        return if unsure { (f64::NAN, nan) } else { (bucket.upper, None) };
    }
    let rank = if up { rank - (counted - bucket.count) } else { counted - rank };
    let mut told: Told = None;
    if unsure {
        // Prometheus looks at all buckets to know whether some observations are in none, and goes on with the last one it saw.
        for next in buckets {
            counted += next.count;
            bucket = next;
        }
        told = if counted < total { Some(Note::quantile_nan_skew) } else { None };
    }
    (value_within(&bucket, rank / bucket.count, histogram.has_custom_buckets()), told)
}

/// The bucket with which so many observations are counted, or the last one, and how many then are.
fn reach(buckets: &mut dyn Iterator<Item = Bucket>, rank: f64) -> (Bucket, f64) {
    let mut at =
        Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0 };
    let mut counted = 0.0;
    for bucket in buckets {
        at = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        counted += bucket.count;
        if counted >= rank {
            break;
        }
    }
    (at, counted)
}

/// Makes the bounds of a bucket fit for interpolation; if it cannot be interpolated in, its finite bound.
fn beside_infinity(bucket: &mut Bucket, histogram: &Histogram) -> Option<f64> {
    if !histogram.has_custom_buckets() {
        if bucket.lower < 0.0 && bucket.upper > 0.0 {
            one_sided(bucket, histogram);
        }
        return None;
    }
    if bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 {
            return Some(bucket.upper);
        }
        bucket.lower = 0.0;
        return None;
    }
    (bucket.upper == f64::INFINITY).then_some(bucket.lower)
}

/// The value below which `part` of the observations of a bucket lie.
fn value_within(bucket: &Bucket, part: f64, custom: bool) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if custom || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * part;
    }
    let (low, high) = (log2(lower.abs()), log2(upper.abs()));
    if lower > 0.0 {
        return exp2(low + (high - low) * part);
    }
    -exp2(high + (low - high) * (1.0 - part))
}

/// Goes up the buckets of a histogram and remembers how many observations lie below two values.
struct Ranks {
    below: f64,
    lower: (f64, Option<f64>),
    upper: (f64, Option<f64>),
}

impl Ranks {
    /// Looks at the next bucket; tells whether both are known.
    fn look(&mut self, bucket: &Bucket, linear: bool) -> bool {
        let below = self.below;
        for (value, rank) in [&mut self.lower, &mut self.upper] {
            if rank.is_none() && bucket.lower >= *value {
                *rank = Some(below);
            }
            if rank.is_none() && bucket.lower < *value && bucket.upper > *value {
                *rank = Some(if linear && bucket.lower == f64::NEG_INFINITY {
                    // Nothing is known of how observations lie in it.
                    bucket.count
                } else {
                    below + bucket.count * fraction_below(bucket, *value, linear)
                });
            }
        }
        self.lower.1.is_some() && self.upper.1.is_some()
    }
}

/// The part of all observations that lies between two values.
pub(super) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, Told) {
    let total = count(histogram);
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let custom = histogram.has_custom_buckets();
    let mut ranks = Ranks { below: 0.0, lower: (lower, None), upper: (upper, None) };
    let mut counted = 0.0;
    let mut buckets = histogram.buckets();
    for mut bucket in buckets.by_ref() {
        counted += bucket.count;
        let zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if zero {
            one_sided(&mut bucket, histogram);
        }
        if ranks.look(&bucket, custom || zero) {
            break;
        }
        ranks.below += bucket.count;
    }
    let mut told: Told = None;
    if histogram.sum.is_nan() {
        counted = buckets.fold(counted, |sum, bucket| sum + bucket.count);
        told = if counted < total { Some(Note::fraction_nans) } else { None };
    } else {
        counted = total;
    }
    let rank = |rank: Option<f64>| rank.map_or(counted, |rank| if rank > counted { counted } else { rank });
    ((rank(ranks.upper.1) - rank(ranks.lower.1)) / total, told)
}
