//! The quantile of numbers, by linear interpolation between neighbours.

use std::cmp::Ordering;

/// The `q`-quantile; NaN of no numbers, or if `q` is NaN; an infinity if `q` is outside of 0 to 1. NaN is the smallest of numbers here.
/// Brings `values` into another order.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return f64::NAN };
    match q {
        q if q.is_nan() => return f64::NAN,
        q if q < 0.0 => return f64::NEG_INFINITY,
        q if q > 1.0 => return f64::INFINITY,
        _ => {}
    }
    let n = values.len() as f64;
    let rank = q * (n - 1.0);
    let lower = f64::max(0.0, rank.floor());
    let upper = f64::min(n - 1.0, lower + 1.0);
    let weight = rank - rank.floor();
    let lower = (lower as usize).min(last);
    let (_, low, above) = values.select_nth_unstable_by(lower, ascending);
    let low = *low;
    // The next larger one is the smallest of what the selection left above.
    let high = match upper as usize > lower {
        true => above.iter().copied().min_by(ascending).unwrap_or(low),
        false => low,
    };
    low * (1.0 - weight) + high * weight
}

/// NaN first; equal numbers are equal.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as sorting hands them over")]
fn ascending(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges() {
        assert!(quantile(0.5, &mut []).is_nan() && quantile(f64::NAN, &mut [1.0]).is_nan());
        assert_eq!(quantile(-0.1, &mut [1.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut [1.0]), f64::INFINITY);
        assert_eq!(quantile(0.75, &mut [3.0, 1.0, f64::NAN]), 2.0);
    }

    proptest! {
        #[test]
        fn as_over_sorted_values(q in 0.0..=1.0, values in prop::collection::vec(prop_oneof![-10.0..10.0, Just(f64::NAN)], 1..20)) {
            let mut sorted = values.clone();
            sorted.sort_by(ascending);
            let rank: f64 = q * (sorted.len() as f64 - 1.0);
            let low = sorted[rank.floor() as usize];
            let high = sorted[(rank.floor() as usize + 1).min(sorted.len() - 1)];
            let weight = rank - rank.floor();
            let expected = low * (1.0 - weight) + high * weight;
            prop_assert_eq!(quantile(q, &mut values.clone()).is_nan(), expected.is_nan());
            if !expected.is_nan() {
                prop_assert_eq!(quantile(q, &mut values.clone()).to_bits(), expected.to_bits());
            }
        }
    }
}
