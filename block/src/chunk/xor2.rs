//! The second float encoding of Prometheus: time and value under one prefix, and start timestamps.
//!
//! The format is drawn in `FORMAT.md`. A sample that changes nothing takes one bit, a stale marker at a regular time five, and
//! stale markers leave the value that the next xor is taken with alone. Start timestamps cost nothing until the first one
//! that differs. Appending and reading work as in XOR chunks: whole words, no byte touched twice. All arithmetic on times
//! wraps, as the format asks for. A chunk is believed as far as its header's count.

mod iter;

use crate::bits::{BitReader, BitWriter, tail};
use crate::chunk::varbit;
use crate::error::Error;
use crate::sample::STALE_NAN_BITS;
use crate::time::Timestamp;

pub use iter::Xor2Iter;

/// Bytes of the sample count and of the byte on start timestamps at the head of a chunk.
const HEADER_LEN: usize = 3;

/// `leading` of an appender that has not yet written a window.
const NO_WINDOW: u8 = 0xFF;

/// In the byte on start timestamps: the first sample has one.
const FIRST_HAS_START: u8 = 0x80;

/// The last sample at which start timestamps can begin; there they do in any case.
const LAST_BEGIN: u8 = 0x7F;

/// The state of appending to a XOR2 chunk, without the bytes: these lie in a `Vec` of the owner, which must hand the same one
/// to every call. The bytes hold neither the header nor the last few bits; [`finish`](Self::finish) makes a chunk of
/// them at any time.
#[derive(Debug, Clone, Copy)]
pub struct Xor2Appender {
    time: Timestamp,
    delta: i64,
    /// The last value that is no stale marker.
    value: u64,
    /// Start timestamp of the last sample.
    start: Timestamp,
    /// How long before the sample before it the last sample's start was, once these are written.
    start_diff: i64,
    word: u64,
    count: u16,
    used: u8,
    leading: u8,
    trailing: u8,
    /// The byte on start timestamps, as it stands in the header.
    starts: u8,
    stale: bool,
}

const _: () =
    assert!(size_of::<Xor2Appender>() == 56, "the head keeps one for every series that has XOR2 chunks");

impl Default for Xor2Appender {
    fn default() -> Self {
        Self::new()
    }
}

impl Xor2Appender {
    /// The most samples that a chunk can hold.
    pub const MAX_SAMPLES: u16 = u16::MAX;

    /// The state before the first sample; goes with empty bytes.
    pub const fn new() -> Self {
        Self {
            time: 0,
            delta: 0,
            value: 0,
            start: 0,
            start_diff: 0,
            word: 0,
            count: 0,
            used: 0,
            leading: NO_WINDOW,
            trailing: 0,
            starts: 0,
            stale: false,
        }
    }

    /// Appends a sample, with the time when its counter began or 0. `false`, and nothing is written, if the chunk cannot hold it:
    /// it already has [`MAX_SAMPLES`](Self::MAX_SAMPLES), or a foreign writer left out start timestamps for so long that none can
    /// begin any more. Times may come in any order; readers expect them to rise.
    pub fn append(&mut self, bytes: &mut Vec<u8>, t: Timestamp, start: Timestamp, v: f64) -> bool {
        if self.count == Self::MAX_SAMPLES
            || (self.count > LAST_BEGIN.into() && self.starts_at() == 0 && start != self.start)
        {
            return false;
        }
        let mut out = BitWriter { out: bytes, word: self.word, used: u32::from(self.used) };
        let v = v.to_bits();
        match self.count {
            0 => self.put_first(&mut out, t, start, v),
            1 => {
                self.delta = t.wrapping_sub(self.time);
                out.put_uvarint(self.delta.cast_unsigned());
                self.put_value(&mut out, v, 0, 0);
                self.put_start(&mut out, start);
            }
            _ => {
                let delta = t.wrapping_sub(self.time);
                self.put_joint(&mut out, delta.wrapping_sub(self.delta), v);
                self.delta = delta;
                self.put_start(&mut out, start);
            }
        }
        (self.time, self.start, self.stale) = (t, start, v == STALE_NAN_BITS);
        self.count += 1;
        self.word = out.word;
        self.used = out.used as u8;
        true
    }

    fn put_first(&mut self, out: &mut BitWriter<'_>, t: Timestamp, start: Timestamp, v: u64) {
        out.put_varint(t);
        out.put(v, 64);
        if v != STALE_NAN_BITS {
            self.value = v;
        }
        if start != 0 {
            out.put_varint(t.wrapping_sub(start));
            self.starts = FIRST_HAS_START;
        }
    }

    /// Writes difference of differences and value of a sample behind the first two.
    #[inline]
    fn put_joint(&mut self, out: &mut BitWriter<'_>, dod: i64, v: u64) {
        let bits = dod.cast_unsigned();
        match dod {
            0 if v == STALE_NAN_BITS => out.put(0b11111, 5),
            0 if v == self.value => out.put(0, 1),
            0 => self.put_change(out, v, [(0b100, 3), (0b101, 3)]),
            -4096..=4095 => self.put_value(out, v, 0b110 << 13 | bits & 0x1FFF, 16),
            -524_288..=524_287 => self.put_value(out, v, 0b1110 << 20 | bits & 0xF_FFFF, 24),
            _ => {
                out.put(0b11110, 5);
                out.put(bits, 64);
                self.put_value(out, v, 0, 0);
            }
        }
    }

    /// Writes the `len` low bits of `prefix`, at most 24, and a value behind them.
    #[inline]
    fn put_value(&mut self, out: &mut BitWriter<'_>, v: u64, prefix: u64, len: u32) {
        if v == STALE_NAN_BITS {
            out.put(prefix << 3 | 0b111, len + 3);
        } else if v == self.value {
            out.put(prefix << 1, len + 1);
        } else {
            self.put_change(out, v, [(prefix << 2 | 0b10, len + 2), (prefix << 3 | 0b110, len + 3)]);
        }
    }

    /// Writes a value that differs from the last, behind the first of the two prefixes if the last window will do and
    /// behind the second if not.
    #[inline]
    fn put_change(&mut self, out: &mut BitWriter<'_>, v: u64, [again, anew]: [(u64, u32); 2]) {
        let xor = v ^ self.value;
        self.value = v;
        let leading = xor.leading_zeros().min(31) as u8;
        let trailing = xor.trailing_zeros() as u8;
        let (prefix, len) = if leading >= self.leading && trailing >= self.trailing {
            again
        } else {
            (self.leading, self.trailing) = (leading, trailing);
            let significant = u64::from(64 - leading - trailing) & 63;
            (anew.0 << 11 | u64::from(leading) << 6 | significant, anew.1 + 11)
        };
        let (payload, significant) = (xor >> self.trailing, u32::from(64 - self.leading - self.trailing));
        if len + significant <= 64 {
            out.put(prefix << (significant & 63) | payload, len + significant);
        } else {
            out.put(prefix, len);
            out.put(payload, significant);
        }
    }

    /// Writes what is to be said about the start timestamp of a sample behind the first.
    #[inline]
    fn put_start(&mut self, out: &mut BitWriter<'_>, start: Timestamp) {
        let begun = self.starts_at() != 0;
        if !begun && start == self.start && self.count != LAST_BEGIN.into() {
            return;
        }
        let diff = self.time.wrapping_sub(start);
        if begun {
            varbit::put_int(out, diff.wrapping_sub(self.start_diff));
        } else {
            self.starts |= self.count as u8;
            varbit::put_int(out, diff);
        }
        self.start_diff = diff;
    }

    /// The first sample with a start timestamp of its own; 0 if there is none so far.
    const fn starts_at(&self) -> u8 {
        self.starts & LAST_BEGIN
    }

    /// How many samples were appended.
    pub const fn num_samples(&self) -> u16 {
        self.count
    }

    /// Time of the last sample; 0 before the first.
    pub const fn last_time(&self) -> Timestamp {
        self.time
    }

    /// Start timestamp of the last sample; 0 before the first.
    pub const fn last_start(&self) -> Timestamp {
        self.start
    }

    /// Bits of the last value; 0 before the first.
    pub const fn last_value_bits(&self) -> u64 {
        if self.stale { STALE_NAN_BITS } else { self.value }
    }

    /// Length of the chunk in bytes as [`finish`](Self::finish) would write it now, header included, when `written` bytes
    /// have been written so far.
    pub const fn byte_len(&self, written: usize) -> usize {
        HEADER_LEN + written + (self.used as usize).div_ceil(8)
    }

    /// The chunk as it is now. Appending can go on afterwards.
    pub fn finish(&self, bytes: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::with_capacity(self.byte_len(bytes.len()));
        self.finish_into(bytes, &mut chunk);
        chunk
    }

    /// Appends the chunk as it is now to `out`.
    pub fn finish_into(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let (last, len) = tail(self.word, u32::from(self.used));
        out.extend_from_slice(&self.count.to_be_bytes());
        out.push(self.starts);
        out.extend_from_slice(bytes);
        out.extend(last.into_iter().take(len));
    }

    /// The state in which a chunk was left, and its bytes, so that appending goes on. As in Prometheus, a chunk in
    /// which no window was written yet goes on with a window of all 64 bits.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the chunk cannot be read to its end.
    pub fn resume(chunk: &[u8]) -> Result<(Self, Vec<u8>), Error> {
        let mut iter = Xor2Iter::new(chunk)?;
        while iter.next()?.is_some() {}
        let (left_off, position) = iter.left_off();
        if left_off.count == 0 {
            return Ok((Self::new(), Vec::new()));
        }
        let body = chunk.get(HEADER_LEN..).unwrap_or_default();
        let bits = position - HEADER_LEN * 8;
        let used = (bits % 64) as u32;
        let bytes = body.get(..bits / 64 * 8).unwrap_or_default().to_vec();
        let word = if used == 0 { 0 } else { BitReader::new(body, bytes.len()).peek() >> (64 - used) };
        Ok((Self { word, used: used as u8, ..left_off }, bytes))
    }
}

#[cfg(test)]
mod tests;
