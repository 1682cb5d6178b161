//! The name of a block: a ULID.
//!
//! 128 bits, written as 26 characters of Crockford's base 32: the first 48 bits are the millisecond in which the name
//! was made (not a time of the data), the other 80 are random. Chance and clock come from the caller.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;

/// The name of a block. Ordered by the time at which it was given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlockId(u128);

impl BlockId {
    /// The name with all bits zero, which stands for "no block".
    pub const NONE: Self = Self(0);

    /// From the low 48 bits of a Unix time in milliseconds and the low 80 bits of `random`.
    pub const fn from_parts(ms: u64, random: u128) -> Self {
        Self(((ms as u128) << 80) | (random & ((1 << 80) - 1)))
    }

    /// When the name was given, in milliseconds since the Unix epoch.
    pub const fn ms(self) -> u64 {
        (self.0 >> 80) as u64
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; LENGTH];
        for (i, byte) in text.iter_mut().rev().enumerate() {
            *byte = ALPHABET.get((self.0 >> (5 * i)) as usize & 31).copied().unwrap_or(b'0');
        }
        f.pad(str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlockId {
    type Err = Error;

    /// Reads 26 characters of the alphabet, in upper or lower case, that make at most 128 bits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = |why: &str| Error::invalid("block id", format!("{text:?}: {why}"));
        if text.len() != LENGTH {
            return Err(fault("not 26 characters long"));
        }
        if text.as_bytes().first().is_some_and(|&first| first > b'7') {
            return Err(fault("more than 128 bits"));
        }
        let mut bits = 0u128;
        for byte in text.bytes() {
            let upper = byte.to_ascii_uppercase();
            let digit = ALPHABET.iter().position(|&a| a == upper);
            bits = bits << 5 | digit.ok_or_else(|| fault("a character that is not of the alphabet"))? as u128;
        }
        Ok(Self(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id: BlockId = "01HF84EMK85HM7APDW8H2WREZD".parse().unwrap();
        assert_eq!(id.to_string(), "01HF84EMK85HM7APDW8H2WREZD");
        assert_eq!("01hf84emk85hm7apdw8h2wrezd".parse::<BlockId>().unwrap(), id);
        assert_eq!(BlockId::from_parts(id.ms(), id.0), id);
        assert_eq!(BlockId::NONE.to_string(), "0".repeat(26));
        assert_eq!(BlockId(u128::MAX).to_string(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        for bad in
            ["", "01HF84EMK85HM7APDW8H2WREZ", "81HF84EMK85HM7APDW8H2WREZD", "01HF84EMK85HM7APDW8H2WREZU"]
        {
            assert!(bad.parse::<BlockId>().is_err(), "{bad}");
        }
    }
}
