//! Right checksums for an index that a fuzzer has changed, because a fuzzer does not guess checksums.

use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::codec::{Reader, crc32c};
use sarsen_block::{IndexReader, Postings, PostingsSource};

/// Puts the right checksum behind `len` bytes from `at` on.
fn sum(bytes: &mut [u8], at: usize, len: usize) -> Option<()> {
    let end = at.checked_add(len)?;
    let crc = crc32c(bytes.get(at..end)?);
    bytes.get_mut(end..end.checked_add(4)?)?.copy_from_slice(&crc.to_be_bytes());
    Some(())
}

/// The same for a section that begins with its length.
fn sum_section(bytes: &mut [u8], at: usize) -> Option<()> {
    let len = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
    sum(bytes, at.checked_add(4)?, len as usize)
}

/// Makes the checksums of an index right, as far as its parts can be found; nothing if it is none.
pub(crate) fn make_right(bytes: &mut [u8]) -> Option<()> {
    let toc = bytes.len().checked_sub(52)?;
    sum(bytes, toc, 48)?;
    for field in [0, 5] {
        let offset = u64::from_be_bytes(*bytes.get(toc + 8 * field..)?.first_chunk()?);
        sum_section(bytes, usize::try_from(offset).ok()?)?;
    }
    let index = IndexReader::open(Arc::new(Bytes::copy_from_slice(bytes))).ok()?;
    for (_, _, list) in index.lists().flatten() {
        // One that does not fit stays wrong; the others are worth reading.
        let _ = sum_section(bytes, usize::try_from(list).ok()?);
    }
    let index = IndexReader::open(Arc::new(Bytes::copy_from_slice(bytes))).ok()?;
    for no in index.all().ok()?.collect_all() {
        let at = usize::try_from(index.series_offset(no)).ok()?;
        let mut reader = Reader::new("entry", bytes.get(at..)?);
        let len = usize::try_from(reader.uvarint("length").ok()?).ok()?;
        let _ = sum(bytes, at + reader.position(), len);
    }
    Some(())
}
