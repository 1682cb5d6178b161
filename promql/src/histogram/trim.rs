//! The observations of a histogram on one side of a number: the operators `</` and `>/`.
//!
//! A bucket that is cut keeps a part of its observations, as large as if they lay evenly in it: on a line for custom buckets and the zero
//! bucket, else on a logarithmic one. Buckets that reach to infinity have rules of their own. Once something was cut, count and sum are
//! reckoned anew, the sum from the middles of what is left. All as Prometheus' `TrimBuckets` does it.

use sarsen_block::{Bucket, Counts, Histogram};

use crate::func::elementary::log2;

/// Which side is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// What lies below the number: `</`.
    Below,
    /// What lies above it: `>/`.
    Above,
}

/// How many observations of a bucket are kept, and the number each counts for.
struct Kept {
    count: f64,
    middle: f64,
}

/// One trim of one histogram.
struct Trim {
    at: f64,
    keep: Keep,
    custom: bool,
    count: f64,
    sum: f64,
    cut: bool,
}

/// `histogram </ at` or `histogram >/ at`; compacted if anything was cut.
pub(crate) fn trim(histogram: &Histogram, at: f64, keep: Keep) -> Histogram {
    let custom = histogram.has_custom_buckets();
    let mut trim = Trim { at, keep, custom, count: 0.0, sum: 0.0, cut: false };
    let positive: Vec<f64> = histogram.positive_buckets().map(|bucket| trim.bucket(&bucket, true)).collect();
    let negative: Vec<f64> = histogram.negative_buckets().map(|bucket| trim.bucket(&bucket, false)).collect();
    let sides = (
        histogram.negative_buckets().any(|bucket| bucket.count != 0.0),
        histogram.positive_buckets().any(|bucket| bucket.count != 0.0),
    );
    let zero = histogram.zero_bucket().map(|bucket| trim.zero(&bucket, sides));
    let mut result = histogram.clone();
    if !trim.cut {
        return result;
    }
    if let Counts::Float { zero: old, .. } = result.counts {
        let zero = zero.unwrap_or(old);
        result.counts = Counts::Float { count: trim.count, zero, positive, negative };
    }
    result.sum = trim.sum;
    // Only integer counts are refused.
    let _done = result.compact();
    result
}

impl Trim {
    /// What is kept of a bucket.
    fn bucket(&mut self, bucket: &Bucket, positive: bool) -> f64 {
        if bucket.count == 0.0 {
            return bucket.count;
        }
        let (whole, part) = match self.keep {
            Keep::Below => (bucket.upper <= self.at, bucket.lower < self.at),
            Keep::Above => (bucket.lower >= self.at, bucket.upper > self.at),
        };
        let kept = if whole {
            Kept { count: bucket.count, middle: middle(bucket.lower, bucket.upper, positive, self.custom) }
        } else if part {
            self.part(bucket, positive)
        } else {
            self.cut = true;
            return 0.0;
        };
        self.take(&kept, bucket.count)
    }

    fn take(&mut self, kept: &Kept, of: f64) -> f64 {
        self.count += kept.count;
        self.sum += kept.middle * kept.count;
        self.cut |= kept.count != of;
        kept.count
    }

    /// A part of a bucket that the number lies in.
    fn part(&self, bucket: &Bucket, positive: bool) -> Kept {
        let Bucket { lower, upper, count, .. } = *bucket;
        if lower == f64::NEG_INFINITY {
            return self.part_from_infinity(upper, count);
        }
        if upper == f64::INFINITY {
            // How observations are spread in it nobody knows: it is kept if all of it is above, else not at all.
            return match self.keep {
                Keep::Above if self.at >= lower => Kept { count, middle: self.at },
                _ => Kept { count: 0.0, middle: finite_or_zero(lower) },
            };
        }
        let below = if self.at <= lower {
            0.0
        } else if self.at >= upper {
            count
        } else {
            count * fraction_below(bucket, self.at, self.custom)
        };
        match self.keep {
            Keep::Below => Kept { count: below, middle: middle(lower, self.at, positive, self.custom) },
            Keep::Above => {
                Kept { count: count - below, middle: middle(self.at, upper, positive, self.custom) }
            }
        }
    }

    /// A part of the lowest custom bucket. If it ends above 0 it is taken to begin at 0.
    fn part_from_infinity(&self, upper: f64, count: f64) -> Kept {
        let at = self.at;
        let nothing = Kept { count: 0.0, middle: finite_or_zero(upper) };
        match self.keep {
            Keep::Below if at >= upper => Kept { count, middle: 0.0 },
            Keep::Below if at > 0.0 && upper > 0.0 && upper != f64::INFINITY => {
                Kept { count: count * at / upper, middle: at / 2.0 }
            }
            Keep::Below if upper <= 0.0 => Kept { count, middle: at },
            Keep::Above if at == f64::NEG_INFINITY => Kept { count, middle: 0.0 },
            Keep::Above if at >= 0.0 && upper > at && upper != f64::INFINITY => {
                Kept { count: count * (1.0 - at / upper), middle: (at + upper) / 2.0 }
            }
            Keep::Below | Keep::Above => nothing,
        }
    }

    /// What is kept of the zero bucket. `sides`: whether there are negative and positive observations; where there are only those of one side, the
    /// zero bucket is taken to end at 0.
    fn zero(&mut self, bucket: &Bucket, sides: (bool, bool)) -> f64 {
        let lower = if sides == (false, true) { 0.0 } else { bucket.lower };
        let upper = if sides == (true, false) { 0.0 } else { bucket.upper };
        let (at, count) = (self.at, bucket.count);
        let whole = Kept { count, middle: (lower + upper) / 2.0 };
        let nothing = Kept { count: 0.0, middle: 0.0 };
        let kept = match self.keep {
            Keep::Below if at <= lower => nothing,
            Keep::Below if at >= upper => whole,
            Keep::Below => {
                Kept { count: count * ((at - lower) / (upper - lower)), middle: (lower + at) / 2.0 }
            }
            Keep::Above if at <= lower => whole,
            Keep::Above if at >= upper => nothing,
            Keep::Above => {
                Kept { count: count * ((upper - at) / (upper - lower)), middle: (at + upper) / 2.0 }
            }
        };
        self.take(&kept, count)
    }
}

/// The part of a bucket with finite bounds that lies below `at`, which lies in it.
pub(crate) fn fraction_below(bucket: &Bucket, at: f64, linear: bool) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if linear {
        return (at - lower) / (upper - lower);
    }
    let [lower, upper, value] = [lower, upper, at].map(|x| log2(x.abs()));
    if at > 0.0 { (value - lower) / (upper - lower) } else { 1.0 - ((value - upper) / (lower - upper)) }
}

/// The number that observations between two bounds count for.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        return match upper {
            _ if upper.is_infinite() => 0.0,
            _ if upper > 0.0 => upper / 2.0,
            _ => upper,
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if linear {
        return (lower + upper) / 2.0;
    }
    let mean = (lower * upper).abs().sqrt();
    if positive { mean } else { -mean }
}

fn finite_or_zero(x: f64) -> f64 {
    if x.is_infinite() { 0.0 } else { x }
}
