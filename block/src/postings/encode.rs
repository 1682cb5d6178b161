//! A postings list as bytes: how it lies in an index.
//!
//! ```text
//! len: be32 | n: be32 | n x series number: be32 | crc: be32 over n and the numbers
//! ```
//!
//! `len` counts everything between itself and the checksum. The walk reads the bytes where they lie.

use bytes::Bytes;

use super::{Postings, SeriesNo, gallop};
use crate::codec::{Reader, crc32c};
use crate::error::Error;

const OBJECT: &str = "index postings";

/// The walk over the list that `bytes` hold: from its length field to its checksum and not a byte more.
/// `base` is the offset of `bytes` in the index, for errors.
///
/// # Errors
/// `Corrupt` if length, count and size do not agree or the checksum is wrong.
pub(crate) fn decode_postings(bytes: &Bytes, base: u64) -> Result<EncodedWalk, Error> {
    let mut reader = Reader::new(OBJECT, bytes).based_at(base);
    let len = reader.u32("length of the list")? as usize;
    let body = reader.take(len, "the list")?;
    let crc = reader.u32("checksum of the list")?;
    reader.finish()?;
    if crc != crc32c(body) {
        return Err(Error::corrupt(OBJECT, base, "checksum of the list does not match"));
    }
    let mut reader = Reader::new(OBJECT, body).based_at(base + 4);
    let count = reader.u32("count")?;
    if u64::from(count) * 4 != reader.remaining() as u64 {
        return Err(reader.corrupt(format!("{count} numbers in {} bytes", reader.remaining())));
    }
    Ok(EncodedWalk { numbers: bytes.slice(8..4 + len), passed: 0 })
}

/// The walk over a list as it lies in an index: big-endian numbers of four bytes.
#[derive(Debug, Clone)]
pub struct EncodedWalk {
    numbers: Bytes,
    /// How many numbers lie behind; the walk stands on the last of them.
    passed: usize,
}

impl EncodedWalk {
    /// The walk over no number at all.
    pub const fn empty() -> Self {
        Self { numbers: Bytes::new(), passed: 0 }
    }

    /// The walks over `lists` postings lists that lie back to back in `bytes`, in their order. `base` is the offset of `bytes` in the index,
    /// for errors.
    ///
    /// # Errors
    /// `Corrupt` if a list is cut off or its checksum is wrong, or if bytes are left that are no list.
    pub fn read_run(bytes: &Bytes, base: u64, lists: u32) -> Result<Vec<Self>, Error> {
        let mut walks = Vec::with_capacity(bytes.len().min(lists as usize * 12) / 12);
        let mut at = 0;
        for _ in 0..lists {
            let here = base + at as u64;
            let rest = bytes.get(at..).unwrap_or_default();
            let length = rest.first_chunk().map(|head| u32::from_be_bytes(*head) as usize);
            let end = length.and_then(|length| at.checked_add(length)?.checked_add(8));
            let Some(end) = end.filter(|&end| end <= bytes.len()) else {
                return Err(Error::corrupt(OBJECT, here, "the list does not end where the next one begins"));
            };
            walks.push(decode_postings(&bytes.slice(at..end), here)?);
            at = end;
        }
        if at == bytes.len() {
            return Ok(walks);
        }
        Err(Error::corrupt(OBJECT, base + at as u64, "bytes behind the last list"))
    }

    fn count(&self) -> usize {
        self.numbers.len() / 4
    }
}

fn number(numbers: &[u8], at: usize) -> Option<SeriesNo> {
    let bytes = numbers.get(at * 4..)?.first_chunk()?;
    Some(SeriesNo(u32::from_be_bytes(*bytes)))
}

impl Postings for EncodedWalk {
    fn next(&mut self) -> Option<SeriesNo> {
        let no = number(&self.numbers, self.passed);
        self.passed = (self.passed + 1).min(self.count() + 1);
        no
    }

    fn seek(&mut self, least: SeriesNo) -> Option<SeriesNo> {
        let numbers = &self.numbers;
        let at = gallop(self.count(), self.passed.saturating_sub(1), least, |i| number(numbers, i));
        self.passed = at + 1;
        number(&self.numbers, at)
    }

    fn len_hint(&self) -> usize {
        self.count().saturating_sub(self.passed)
    }
}
