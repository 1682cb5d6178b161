//! A series entry: its labels as symbols, and where its chunks lie.
//!
//! ```text
//! len uvarint | content | crc: be32 over the content
//! content: labels uvarint, per label: name symbol uvarint, value symbol uvarint
//!          chunks uvarint, first: min varint, max - min uvarint, ref uvarint
//!                          next:  min - last max uvarint, max - min uvarint, ref - last ref varint
//! ```

use super::symbols::{RecentSymbols, Symbols};
use crate::chunk::{ChunkMeta, ChunkRef};
use crate::codec::{Reader, crc32c, put_u32, put_uvarint, put_varint};
use crate::error::Error;
use crate::time::TimeRange;

const OBJECT: &str = "index series";

/// The content of the entry that `bytes` begin with, checked. `bytes` may go on behind it; `base` is their offset.
pub(crate) fn checked_entry(bytes: &[u8], base: u64) -> Result<&[u8], Error> {
    let mut reader = Reader::new(OBJECT, bytes).based_at(base);
    let len = reader.length(reader.remaining(), "length of the entry")?;
    let content = reader.take(len, "the entry")?;
    if reader.u32("checksum of the entry")? != crc32c(content) {
        return Err(Error::corrupt(OBJECT, base, "checksum of the entry does not match"));
    }
    Ok(content)
}

/// How many bytes the entry of a series takes that begins with `head`, its first bytes (ten are enough). `base` is their offset in the
/// index, for errors.
///
/// # Errors
/// [`Error::Corrupt`] if these bytes hold no length.
pub fn series_entry_len(head: &[u8], base: u64) -> Result<u64, Error> {
    entry_len(head, base)
}

/// Reads the entry of a series, with which `bytes` begin: appends the symbols of names and values by turns to `labels`, and its chunks.
/// `base` is their offset in the index, for errors.
///
/// # Errors
/// [`Error::Corrupt`] if the entry is cut off or damaged.
pub fn read_series_entry(
    bytes: &[u8],
    base: u64,
    labels: &mut Vec<u32>,
    chunks: &mut Vec<ChunkMeta>,
) -> Result<(), Error> {
    decode_symbols(checked_entry(bytes, base)?, base, labels, chunks)
}

/// How many bytes an entry takes that begins with `head`, its first bytes (ten are enough).
pub(crate) fn entry_len(head: &[u8], base: u64) -> Result<u64, Error> {
    let mut reader = Reader::new(OBJECT, head).based_at(base);
    let len = reader.uvarint("length of the entry")?;
    let around = reader.position() as u64 + 4;
    len.checked_add(around).ok_or_else(|| reader.corrupt(format!("an entry of {len} bytes")))
}

/// Reads the content of an entry: shows names and values in the order of the entry, and appends its chunks.
pub(crate) fn decode_content<'s>(
    content: &[u8],
    base: u64,
    (symbols, recent): (&'s Symbols, &mut RecentSymbols),
    chunks: &mut Vec<ChunkMeta>,
    mut show: impl FnMut(&'s [u8], &'s [u8]),
) -> Result<(), Error> {
    let mut reader = Reader::new(OBJECT, content).based_at(base);
    for _ in 0..reader.length(reader.remaining() / 2, "number of labels")? {
        let name = symbols.get_recent(reader.uvarint("name symbol")?, recent)?;
        show(name, symbols.get_recent(reader.uvarint("value symbol")?, recent)?);
    }
    decode_chunks(reader, chunks)
}

/// Reads the content of an entry: appends the symbols of its labels as they stand there, and its chunks.
pub(crate) fn decode_symbols(
    content: &[u8],
    base: u64,
    labels: &mut Vec<u32>,
    chunks: &mut Vec<ChunkMeta>,
) -> Result<(), Error> {
    let mut reader = Reader::new(OBJECT, content).based_at(base);
    let count = reader.length(reader.remaining() / 2, "number of labels")?;
    labels.reserve(2 * count);
    for _ in 0..2 * count {
        let symbol = reader.uvarint("symbol")?;
        labels.push(u32::try_from(symbol).map_err(|_| reader.corrupt(format!("symbol {symbol}")))?);
    }
    decode_chunks(reader, chunks)
}

/// Appends the chunks of an entry, which stand at its end.
fn decode_chunks(mut reader: Reader<'_>, chunks: &mut Vec<ChunkMeta>) -> Result<(), Error> {
    let count = reader.length(reader.remaining() / 3, "number of chunks")?;
    chunks.reserve(count);
    let mut last: Option<ChunkMeta> = None;
    for _ in 0..count {
        // As Go adds: a chunk before the one in front of it, as a broken writer leaves them, is read as such, and it is for
        // those who ask for order to refuse it.
        let min = match last {
            None => reader.varint("min time")?,
            Some(last) => last.range.max.wrapping_add(reader.uvarint("min time")?.cast_signed()),
        };
        let max = min.wrapping_add(reader.uvarint("max time")?.cast_signed());
        let chunk_ref = match last {
            None => Some(reader.uvarint("chunk reference")?),
            Some(last) => last.chunk_ref.0.checked_add_signed(reader.varint("chunk reference")?),
        };
        let chunk_ref = chunk_ref.ok_or_else(|| reader.corrupt("a chunk reference of more than 64 bits"))?;
        let chunk = ChunkMeta { range: TimeRange::new(min, max), chunk_ref: ChunkRef(chunk_ref) };
        chunks.push(chunk);
        last = Some(chunk);
    }
    reader.finish()
}

/// Appends an entry. `labels` are symbols of names and values, by name.
pub(crate) fn put_entry(
    out: &mut Vec<u8>,
    content: &mut Vec<u8>,
    labels: &[(u32, u32)],
    chunks: &[ChunkMeta],
) {
    content.clear();
    put_uvarint(content, labels.len() as u64);
    for &(name, value) in labels {
        put_uvarint(content, u64::from(name));
        put_uvarint(content, u64::from(value));
    }
    put_uvarint(content, chunks.len() as u64);
    let mut last: Option<&ChunkMeta> = None;
    for chunk in chunks {
        let TimeRange { min, max } = chunk.range;
        match last {
            None => put_varint(content, min),
            Some(last) => put_uvarint(content, min.abs_diff(last.range.max)),
        }
        put_uvarint(content, max.abs_diff(min));
        match last {
            None => put_uvarint(content, chunk.chunk_ref.0),
            Some(last) => put_varint(content, chunk.chunk_ref.0.wrapping_sub(last.chunk_ref.0) as i64),
        }
        last = Some(chunk);
    }
    put_uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
    put_u32(out, crc32c(content));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_out_of_order_are_read_as_a_broken_writer_left_them() {
        let mut content = Vec::new();
        put_uvarint(&mut content, 2);
        put_varint(&mut content, 100);
        put_uvarint(&mut content, 50);
        put_uvarint(&mut content, 8);
        put_uvarint(&mut content, (-140i64).cast_unsigned());
        put_uvarint(&mut content, 20);
        put_varint(&mut content, 30);
        let mut chunks = Vec::new();
        decode_chunks(Reader::new(OBJECT, &content), &mut chunks).unwrap();
        let ranges: Vec<TimeRange> = chunks.iter().map(|chunk| chunk.range).collect();
        assert_eq!(ranges, [TimeRange::new(100, 150), TimeRange::new(10, 30)]);
    }
}
