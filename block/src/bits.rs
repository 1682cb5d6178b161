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
        let full = self.word << 1 << ((63 - self.used) & 63) | value >> over;
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

/// The number in the first `n` bits of `word`, which hold `-(2^(n-1) - 1) ..= 2^(n-1)`: one more than two's complement of one less.
/// The sign of what jitters cannot be foreseen, so nothing branches on it.
#[inline]
pub(crate) const fn asymmetric(word: u64, n: u32) -> i64 {
    (word.wrapping_sub(1 << (64 - n)).cast_signed() >> (64 - n)) + 1
}

/// A place among the bits of some bytes.
#[derive(Debug, Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The last eight bytes, or all of them moved to the bottom if there are fewer.
    last: u64,
    at: usize,
}

impl<'a> BitReader<'a> {
    /// Begins at byte `at`.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        let last = match bytes.last_chunk::<8>() {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        Self { bytes, last, at: at * 8 }
    }

    /// The bytes that are read.
    #[inline]
    pub(crate) const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bits were passed over.
    #[inline]
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// Goes to byte `at`.
    #[inline]
    pub(crate) const fn seek(&mut self, at: usize) {
        self.at = at * 8;
    }

    /// Passes over `count` bits.
    #[inline]
    pub(crate) const fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// How many bits are still to come.
    #[inline]
    pub(crate) const fn rest(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// Whether more bits were passed over than there are.
    #[inline]
    pub(crate) const fn overrun(&self) -> bool {
        self.at > self.bytes.len() * 8
    }

    /// The next bits from the top down: 57 or more of them, and zeros below. Behind the end are zeros.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        let byte = self.at >> 3;
        let word = match self.bytes.get(byte..byte + 8) {
            Some(&[a, b, c, d, e, f, g, h]) => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => self.last.unbounded_shl(((byte + 8 - self.bytes.len()) * 8) as u32),
        };
        word << (self.at & 7)
    }

    /// Passes over `ahead` bits and takes those behind them, all but `spare` of 64, as a number. `seen` is what
    /// [`peek`](Self::peek) gave, moved up by `ahead`, at most 50. `None` if the bytes end before, or if a number of more
    /// bits than were seen ends in the first eight of them. `spare` is at most 63.
    #[inline]
    pub(crate) fn take(&mut self, seen: u64, ahead: usize, spare: usize) -> Option<u64> {
        let end = self.at + (64 + ahead) - spare;
        if 64 + ahead <= 57 + spare {
            self.at = end;
            return (!self.overrun()).then_some(seen >> (spare & 63));
        }
        // The word that ends where the number ends holds its last 57 bits or more, `seen` the first 7 or more. Both have zeros,
        // or the same bits, where the other has the number's.
        let word = self.bytes.get(..(end + 7) >> 3)?.last_chunk()?;
        let ending = u64::from_be_bytes(*word) >> (end.wrapping_neg() & 7);
        self.at = end;
        Some((seen | ending << (spare & 63)) >> (spare & 63))
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
        fn what_is_put_is_taken(runs in runs(), ahead in 0..=50u32) {
            let bytes = [&[0xFF; 8], &written(&runs)[..]].concat();
            let mut reader = BitReader::new(&bytes, 8);
            for (value, count) in runs {
                let ahead = ahead.min(count - 1);
                prop_assert_eq!(reader.peek() >> (64 - count.min(57)), value >> (count - count.min(57)));
                let spare = 64 - count + ahead;
                let rest = reader.take(reader.peek() << ahead, ahead as usize, spare as usize);
                prop_assert_eq!(rest, Some(value << spare >> spare));
                prop_assert!(!reader.overrun());
            }
            prop_assert_eq!(reader.position().div_ceil(8), bytes.len());
        }

        #[test]
        fn behind_the_end_is_nothing(bytes in any::<Vec<u8>>(), counts in proptest::collection::vec(1..=64usize, 0..99)) {
            let mut reader = BitReader::new(&bytes, 0);
            let mut at = 0;
            for count in counts {
                let expected = (at..at + 57).fold(0u64, |value, bit| {
                    let byte = bytes.get(bit / 8).copied().unwrap_or_default();
                    value << 1 | u64::from(byte >> (7 - bit % 8) & 1)
                });
                prop_assert_eq!(reader.peek() >> 7, expected);
                let end = at + count;
                let there = (end > 56 || count <= 57) && end <= bytes.len() * 8;
                prop_assert_eq!(reader.clone().take(reader.peek(), 0, 64 - count).is_some(), there);
                reader.skip(count);
                at = end;
                prop_assert_eq!(reader.overrun(), at > bytes.len() * 8);
            }
        }
    }
}
