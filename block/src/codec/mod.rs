//! Cursor, varints, checksums: every decoder of the crate stands on this room.
//!
//! Numbers are big-endian where they have a fixed width; variable-width numbers are LEB128 (`uvarint`) with the zig-zag
//! of Go's `encoding/binary` for signed ones (`varint`). Checksums are CRC-32C, stored as big-endian `u32`.
//! Nothing here panics on any input; every read says what it wanted and where it stood.

mod xxhash;

use crate::error::Error;

pub use xxhash::xxh64;

/// CRC-32C (Castagnoli) of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The CRC-32C of bytes that come in pieces.
#[derive(Debug, Clone)]
pub struct Crc32c(crc_fast::Digest);

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc32c {
    /// The checksum of nothing yet.
    pub fn new() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all pieces so far.
    pub fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}

/// Appends a big-endian `u16`.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a big-endian `u32`.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a big-endian `u64`.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends an unsigned LEB128 number, 1 to 10 bytes.
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a zig-zag LEB128 number, 1 to 10 bytes.
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// How many bytes [`put_uvarint`] writes for `value`.
pub const fn uvarint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends a string: its length as uvarint, then its bytes.
pub fn put_str(out: &mut Vec<u8>, text: &[u8]) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// A place in a run of bytes, from which the decoders read forward.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    base: u64,
    object: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which errors will call `object`.
    pub const fn new(object: &'static str, bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, base: 0, object }
    }

    /// Says that `bytes` begin at offset `base` of the object, so that errors name the place in the whole.
    #[must_use]
    pub const fn based_at(mut self, base: u64) -> Self {
        self.base = base;
        self
    }

    /// Offset of the next byte, in the bytes handed in.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The error "here it is wrong".
    #[cold]
    pub fn corrupt(&self, what: impl Into<String>) -> Error {
        Error::corrupt(self.object, self.base + self.at as u64, what)
    }

    /// The next `n` bytes; `what` names them in the error.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..n) else {
            return Err(self.corrupt(format!("{what} needs {n} bytes, {} are left", rest.len())));
        };
        self.at += n;
        Ok(taken)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        match self.bytes.get(self.at) {
            Some(&byte) => {
                self.at += 1;
                Ok(byte)
            }
            None => Err(self.corrupt(format!("{what} needs 1 byte, 0 are left"))),
        }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| self.corrupt(what))
    }

    /// A big-endian `u16`.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    /// A big-endian `u32`.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    /// A big-endian `u64`.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    /// An unsigned LEB128 number of at most 64 bits. As Go reads it: no check for the shortest form.
    #[inline]
    pub fn uvarint(&mut self, what: &'static str) -> Result<u64, Error> {
        if let Some(&byte) = self.bytes.get(self.at)
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if let Some((value, length)) =
            rest.first_chunk().and_then(|bytes| short_uvarint(u64::from_le_bytes(*bytes)))
        {
            self.at += length;
            return Ok(value);
        }
        self.long_uvarint(what)
    }

    /// A number of more than eight bytes, or one that ends within the last seven bytes.
    #[inline(never)]
    fn long_uvarint(&mut self, what: &'static str) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.corrupt(format!("{what}: the bytes end inside a varint")));
            };
            if shift == 63 && byte > 1 {
                break;
            }
            self.at += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt(format!("{what}: a varint of more than 64 bits")))
    }

    /// A zig-zag LEB128 number.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<i64, Error> {
        let raw = self.uvarint(what)?;
        Ok(((raw >> 1) as i64) ^ -((raw & 1) as i64))
    }

    /// An unsigned LEB128 number that is a length or count of things in memory, at most `limit`.
    pub fn length(&mut self, limit: usize, what: &'static str) -> Result<usize, Error> {
        let value = self.uvarint(what)?;
        match usize::try_from(value) {
            Ok(length) if length <= limit => Ok(length),
            _ => Err(self.corrupt(format!("{what} is {value}, at most {limit} is possible"))),
        }
    }

    /// A string: length as uvarint, then its bytes.
    pub fn str(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let length = self.length(self.remaining(), what)?;
        self.take(length, what)
    }

    /// Refuses bytes that nothing has read.
    pub fn finish(&self) -> Result<(), Error> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.corrupt(format!("{left} bytes after the end"))),
        }
    }
}

/// The LEB128 number with which `word`, eight bytes with the first one lowest, begins, and its length; `None` if it does not end among them. Groups of
/// seven bits are moved together by twos, fours and eights, without a branch on each byte.
#[inline]
fn short_uvarint(word: u64) -> Option<(u64, usize)> {
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    // Up to the first byte whose upper bit is not set.
    let number = word & (ends ^ (ends - 1)) & 0x7F7F_7F7F_7F7F_7F7F;
    let twos = (number & 0x007F_007F_007F_007F) | (number & 0x7F00_7F00_7F00_7F00) >> 1;
    let fours = (twos & 0x0000_3FFF_0000_3FFF) | (twos & 0x3FFF_0000_3FFF_0000) >> 2;
    let value = (fours & 0x0FFF_FFFF) | (fours & 0x0FFF_FFFF_0000_0000) >> 4;
    Some((value, ends.trailing_zeros() as usize / 8 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_known_bytes() {
        let mut out = Vec::new();
        put_uvarint(&mut out, 300);
        put_varint(&mut out, -3);
        put_u32(&mut out, 0x0102_0304);
        put_str(&mut out, b"ab");
        assert_eq!(out, [0xAC, 0x02, 0x05, 1, 2, 3, 4, 2, b'a', b'b']);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn refuses_what_is_too_long_or_left_over() {
        assert!(Reader::new("t", &[0xFF; 11]).uvarint("n").is_err());
        assert!(Reader::new("t", &[0x80]).uvarint("n").is_err());
        assert!(Reader::new("t", &[5, b'a']).str("s").is_err());
        let error = Reader::new("t", &[1]).based_at(7).finish().unwrap_err();
        assert_eq!(error.to_string(), "t at offset 7: 1 bytes after the end");
    }

    proptest! {
        #[test]
        fn what_is_put_is_read(u in any::<u64>(), i in any::<i64>(), s in any::<Vec<u8>>()) {
            let mut out = Vec::new();
            put_uvarint(&mut out, u);
            prop_assert_eq!(out.len(), uvarint_len(u));
            put_varint(&mut out, i);
            put_str(&mut out, &s);
            let mut crc = Crc32c::new();
            out.chunks(3).for_each(|piece| crc.update(piece));
            prop_assert_eq!(crc.value(), crc32c(&out));
            let mut reader = Reader::new("t", &out);
            prop_assert_eq!(reader.uvarint("u").unwrap(), u);
            prop_assert_eq!(reader.varint("i").unwrap(), i);
            prop_assert_eq!(reader.str("s").unwrap(), &s[..]);
            prop_assert!(reader.finish().is_ok());
        }

        /// Whatever the bytes are, and wherever they end.
        #[test]
        fn a_number_read_at_once_is_the_one_read_byte_by_byte(
            head in proptest::collection::vec(prop_oneof![3 => 0x80..=0xFFu8, 1 => any::<u8>()], 0..12),
            rest in proptest::collection::vec(any::<u8>(), 0..10),
        ) {
            let bytes = [head, rest].concat();
            let (mut at_once, mut by_byte) = (Reader::new("t", &bytes), Reader::new("t", &bytes));
            match (at_once.uvarint("u"), by_byte.long_uvarint("u")) {
                (Ok(one), Ok(other)) => prop_assert_eq!((one, at_once.position()), (other, by_byte.position())),
                (one, other) => prop_assert!(one.is_err() && other.is_err()),
            }
        }
    }
}
