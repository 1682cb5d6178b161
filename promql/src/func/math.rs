//! Functions that make one number of one number and of the arguments of the step.
//!
//! They differ from Rust's own where Go differs: smallest and largest of a NaN and a number is NaN, and 0 is more than -0.

use super::FunctionId;
use super::clock::Moment;
use super::elementary;

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
        Id::Exp => |x, _| elementary::exp(x),
        Id::Ln => |x, _| elementary::ln(x),
        Id::Log2 => |x, _| elementary::log2(x),
        Id::Log10 => |x, _| elementary::log10(x),
        Id::Sin => |x, _| elementary::sin(x),
        Id::Cos => |x, _| elementary::cos(x),
        Id::Tan => |x, _| elementary::tan(x),
        Id::Asin => |x, _| elementary::asin(x),
        Id::Acos => |x, _| elementary::acos(x),
        Id::Atan => |x, _| elementary::atan(x),
        Id::Sinh => |x, _| elementary::sinh(x),
        Id::Cosh => |x, _| elementary::cosh(x),
        Id::Tanh => |x, _| elementary::tanh(x),
        Id::Asinh => |x, _| elementary::asinh(x),
        Id::Acosh => |x, _| elementary::acosh(x),
        Id::Atanh => |x, _| elementary::atanh(x),
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
}
