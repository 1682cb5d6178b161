//! Elementary functions whose results have Go's last bits.
//!
//! A mathematical library rounds as it likes, and answers are compared digit by digit. So these are computed as Go 1.26 computes them on amd64:
//! with Shibata's series for the exponential (SLEEF), the methods of FreeBSD's msun for logarithms and areas, and those of Moshier's Cephes for
//! angles. Order of operations and constants are part of the method and must not be rearranged.

#![allow(clippy::excessive_precision, reason = "factors stand as their authors published them")]

mod hyperbolic;
mod power;
mod trigonometry;

pub(crate) use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub(crate) use power::{exp, exp2, ln, log2, log10, pow};
pub(crate) use trigonometry::{acos, asin, atan, atan2, cos, sin, tan};

/// A polynomial at `x`, the highest power's factor first.
#[inline]
fn polynomial(x: f64, factors: &[f64]) -> f64 {
    let mut factors = factors.iter();
    let mut sum = factors.next().copied().unwrap_or(0.0);
    for factor in factors {
        sum = sum * x + factor;
    }
    sum
}

/// A function of what has no sign, given the sign of `x`.
fn odd(x: f64, function: impl Fn(f64) -> f64) -> f64 {
    if x < 0.0 { -function(-x) } else { function(x) }
}

#[cfg(test)]
mod tests;
