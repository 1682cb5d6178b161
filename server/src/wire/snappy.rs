//! Snappy blocks, and the S2 blocks that Thanos' decoder takes as well, into a buffer that is used again.
//!
//! A block says first how long it will be. That claim is never believed: memory grows with what is really decoded, up to a limit.
//! Plain snappy goes through the `snap` crate; whatever it refuses is tried once more by the slower reader below, which knows the
//! two additions of S2: a copy with offset 0 repeats the last offset, and such a copy may be up to 16 MB long.

/// Why a block could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// The bytes are no snappy block.
    #[error("snappy decode error: {0}")]
    Corrupt(&'static str),
    /// The block is longer than allowed, once decoded.
    #[error("write request too large")]
    TooLarge,
}

/// No element of plain snappy turns a byte into more than this many: a copy of 64 bytes takes three.
const MAX_GROWTH: usize = 22;

/// Decodes the block `body` into the front of `buffer`, which grows as needed and is never shortened.
///
/// # Errors
/// [`SnappyError`]; a block that is broken and too long counts as broken.
pub fn decompress<'b>(body: &[u8], limit: usize, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], SnappyError> {
    let (claimed, elements) = read_header(body)?;
    if claimed <= limit && claimed <= body.len().saturating_mul(MAX_GROWTH) {
        if buffer.len() < claimed {
            buffer.resize(claimed, 0);
        }
        let target = buffer.get_mut(..claimed).unwrap_or_default();
        if snap::raw::Decoder::new().decompress(body, target).is_ok_and(|written| written == claimed) {
            return Ok(buffer.get(..claimed).unwrap_or_default());
        }
    }
    buffer.clear();
    read_s2(elements, claimed, limit, buffer)?;
    Ok(buffer.as_slice())
}

/// How long the block claims to be, if it begins like one. Not to be believed.
pub fn claimed_length(body: &[u8]) -> Option<usize> {
    read_header(body).ok().map(|(claimed, _)| claimed)
}

/// The claimed length, and the elements behind it.
fn read_header(body: &[u8]) -> Result<(usize, &[u8]), SnappyError> {
    let mut value = 0u64;
    for (i, &byte) in body.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            let rest = body.get(i + 1..).unwrap_or_default();
            return match u32::try_from(value) {
                Ok(length) => Ok((length as usize, rest)),
                Err(_) => Err(SnappyError::Corrupt("the length does not fit 32 bits")),
            };
        }
    }
    Err(SnappyError::Corrupt("no length at the start"))
}

/// The elements of a snappy or S2 block, one by one.
fn read_s2(elements: &[u8], claimed: usize, limit: usize, out: &mut Vec<u8>) -> Result<(), SnappyError> {
    let mut input = Input(elements);
    let mut offset = 0usize;
    while let Some(tag) = input.byte() {
        let upper = usize::from(tag >> 2);
        let (length, literal) = match tag & 3 {
            0 => (input.literal_length(upper).ok_or(ENDS)?, true),
            1 => {
                let low = usize::from(input.byte().ok_or(ENDS)?);
                let new_offset = (usize::from(tag & 0xE0) << 3) | low;
                if new_offset == 0 {
                    (input.repeat_length(upper & 7).ok_or(ENDS)?, false)
                } else {
                    offset = new_offset;
                    ((upper & 7) + 4, false)
                }
            }
            2 => {
                offset = input.number(2).ok_or(ENDS)?;
                (upper + 1, false)
            }
            _ => {
                offset = input.number(4).ok_or(ENDS)?;
                (upper + 1, false)
            }
        };
        if length > claimed - out.len() {
            return Err(SnappyError::Corrupt("more bytes than the block claims"));
        }
        if length > limit - out.len() {
            return Err(SnappyError::TooLarge);
        }
        if literal {
            out.extend_from_slice(input.take(length).ok_or(ENDS)?);
        } else {
            copy_back(out, offset, length)?;
        }
    }
    if out.len() == claimed { Ok(()) } else { Err(SnappyError::Corrupt("fewer bytes than the block claims")) }
}

const ENDS: SnappyError = SnappyError::Corrupt("the block ends inside an element");

/// Appends `length` bytes that begin `offset` before the end; the two may overlap.
fn copy_back(out: &mut Vec<u8>, offset: usize, length: usize) -> Result<(), SnappyError> {
    if offset == 0 || offset > out.len() {
        return Err(SnappyError::Corrupt("a copy from before the start"));
    }
    let mut left = length;
    while left > 0 {
        // Each round doubles the run that can be copied at once.
        let start = out.len() - offset;
        let run = left.min(offset);
        out.extend_from_within(start..start + run);
        left -= run;
    }
    Ok(())
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    /// A little-endian number of `n` bytes.
    fn number(&mut self, n: usize) -> Option<usize> {
        let bytes = self.take(n)?;
        Some(bytes.iter().rev().fold(0, |value, &byte| (value << 8) | usize::from(byte)))
    }

    fn literal_length(&mut self, upper: usize) -> Option<usize> {
        match upper {
            0..=59 => Some(upper + 1),
            _ => Some(self.number(upper - 59)? + 1),
        }
    }

    fn repeat_length(&mut self, code: usize) -> Option<usize> {
        Some(match code {
            5 => self.number(1)? + 8,
            6 => self.number(2)? + (1 << 8) + 4,
            7 => self.number(3)? + (1 << 16) + 4,
            short => short + 4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(body: &[u8], limit: usize) -> Result<Vec<u8>, SnappyError> {
        decompress(body, limit, &mut Vec::new()).map(<[u8]>::to_vec)
    }

    /// The slow reader alone.
    fn slow(body: &[u8]) -> Result<Vec<u8>, SnappyError> {
        let (claimed, elements) = read_header(body)?;
        let mut out = Vec::new();
        read_s2(elements, claimed, usize::MAX, &mut out)?;
        Ok(out)
    }

    #[test]
    fn repeats_of_s2_are_read() {
        // "abcd", a copy of 4 from 4 back, then the same offset again: 4, 9 + 8, 1 + 260 and 0 + 65540 bytes.
        let mut body = vec![0; 0];
        let total: u32 = 4 + 4 + 4 + 17 + 261 + 65_540;
        sarsen_block::codec::put_uvarint(&mut body, u64::from(total));
        body.extend([3 << 2, b'a', b'b', b'c', b'd', 1, 4]);
        body.extend([1, 0]);
        body.extend([(5 << 2) | 1, 0, 9]);
        body.extend([(6 << 2) | 1, 0, 1, 0]);
        body.extend([(7 << 2) | 1, 0, 0, 0, 0]);
        let out = decoded(&body, 1 << 20).unwrap();
        assert_eq!(out.len(), total as usize);
        assert!(out.iter().zip(b"abcd".iter().cycle()).all(|(a, b)| a == b));
        assert_eq!(decoded(&body, 1000), Err(SnappyError::TooLarge));
    }

    #[test]
    fn a_repeat_without_an_offset_is_corrupt() {
        assert!(matches!(decoded(&[4, 1, 0], 100), Err(SnappyError::Corrupt(_))));
    }

    #[test]
    fn a_huge_claim_costs_nothing() {
        let body = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, b'a'];
        let mut buffer = Vec::new();
        assert!(matches!(decompress(&body, 1 << 30, &mut buffer), Err(SnappyError::Corrupt(_))));
        assert!(buffer.capacity() < 4096);
        assert!(matches!(decoded(b"", 10), Err(SnappyError::Corrupt(_))));
        assert_eq!(decoded(&[0], 10), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn what_snappy_packs_is_read_by_both_readers(
            text in prop::collection::vec(0u8..4, 0..3000),
            dirty in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let body = snap::raw::Encoder::new().compress_vec(&text).unwrap();
            let mut buffer = dirty;
            prop_assert_eq!(decompress(&body, 3000, &mut buffer).unwrap(), &text[..]);
            prop_assert_eq!(slow(&body).unwrap(), text.clone());
            if !text.is_empty() {
                prop_assert_eq!(decoded(&body, text.len() - 1), Err(SnappyError::TooLarge));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let fast = decoded(&body, 10_000);
            if let (Ok(fast), Ok(slow)) = (fast, slow(&body)) {
                prop_assert_eq!(fast, slow);
            }
        }
    }
}
