//! Where the buckets of a schema end.
//!
//! Prometheus takes the bounds of schemas 0 to 8 from a table whose last digits are not those of the nearest double. A bound can
//! become a zero threshold when histograms are added, so the table's digits are kept: the nearest double, less as many units in the
//! last place as the table is off.

use std::sync::LazyLock;

use super::{CUSTOM_BUCKETS, Histogram};

/// The schema that has all bounds of those from 0 on.
const FINEST: i32 = 8;

/// How many units in the last place the bounds of the finest schema lie below the nearest double; `n` is one above.
const OFF: &[u8; 256] = b"\
    00000010001000000012001111111111001000100111001100110n1100110011\
    0000001111221021001000100001000000010n00102200110111001010221111\
    1010112211211011111111212122212200110010112210221122101121221121\
    1132112122322232222222333344324311211222213311222132112222432233";

/// The bounds of the finest schema between one half and one.
static FINEST_BOUNDS: LazyLock<[f64; 256]> = LazyLock::new(|| {
    std::array::from_fn(|part| {
        let nearest = (part as f64 / 256.0).exp2() / 2.0;
        let off = match OFF.get(part) {
            Some(b'n') => -1,
            Some(digit) => i64::from(digit.wrapping_sub(b'0')),
            None => 0,
        };
        f64::from_bits(nearest.to_bits().wrapping_add_signed(-off))
    })
});

/// The upper bound of bucket `number` of an exponential `schema`, as a distance from zero: 2^(number * 2^-schema), but the largest
/// double for the last bucket of finite observations.
pub(super) fn upper_bound(number: i64, schema: i32) -> f64 {
    let power_of_two = |exponent: i64| if exponent == 1024 { f64::MAX } else { scaled(1.0, exponent) };
    if schema <= 0 {
        return power_of_two(number << (-schema).min(16));
    }
    let schema = schema.min(FINEST);
    let whole = number >> schema;
    let part = (number - (whole << schema)) << (FINEST - schema);
    match usize::try_from(part).ok().and_then(|part| FINEST_BOUNDS.get(part)) {
        Some(bound) if part != 0 => scaled(*bound, whole + 1),
        _ => power_of_two(whole),
    }
}

/// Whether bucket `number` ends within a zero bucket of that width to either side; custom buckets do not.
pub(super) fn lies_within(number: i64, schema: i32, threshold: f64) -> bool {
    schema != CUSTOM_BUCKETS && upper_bound(number, schema) <= threshold
}

/// `fraction` times two to the power of `exponent`.
fn scaled(fraction: f64, exponent: i64) -> f64 {
    if (-1000..1000).contains(&exponent) {
        // Neither it nor the product is out of range.
        return fraction * f64::from_bits(((exponent + 1023) as u64) << 52);
    }
    // Half of the exponent is applied at a time, for the whole of it may be out of range.
    let exponent = exponent.clamp(-1200, 1200) as i32;
    let half = exponent / 2;
    fraction * 2f64.powi(half) * 2f64.powi(exponent - half)
}

impl Histogram {
    /// Lower and upper bound of bucket `number` of the positive side; of custom buckets the listed ones.
    pub(super) fn positive_bounds(&self, number: i64) -> (f64, f64) {
        if !self.has_custom_buckets() {
            return (upper_bound(number - 1, self.schema), upper_bound(number, self.schema));
        }
        let listed = |at: i64| match usize::try_from(at) {
            Ok(at) => self.custom_values.get(at).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
        (listed(number - 1), listed(number))
    }
}
