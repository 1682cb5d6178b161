//! Floats as Go's `strconv.FormatFloat(v, 'g', -1, 64)` and `%g` write them: the least digits that read back the same.
//!
//! An exponent is written when it is below -4 or from 6 on, with a sign and at least two digits. Rust's shortest
//! digits are the same digits, so only the form is made here.

/// The exponent from which on Go writes one when it was asked for the least digits.
const LIMIT: i32 = 6;

/// `1e+06`, `123456`, `0.0001`, `1e-05`, `+Inf`, `NaN`, `-0`.
pub(crate) fn general(value: f64) -> String {
    match value {
        v if v.is_nan() => return "NaN".to_owned(),
        f64::INFINITY => return "+Inf".to_owned(),
        f64::NEG_INFINITY => return "-Inf".to_owned(),
        _ => {}
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..LIMIT).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_that_go_prints() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (20.0, "20"),
            (500678.40704292007, "500678.40704292007"),
            (999999.0, "999999"),
            (1e6, "1e+06"),
            (6.96e6, "6.96e+06"),
            (-1.5812941944214725e6, "-1.5812941944214725e+06"),
            (123456789.0, "1.23456789e+08"),
            (1e21, "1e+21"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "1e-05"),
            (f64::from_bits(1), "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(general(value), expected);
        }
    }
}
