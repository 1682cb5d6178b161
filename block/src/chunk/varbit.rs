//! Whole numbers of few bits where they are small: a run of ones that names the class, then the number.
//!
//! Prometheus writes start timestamps and histograms with these. The classes are drawn in `FORMAT.md`. As in XOR chunks, the
//! signed form of `n` bits holds `-(2^(n-1) - 1) ..= 2^(n-1)`, which two's complement does not. The shortest class is written;
//! any is read. Reading past the end gives `None`, never a number of invented bits.

use crate::bits::{BitReader, BitWriter, asymmetric};

/// Bits of the numbers in each class. A class has its index as the number of ones before the zero; the last one has no zero.
const CLASSES: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Writes a signed number.
#[inline]
pub(crate) fn put_int(out: &mut BitWriter<'_>, value: i64) {
    if value == 0 {
        return out.put(0, 1);
    }
    let magnitude = if value > 0 { value.cast_unsigned() - 1 } else { value.wrapping_neg().cast_unsigned() };
    put(out, value.cast_unsigned(), 65 - magnitude.leading_zeros());
}

/// Writes an unsigned number.
#[inline]
pub(crate) fn put_uint(out: &mut BitWriter<'_>, value: u64) {
    if value == 0 {
        return out.put(0, 1);
    }
    put(out, value, 64 - value.leading_zeros());
}

/// Writes the low bits of `number`, in the first class that has room for `needed` of them.
fn put(out: &mut BitWriter<'_>, number: u64, needed: u32) {
    let (ones, len) = match needed {
        0..=3 => (1, 3),
        4..=6 => (2, 6),
        7..=9 => (3, 9),
        10..=12 => (4, 12),
        13..=18 => (5, 18),
        19..=25 => (6, 25),
        26..=56 => (7, 56),
        _ => {
            out.put(0xFF, 8);
            return out.put(number, 64);
        }
    };
    let prefix = (1u64 << (ones + 1)) - 2;
    out.put(prefix << len | number & ((1 << len) - 1), ones + 1 + len);
}

/// Reads a signed number; `None` if the bytes end before.
#[inline]
pub(crate) fn read_int(bits: &mut BitReader<'_>) -> Option<i64> {
    let (number, len) = take(bits)?;
    Some(match len {
        0 => 0,
        64 => number.cast_signed(),
        _ => asymmetric(number << (64 - len), len),
    })
}

/// Reads an unsigned number; `None` if the bytes end before.
#[inline]
pub(crate) fn read_uint(bits: &mut BitReader<'_>) -> Option<u64> {
    Some(take(bits)?.0)
}

/// Reads the bits of a number, and tells how many there are.
#[inline]
fn take(bits: &mut BitReader<'_>) -> Option<(u64, u32)> {
    let word = bits.peek();
    if word >> 63 == 0 {
        bits.skip(1);
        return (!bits.overrun()).then_some((0, 0));
    }
    let ones = word.leading_ones().min(8) as usize;
    let len = *CLASSES.get(ones)?;
    let prefix = (ones + 1).min(8);
    let number = bits.take(word << prefix, prefix, 64 - len as usize)?;
    Some((number, len))
}

#[cfg(test)]
mod tests;
