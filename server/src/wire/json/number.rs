//! Numbers and times as texts.

use std::io::{Result, Write};

/// Beyond these a value is written with an exponent.
const SMALL: f64 = 1e-6;
const LARGE: f64 = 1e21;
/// Whole numbers below this are written as such, which is quicker.
const WHOLE: f64 = 1e15;

/// A value without quotes: `1`, `0.25`, `1e-07`, `1e+21`, `NaN`, `+Inf`.
pub(crate) fn float(out: &mut impl Write, value: f64) -> Result<()> {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(SMALL..LARGE).contains(&size) {
        return exponent(out, value);
    }
    plain(out, value)
}

/// The same, never with an exponent: as scalars are written.
pub(crate) fn plain(out: &mut impl Write, value: f64) -> Result<()> {
    if value.is_nan() {
        return out.write_all(b"NaN");
    }
    if value.is_infinite() {
        return out.write_all(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    }
    if value.abs() < WHOLE && value.fract() == 0.0 && !(value == 0.0 && value.is_sign_negative()) {
        #[expect(clippy::cast_possible_truncation, reason = "whole and small enough")]
        let whole = value as i64;
        return write!(out, "{whole}");
    }
    write!(out, "{value}")
}

fn exponent(out: &mut impl Write, value: f64) -> Result<()> {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// Milliseconds as seconds: `1435781451`, `1435781451.500`, `-0.001`.
pub(crate) fn seconds(out: &mut impl Write, ms: i64) -> Result<()> {
    let size = ms.unsigned_abs();
    let sign = if ms < 0 { "-" } else { "" };
    match size % 1000 {
        0 => write!(out, "{sign}{}", size / 1000),
        rest => write!(out, "{sign}{}.{rest:03}", size / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl Fn(&mut Vec<u8>) -> Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_as_prometheus_writes_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (1e-6, "0.000001"),
            (9.99e-7, "9.99e-07"),
            (1e-7, "1e-07"),
            (-1.5e-10, "-1.5e-10"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (123456789012345680.0, "123456789012345680"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| float(out, value)), expected);
        }
        assert_eq!(text(|out| plain(out, 1e-7)), "0.0000001");
        assert_eq!(text(|out| plain(out, 1e22)), "10000000000000000000000");
    }

    #[test]
    fn times_have_three_digits_or_none() {
        for (ms, expected) in [
            (1_435_781_451_781, "1435781451.781"),
            (1_435_781_451_500, "1435781451.500"),
            (1000, "1"),
            (1, "0.001"),
            (0, "0"),
            (-1, "-0.001"),
            (-5250, "-5.250"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(text(|out| seconds(out, ms)), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            for written in [text(|out| float(out, value)), text(|out| plain(out, value))] {
                let read: f64 = written.parse().unwrap();
                prop_assert!(read.to_bits() == bits || (value.is_nan() && read.is_nan()), "{written}");
            }
        }
    }
}
