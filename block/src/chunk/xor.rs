//! Gorilla: the difference of differences of times, and the xor of values.
//!
//! The format is drawn in `FORMAT.md`. Appending composes the bits of a sample in registers and keeps those that do not
//! fill a word in the appender; reading looks at a whole word and branches on whole prefixes, never bit by bit, and most
//! series seldom change, so samples that change nothing are counted many at a time. All
//! arithmetic on times wraps, as the format asks for. A chunk is believed as far as its header's count; what lies behind
//! the last sample is not looked at.

use crate::bits::{BitReader, BitWriter, asymmetric, tail};
use crate::codec::Reader;
use crate::error::Error;
use crate::time::Timestamp;

/// Bytes of the sample count at the head of a chunk.
const HEADER_LEN: usize = 2;

/// `leading` of an appender that has not yet written a window.
const NO_WINDOW: u8 = 0xFF;

/// The state of appending to a XOR chunk, without the bytes: these lie in a `Vec` of the owner, which must hand the same one
/// to every call. The bytes hold neither the header nor the last few bits; [`finish`](Self::finish) makes a chunk of
/// them at any time.
#[derive(Debug, Clone, Copy)]
pub struct XorAppender {
    time: Timestamp,
    delta: i64,
    value: u64,
    word: u64,
    count: u16,
    used: u8,
    leading: u8,
    trailing: u8,
}

const _: () = assert!(size_of::<XorAppender>() == 40, "the head keeps one for every series");

impl Default for XorAppender {
    fn default() -> Self {
        Self::new()
    }
}

impl XorAppender {
    /// The most samples that a chunk can hold.
    pub const MAX_SAMPLES: u16 = u16::MAX;

    /// Length of the state as bytes.
    pub const STATE_LEN: usize = 37;

    /// The state before the first sample; goes with empty bytes.
    pub const fn new() -> Self {
        Self { time: 0, delta: 0, value: 0, word: 0, count: 0, used: 0, leading: NO_WINDOW, trailing: 0 }
    }

    /// Appends a sample. `false`, and nothing is written, if the chunk already holds [`MAX_SAMPLES`](Self::MAX_SAMPLES).
    /// Times may come in any order; readers expect them to rise.
    #[inline]
    pub fn append(&mut self, bytes: &mut Vec<u8>, t: Timestamp, v: f64) -> bool {
        if self.count < 2 || self.count == Self::MAX_SAMPLES {
            return self.append_rare(bytes, t, v);
        }
        let mut out = BitWriter { out: bytes, word: self.word, used: u32::from(self.used) };
        let delta = t.wrapping_sub(self.time);
        let (prefix, len) = time_bits(&mut out, delta.wrapping_sub(self.delta));
        self.put_value(&mut out, v.to_bits(), prefix, len);
        self.delta = delta;
        self.time = t;
        self.count += 1;
        self.word = out.word;
        self.used = out.used as u8;
        true
    }

    /// The first two samples, which have a form of their own, and the one too many.
    #[cold]
    fn append_rare(&mut self, bytes: &mut Vec<u8>, t: Timestamp, v: f64) -> bool {
        let mut out = BitWriter { out: bytes, word: self.word, used: u32::from(self.used) };
        match self.count {
            0 => {
                out.put_varint(t);
                out.put(v.to_bits(), 64);
                self.value = v.to_bits();
            }
            1 => {
                self.delta = t.wrapping_sub(self.time);
                out.put_uvarint(self.delta as u64);
                self.put_value(&mut out, v.to_bits(), 0, 0);
            }
            _ => return false,
        }
        self.time = t;
        self.count += 1;
        self.word = out.word;
        self.used = out.used as u8;
        true
    }

    /// Writes the `len` low bits of `prefix`, at most 24, and a value behind them.
    #[inline]
    fn put_value(&mut self, out: &mut BitWriter<'_>, value: u64, prefix: u64, len: u32) {
        let xor = value ^ self.value;
        if xor == 0 {
            out.put(prefix << 1, len + 1);
            return;
        }
        self.value = value;
        let leading = xor.leading_zeros().min(31) as u8;
        let trailing = xor.trailing_zeros() as u8;
        let (prefix, len) = if leading >= self.leading && trailing >= self.trailing {
            (prefix << 2 | 0b10, len + 2)
        } else {
            self.leading = leading;
            self.trailing = trailing;
            let significant = u64::from(64 - leading - trailing) & 63;
            (prefix << 13 | 0b11 << 11 | u64::from(leading) << 6 | significant, len + 13)
        };
        let (payload, significant) = (xor >> self.trailing, u32::from(64 - self.leading - self.trailing));
        if len + significant <= 64 {
            // One run instead of two: whether a word is full is hard to foresee, so it is asked once.
            out.put(prefix << (significant & 63) | payload, len + significant);
        } else {
            out.put(prefix, len);
            out.put(payload, significant);
        }
    }

    /// How many samples were appended.
    pub const fn num_samples(&self) -> u16 {
        self.count
    }

    /// Time of the last sample; 0 before the first.
    pub const fn last_time(&self) -> Timestamp {
        self.time
    }

    /// Bits of the last value; 0 before the first.
    pub const fn last_value_bits(&self) -> u64 {
        self.value
    }

    /// Length of the chunk in bytes as [`finish`](Self::finish) would write it now, header included, when `written` bytes
    /// have been written so far.
    pub const fn byte_len(&self, written: usize) -> usize {
        HEADER_LEN + written + (self.used as usize).div_ceil(8)
    }

    /// The state in [`STATE_LEN`](Self::STATE_LEN) bytes, for a process that goes on where this one ended.
    pub fn to_bytes(&self) -> [u8; Self::STATE_LEN] {
        let mut state = [0; Self::STATE_LEN];
        let words = [self.time as u64, self.delta as u64, self.value, self.word].map(u64::to_le_bytes);
        let [low, high] = self.count.to_le_bytes();
        let rest = [low, high, self.used, self.leading, self.trailing];
        state.iter_mut().zip(words.into_iter().flatten().chain(rest)).for_each(|(to, from)| *to = from);
        state
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave; `None` if no appender can be in such a state.
    pub fn from_bytes(state: &[u8; Self::STATE_LEN]) -> Option<Self> {
        let word = |at: usize| {
            state.get(at * 8..).and_then(|rest| rest.first_chunk::<8>()).map(|word| u64::from_le_bytes(*word))
        };
        let &[.., low, high, used, leading, trailing] = state;
        let sound = used < 64 && (leading == NO_WINDOW || u32::from(leading) + u32::from(trailing) < 64);
        sound.then_some(Self {
            time: word(0)? as i64,
            delta: word(1)? as i64,
            value: word(2)?,
            word: word(3)?,
            count: u16::from_le_bytes([low, high]),
            used,
            leading,
            trailing,
        })
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
        out.extend_from_slice(bytes);
        out.extend(last.into_iter().take(len));
    }

    /// The state in which a chunk was left, and its bytes, so that appending goes on. As in Prometheus, a chunk in
    /// which no window was written yet goes on with a window of all 64 bits.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the chunk cannot be read to its end.
    pub fn resume(chunk: &[u8]) -> Result<(Self, Vec<u8>), Error> {
        let mut iter = XorIter::new(chunk)?;
        while iter.next()?.is_some() {}
        if iter.total == 0 {
            return Ok((Self::new(), Vec::new()));
        }
        let body = chunk.get(HEADER_LEN..).unwrap_or_default();
        let bits = iter.bits.position() - HEADER_LEN * 8;
        let used = (bits % 64) as u32;
        let bytes = body.get(..bits / 64 * 8).unwrap_or_default().to_vec();
        let word = if used == 0 { 0 } else { BitReader::new(body, bytes.len()).peek() >> (64 - used) };
        let appender = Self {
            time: iter.time,
            delta: iter.delta,
            value: iter.value,
            word,
            count: iter.total,
            used: used as u8,
            leading: (iter.spare - iter.trailing) as u8,
            trailing: iter.trailing as u8,
        };
        Ok((appender, bytes))
    }
}

/// The bits for a difference of differences: those that can be written together with the value's, and how many. The
/// rare long form is written at once.
#[inline]
fn time_bits(out: &mut BitWriter<'_>, dod: i64) -> (u64, u32) {
    if dod == 0 {
        return (0, 1);
    }
    // Each class of n bits holds -(2^(n-1) - 1) ..= 2^(n-1).
    let bits = dod as u64;
    if (-8191..=8192).contains(&dod) {
        (0b10 << 14 | bits & 0x3FFF, 16)
    } else if (-65535..=65536).contains(&dod) {
        (0b110 << 17 | bits & 0x1_FFFF, 20)
    } else if (-524_287..=524_288).contains(&dod) {
        (0b1110 << 20 | bits & 0xF_FFFF, 24)
    } else {
        out.put(0b1111, 4);
        out.put(bits, 64);
        (0, 0)
    }
}

/// The samples of a XOR chunk, one by one.
#[derive(Debug, Clone)]
pub struct XorIter<'a> {
    bits: BitReader<'a>,
    time: Timestamp,
    delta: i64,
    value: u64,
    /// The window last written, or all 64 bits: how many bits of a word it leaves out, and how many of them below it.
    spare: usize,
    trailing: usize,
    /// Samples still to come behind the first two, once these are read.
    left: u16,
    /// Samples read of the first two.
    begun: u16,
    /// Samples still to come that are known to change nothing; their bits are passed over.
    run: u16,
    total: u16,
}

impl<'a> XorIter<'a> {
    /// Reads `chunk`: header and stream, without encoding byte and checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the header is cut off.
    pub fn new(chunk: &'a [u8]) -> Result<Self, Error> {
        let Some(header) = chunk.first_chunk::<HEADER_LEN>() else {
            return Err(Error::corrupt("xor chunk", 0, "the sample count is cut off"));
        };
        let bits = BitReader::new(chunk, HEADER_LEN);
        let total = u16::from_be_bytes(*header);
        Ok(Self {
            bits,
            time: 0,
            delta: 0,
            value: 0,
            spare: 0,
            trailing: 0,
            left: 0,
            begun: 0,
            run: 0,
            total,
        })
    }

    /// How many samples are still to come, if the chunk is sound.
    pub const fn remaining(&self) -> u16 {
        if self.begun < 2 { self.total - self.begun } else { self.left }
    }

    /// The next sample, `None` behind the last one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes end or make no sense before the promised count; then the rest is not read.
    #[inline(always)]
    #[expect(clippy::should_implement_trait, reason = "the shape of SampleIter: a step may fail")]
    pub fn next(&mut self) -> Result<Option<(Timestamp, f64)>, Error> {
        // Nothing that is not inlined may see `self`, or its fields have to live in memory instead of registers. That holds for this
        // function too, and a compiler that finds several callers would rather not: hence `always`, which halves what a sample costs.
        let sound = if self.run != 0 {
            self.run -= 1;
            self.left -= 1;
            self.time = self.time.wrapping_add(self.delta);
            Some(())
        } else if self.left != 0 {
            self.left -= 1;
            self.step()
        } else if self.begun < 2 && self.begun < self.total {
            self.begin()
        } else {
            return Ok(None);
        };
        match sound {
            Some(()) => Ok(Some((self.time, f64::from_bits(self.value)))),
            None => {
                let error = damaged(self.total, self.left, self.bits.position() / 8);
                (self.left, self.begun) = (0, 2);
                Err(error)
            }
        }
    }

    /// The first two samples, which begin at whole bytes and have a form of their own.
    #[inline(always)]
    fn begin(&mut self) -> Option<()> {
        self.begun += 1;
        self.left = self.total - self.begun;
        if self.begun == 1 {
            let (time, value, end) = first_sample(self.bits.bytes())?;
            (self.time, self.value) = (time, value);
            self.bits.seek(end);
            self.left = 0;
            return Some(());
        }
        let (delta, end) = first_delta(self.bits.bytes(), self.bits.position() / 8)?;
        self.delta = delta;
        self.time = self.time.wrapping_add(delta);
        self.bits.seek(end);
        self.step_value(self.bits.peek(), 0)
    }

    /// A sample behind the first two; `None` if it makes no sense.
    #[inline(always)]
    fn step(&mut self) -> Option<()> {
        let word = self.bits.peek();
        if word >> 63 == 0 {
            self.time = self.time.wrapping_add(self.delta);
            if word >> 62 == 0 {
                return self.begin_run(word);
            }
            return self.step_value(word << 1, 1);
        }
        if word >> 62 == 0b10 {
            // A way of its own for what jitter gives: its lengths are known when this is compiled.
            self.delta = self.delta.wrapping_add(asymmetric(word << 2, 14));
            self.time = self.time.wrapping_add(self.delta);
            return self.step_value(word << 16, 16);
        }
        let dod = if word >> 61 == 0b110 {
            self.bits.skip(20);
            asymmetric(word << 3, 17)
        } else if word >> 60 == 0b1110 {
            self.bits.skip(24);
            asymmetric(word << 4, 20)
        } else {
            self.bits.take(word << 4, 4, 0)?.cast_signed()
        };
        self.delta = self.delta.wrapping_add(dod);
        self.time = self.time.wrapping_add(self.delta);
        self.step_value(self.bits.peek(), 0)
    }

    /// Counts the samples that change nothing, two zeroes each, from the one that `word` begins with on.
    #[inline(always)]
    fn begin_run(&mut self, word: u64) -> Option<()> {
        let seen = word.leading_zeros().min(56) as usize / 2;
        let run = seen.min(self.bits.rest() / 2).min(usize::from(self.left) + 1);
        self.bits.skip(2 * run);
        self.run = run.checked_sub(1)? as u16;
        Some(())
    }

    /// Reads the value that begins `ahead`, at most 24, with the bits of `word`; `None` if its window cannot be.
    #[inline(always)]
    fn step_value(&mut self, word: u64, ahead: usize) -> Option<()> {
        if word >> 63 == 0 {
            self.bits.skip(ahead + 1);
            return (!self.bits.overrun()).then_some(());
        }
        if word >> 62 == 0b10 {
            self.value ^= self.bits.take(word << 2, ahead + 2, self.spare)? << (self.trailing & 63);
            return Some(());
        }
        let leading = (word >> 57 & 31) as usize;
        // 64 bits are written as 0.
        self.spare = (64 - (word >> 51 & 63) as usize) & 63;
        self.trailing = self.spare.checked_sub(leading)?;
        self.value ^= self.bits.take(word << 13, ahead + 13, self.spare)? << (self.trailing & 63);
        Some(())
    }
}

/// Time and value of the first sample of `chunk`, and the offset behind them.
fn first_sample(chunk: &[u8]) -> Option<(Timestamp, u64, usize)> {
    let mut reader = Reader::new("xor chunk", chunk);
    reader.take(HEADER_LEN, "header").ok()?;
    Some((reader.varint("time").ok()?, reader.u64("value").ok()?, reader.position()))
}

/// The first difference of times, which lies at byte `at` of `chunk`, and the offset behind it.
fn first_delta(chunk: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut reader = Reader::new("xor chunk", chunk);
    reader.take(at, "first sample").ok()?;
    Some((reader.uvarint("difference").ok()? as i64, reader.position()))
}

#[cold]
fn damaged(total: u16, left: u16, offset: usize) -> Error {
    let what = format!("{total} samples are promised, the last {} of them cannot be read", left + 1);
    Error::corrupt("xor chunk", offset as u64, what)
}

#[cfg(test)]
pub(super) mod tests;
