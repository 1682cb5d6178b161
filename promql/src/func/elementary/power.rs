//! Exponentials, logarithms and powers.

use std::f64::consts::{LN_2, LOG2_E, LOG10_E};

/// The natural logarithm of 2, the upper bits and the rest, as msun splits it.
pub(super) const LN_2_HIGH: f64 = 6.931_471_803_691_238_164_90e-1;
pub(super) const LN_2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;

/// The same, as SLEEF splits it.
const LN_2_UPPER: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
const LN_2_LOWER: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;

/// Beyond this `exp` is infinite.
const EXP_MAX: f64 = 7.097_827_128_933_84e2;

const FRACTION: u64 = (1 << 52) - 1;

pub(crate) fn exp(x: f64) -> f64 {
    /// 1/n! for n from 8 to 1, but for 1/1! and what is added by doubling.
    const SERIES: [f64; 7] = [
        1.984_126_984_126_984_127_0e-4,
        1.388_888_888_888_888_888_9e-3,
        8.333_333_333_333_333_333_3e-3,
        4.166_666_666_666_666_666_7e-2,
        1.666_666_666_666_666_666_7e-1,
        0.5,
        1.0,
    ];
    match x {
        _ if x.is_nan() => return x,
        f64::NEG_INFINITY => return 0.0,
        _ if x > EXP_MAX => return f64::INFINITY,
        _ => {}
    }
    // Beyond 32 bits the exponent saturates, which is far below the smallest number.
    let exponent = (x * LOG2_E).round_ties_even() as i32;
    let whole = f64::from(exponent);
    let rest = (-whole).mul_add(LN_2_LOWER, (-whole).mul_add(LN_2_UPPER, x)) * 0.0625;
    let mut sum = 2.480_158_730_158_730_158_7e-5;
    for factor in SERIES {
        sum = rest.mul_add(sum, factor);
    }
    // (1 + y)^2 - 1 is y * (y + 2): four times, for the division by 16.
    let mut y = rest * sum;
    for _ in 0..3 {
        y *= y + 2.0;
    }
    scale((y + 2.0).mul_add(y, 1.0), exponent)
}

/// `x` times 2 to the power of `exponent`, in two steps where the result may be subnormal.
fn scale(x: f64, exponent: i32) -> f64 {
    match exponent.saturating_add(1023) {
        biased @ 1..0x7FF => x * f64::from_bits((biased as u64) << 52),
        0x7FF.. => f64::INFINITY,
        biased @ -52..=0 => x * f64::from_bits(((biased + 0x3FE) as u64) << 52) * f64::MIN_POSITIVE,
        _ => 0.0,
    }
}

pub(crate) fn exp2(x: f64) -> f64 {
    const FACTORS: [f64; 5] = [
        4.138_136_797_057_238_460_39e-8,
        -1.653_390_220_546_525_153_90e-6,
        6.613_756_321_437_934_361_17e-5,
        -2.777_777_777_701_559_338_42e-3,
        1.666_666_666_666_666_574_15e-1,
    ];
    match x {
        _ if x.is_nan() => return x,
        _ if x > 1.023_999_999_999_999_9e3 => return f64::INFINITY,
        _ if x < -1.074_0e3 => return 0.0,
        _ => {}
    }
    let whole = if x > 0.0 { (x + 0.5) as i32 } else { (x - 0.5) as i32 };
    let part = x - f64::from(whole);
    let (high, low) = (part * LN_2_HIGH, -part * LN_2_LOW);
    let rest = high - low;
    let square = rest * rest;
    let c = rest - square * super::polynomial(square, &FACTORS);
    load(1.0 - ((low - (rest * c) / (2.0 - c)) - high), i64::from(whole))
}

/// Factors of the series of both logarithms.
pub(super) const LOGARITHM: [f64; 7] = [
    1.479_819_860_511_658_591e-1,
    1.531_383_769_920_937_332e-1,
    1.818_357_216_161_805_012e-1,
    2.222_219_843_214_978_396e-1,
    2.857_142_874_366_239_149e-1,
    3.999_999_999_940_941_908e-1,
    6.666_666_666_666_735_130e-1,
];

pub(crate) fn ln(x: f64) -> f64 {
    match x {
        _ if x == 0.0 => return f64::NEG_INFINITY,
        _ if x < 0.0 => return f64::NAN,
        _ if !x.is_finite() => return x,
        _ => {}
    }
    // Subnormal numbers are taken as they lie there, so that the logarithm is wrong. So it is in Go.
    let mut fraction = f64::from_bits(x.to_bits() & FRACTION | 0.5f64.to_bits());
    let mut exponent = f64::from((x.to_bits() >> 52) as i32 - 0x3FE);
    if fraction <= std::f64::consts::FRAC_1_SQRT_2 {
        exponent -= 1.0;
        fraction *= 2.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let (s2, s4) = (s * s, s * s * (s * s));
    let [l7, l6, l5, l4, l3, l2, l1] = LOGARITHM;
    let odd = s2 * (l1 + s4 * (l3 + s4 * (l5 + s4 * l7)));
    let even = s4 * (l2 + s4 * (l4 + s4 * l6));
    let half_square = 0.5 * f * f;
    let sum = s * (half_square + (odd + even)) + exponent * LN_2_LOW;
    exponent * LN_2_HIGH - ((half_square - sum) - f)
}

pub(crate) fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

pub(crate) fn log2(x: f64) -> f64 {
    let (fraction, exponent) = split(x);
    // Powers of two come out exact.
    if fraction == 0.5 {
        return (exponent - 1) as f64;
    }
    ln(fraction) * LOG2_E + exponent as f64
}

/// The fraction from 0.5 to below 1, and the power of two; of zero, infinities and NaN, themselves.
fn split(x: f64) -> (f64, i64) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    let (x, shift) = if x.abs() >= f64::MIN_POSITIVE { (x, 0) } else { (x * (1u64 << 52) as f64, 52) };
    let exponent = (x.to_bits() >> 52 & 0x7FF) as i64 - 1022 - shift;
    (f64::from_bits(x.to_bits() & !(0x7FF << 52) | 0x3FE << 52), exponent)
}

/// `x` times 2 to the power of `exponent`, rounded once.
fn load(x: f64, exponent: i64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let (fraction, more) = split(x);
    // As if the fraction were from 1 to below 2.
    let exponent = exponent.saturating_add(more) - 1;
    let with = |exponent: i64| {
        f64::from_bits(fraction.to_bits() & !(0x7FF << 52) | ((exponent + 1023) as u64) << 52)
    };
    match exponent {
        ..-1075 => 0f64.copysign(x),
        1024.. => f64::INFINITY.copysign(x),
        -1075..-1022 => with(exponent + 53) * (1.0 / (1u64 << 53) as f64),
        _ => with(exponent),
    }
}

/// Repeated squaring of the fraction, times the exponential of what is left of the exponent.
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    if let Some(result) = special_power(x, y) {
        return result;
    }
    let (mut whole, mut part) = (y.abs().trunc(), y.abs().fract());
    if part != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= 9.223_372_036_854_775_808e18 {
        return match x {
            -1.0 => 1.0,
            _ if (x.abs() < 1.0) == (y > 0.0) => 0.0,
            _ => f64::INFINITY,
        };
    }
    let (mut result, mut exponent) = (1.0, 0i64);
    if part != 0.0 {
        if part > 0.5 {
            part -= 1.0;
            whole += 1.0;
        }
        result = exp(part * ln(x));
    }
    let (mut square, mut square_exponent) = split(x);
    let mut left = whole as i64;
    while left != 0 {
        // Far beyond all numbers; the sign of what follows does not matter any more.
        if !(-4096..=4096).contains(&square_exponent) {
            exponent += square_exponent;
            break;
        }
        if left & 1 == 1 {
            result *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent *= 2;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        left >>= 1;
    }
    if y < 0.0 { load(1.0 / result, -exponent) } else { load(result, exponent) }
}

fn special_power(x: f64, y: f64) -> Option<f64> {
    let odd = y.abs() < (1u64 << 53) as f64 && y.fract() == 0.0 && y as i64 & 1 == 1;
    Some(match (x, y) {
        _ if y == 0.0 || x == 1.0 => 1.0,
        _ if y == 1.0 => x,
        _ if x.is_nan() || y.is_nan() => f64::NAN,
        _ if x == 0.0 && y < 0.0 => {
            if odd {
                f64::INFINITY.copysign(x)
            } else {
                f64::INFINITY
            }
        }
        _ if x == 0.0 => {
            if odd {
                x
            } else {
                0.0
            }
        }
        (-1.0, _) if y.is_infinite() => 1.0,
        _ if y.is_infinite() => {
            if (x.abs() < 1.0) == (y > 0.0) {
                0.0
            } else {
                f64::INFINITY
            }
        }
        // What is infinite below zero is the inverse of -0, to the opposite power.
        (f64::NEG_INFINITY, _) => return Some(pow(1.0 / x, -y)),
        (f64::INFINITY, _) => {
            if y < 0.0 {
                0.0
            } else {
                f64::INFINITY
            }
        }
        (_, 0.5) => x.sqrt(),
        (_, -0.5) => 1.0 / x.sqrt(),
        _ => return None,
    })
}

/// ln(1 + x), exact for small `x`.
pub(super) fn ln_1p(x: f64) -> f64 {
    const SQRT_2_LESS_1: f64 = 4.142_135_623_730_950_488_017e-1;
    const SQRT_HALF_LESS_1: f64 = -2.928_932_188_134_524_755_992e-1;
    match x {
        _ if x < -1.0 || x.is_nan() => return f64::NAN,
        -1.0 => return f64::NEG_INFINITY,
        f64::INFINITY => return x,
        _ => {}
    }
    let size = x.abs();
    if size < 1.0 / (1u64 << 29) as f64 {
        return if size < 1.0 / (1u64 << 54) as f64 { x } else { x - x * x * 0.5 };
    }
    let (f, k, bits, correction) =
        if size < SQRT_2_LESS_1 && x > SQRT_HALF_LESS_1 { (x, 0.0, 1, 0.0) } else { reduced(x) };
    let half_square = 0.5 * f * f;
    if bits == 0 {
        if f == 0.0 {
            return if k == 0.0 { 0.0 } else { k * LN_2_HIGH + (correction + k * LN_2_LOW) };
        }
        let r = half_square * (1.0 - 0.666_666_666_666_666_66 * f);
        return if k == 0.0 { f - r } else { k * LN_2_HIGH - ((r - (k * LN_2_LOW + correction)) - f) };
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * super::polynomial(z, &LOGARITHM);
    if k == 0.0 {
        return f - (half_square - s * (half_square + r));
    }
    k * LN_2_HIGH - ((half_square - (s * (half_square + r) + (k * LN_2_LOW + correction))) - f)
}

/// 1 + x as 2^k (1 + f): f, k, bits that are 0 where f is tiny, and what rounding took from 1 + x.
fn reduced(x: f64) -> (f64, f64, u64, f64) {
    let (mut u, mut correction) = (x, 0.0);
    let small = x.abs() < (1u64 << 53) as f64;
    if small {
        u = 1.0 + x;
    }
    let mut k = (u.to_bits() >> 52) as i64 - 1023;
    if small {
        correction = if k > 0 { 1.0 - (u - x) } else { x - (u - 1.0) };
        correction /= u;
    }
    let mut bits = u.to_bits() & FRACTION;
    if bits < 0x0006_A09E_667F_3BCD {
        u = f64::from_bits(bits | 0x3FF0_0000_0000_0000);
    } else {
        k += 1;
        u = f64::from_bits(bits | 0x3FE0_0000_0000_0000);
        bits = (0x0010_0000_0000_0000 - bits) >> 2;
    }
    (u - 1.0, k as f64, bits, correction)
}

/// What `asinh` and `acosh` add for large numbers.
pub(super) const LN_OF_2: f64 = LN_2;
