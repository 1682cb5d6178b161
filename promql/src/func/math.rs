//! Functions that make one number of one number and of the arguments of the step.
//!
//! They differ from Rust's own where Go differs: smallest and largest of a NaN and a number is NaN, and 0 is more than -0.

use super::FunctionId;
use super::clock::Moment;

/// Makes a number of a sample and of the scalar arguments of the step; optional arguments may be missing.
pub(crate) type MapFunction = fn(f64, &[f64]) -> f64;

/// The function of that kind, if it is one. Histograms are left out before; see [`keeps_nothing`] for `clamp`.
pub(crate) fn map_function(id: FunctionId) -> Option<MapFunction> {
    use FunctionId as Id;
    Some(match id {
        Id::Abs => |x, _| x.abs(),
        Id::Ceil => |x, _| x.ceil(),
        Id::Floor => |x, _| x.floor(),
        Id::Round => round,
        Id::Sgn => |x, _| sign(x),
        Id::Clamp => |x, bounds| clamp(x, argument(bounds, 0), argument(bounds, 1)),
        Id::ClampMax => |x, bounds| clamp(x, f64::NEG_INFINITY, argument(bounds, 0)),
        Id::ClampMin => |x, bounds| clamp(x, argument(bounds, 0), f64::INFINITY),
        _ => return analysis(id).or_else(|| date(id)),
    })
}

/// Whether these arguments leave no sample at all: `clamp` with its bounds crossed.
pub(crate) fn keeps_nothing(id: FunctionId, arguments: &[f64]) -> bool {
    match id {
        FunctionId::Clamp => argument(arguments, 1) < argument(arguments, 0),
        _ => false,
    }
}

/// The function that makes a number of two, if it is one.
pub(crate) fn scalar_function(id: FunctionId) -> Option<fn(f64, f64) -> f64> {
    match id {
        FunctionId::MaxOf => Some(max),
        FunctionId::MinOf => Some(min),
        _ => None,
    }
}

fn analysis(id: FunctionId) -> Option<MapFunction> {
    use std::f64::consts::PI;

    use FunctionId as Id;
    Some(match id {
        Id::Sqrt => |x, _| x.sqrt(),
        Id::Exp => |x, _| x.exp(),
        Id::Ln => |x, _| x.ln(),
        Id::Log2 => |x, _| log2(x),
        Id::Log10 => |x, _| x.ln() * std::f64::consts::LOG10_E,
        Id::Sin => |x, _| x.sin(),
        Id::Cos => |x, _| x.cos(),
        Id::Tan => |x, _| x.tan(),
        Id::Asin => |x, _| x.asin(),
        Id::Acos => |x, _| x.acos(),
        Id::Atan => |x, _| x.atan(),
        Id::Sinh => |x, _| x.sinh(),
        Id::Cosh => |x, _| x.cosh(),
        Id::Tanh => |x, _| x.tanh(),
        Id::Asinh => |x, _| x.asinh(),
        Id::Acosh => |x, _| x.acosh(),
        Id::Atanh => |x, _| x.atanh(),
        Id::Rad => |x, _| x * PI / 180.0,
        Id::Deg => |x, _| x * 180.0 / PI,
        _ => return None,
    })
}

fn date(id: FunctionId) -> Option<MapFunction> {
    use FunctionId as Id;
    Some(match id {
        Id::DayOfMonth => |x, _| f64::from(Moment::of_value(x).day),
        Id::DayOfWeek => |x, _| f64::from(Moment::of_value(x).weekday),
        Id::DayOfYear => |x, _| f64::from(Moment::of_value(x).year_day),
        Id::DaysInMonth => |x, _| f64::from(Moment::of_value(x).days_in_month()),
        Id::Hour => |x, _| f64::from(Moment::of_value(x).hour),
        Id::Minute => |x, _| f64::from(Moment::of_value(x).minute),
        Id::Month => |x, _| f64::from(Moment::of_value(x).month),
        Id::Year => |x, _| Moment::of_value(x).year as f64,
        _ => return None,
    })
}

fn argument(arguments: &[f64], at: usize) -> f64 {
    arguments.get(at).copied().unwrap_or(f64::NAN)
}

/// Exponent and logarithm of the fraction apart, as Go does it: powers of two come out exact.
pub(crate) fn log2(x: f64) -> f64 {
    if !(x.is_finite() && x > 0.0) {
        return x.ln();
    }
    let (fraction, exponent) = split(x);
    if fraction == 0.5 {
        return f64::from(exponent - 1);
    }
    fraction.ln() * std::f64::consts::LOG2_E + f64::from(exponent)
}

/// `x` as a fraction from 0.5 to below 1 times a power of two; `x` is finite and more than 0.
fn split(x: f64) -> (f64, i32) {
    const EXPONENT: u64 = 0x7FF << 52;
    let (x, shift) = if x.is_normal() { (x, 0) } else { (x * 2f64.powi(64), 64) };
    let exponent = (x.to_bits() >> 52) as i32 - 1022 - shift;
    (f64::from_bits(x.to_bits() & !EXPONENT | 1022 << 52), exponent)
}

fn sign(x: f64) -> f64 {
    match x {
        x if x < 0.0 => -1.0,
        x if x > 0.0 => 1.0,
        // NaN and both zeros stay what they are.
        x => x,
    }
}

/// To the nearest multiple, ties up. Multiplying by the inverse errs less.
fn round(x: f64, to: &[f64]) -> f64 {
    let inverse = 1.0 / to.first().copied().unwrap_or(1.0);
    (x * inverse + 0.5).floor() / inverse
}

fn clamp(x: f64, low: f64, high: f64) -> f64 {
    max(low, min(high, x))
}

/// The larger one as Go has it: an infinity wins over NaN, NaN over numbers, 0 over -0.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    match (a, b) {
        _ if a == f64::INFINITY || b == f64::INFINITY => f64::INFINITY,
        _ if a.is_nan() || b.is_nan() => f64::NAN,
        _ if a == 0.0 && b == 0.0 => {
            if a.is_sign_negative() {
                b
            } else {
                a
            }
        }
        _ => {
            if a > b {
                a
            } else {
                b
            }
        }
    }
}

/// The smaller one as Go has it: minus infinity wins over NaN, NaN over numbers, -0 over 0.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    match (a, b) {
        _ if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY => f64::NEG_INFINITY,
        _ if a.is_nan() || b.is_nan() => f64::NAN,
        _ if a == 0.0 && b == 0.0 => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        _ => {
            if a < b {
                a
            } else {
                b
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: FunctionId, x: f64, arguments: &[f64]) -> f64 {
        map_function(id).unwrap()(x, arguments)
    }

    #[test]
    fn odd_numbers_go_as_in_go() {
        use FunctionId as Id;
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        assert!(max(1.0, nan).is_nan() && max(nan, -inf).is_nan() && min(nan, 0.0).is_nan());
        assert_eq!((max(nan, inf), min(-inf, nan)), (inf, -inf));
        assert!(max(-0.0, 0.0).is_sign_positive() && min(0.0, -0.0).is_sign_negative());
        assert!(call(Id::Sgn, -0.0, &[]).is_sign_negative() && call(Id::Sgn, nan, &[]).is_nan());
        assert!(call(Id::ClampMax, 3.0, &[nan]).is_nan() && call(Id::ClampMin, nan, &[1.0]).is_nan());
        assert!(call(Id::Clamp, 3.0, &[nan, 5.0]).is_nan());
        assert!(keeps_nothing(Id::Clamp, &[5.0, 1.0]) && !keeps_nothing(Id::Clamp, &[nan, 1.0]));
        assert_eq!(call(Id::Round, 2.5, &[]), 3.0);
        assert_eq!(call(Id::Round, -2.5, &[]), -2.0);
        assert_eq!(call(Id::Round, 5.016, &[0.01]), 5.02);
        assert!(call(Id::Round, 5.0, &[0.0]).is_nan());
    }

    #[test]
    fn logarithms_of_powers_of_two_are_whole() {
        for exponent in -1074..1024 {
            let x =
                if exponent < -1022 { f64::from_bits(1 << (exponent + 1074)) } else { 2f64.powi(exponent) };
            assert_eq!(log2(x), f64::from(exponent));
        }
        assert_eq!((log2(0.0), log2(f64::INFINITY)), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(log2(-1.0).is_nan() && log2(f64::NAN).is_nan());
    }
}
