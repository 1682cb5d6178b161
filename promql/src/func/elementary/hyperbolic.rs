//! Hyperbolic functions and their inverses.

use super::power::{LN_OF_2, exp, ln, ln_1p};
use super::{odd, polynomial};

/// 2^28: from here on 1 is lost beside a square.
const LARGE: f64 = 268_435_456.0;
/// 2^-28.
const NEAR_ZERO: f64 = 1.0 / LARGE;

pub(crate) fn sinh(x: f64) -> f64 {
    const ABOVE: [f64; 4] = [
        -0.263_056_321_339_749_706_281_948_9e2,
        -0.289_421_135_598_956_380_728_466_036_6e4,
        -0.899_127_202_203_950_935_539_801_351_1e5,
        -0.630_767_364_049_771_699_118_478_725_1e6,
    ];
    const BELOW: [f64; 4] = [
        1.0,
        -0.173_678_953_558_233_699_533_450_911e3,
        0.152_151_737_879_001_907_069_648_517_6e5,
        -0.630_767_364_049_771_699_121_207_727_7e6,
    ];
    odd(x, |x| match x {
        _ if x > 21.0 => exp(x) * 0.5,
        _ if x > 0.5 => {
            let e = exp(x);
            (e - 1.0 / e) * 0.5
        }
        _ => {
            let square = x * x;
            polynomial(square, &ABOVE) * x / polynomial(square, &BELOW)
        }
    })
}

pub(crate) fn cosh(x: f64) -> f64 {
    let e = exp(x.abs());
    if x.abs() > 21.0 { e * 0.5 } else { (e + 1.0 / e) * 0.5 }
}

pub(crate) fn tanh(x: f64) -> f64 {
    const ABOVE: [f64; 3] =
        [-9.643_991_794_250_522_386_28e-1, -9.928_772_310_019_185_865_64e1, -1.614_687_684_417_084_479_52e3];
    const BELOW: [f64; 4] =
        [1.0, 1.128_116_784_916_329_314_02e2, 2.235_488_390_601_004_485_83e3, 4.844_063_053_251_254_860_48e3];
    const MAX: f64 = 8.802_969_193_111_305_429_598_8e1;
    let size = x.abs();
    match x {
        _ if size > 0.5 * MAX => 1f64.copysign(x),
        _ if size >= 0.625 => (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x),
        _ if x == 0.0 => x,
        _ => {
            let square = x * x;
            x + x * square * polynomial(square, &ABOVE) / polynomial(square, &BELOW)
        }
    }
}

pub(crate) fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    odd(x, |x| match x {
        _ if x > LARGE => ln(x) + LN_OF_2,
        _ if x > 2.0 => ln(2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x)),
        _ if x < NEAR_ZERO => x,
        _ => ln_1p(x + x * x / (1.0 + (1.0 + x * x).sqrt())),
    })
}

pub(crate) fn acosh(x: f64) -> f64 {
    match x {
        _ if x < 1.0 || x.is_nan() => f64::NAN,
        1.0 => 0.0,
        _ if x >= LARGE => ln(x) + LN_OF_2,
        _ if x > 2.0 => ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt())),
        _ => {
            let above = x - 1.0;
            ln_1p(above + (2.0 * above + above * above).sqrt())
        }
    }
}

pub(crate) fn atanh(x: f64) -> f64 {
    match x {
        _ if x.abs() > 1.0 || x.is_nan() => return f64::NAN,
        1.0 | -1.0 => return f64::INFINITY.copysign(x),
        _ => {}
    }
    odd(x, |x| match x {
        _ if x < NEAR_ZERO => x,
        _ if x < 0.5 => {
            let twice = x + x;
            0.5 * ln_1p(twice + twice * x / (1.0 - x))
        }
        _ => 0.5 * ln_1p((x + x) / (1.0 - x)),
    })
}
