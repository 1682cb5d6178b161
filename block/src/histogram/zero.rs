//! The zero bucket of a histogram, made wider.

use super::Histogram;
use super::bounds::upper_bound;
use super::side::{Count, numbered};
use super::sum::Compensated;

/// What the zero bucket would hold if it were `width` wide, at least as wide as it is, and how wide it has to be so that no bucket with
/// observations is cut. `sides` are the positive and the negative buckets in the layout of `shape`.
pub(super) fn zero_bucket_of<C: Count>(
    shape: &Histogram,
    zero: C,
    sides: (&[C], &[C]),
    width: f64,
) -> (Compensated, f64) {
    let own: Compensated = zero.into();
    let (mut zero, mut width) = (own, width);
    if width == shape.zero_threshold {
        return (zero, width);
    }
    loop {
        // Prometheus, beginning again, keeps what rounding had taken away.
        zero.value = own.value;
        for (number, count) in numbered(&shape.positive_spans, sides.0) {
            let bounds = shape.positive_bounds(number);
            if take(&mut zero, &mut width, count.into(), bounds) {
                break;
            }
        }
        let before = width;
        for (number, count) in numbered(&shape.negative_spans, sides.1) {
            let bounds = (upper_bound(number - 1, shape.schema), upper_bound(number, shape.schema));
            if take(&mut zero, &mut width, count.into(), bounds) {
                break;
            }
        }
        // If a negative bucket was cut, the positive ones have to be looked at again.
        if width == before || width.is_nan() {
            return (zero, width);
        }
    }
}

/// Takes a bucket into the zero bucket if it lies in it; tells whether it was the last one.
fn take(zero: &mut Compensated, width: &mut f64, count: Compensated, (lower, upper): (f64, f64)) -> bool {
    if lower >= *width {
        return true;
    }
    zero.add(count);
    if upper > *width {
        if count.value != 0.0 {
            *width = upper;
        }
        return true;
    }
    false
}
