//! A column of float values, each in as few bytes as its kind of number needs.
//!
//! Most values that people measure are whole numbers, or decimals with a few places (a CPU counter in hundredths of a
//! second, a percentage), or the value of the series before. As doubles their low bytes look random; as the whole
//! number behind them they are short. Each value gets a class of four bits, and its bytes:
//!
//! | class | value | bytes |
//! |---|---|---|
//! | 0 | the same bits as the value before (the first: as 0.0) | 0 |
//! | 1 - 5 | a whole number | 1, 2, 3, 4, 6 |
//! | 6 - 10 | a number of hundredths | 1, 2, 3, 4, 6 |
//! | 11 - 14 | a number of ten-thousandths | 2, 3, 4, 6 |
//! | 15 | the bits of the double | 8 |
//!
//! Numbers are zig-zag coded, little-endian. An encoder takes a class only if the decoder's arithmetic (one division
//! of two exact numbers) gives the same bits back, so NaN payloads, infinities and -0.0 are safe in class 15.

use sarsen_block::codec::Reader;

use crate::error::Error;

const RAW: u8 = 15;
/// Whole numbers from here on are stored as doubles.
const BOUND: f64 = (1u64 << 47) as f64;
/// Adding and subtracting this rounds a double below 2^51 to a whole number.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// Bytes of each class.
const WIDTH: [u8; 16] = [0, 1, 2, 3, 4, 6, 1, 2, 3, 4, 6, 2, 3, 4, 6, 8];
/// By number of significant bytes (0 to 6): the class for a whole number, for hundredths, for ten-thousandths.
const WHOLE: [u8; 8] = [1, 1, 2, 3, 4, 5, 5, RAW];
const HUNDREDTHS: [u8; 8] = [6, 6, 7, 8, 9, 10, 10, RAW];
const TEN_THOUSANDTHS: [u8; 8] = [11, 11, 11, 12, 13, 14, 14, RAW];

/// Collects a column.
#[derive(Debug, Default)]
pub(super) struct ValuesEncoder {
    last: u64,
    /// One byte a value; packed in pairs at the end.
    classes: Vec<u8>,
    bytes: Vec<u8>,
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn of_width(classes: [u8; 8], number: i64) -> (u8, u64) {
    let coded = zigzag(number);
    let significant = (64 - coded.leading_zeros() as usize).div_ceil(8);
    (classes.get(significant).copied().unwrap_or(RAW), coded)
}

/// The class of a value and what is stored of it.
#[inline]
fn classify(bits: u64) -> (u8, u64) {
    let value = f64::from_bits(bits);
    let whole = value as i64;
    if (whole as f64).to_bits() == bits && value.abs() < BOUND {
        return of_width(WHOLE, whole);
    }
    let scaled = value * 10_000.0;
    if scaled.abs() < BOUND {
        let number = (scaled + ROUNDER) - ROUNDER;
        if (number / 10_000.0).to_bits() == bits {
            let number = number as i64;
            return if number % 100 == 0 {
                of_width(HUNDREDTHS, number / 100)
            } else {
                of_width(TEN_THOUSANDTHS, number)
            };
        }
    }
    (RAW, bits)
}

impl ValuesEncoder {
    #[inline]
    pub(super) fn push(&mut self, bits: u64) {
        if bits == self.last {
            self.classes.push(0);
            return;
        }
        self.last = bits;
        let (class, stored) = classify(bits);
        self.classes.push(class);
        let keep = self.bytes.len() + usize::from(WIDTH.get(usize::from(class)).copied().unwrap_or(8));
        self.bytes.extend_from_slice(&stored.to_le_bytes());
        self.bytes.truncate(keep);
    }

    pub(super) const fn count(&self) -> usize {
        self.classes.len()
    }

    /// The classes, two to a byte (the first in the low half), then the bytes, behind what `out` holds.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend(self.classes.chunks(2).map(|pair| match pair {
            [first, second] => first | (second << 4),
            [first] => *first,
            _ => 0,
        }));
        out.extend_from_slice(&self.bytes);
    }

    pub(super) fn clear(&mut self) {
        self.last = 0;
        self.classes.clear();
        self.bytes.clear();
    }

    pub(super) fn capacity(&self) -> usize {
        self.classes.capacity() + self.bytes.capacity()
    }
}

/// Reads a column.
#[derive(Debug, Clone)]
pub(super) struct Values<'a> {
    classes: &'a [u8],
    at: usize,
    bytes: &'a [u8],
    last: u64,
}

/// The bits of a stored number that belong to a value of so many bytes.
const fn mask(width: usize) -> u64 {
    if width >= 8 { u64::MAX } else { (1 << (8 * width)) - 1 }
}

impl<'a> Values<'a> {
    /// A column of `count` values, which takes all that `reader` has left.
    pub(super) fn decode(mut reader: Reader<'a>, count: usize) -> Result<Self, Error> {
        let classes = reader.take(count.div_ceil(2), "classes of values")?;
        let bytes = reader.take(reader.remaining(), "values")?;
        Ok(Self { classes, at: 0, bytes, last: 0 })
    }

    /// The bits of the next value. The caller knows how many there are.
    #[inline]
    pub(super) fn next(&mut self) -> Result<u64, Error> {
        let pair = self.classes.get(self.at / 2).copied().unwrap_or(0);
        let class = usize::from(if self.at.is_multiple_of(2) { pair & 15 } else { pair >> 4 });
        self.at += 1;
        if class == 0 {
            return Ok(self.last);
        }
        let width = usize::from(WIDTH.get(class).copied().unwrap_or(8));
        // One load of eight bytes with the rest masked off, but for the last few values.
        let stored = match self.bytes.first_chunk::<8>() {
            Some(wide) => u64::from_le_bytes(*wide) & mask(width),
            None => self.last_few(width)?,
        };
        self.bytes = self.bytes.get(width..).unwrap_or_default();
        let number = (((stored >> 1) as i64) ^ -((stored & 1) as i64)) as f64;
        self.last = match class {
            1..=5 => number.to_bits(),
            6..=10 => (number / 100.0).to_bits(),
            11..=14 => (number / 10_000.0).to_bits(),
            _ => stored,
        };
        Ok(self.last)
    }

    #[cold]
    fn last_few(&self, width: usize) -> Result<u64, Error> {
        let stored = self.bytes.get(..width).ok_or_else(|| self.corrupt("the values end too early"))?;
        Ok(stored.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn corrupt(&self, what: &str) -> Error {
        sarsen_block::Error::corrupt("values of samples", self.at as u64, what).into()
    }

    /// Refuses bytes left over, also the unused half of the last pair of classes.
    pub(super) fn finish(&self) -> Result<(), Error> {
        let unused =
            if self.at.is_multiple_of(2) { 0 } else { self.classes.last().map_or(0, |pair| pair >> 4) };
        if unused != 0 {
            return Err(self.corrupt("a class without a value"));
        }
        if !self.bytes.is_empty() {
            return Err(self.corrupt("bytes after the last value"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(values: &[u64]) -> Vec<u8> {
        let mut encoder = ValuesEncoder::default();
        for bits in values {
            encoder.push(*bits);
        }
        let mut out = Vec::new();
        encoder.finish(&mut out);
        out
    }

    fn round_trip(values: &[u64]) -> usize {
        let bytes = encode(values);
        let mut column = Values::decode(Reader::new("values", &bytes), values.len()).unwrap();
        for bits in values {
            assert_eq!(column.next().unwrap(), *bits, "{}", f64::from_bits(*bits));
        }
        column.finish().unwrap();
        bytes.len()
    }

    proptest! {
        #[test]
        fn any_bits_come_back(values: Vec<u64>) {
            round_trip(&values);
        }

        #[test]
        fn numbers_people_measure_come_back(
            values in prop::collection::vec((any::<i64>(), 0u32..6, 0u32..63), 0..50)
        ) {
            let values: Vec<u64> = values
                .iter()
                .map(|(n, places, shift)| ((n >> shift) as f64 / 10f64.powi(*places as i32)).to_bits())
                .collect();
            round_trip(&values);
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>, count in 0usize..200) {
            if let Ok(mut column) = Values::decode(Reader::new("values", &bytes), count) {
                for _ in 0..count {
                    if column.next().is_err() { break; }
                }
            }
        }
    }

    #[test]
    fn values_with_corners() {
        let corners = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            -0.01,
            0.0001,
            1e-5,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            BOUND,
            -BOUND,
            BOUND - 1.0,
            9_007_199_254_740_993.0,
            i64::MIN as f64,
            i64::MAX as f64,
            12_345.67,
            1_700_000_000.123,
        ];
        let mut bits: Vec<u64> = corners.iter().map(|v| v.to_bits()).collect();
        bits.extend([sarsen_block::STALE_NAN_BITS, sarsen_block::STALE_NAN_BITS, 1, u64::MAX]);
        round_trip(&bits);
    }

    #[test]
    fn short_numbers_take_few_bytes() {
        assert_eq!(round_trip(&[1f64.to_bits(); 100]), 50 + 1);
        assert_eq!(round_trip(&[12_345.67f64.to_bits()]), 1 + 3);
        assert_eq!(round_trip(&[1_234_567f64.to_bits()]), 1 + 3);
        assert_eq!(round_trip(&[std::f64::consts::PI.to_bits()]), 1 + 8);
    }
}
