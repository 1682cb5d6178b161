//! Quantiles and fractions of classic histograms: several series, each with the number of observations up to its bound.
//!
//! Observations are taken to lie evenly between two bounds. The lowest bucket begins at zero if its bound lies above; of the highest nothing is
//! known. All as Prometheus' `BucketQuantile` and `BucketFraction` do it.

/// A bucket: its upper bound, and how many observations do not lie above it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cumulative {
    pub(super) bound: f64,
    pub(super) count: f64,
}

/// Where counts fell from one bucket to the next and had to be repaired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forced {
    pub(super) lowest: f64,
    pub(super) highest: f64,
    pub(super) difference: f64,
}

/// Counts that differ by less than that part are taken for equal: they do by rounding.
const TOLERANCE: f64 = 1e-12;

/// The value below which the part `q` of all observations lies, and what had to be repaired for it. `buckets` lie by rising bounds and hold
/// at least one; they are changed.
pub(super) fn quantile(q: f64, buckets: &mut Vec<Cumulative>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|last| last.bound != f64::INFINITY) {
        return (f64::NAN, None);
    }
    merge_equal(buckets);
    let forced = make_monotonic(buckets);
    (of_monotonic(q, buckets).unwrap_or(f64::NAN), forced)
}

fn of_monotonic(q: f64, buckets: &[Cumulative]) -> Option<f64> {
    let [below @ .., all] = buckets else { return None };
    let highest = below.last()?;
    if all.count == 0.0 {
        return None;
    }
    let mut rank = q * all.count;
    // A count that is not a number is not reached.
    let at = below.partition_point(|bucket| bucket.count.is_nan() || rank.is_nan() || bucket.count < rank);
    let Some(bucket) = below.get(at) else { return Some(highest.bound) };
    let (mut start, mut count) = (0.0, bucket.count);
    match at.checked_sub(1).and_then(|before| below.get(before)) {
        None if bucket.bound <= 0.0 => return Some(bucket.bound),
        None => {}
        Some(before) => {
            start = before.bound;
            count -= before.count;
            rank -= before.count;
        }
    }
    Some(start + (bucket.bound - start) * (rank / count))
}

/// Adds up the counts of buckets with the same bound.
fn merge_equal(buckets: &mut Vec<Cumulative>) {
    buckets.dedup_by(|next, kept| {
        let same = next.bound == kept.bound;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Counts must not fall from one bucket to the next. Small differences are taken for rounding, in either direction.
fn make_monotonic(buckets: &mut [Cumulative]) -> Option<Forced> {
    let (first, others) = buckets.split_first_mut()?;
    let mut before = first.count;
    let mut forced: Option<Forced> = None;
    for bucket in others {
        if bucket.count == before {
            continue;
        }
        if nearly_equal(before, bucket.count) {
            bucket.count = before;
        } else if bucket.count < before {
            let difference = before - bucket.count;
            bucket.count = before;
            let Forced { lowest, highest, difference: largest } = forced.unwrap_or(Forced {
                lowest: f64::INFINITY,
                highest: f64::NEG_INFINITY,
                difference: 0.0,
            });
            forced = Some(Forced {
                lowest: lowest.min(bucket.bound),
                highest: highest.max(bucket.bound),
                difference: largest.max(difference),
            });
        } else {
            before = bucket.count;
        }
    }
    forced
}

/// Prometheus' `almost.Equal` with [`TOLERANCE`].
fn nearly_equal(a: f64, b: f64) -> bool {
    if sarsen_block::is_stale(a) || sarsen_block::is_stale(b) {
        return sarsen_block::is_stale(a) && sarsen_block::is_stale(b);
    }
    if a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    // A NaN is not less than anything.
    difference / if sum > f64::MAX { f64::MAX } else { sum } < TOLERANCE
}

/// The part of all observations that lies between two values. `buckets` lie by rising bounds and hold at least one; they are changed.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Cumulative>) -> f64 {
    if buckets.last().is_none_or(|last| last.bound != f64::INFINITY) {
        return f64::NAN;
    }
    merge_equal(buckets);
    let total = buckets.last().map_or(0.0, |last| last.count);
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank =
        |value: f64| rank_of(value, buckets).map_or(total, |rank| if rank > total { total } else { rank });
    (rank(upper) - rank(lower)) / total
}

/// How many observations lie below `value`; `None`: it lies in no bucket.
fn rank_of(value: f64, buckets: &[Cumulative]) -> Option<f64> {
    let first = buckets.first()?.bound;
    let mut start = if first <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut below = 0.0;
    for bucket in buckets {
        if start >= value {
            return Some(below);
        }
        if bucket.bound > value {
            return Some(if start == f64::NEG_INFINITY {
                bucket.count
            } else {
                below + (bucket.count - below) * (value - start) / (bucket.bound - start)
            });
        }
        (start, below) = (bucket.bound, bucket.count);
    }
    None
}
