//! All series of an index, one after the other, with their labels as numbers.
//!
//! The list of all series says where the entries lie; it is read a piece at a time, and so are they. No symbol is looked up: whoever needs
//! the texts has them by number. Series come in the order of their labels in every index that keeps its promise; who relies on
//! it, checks.

use super::reader::IndexReader;
use super::series::{checked_entry, decode_symbols, entry_len};
use super::stream::ListStream;
use crate::chunk::ChunkMeta;
use crate::error::Error;
use crate::postings::SeriesNo;
use crate::source::Window;

const OBJECT: &str = "index series";
/// The first bytes of an entry, among which its length is.
const HEAD: u64 = 10;

/// A walk over all series.
#[derive(Debug)]
pub(crate) struct SeriesWalk<'a> {
    index: &'a IndexReader,
    list: ListStream<'a>,
    entries: Window,
}

impl<'a> SeriesWalk<'a> {
    /// Stands before the first series.
    pub(crate) fn open(index: &'a IndexReader) -> Result<Self, Error> {
        Ok(Self { index, list: ListStream::all(index)?, entries: Window::default() })
    }

    /// The next series: its number, and in place of what `labels` and `chunks` held, the symbols of names and values by turns, as they
    /// stand in the entry, and its chunks.
    #[inline]
    pub(crate) fn next(
        &mut self,
        labels: &mut Vec<u32>,
        chunks: &mut Vec<ChunkMeta>,
    ) -> Result<Option<SeriesNo>, Error> {
        let Some(no) = self.list.next()? else { return Ok(None) };
        let source = self.index.source();
        let at = self.index.series_offset(no);
        let head = self.entries.view(source, at, HEAD, OBJECT)?;
        let len = entry_len(head, at)?;
        if at.checked_add(len).is_none_or(|end| end > source.len()) {
            return Err(Error::corrupt(OBJECT, at, format!("an entry of {len} bytes ends behind the index")));
        }
        let bytes = self.entries.view(source, at, len, OBJECT)?;
        let content = checked_entry(bytes, at)?;
        labels.clear();
        chunks.clear();
        decode_symbols(content, at, labels, chunks)?;
        Ok(Some(no))
    }
}
