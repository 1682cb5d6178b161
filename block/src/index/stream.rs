//! The checked parts of an index read from front to back, a piece at a time.
//!
//! For whoever goes through a whole index once: symbols, offset table and postings lists of any size take the memory of a piece. The
//! checksum of a part is known only at its end, so what was given before counts for nothing if the end is an error.

use bytes::Bytes;

use super::reader::IndexReader;
use super::table::{Entry, read_entry};
use crate::codec::{Crc32c, Reader, uvarint_len};
use crate::error::Error;
use crate::postings::SeriesNo;
use crate::source::Source;

/// So much is read at once.
const PIECE: usize = 64 << 10;

/// A length as `be32`, so many bytes, and a checksum over them.
#[derive(Debug)]
struct Part<'a> {
    source: &'a IndexReader,
    object: &'static str,
    /// The piece at hand, its offset, how much of it was passed and how much is in the checksum.
    piece: Bytes,
    piece_at: u64,
    passed: usize,
    summed: usize,
    /// Offset of the checksum.
    end: u64,
    crc: Crc32c,
}

fn read(source: &dyn Source, object: &'static str, at: u64, end: u64) -> Result<Bytes, Error> {
    if at > end || end > source.len() {
        return Err(Error::corrupt(object, at, "it ends behind the index"));
    }
    source.read(at..end).map_err(|e| Error::io(format!("{object} at offset {at}"), e))
}

impl<'a> Part<'a> {
    fn open(source: &'a IndexReader, object: &'static str, at: u64) -> Result<Self, Error> {
        let head = read(source.source(), object, at, at.saturating_add(4))?;
        let length = head.first_chunk().map_or(0, |head| u32::from_be_bytes(*head));
        let begin = at.saturating_add(4);
        let end = begin.saturating_add(length.into());
        if end.saturating_add(4) > source.source().len() {
            return Err(Error::corrupt(object, at, format!("{length} bytes end behind the index")));
        }
        let piece = Bytes::new();
        Ok(Self { source, object, piece, piece_at: begin, passed: 0, summed: 0, end, crc: Crc32c::new() })
    }

    /// Offset of the next byte.
    fn at(&self) -> u64 {
        self.piece_at + self.passed as u64
    }

    fn left(&self) -> u64 {
        self.end.saturating_sub(self.at())
    }

    /// The next `least` bytes or more, fewer only at the end of the part.
    #[inline]
    fn view(&mut self, least: usize) -> Result<&[u8], Error> {
        if self.piece.len() - self.passed < least {
            self.turn(least)?;
        }
        Ok(self.piece.get(self.passed..).unwrap_or_default())
    }

    /// Goes to the next piece, which begins with what was not passed of this one.
    fn turn(&mut self, least: usize) -> Result<(), Error> {
        let at = self.at();
        let end = at.saturating_add(least.max(PIECE) as u64).min(self.end);
        if end > self.piece_at + self.piece.len() as u64 {
            self.crc.update(self.piece.get(self.summed..self.passed).unwrap_or_default());
            self.piece = Bytes::new();
            (self.piece_at, self.passed, self.summed) = (at, 0, 0);
            self.piece = read(self.source.source(), self.object, at, end)?;
        }
        Ok(())
    }

    fn pass(&mut self, count: usize) {
        self.passed = self.passed.saturating_add(count).min(self.piece.len());
    }

    fn be32(&mut self, what: &str) -> Result<u32, Error> {
        let value = self.view(4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let value = value.ok_or_else(|| self.corrupt(format!("{what} is cut off")))?;
        self.pass(4);
        Ok(value)
    }

    #[cold]
    fn corrupt(&self, what: impl Into<String>) -> Error {
        Error::corrupt(self.object, self.at(), what)
    }

    /// Checks that nothing is left, and the checksum.
    fn finish(&mut self) -> Result<(), Error> {
        if self.left() > 0 {
            return Err(self.corrupt(format!("{} bytes after the end", self.left())));
        }
        self.crc.update(self.piece.get(self.summed..self.passed).unwrap_or_default());
        self.summed = self.passed;
        let stored = read(self.source.source(), self.object, self.end, self.end + 4)?;
        if stored.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) != Some(self.crc.value()) {
            return Err(self.corrupt("checksum does not match"));
        }
        Ok(())
    }
}

/// The symbols of an index, one after the other.
#[derive(Debug)]
pub(crate) struct SymbolStream<'a> {
    part: Part<'a>,
    /// How many there are, and how many are left.
    count: u32,
    left: u32,
    /// Length of the present one, and of its length field.
    present: (usize, usize),
    offset: u64,
}

impl<'a> SymbolStream<'a> {
    /// Stands before the first symbol.
    pub(crate) fn open(index: &'a IndexReader) -> Result<Self, Error> {
        let mut part = Part::open(index, "index symbols", index.toc().symbols)?;
        let count = part.be32("the count")?;
        if u64::from(count) > part.left() {
            return Err(part.corrupt(format!("{count} symbols in {} bytes", part.left())));
        }
        Ok(Self { part, count, left: count, present: (0, 0), offset: 0 })
    }

    /// How many symbols there are in all, and at most how many bytes they have together.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.count as usize, usize::try_from(self.part.end - self.part.at()).unwrap_or(usize::MAX))
    }

    /// Goes to the next symbol, if there is one. At the end, the checksum is checked.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        let (length, head) = std::mem::take(&mut self.present);
        self.part.pass(length + head);
        let Some(left) = self.left.checked_sub(1) else {
            self.part.finish()?;
            return Ok(false);
        };
        self.left = left;
        let whole = usize::try_from(self.part.left()).unwrap_or(usize::MAX);
        self.offset = self.part.at();
        let (object, at) = (self.part.object, self.part.at());
        let mut reader = Reader::new(object, self.part.view(10)?).based_at(at);
        let length = reader.length(whole, "length of a symbol")?;
        let head = reader.position();
        if self.part.view(head.saturating_add(length))?.len() < head.saturating_add(length) {
            return Err(self.part.corrupt("a symbol is cut off"));
        }
        self.present = (length, head);
        Ok(true)
    }

    /// The symbol that [`advance`](Self::advance) came to.
    pub(crate) fn symbol(&self) -> &[u8] {
        let (length, head) = self.present;
        let from = self.part.passed + head;
        self.part.piece.get(from..from + length).unwrap_or_default()
    }

    /// Where it lies in the index.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }
}

/// The offset table of an index, one list after the other.
#[derive(Debug)]
pub(crate) struct TableStream<'a> {
    part: Part<'a>,
    left: u32,
}

impl<'a> TableStream<'a> {
    pub(crate) fn open(index: &'a IndexReader) -> Result<Self, Error> {
        let mut part = Part::open(index, "index postings table", index.toc().postings_table)?;
        let left = part.be32("the count")?;
        Ok(Self { part, left })
    }

    /// Shows the next entry and its offset, if there is one. At the end, the checksum is checked.
    pub(crate) fn next<T>(&mut self, show: impl FnOnce(u64, Entry<'_>) -> T) -> Result<Option<T>, Error> {
        let Some(left) = self.left.checked_sub(1) else {
            self.part.finish()?;
            return Ok(None);
        };
        self.left = left;
        let (object, at, whole) = (self.part.object, self.part.at(), self.part.left());
        let mut least = 256;
        loop {
            let mut reader = Reader::new(object, self.part.view(least)?).based_at(at);
            let all_seen = reader.remaining() as u64 >= whole;
            match read_entry(&mut reader) {
                Ok(entry) => {
                    let length = reader.position();
                    let shown = show(at, entry);
                    self.part.pass(length);
                    return Ok(Some(shown));
                }
                Err(error) if all_seen => return Err(error),
                Err(_) => least = least.saturating_mul(4),
            }
        }
    }
}

/// A postings list, one number after the other.
#[derive(Debug)]
pub(crate) struct ListStream<'a> {
    part: Part<'a>,
    left: u32,
    last: Option<u32>,
}

impl<'a> ListStream<'a> {
    /// The list at `offset`.
    pub(crate) fn open(index: &'a IndexReader, offset: u64) -> Result<Self, Error> {
        let mut part = Part::open(index, "index postings", offset)?;
        let left = part.be32("the count")?;
        if part.left() != 4 * u64::from(left) {
            return Err(part.corrupt(format!("{left} numbers in {} bytes", part.left())));
        }
        Ok(Self { part, left, last: None })
    }

    /// The list of all series.
    pub(crate) fn all(index: &'a IndexReader) -> Result<Self, Error> {
        let at = index.toc().postings_table;
        let missing = || Error::corrupt("index postings table", at, "there is no list of all series");
        let offset = match index.version() {
            // The table is not sorted.
            super::Version::V1 => index.table()?.find(b"", b"")?.ok_or_else(missing)?.list,
            super::Version::V2 => {
                let mut table = TableStream::open(index)?;
                let first = table.next(|_, entry| {
                    (entry.name.is_empty() && entry.value.is_empty()).then_some(entry.list)
                })?;
                first.flatten().ok_or_else(missing)?
            }
        };
        Self::open(index, offset)
    }

    /// The next number. They rise, or it is an error. At the end, the checksum is checked.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<SeriesNo>, Error> {
        let Some(left) = self.left.checked_sub(1) else {
            self.part.finish()?;
            return Ok(None);
        };
        self.left = left;
        let no = self.part.be32("a number")?;
        if self.last.is_some_and(|last| last >= no) {
            return Err(self.part.corrupt(format!("a postings list does not rise at {no}")));
        }
        self.last = Some(no);
        Ok(Some(SeriesNo(no)))
    }
}

const _: () = assert!(uvarint_len(u64::MAX) == 10, "so much of a symbol is looked at for its length");
