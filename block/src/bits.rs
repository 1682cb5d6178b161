//! Writing and reading runs of bits, most significant bit first.
//!
//! [`BitWriter`] collects bits in one 64-bit word and hands the word to the bytes when it is full, so the bytes grow
//! eight at a time and the word is part of the content until [`tail`] writes it out. [`BitReader`] looks at the bits
//! from any place as one word, without a loop: it reads zeros past the end and says afterwards, through
//! [`BitReader::overrun`], that it has left the bytes. Neither panics.

/// Writes bits behind `out`. `word` and `used` are the bits that do not yet fill eight bytes; they are plain fields so
/// that an owner can keep them next to its own state.
pub(crate) struct BitWriter<'a> {
    /// The full words written so far.
    pub(crate) out: &'a mut Vec<u8>,
    /// The last `used` bits of the content in the low bits; what lies above them means nothing.
    pub(crate) word: u64,
    /// How many bits wait in `word`, 0 to 63.
    pub(crate) used: u32,
}

impl BitWriter<'_> {
    /// Writes the low `count` bits of `value`, 1 to 64. Bits of `value` above them must be zero.
    #[inline]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        let used = self.used + count;
        if used < 64 {
            self.word = self.word << count | value;
            self.used = used;
            return;
        }
        let over = used - 64;
        let full = self.word.unbounded_shl(64 - self.used) | value >> over;
        self.out.extend_from_slice(&full.to_be_bytes());
        self.word = value;
        self.used = over;
    }

    /// Writes an unsigned LEB128 number, byte by byte at the present bit.
    pub(crate) fn put_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7F | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    /// Writes a zig-zag LEB128 number, byte by byte at the present bit.
    pub(crate) fn put_varint(&mut self, value: i64) {
        self.put_uvarint(((value << 1) ^ (value >> 63)) as u64);
    }
}

/// The `used` low bits of `word` as bytes, filled up with zeros, and how many of the eight bytes they take.
pub(crate) const fn tail(word: u64, used: u32) -> ([u8; 8], usize) {
    if used == 0 {
        return ([0; 8], 0);
    }
    ((word << (64 - used)).to_be_bytes(), used.div_ceil(8) as usize)
}

/// A place among the bits of some bytes.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The last eight bytes, or all of them moved to the top if there are fewer.
    last: u64,
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let last = match bytes.last_chunk::<8>() {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        Self { bytes, last, at: 0 }
    }

    /// The bytes that are read.
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bits were read.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// Goes to bit `at`.
    pub(crate) const fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// The next bits from the top down. At least the first 57 are bits of the content, or zeros behind its end.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let byte = self.at >> 3;
        let word = match self.bytes.get(byte..).and_then(<[u8]>::first_chunk::<8>) {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => self.behind(byte),
        };
        word << (self.at & 7)
    }

    /// The word at `byte`, less than eight bytes before the end or behind it.
    #[inline]
    fn behind(&self, byte: usize) -> u64 {
        let passed = byte + 8 - self.bytes.len();
        self.last.unbounded_shl(passed.saturating_mul(8).min(64) as u32)
    }

    /// Passes over `count` bits.
    #[inline]
    pub(crate) const fn skip(&mut self, count: u32) {
        self.at += count as usize;
    }

    /// The next `count` bits, 1 to 64, as a number.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> u64 {
        let mut word = self.peek();
        if count > 57 {
            let low = Self { at: self.at + 32, ..*self }.peek();
            word = word >> 32 << 32 | low >> 32;
        }
        self.skip(count);
        word >> (64 - count)
    }

    /// Whether more bits were read than there are.
    #[inline]
    pub(crate) const fn overrun(&self) -> bool {
        self.at > self.bytes.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit: what the content is, without words.
    fn slow(runs: &[(u64, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut at = 0;
        for &(value, count) in runs {
            for bit in (0..count).rev() {
                if at % 8 == 0 {
                    bytes.push(0);
                }
                *bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (7 - at % 8);
                at += 1;
            }
        }
        bytes
    }

    fn runs() -> impl Strategy<Value = Vec<(u64, u32)>> {
        let run = (any::<u64>(), 1..=64u32).prop_map(|(value, count)| (value >> (64 - count), count));
        proptest::collection::vec(run, 0..40)
    }

    fn written(runs: &[(u64, u32)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = BitWriter { out: &mut out, word: 0, used: 0 };
        for &(value, count) in runs {
            writer.put(value, count);
        }
        let (bytes, len) = tail(writer.word, writer.used);
        out.extend_from_slice(&bytes[..len]);
        out
    }

    proptest! {
        #[test]
        fn words_write_what_bits_write(runs in runs()) {
            prop_assert_eq!(written(&runs), slow(&runs));
        }

        #[test]
        fn what_is_put_is_taken(runs in runs()) {
            let bytes = written(&runs);
            let mut reader = BitReader::new(&bytes);
            for (value, count) in runs {
                prop_assert_eq!(reader.take(count), value);
                prop_assert!(!reader.overrun());
            }
        }

        #[test]
        fn behind_the_end_are_zeros(bytes in any::<Vec<u8>>(), counts in proptest::collection::vec(1..=64u32, 0..99)) {
            let mut reader = BitReader::new(&bytes);
            for count in counts {
                let from = reader.position();
                let expected = (from..from + count as usize).fold(0u64, |value, bit| {
                    let byte = bytes.get(bit / 8).copied().unwrap_or_default();
                    value << 1 | u64::from(byte >> (7 - bit % 8) & 1)
                });
                prop_assert_eq!(reader.take(count), expected);
            }
            prop_assert_eq!(reader.overrun(), reader.position() > bytes.len() * 8);
        }
    }
}
