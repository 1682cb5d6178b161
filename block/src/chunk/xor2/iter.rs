//! The samples of a XOR2 chunk, one by one.

use super::{FIRST_HAS_START, HEADER_LEN, LAST_BEGIN, Xor2Appender};
use crate::bits::BitReader;
use crate::chunk::varbit;
use crate::codec::Reader;
use crate::error::Error;
use crate::sample::STALE_NAN_BITS;
use crate::time::Timestamp;

const OBJECT: &str = "xor2 chunk";

/// The samples of a XOR2 chunk, one by one.
#[derive(Debug, Clone)]
pub struct Xor2Iter<'a> {
    bits: BitReader<'a>,
    time: Timestamp,
    delta: i64,
    start: Timestamp,
    start_diff: i64,
    /// The last value that is no stale marker.
    value: u64,
    /// The window last written, or all 64 bits: how many bits of a word it leaves out, and how many of them below it.
    spare: usize,
    trailing: usize,
    read: u16,
    total: u16,
    /// The byte on start timestamps.
    starts: u8,
    stale: bool,
    failed: bool,
}

impl<'a> Xor2Iter<'a> {
    /// Reads `chunk`: header and stream, without encoding byte and checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the header is cut off.
    pub fn new(chunk: &'a [u8]) -> Result<Self, Error> {
        let Some(&[high, low, starts]) = chunk.first_chunk::<HEADER_LEN>() else {
            return Err(Error::corrupt(OBJECT, 0, "the header is cut off"));
        };
        Ok(Self {
            bits: BitReader::new(chunk, HEADER_LEN),
            time: 0,
            delta: 0,
            start: 0,
            start_diff: 0,
            value: 0,
            spare: 0,
            trailing: 0,
            read: 0,
            total: u16::from_be_bytes([high, low]),
            starts,
            stale: false,
            failed: false,
        })
    }

    /// How many samples are still to come, if the chunk is sound.
    pub const fn remaining(&self) -> u16 {
        if self.failed { 0 } else { self.total - self.read }
    }

    /// Time, start timestamp (0 if not known) and value of the next sample, `None` behind the last one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes end or make no sense before the promised count; then the rest is not read.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "the shape of SampleIter: a step may fail")]
    pub fn next(&mut self) -> Result<Option<(Timestamp, Timestamp, f64)>, Error> {
        if self.remaining() == 0 {
            return Ok(None);
        }
        let before = self.time;
        let sound = match self.read {
            0 => self.first(),
            1 => self.second(),
            _ => self.step(),
        };
        match sound.and_then(|()| self.step_start(before)) {
            Some(()) => {
                self.read += 1;
                let bits = if self.stale { STALE_NAN_BITS } else { self.value };
                Ok(Some((self.time, self.start, f64::from_bits(bits))))
            }
            None => {
                self.failed = true;
                Err(damaged(self.total, self.total - self.read, self.bits.position() / 8))
            }
        }
    }

    /// The first sample, which is whole bytes.
    fn first(&mut self) -> Option<()> {
        let mut reader = Reader::new(OBJECT, self.bits.bytes());
        reader.take(HEADER_LEN, "header").ok()?;
        self.time = reader.varint("time").ok()?;
        let value = reader.u64("value").ok()?;
        self.stale = value == STALE_NAN_BITS;
        if !self.stale {
            self.value = value;
        }
        if self.starts & FIRST_HAS_START != 0 {
            self.start = self.time.wrapping_sub(reader.varint("start timestamp").ok()?);
        }
        self.bits.seek(reader.position());
        Some(())
    }

    /// The second sample, which begins at a whole byte.
    fn second(&mut self) -> Option<()> {
        let mut reader = Reader::new(OBJECT, self.bits.bytes());
        reader.take(self.bits.position() / 8, "first sample").ok()?;
        self.delta = reader.uvarint("difference").ok()?.cast_signed();
        self.time = self.time.wrapping_add(self.delta);
        self.bits.seek(reader.position());
        self.step_value(self.bits.peek(), 0)
    }

    /// Time and value of a sample behind the first two.
    #[inline]
    fn step(&mut self) -> Option<()> {
        let word = self.bits.peek();
        let (dod, ahead) = match word.leading_ones() {
            0 => {
                self.time = self.time.wrapping_add(self.delta);
                self.stale = false;
                return self.skip(1);
            }
            1 => {
                self.time = self.time.wrapping_add(self.delta);
                self.stale = false;
                return if word >> 61 == 0b100 {
                    self.take_again(word << 3, 3)
                } else {
                    self.take_anew(word << 3, 3)
                };
            }
            2 => ((word << 3).cast_signed() >> (64 - 13), 16),
            3 => ((word << 4).cast_signed() >> (64 - 20), 24),
            4 => (self.bits.take(word << 5, 5, 0)?.cast_signed(), 0),
            _ => {
                self.time = self.time.wrapping_add(self.delta);
                self.stale = true;
                return self.skip(5);
            }
        };
        self.delta = self.delta.wrapping_add(dod);
        self.time = self.time.wrapping_add(self.delta);
        let word = if ahead == 0 { self.bits.peek() } else { word << ahead };
        self.step_value(word, ahead)
    }

    /// Reads the value that begins `ahead`, at most 24, with the bits of `word`.
    #[inline]
    fn step_value(&mut self, word: u64, ahead: usize) -> Option<()> {
        self.stale = false;
        match word.leading_ones() {
            0 => self.skip(ahead + 1),
            1 => self.take_again(word << 2, ahead + 2),
            2 => self.take_anew(word << 3, ahead + 3),
            _ => {
                self.stale = true;
                self.skip(ahead + 3)
            }
        }
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.bits.skip(count);
        (!self.bits.overrun()).then_some(())
    }

    /// Reads a value in the window of the last, that begins `ahead` with the bits of `word`.
    #[inline]
    fn take_again(&mut self, word: u64, ahead: usize) -> Option<()> {
        self.value ^= self.bits.take(word, ahead, self.spare)? << (self.trailing & 63);
        Some(())
    }

    /// Reads a window and a value in it, that begin `ahead` with the bits of `word`; `None` if the window cannot be.
    #[inline]
    fn take_anew(&mut self, word: u64, ahead: usize) -> Option<()> {
        let leading = (word >> 59) as usize;
        // 64 bits are written as 0.
        self.spare = (64 - (word >> 53 & 63) as usize) & 63;
        self.trailing = self.spare.checked_sub(leading)?;
        self.take_again(word << 11, ahead + 11)
    }

    /// Reads what is said about the start timestamp of the sample that comes behind the one at `before`.
    #[inline]
    fn step_start(&mut self, before: Timestamp) -> Option<()> {
        let at = u16::from(self.starts & LAST_BEGIN);
        if at == 0 || self.read < at {
            return Some(());
        }
        let number = varbit::read_int(&mut self.bits)?;
        self.start_diff = if self.read == at { number } else { self.start_diff.wrapping_add(number) };
        self.start = before.wrapping_sub(self.start_diff);
        Some(())
    }

    /// An appender that stands where this iterator does, but for the bits that do not fill a word, and the bit it stands at.
    pub(super) fn left_off(&self) -> (Xor2Appender, usize) {
        let unreached = u16::from(self.starts & LAST_BEGIN) >= self.read;
        let appender = Xor2Appender {
            time: self.time,
            delta: self.delta,
            value: self.value,
            start: self.start,
            start_diff: self.start_diff,
            word: 0,
            count: self.read,
            used: 0,
            leading: (self.spare - self.trailing) as u8,
            trailing: self.trailing as u8,
            // A beginning that no sample has reached could not be written any more when one does.
            starts: if unreached { self.starts & FIRST_HAS_START } else { self.starts },
            stale: self.stale,
        };
        (appender, self.bits.position())
    }
}

#[cold]
fn damaged(total: u16, left: u16, offset: usize) -> Error {
    let what = format!("{total} samples are promised, the last {left} of them cannot be read");
    Error::corrupt(OBJECT, offset as u64, what)
}
