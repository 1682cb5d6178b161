//! One number of a histogram as it goes from sample to sample, in the form of integer and of float chunks.
//!
//! An integer is the difference of its last two differences; a float is the xor with the one before, in a window of its own. The same
//! state serves writing and reading. Before the first window was written there is none; what is read then in the window last
//! written has all 64 bits, which is how Prometheus goes on with a chunk that it has read.

use std::fmt;

use crate::bits::{BitReader, BitWriter};
use crate::chunk::varbit;
use crate::histogram::Counts;

/// `leading` of a number that has not yet written a window.
const NO_WINDOW: u8 = 0xFF;

/// The counts of a sample, borrowed: the whole, the zero bucket, the positive and the negative buckets. Whole and zero bucket of
/// integer histograms are the bits of their `u64`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct View<'a, T> {
    pub(super) count: T,
    pub(super) zero: T,
    pub(super) positive: &'a [T],
    pub(super) negative: &'a [T],
}

/// A number of a histogram, and what is kept to write or read its next value.
pub(super) trait Cell: Copy + fmt::Debug {
    /// What the buckets of a [`Histogram`](crate::Histogram) are made of.
    type Count: Copy + fmt::Debug + Default + PartialOrd;

    /// Whether the counts are floats.
    const FLOAT: bool;

    /// The counts, if they are of this kind.
    fn view(counts: &Counts) -> Option<View<'_, Self::Count>>;

    /// Counts of this kind.
    fn counts(count: Self::Count, zero: Self::Count, buckets: [Vec<Self::Count>; 2]) -> Counts;

    /// Writes the first value of a whole or a zero bucket.
    fn put_total(out: &mut BitWriter<'_>, value: Self::Count) -> Self;

    /// Writes the first value of a bucket.
    fn put_bucket(out: &mut BitWriter<'_>, value: Self::Count) -> Self;

    /// Reads what [`put_total`](Self::put_total) wrote.
    fn read_total(bits: &mut BitReader<'_>) -> Option<Self>;

    /// Reads what [`put_bucket`](Self::put_bucket) wrote.
    fn read_bucket(bits: &mut BitReader<'_>) -> Option<Self>;

    /// Writes the next value.
    fn put(&mut self, out: &mut BitWriter<'_>, value: Self::Count);

    /// Writes the total of a stale marker.
    fn put_stale(&mut self, out: &mut BitWriter<'_>);

    /// Reads the next value.
    fn read(&mut self, bits: &mut BitReader<'_>) -> Option<()>;

    /// As Prometheus goes on with a number that it has read.
    fn taken_up(self) -> Self;

    /// The last value.
    fn value(&self) -> Self::Count;

    /// Whether a total went down from `before` to `now`.
    fn falls(before: Self::Count, now: Self::Count) -> bool;

    /// A bucket that is stored as `stored` behind one of `before` observations, in observations.
    fn absolute(before: Self::Count, stored: Self::Count) -> Self::Count;

    /// How a bucket of `absolute` observations behind one of `before` is stored.
    fn stored(before: Self::Count, absolute: Self::Count) -> Self::Count;
}

/// A whole number by the difference of its differences. All arithmetic wraps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delta {
    value: i64,
    delta: i64,
}

impl Cell for Delta {
    type Count = i64;
    const FLOAT: bool = false;

    fn view(counts: &Counts) -> Option<View<'_, i64>> {
        match counts {
            Counts::Integer { count, zero, positive, negative } => {
                Some(View { count: *count as i64, zero: *zero as i64, positive, negative })
            }
            Counts::Float { .. } => None,
        }
    }

    fn counts(count: i64, zero: i64, [positive, negative]: [Vec<i64>; 2]) -> Counts {
        Counts::Integer { count: count as u64, zero: zero as u64, positive, negative }
    }

    fn put_total(out: &mut BitWriter<'_>, value: i64) -> Self {
        varbit::put_uint(out, value as u64);
        Self { value, delta: 0 }
    }

    fn put_bucket(out: &mut BitWriter<'_>, value: i64) -> Self {
        varbit::put_int(out, value);
        Self { value, delta: 0 }
    }

    fn read_total(bits: &mut BitReader<'_>) -> Option<Self> {
        Some(Self { value: varbit::read_uint(bits)? as i64, delta: 0 })
    }

    fn read_bucket(bits: &mut BitReader<'_>) -> Option<Self> {
        Some(Self { value: varbit::read_int(bits)?, delta: 0 })
    }

    #[inline]
    fn put(&mut self, out: &mut BitWriter<'_>, value: i64) {
        let delta = value.wrapping_sub(self.value);
        varbit::put_int(out, delta.wrapping_sub(self.delta));
        *self = Self { value, delta };
    }

    fn put_stale(&mut self, out: &mut BitWriter<'_>) {
        varbit::put_int(out, 0);
    }

    #[inline]
    fn read(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        self.delta = self.delta.wrapping_add(varbit::read_int(bits)?);
        self.value = self.value.wrapping_add(self.delta);
        Some(())
    }

    fn taken_up(self) -> Self {
        self
    }

    fn value(&self) -> i64 {
        self.value
    }

    fn falls(before: i64, now: i64) -> bool {
        (now as u64) < before as u64
    }

    fn absolute(before: i64, stored: i64) -> i64 {
        before.wrapping_add(stored)
    }

    fn stored(before: i64, absolute: i64) -> i64 {
        absolute.wrapping_sub(before)
    }
}

/// A float by its xor with the one before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    bits: u64,
    leading: u8,
    trailing: u8,
}

impl Window {
    /// Writes a first value, all 64 bits of it.
    pub(super) fn put_first(out: &mut BitWriter<'_>, value: f64) -> Self {
        out.put(value.to_bits(), 64);
        Self { bits: value.to_bits(), leading: NO_WINDOW, trailing: 0 }
    }

    /// Reads what [`put_first`](Self::put_first) wrote.
    pub(super) fn read_first(bits: &mut BitReader<'_>) -> Option<Self> {
        Some(Self { bits: bits.take(bits.peek(), 0, 0)?, leading: NO_WINDOW, trailing: 0 })
    }
}

impl Cell for Window {
    type Count = f64;
    const FLOAT: bool = true;

    fn view(counts: &Counts) -> Option<View<'_, f64>> {
        match counts {
            Counts::Float { count, zero, positive, negative } => {
                Some(View { count: *count, zero: *zero, positive, negative })
            }
            Counts::Integer { .. } => None,
        }
    }

    fn counts(count: f64, zero: f64, [positive, negative]: [Vec<f64>; 2]) -> Counts {
        Counts::Float { count, zero, positive, negative }
    }

    fn put_total(out: &mut BitWriter<'_>, value: f64) -> Self {
        Self::put_first(out, value)
    }

    fn put_bucket(out: &mut BitWriter<'_>, value: f64) -> Self {
        Self::put_first(out, value)
    }

    fn read_total(bits: &mut BitReader<'_>) -> Option<Self> {
        Self::read_first(bits)
    }

    fn read_bucket(bits: &mut BitReader<'_>) -> Option<Self> {
        Self::read_first(bits)
    }

    #[inline]
    fn put(&mut self, out: &mut BitWriter<'_>, value: f64) {
        let xor = value.to_bits() ^ self.bits;
        if xor == 0 {
            return out.put(0, 1);
        }
        self.bits = value.to_bits();
        let leading = xor.leading_zeros().min(31) as u8;
        let trailing = xor.trailing_zeros() as u8;
        if leading >= self.leading && trailing >= self.trailing {
            out.put(0b10, 2);
        } else {
            (self.leading, self.trailing) = (leading, trailing);
            // 64 bits are written as 0.
            let significant = u64::from(64 - leading - trailing) & 63;
            out.put(0b11 << 11 | u64::from(leading) << 6 | significant, 13);
        }
        out.put(xor >> self.trailing, u32::from(64 - self.leading - self.trailing));
    }

    fn put_stale(&mut self, out: &mut BitWriter<'_>) {
        self.put(out, 0.0);
    }

    #[inline]
    fn read(&mut self, bits: &mut BitReader<'_>) -> Option<()> {
        let word = bits.peek();
        if word >> 63 == 0 {
            bits.skip(1);
            return (!bits.overrun()).then_some(());
        }
        let mut ahead = 2;
        if word >> 62 != 0b10 {
            ahead = 13;
            self.leading = (word >> 57 & 31) as u8;
            let spare = (64 - (word >> 51 & 63) as u8) & 63;
            self.trailing = spare.checked_sub(self.leading)?;
        } else if self.leading == NO_WINDOW {
            self.leading = 0;
        }
        let spare = usize::from(self.leading + self.trailing);
        self.bits ^= bits.take(word << ahead, ahead, spare)? << (self.trailing & 63);
        Some(())
    }

    fn taken_up(self) -> Self {
        Self { leading: if self.leading == NO_WINDOW { 0 } else { self.leading }, ..self }
    }

    fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    fn falls(before: f64, now: f64) -> bool {
        now < before
    }

    fn absolute(_before: f64, stored: f64) -> f64 {
        stored
    }

    fn stored(_before: f64, absolute: f64) -> f64 {
        absolute
    }
}
