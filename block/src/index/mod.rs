//! Sections of an index and the order they must come in.
//!
//! An index is a header, a symbol table, series entries, postings lists, the table that says where each list lies, and a
//! table of contents at the very end; `FORMAT.md` draws every byte. The decoders in this room take the bytes of one
//! section (with the offset at which it lies, for errors), never a file: [`IndexReader`] feeds them from a
//! [`Source`](crate::Source), a gateway feeds them from ranges of an object.

mod arena;
mod columns;
mod header;
mod lists;
mod output;
mod reader;
mod series;
mod stream;
mod symbols;
mod table;
mod walk;
mod writer;

use bytes::Bytes;

use crate::codec::{Reader, crc32c, put_u32, put_u64};
use crate::error::Error;

pub use header::{HeaderBuilder, IndexHeader, ListRun, Listed, Lists, SymbolTexts};
pub(crate) use reader::SeriesCursor;
pub use reader::{IndexReader, IndexSeries};
pub use series::{read_series_entry, series_entry_len};
pub(crate) use stream::{ListStream, SymbolStream, TableStream};
pub(crate) use walk::SeriesWalk;
pub use writer::{IndexWriter, WrittenIndex};

/// The first five bytes of an index: four of magic, one of version.
pub(crate) const HEADER_LEN: u64 = 5;
const MAGIC: [u8; 4] = [0xBA, 0xAA, 0xD7, 0x00];

/// Series entries begin at multiples of this many bytes; a series number counts them.
pub(crate) const SERIES_ALIGNMENT: u64 = 16;
/// Postings lists begin at multiples of this many bytes.
pub(crate) const LIST_ALIGNMENT: u64 = 4;

/// The versions of the format that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// References are offsets in the file.
    V1,
    /// References are positions in the symbol table, and offsets divided by 16. Version 3 is read as this.
    V2,
}

impl Version {
    /// Reads the header of an index.
    pub(crate) fn decode(header: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new("index header", header);
        if reader.take(MAGIC.len(), "magic")? != MAGIC {
            return Err(Error::corrupt("index header", 0, "not an index: the magic is another"));
        }
        match reader.u8("version")? {
            1 => Ok(Self::V1),
            2 | 3 => Ok(Self::V2),
            other => Err(Error::corrupt("index header", 4, format!("unknown version {other}"))),
        }
    }
}

/// Where the sections of an index begin. Zero: there is no such section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Toc {
    /// The symbol table.
    pub symbols: u64,
    /// The series entries, or the padding before the first one.
    pub series: u64,
    /// Label indices, a section that is written no more: newer writers put the end of the series here.
    pub label_indices: u64,
    /// The table of label indices, written no more: newer writers put the postings table here.
    pub label_indices_table: u64,
    /// The postings lists, or the padding before the first one.
    pub postings: u64,
    /// The table that says where the lists lie.
    pub postings_table: u64,
}

impl Toc {
    /// Bytes that the table of contents takes: the last ones of an index.
    pub const LEN: u64 = 52;

    /// Reads the last [`Toc::LEN`] bytes of an index; `base` is their offset in it.
    ///
    /// # Errors
    /// `Corrupt` if the checksum is wrong.
    pub fn decode(bytes: &[u8], base: u64) -> Result<Self, Error> {
        let mut reader = Reader::new("index table of contents", bytes).based_at(base);
        let covered = reader.clone().take(48, "offsets of the sections")?;
        let toc = Self {
            symbols: reader.u64("offset")?,
            series: reader.u64("offset")?,
            label_indices: reader.u64("offset")?,
            label_indices_table: reader.u64("offset")?,
            postings: reader.u64("offset")?,
            postings_table: reader.u64("offset")?,
        };
        if reader.u32("checksum")? != crc32c(covered) {
            return Err(reader.corrupt("checksum of the table of contents does not match"));
        }
        reader.finish()?;
        Ok(toc)
    }

    fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for offset in [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_indices_table,
            self.postings,
            self.postings_table,
        ] {
            put_u64(out, offset);
        }
        let crc = crc32c(out.get(start..).unwrap_or_default());
        put_u32(out, crc);
    }
}

/// What an index under construction takes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Symbols, rising; or the first series.
    Symbols,
    /// Series, rising; or the end.
    Series,
    /// Nothing: a write failed half way.
    Failed,
}

#[cold]
pub(crate) fn too_large(what: &str) -> Error {
    Error::invalid("index", format!("{what} is larger than the format can hold"))
}

/// The body of a section that begins with its length as `be32` and ends with a checksum over what lies between.
/// Bytes behind the checksum are left alone. The answer begins behind the length.
pub(crate) fn checked_section(object: &'static str, bytes: &Bytes, base: u64) -> Result<Bytes, Error> {
    let mut reader = Reader::new(object, bytes).based_at(base);
    let len = reader.u32("length of the section")? as usize;
    let body = reader.take(len, "the section")?;
    if reader.u32("checksum of the section")? != crc32c(body) {
        return Err(Error::corrupt(object, base, "checksum of the section does not match"));
    }
    Ok(bytes.slice(4..4 + len))
}

#[cfg(test)]
mod tests;
