//! Angles.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::{odd, polynomial};

const SINE: [f64; 6] = [
    1.589_623_015_765_465_680_60e-10,
    -2.505_074_776_285_780_728_66e-8,
    2.755_731_362_138_572_452_13e-6,
    -1.984_126_982_958_953_859_96e-4,
    8.333_333_333_322_118_588_78e-3,
    -1.666_666_666_666_663_072_95e-1,
];
const COSINE: [f64; 6] = [
    -1.135_853_652_138_768_173_00e-11,
    2.087_570_084_197_473_167_78e-9,
    -2.755_731_417_929_673_881_12e-7,
    2.480_158_728_885_170_453_48e-5,
    -1.388_888_888_887_305_641_16e-3,
    4.166_666_666_666_659_292_18e-2,
];

/// Pi/4 in three parts, the first two exact in few bits.
const QUARTER: [f64; 3] =
    [7.853_981_256_484_985_351_56e-1, 3.774_894_707_930_798_176_68e-8, 2.695_151_429_079_059_526_45e-15];

/// From here on the three parts are not exact enough: 2^29.
const FAR: f64 = 536_870_912.0;

/// Binary digits of 4/pi, 64 in each.
const FOUR_BY_PI: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

/// Which eighth of the circle `x` lies in, rounded up to an even one, and how far from it; `x` is not negative and finite.
fn reduce(x: f64) -> (u64, f64) {
    if x >= FAR {
        return reduce_far(x);
    }
    let mut eighth = (x * (4.0 / PI)) as u64;
    eighth += eighth & 1;
    let y = eighth as f64;
    let [a, b, c] = QUARTER;
    (eighth & 7, ((x - y * a) - y * b) - y * c)
}

/// The same by Payne and Hanek: only those digits of 4/pi are multiplied that matter.
fn reduce_far(x: f64) -> (u64, f64) {
    let exponent = (x.to_bits() >> 52 & 0x7FF) as usize;
    let mantissa = x.to_bits() & ((1 << 52) - 1) | 1 << 52;
    // The first digit that matters, counted in bits; `x` is at least 2^29.
    let first = exponent + 61 - 1023 - 52;
    let (digit, shift) = (first / 64, first % 64);
    let digits = |at: usize| {
        let word = |at: usize| u128::from(FOUR_BY_PI.get(at).copied().unwrap_or(0));
        ((word(digit + at) << 64 | word(digit + at + 1)) << shift >> 64) as u64
    };
    let high = |a: u64| ((u128::from(a) * u128::from(mantissa)) >> 64) as u64;
    let middle = u128::from(digits(1)) * u128::from(mantissa);
    let upper = u128::from(digits(0).wrapping_mul(mantissa)) << 64;
    let product = upper.wrapping_add(middle).wrapping_add(u128::from(high(digits(2))));
    let mut eighth = (product >> 125) as u64;
    // The fraction of an eighth: 64 bits, then a number of them.
    let rest = product << 3;
    let (upper, lower) = ((rest >> 64) as u64, (product & u128::from(u64::MAX)) as u64);
    let zeros = upper.leading_zeros();
    let fraction =
        upper.checked_shl(zeros + 1).unwrap_or(0) | lower.checked_shr(63u32.wrapping_sub(zeros)).unwrap_or(0);
    let mut part = f64::from_bits(fraction >> 12 | u64::from(1023 - (zeros + 1)) << 52);
    if eighth & 1 == 1 {
        eighth = (eighth + 1) & 7;
        part -= 1.0;
    }
    (eighth, part * FRAC_PI_4)
}

fn sine_near(z: f64) -> f64 {
    let square = z * z;
    z + z * square * polynomial(square, &SINE)
}

fn cosine_near(z: f64) -> f64 {
    let square = z * z;
    1.0 - 0.5 * square + square * square * polynomial(square, &COSINE)
}

pub(crate) fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::NAN;
    }
    let (eighth, z) = reduce(x.abs());
    match eighth {
        0 => cosine_near(z),
        2 => -sine_near(z),
        4 => -cosine_near(z),
        _ => sine_near(z),
    }
}

pub(crate) fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    odd(x, |x| {
        let (eighth, z) = reduce(x);
        match eighth {
            0 => sine_near(z),
            2 => cosine_near(z),
            4 => -sine_near(z),
            _ => -cosine_near(z),
        }
    })
}

pub(crate) fn tan(x: f64) -> f64 {
    const ABOVE: [f64; 3] =
        [-1.309_369_391_813_837_776_46e4, 1.153_516_648_385_874_161_40e6, -1.795_652_519_764_848_779_88e7];
    const BELOW: [f64; 5] = [
        1.0,
        1.368_129_634_706_929_546_78e4,
        -1.320_892_344_402_109_674_47e6,
        2.500_838_018_233_579_158_39e7,
        -5.386_957_559_294_546_298_81e7,
    ];
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return f64::NAN;
    }
    odd(x, |x| {
        let (eighth, z) = reduce(x);
        let square = z * z;
        let y = if square > 1e-14 {
            z + z * (square * polynomial(square, &ABOVE) / polynomial(square, &BELOW))
        } else {
            z
        };
        if eighth & 2 == 2 { -1.0 / y } else { y }
    })
}

/// For 0 to 0.66.
fn atan_near(x: f64) -> f64 {
    const ABOVE: [f64; 5] = [
        -8.750_608_600_031_904_122_785e-1,
        -1.615_753_718_733_365_076_637e1,
        -7.500_855_792_314_704_667_340e1,
        -1.228_866_684_490_136_173_410e2,
        -6.485_021_904_942_025_371_773e1,
    ];
    const BELOW: [f64; 6] = [
        1.0,
        2.485_846_490_142_306_297_962e1,
        1.650_270_098_316_988_542_046e2,
        4.328_810_604_912_902_668_951e2,
        4.853_903_996_359_136_964_868e2,
        1.945_506_571_482_613_964_425e2,
    ];
    let square = x * x;
    x * (square * polynomial(square, &ABOVE) / polynomial(square, &BELOW)) + x
}

/// For what is not negative.
fn atan_positive(x: f64) -> f64 {
    /// What pi/2 has beyond its last bit.
    const MORE: f64 = 6.123_233_995_736_765_886_130e-17;
    /// tan(3 pi/8).
    const STEEP: f64 = 2.414_213_562_373_095_048_80;
    match x {
        _ if x <= 0.66 => atan_near(x),
        _ if x > STEEP => FRAC_PI_2 - atan_near(1.0 / x) + MORE,
        _ => FRAC_PI_4 + atan_near((x - 1.0) / (x + 1.0)) + 0.5 * MORE,
    }
}

pub(crate) fn atan(x: f64) -> f64 {
    if x == 0.0 { x } else { odd(x, atan_positive) }
}

pub(crate) fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    odd(x, |x| {
        if x > 1.0 {
            return f64::NAN;
        }
        let other = (1.0 - x * x).sqrt();
        if x > 0.7 { FRAC_PI_2 - atan_positive(other / x) } else { atan_positive(x / other) }
    })
}

pub(crate) fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

pub(crate) fn atan2(y: f64, x: f64) -> f64 {
    match () {
        () if y.is_nan() || x.is_nan() => f64::NAN,
        () if y == 0.0 && x >= 0.0 && x.is_sign_positive() => 0f64.copysign(y),
        () if y == 0.0 => PI.copysign(y),
        () if x == 0.0 => FRAC_PI_2.copysign(y),
        () if x.is_infinite() => match (x > 0.0, y.is_infinite()) {
            (true, true) => FRAC_PI_4,
            (true, false) => 0.0,
            (false, true) => 3.0 * FRAC_PI_4,
            (false, false) => PI,
        }
        .copysign(y),
        () if y.is_infinite() => FRAC_PI_2.copysign(y),
        () => {
            let angle = atan(y / x);
            match x < 0.0 {
                false => angle,
                true if angle <= 0.0 => angle + PI,
                true => angle - PI,
            }
        }
    }
}
