//! Finds a section of an index and decodes one entry of it.
//!
//! Opening reads header, table of contents, symbols and offset table, and checks them; series and lists are read and
//! checked when they are asked for. In memory stay those two sections (slices of the map where the source is one), the
//! place of every eighth symbol and of every 32nd list. An index that is opened unread leaves those two until somebody asks. Versions 1,
//! 2 and 3 are read; 3 as 2.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::series::{checked_entry, decode_content, entry_len};
use super::symbols::{RecentSymbols, Symbols};
use super::table::{Entry, PostingsTable};
use super::{HEADER_LEN, SERIES_ALIGNMENT, Toc, Version};
use crate::chunk::ChunkMeta;
use crate::error::Error;
use crate::labels::{Labels, LabelsBuilder};
use crate::postings::{EncodedWalk, PostingsSource, SeriesNo, decode_postings};
use crate::source::{Source, Window};

/// The first bytes of an entry or a list, among which its length is.
const HEAD: u64 = 10;

/// A series as an index holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSeries {
    /// Which series.
    pub labels: Labels,
    /// Where its chunks lie, by time.
    pub chunks: Vec<ChunkMeta>,
}

/// What reading many series of one index keeps from one to the next.
#[derive(Debug, Default)]
pub(crate) struct SeriesCursor {
    window: Window,
    recent: RecentSymbols,
}

/// An index, open for reading.
#[derive(Clone)]
pub struct IndexReader {
    source: Arc<dyn Source>,
    version: Version,
    toc: Toc,
    sections: Arc<Sections>,
}

/// What is read at once or when it is first asked for.
#[derive(Debug, Default)]
struct Sections {
    symbols: OnceLock<Symbols>,
    table: OnceLock<PostingsTable>,
}

impl std::fmt::Debug for IndexReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, toc, .. } = self;
        f.debug_struct("IndexReader").field("version", version).field("toc", toc).finish_non_exhaustive()
    }
}

/// The bytes from `at` up to `end` or the end of the source.
fn read(source: &dyn Source, object: &'static str, at: u64, end: u64) -> Result<Bytes, Error> {
    let end = end.min(source.len());
    if at > end {
        return Err(Error::corrupt(object, at, format!("an offset past {end}, where it should end")));
    }
    source.read(at..end).map_err(|e| Error::io(format!("{object} at offset {at}"), e))
}

impl IndexReader {
    /// Opens an index.
    ///
    /// # Errors
    /// `Corrupt` if header, table of contents, symbols or offset table are damaged; `Io` if reading fails.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, Error> {
        let index = Self::open_unread(source)?;
        index.symbol_table()?;
        index.table()?;
        Ok(index)
    }

    /// Opens an index, but reads and checks symbols and offset table only when they are first asked for. Going through all series
    /// in order, as a rewrite does, never asks.
    ///
    /// # Errors
    /// `Corrupt` if header or table of contents are damaged; `Io` if reading fails.
    pub fn open_unread(source: Arc<dyn Source>) -> Result<Self, Error> {
        let whole = source.len();
        let Some(toc_at) = whole.checked_sub(Toc::LEN).filter(|&at| at >= HEADER_LEN) else {
            return Err(Error::corrupt("index", 0, format!("{whole} bytes are too few for an index")));
        };
        let version = Version::decode(&read(&*source, "index header", 0, HEADER_LEN)?)?;
        let toc = Toc::decode(&read(&*source, "index table of contents", toc_at, whole)?, toc_at)?;
        Ok(Self { source, version, toc, sections: Arc::default() })
    }

    /// Offset of the table of contents.
    fn toc_at(&self) -> u64 {
        self.source.len().saturating_sub(Toc::LEN)
    }

    pub(crate) fn symbol_table(&self) -> Result<&Symbols, Error> {
        if let Some(symbols) = self.sections.symbols.get() {
            return Ok(symbols);
        }
        let end = if self.toc.series == 0 { self.toc_at() } else { self.toc.series };
        let bytes = read(&*self.source, "index symbols", self.toc.symbols, end)?;
        let symbols = Symbols::decode(&bytes, self.toc.symbols, self.version)?;
        Ok(self.sections.symbols.get_or_init(|| symbols))
    }

    pub(crate) fn table(&self) -> Result<&PostingsTable, Error> {
        if let Some(table) = self.sections.table.get() {
            return Ok(table);
        }
        let at = self.toc.postings_table;
        let bytes = read(&*self.source, "index postings table", at, self.toc_at())?;
        let table = PostingsTable::decode(&bytes, at, self.version)?;
        Ok(self.sections.table.get_or_init(|| table))
    }

    pub(crate) fn source(&self) -> &dyn Source {
        &*self.source
    }

    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    /// Where the sections lie.
    pub const fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Size of the index in bytes.
    pub fn size(&self) -> u64 {
        self.source.len()
    }

    /// Bytes that finding symbols and lists takes in memory by now, without the sections themselves.
    pub fn memory(&self) -> usize {
        let Sections { symbols, table } = &*self.sections;
        symbols.get().map_or(0, Symbols::index_bytes) + table.get().map_or(0, PostingsTable::index_bytes)
    }

    /// All symbols, as they stand in the table.
    ///
    /// # Errors
    /// `Corrupt` or `Io`, once, if the index was opened unread and its table is damaged or cannot be read.
    pub fn symbols(&self) -> impl Iterator<Item = Result<&[u8], Error>> {
        let (table, error) = halves(self.symbol_table());
        let all = table.into_iter().flat_map(Symbols::iter);
        error.into_iter().map(Err).chain(all.map(|symbol| symbol.map(|(_, text)| text)))
    }

    /// The names of all labels, rising.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if the index was opened unread and its table is damaged or cannot be read.
    pub fn label_names(&self) -> Result<impl Iterator<Item = &[u8]>, Error> {
        Ok(self.table()?.names().filter(|name| !name.is_empty()))
    }

    /// The values of one label, rising. None for a label that no series has.
    ///
    /// # Errors
    /// As [`label_names`](Self::label_names).
    pub fn label_values(&self, name: &[u8]) -> Result<Vec<&[u8]>, Error> {
        let mut values = Vec::new();
        if !name.is_empty() {
            self.table()?.walk(name, b"", &mut |entry| {
                values.push(entry.value);
                true
            })?;
        }
        Ok(values)
    }

    /// Name, value and offset of every list in the index, in file order. The first is the list of all series, under the
    /// empty name and value.
    ///
    /// # Errors
    /// As [`symbols`](Self::symbols).
    pub fn lists(&self) -> impl Iterator<Item = Result<(&[u8], &[u8], u64), Error>> {
        let (table, error) = halves(self.table());
        let all = table.into_iter().flat_map(PostingsTable::iter);
        let parts = |(_, Entry { name, value, list })| (name, value, list);
        error.into_iter().map(Err).chain(all.map(move |entry| entry.map(parts)))
    }

    /// The list at `offset`.
    ///
    /// # Errors
    /// `Corrupt` if there is none, `Io` if reading fails.
    pub fn list_at(&self, offset: u64) -> Result<EncodedWalk, Error> {
        const OBJECT: &str = "index postings";
        let head = read(&*self.source, OBJECT, offset, offset.saturating_add(4))?;
        let len = head.first_chunk().map(|head| u32::from_be_bytes(*head));
        let Some(end) = len.and_then(|len| offset.checked_add(u64::from(len) + 8)) else {
            return Err(Error::corrupt(OBJECT, offset, "the length of the list is cut off"));
        };
        if end > self.source.len() {
            return Err(Error::corrupt(OBJECT, offset, format!("the list ends at {end}, behind the index")));
        }
        decode_postings(&read(&*self.source, OBJECT, offset, end)?, offset)
    }

    /// Offset of the entry of a series.
    pub const fn series_offset(&self, no: SeriesNo) -> u64 {
        match self.version {
            Version::V1 => no.0 as u64,
            Version::V2 => no.0 as u64 * SERIES_ALIGNMENT,
        }
    }

    /// One series.
    ///
    /// # Errors
    /// `Corrupt` if the number is none of the index or the entry is damaged, `Io` if reading fails.
    pub fn series(&self, no: SeriesNo) -> Result<IndexSeries, Error> {
        let mut chunks = Vec::new();
        let mut labels = LabelsBuilder::new();
        self.read_series(no, &mut SeriesCursor::default(), &mut labels, &mut chunks)?;
        Ok(IndexSeries { labels: self.built(no, &mut labels)?, chunks })
    }

    /// The labels that [`read_series`](Self::read_series) collected.
    pub(crate) fn built(&self, no: SeriesNo, labels: &mut LabelsBuilder) -> Result<Labels, Error> {
        labels.build().map_err(|e| Error::corrupt("index series", self.series_offset(no), e.to_string()))
    }

    /// The content of a series' entry, checked, and the offset at which it begins (within ten bytes).
    fn series_content(&self, no: SeriesNo, window: &mut Window) -> Result<(Bytes, u64), Error> {
        const OBJECT: &str = "index series";
        let at = self.series_offset(no);
        let head = window.at_least(&*self.source, at, HEAD, OBJECT)?;
        let len = entry_len(&head, at)?;
        if at.checked_add(len).is_none_or(|end| end > self.source.len()) {
            return Err(Error::corrupt(OBJECT, at, format!("an entry of {len} bytes ends behind the index")));
        }
        let bytes = window.at_least(&*self.source, at, len, OBJECT)?;
        let content = checked_entry(&bytes, at)?;
        let content = bytes.slice_ref(content);
        Ok((content, at))
    }

    /// Reads an entry with what its neighbours left, and shows its labels as they stand there.
    pub(crate) fn read_entry<'s>(
        &'s self,
        no: SeriesNo,
        cursor: &mut SeriesCursor,
        chunks: &mut Vec<ChunkMeta>,
        show: impl FnMut(&'s [u8], &'s [u8]),
    ) -> Result<(), Error> {
        let (content, at) = self.series_content(no, &mut cursor.window)?;
        chunks.clear();
        decode_content(&content, at, (self.symbol_table()?, &mut cursor.recent), chunks, show)
    }

    /// Reads a series with what its neighbours left.
    pub(crate) fn read_series(
        &self,
        no: SeriesNo,
        cursor: &mut SeriesCursor,
        labels: &mut LabelsBuilder,
        chunks: &mut Vec<ChunkMeta>,
    ) -> Result<(), Error> {
        labels.clear();
        self.read_entry(no, cursor, chunks, |name, value| labels.push(name, value))
    }
}

/// What was read, or why it could not be.
fn halves<T>(read: Result<T, Error>) -> (Option<T>, Option<Error>) {
    match read {
        Ok(read) => (Some(read), None),
        Err(error) => (None, Some(error)),
    }
}

impl PostingsSource for IndexReader {
    type Walk<'a> = EncodedWalk;

    fn all(&self) -> Result<EncodedWalk, Error> {
        match self.table()?.find(b"", b"")? {
            Some(entry) => self.list_at(entry.list),
            None => {
                let at = self.toc.postings_table;
                Err(Error::corrupt("index postings table", at, "there is no list of all series"))
            }
        }
    }

    fn list(&self, name: &[u8], value: &[u8]) -> Result<Option<EncodedWalk>, Error> {
        self.table()?.find(name, value)?.map(|entry| self.list_at(entry.list)).transpose()
    }

    fn lists_where(
        &self,
        name: &[u8],
        prefix: &[u8],
        keep: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Vec<EncodedWalk>, Error> {
        let mut offsets = Vec::new();
        self.table()?.walk(name, prefix, &mut |entry| {
            let within = entry.value.starts_with(prefix);
            if within && keep(entry.value) {
                offsets.push(entry.list);
            }
            within
        })?;
        offsets.into_iter().map(|offset| self.list_at(offset)).collect()
    }
}
