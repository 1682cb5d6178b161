//! Writes the sections of an index in order; a wrong order is an error at once.
//!
//! Only [`io::Write`]: nothing is read back, nothing is patched. First come all symbols, rising; then all series, rising;
//! then [`finish`](IndexWriter::finish) writes postings, offset table and table of contents. What has to be remembered
//! for that is the symbol table and about two bytes a label of each series (see `columns`). After a failed write the
//! writer refuses everything: the file is then worth nothing.

use std::collections::HashMap;
use std::io;

use super::arena::SymbolArena;
use super::columns::Column;
use super::output::Output;
use super::series::put_entry;
use super::{HEADER_LEN, LIST_ALIGNMENT, MAGIC, SERIES_ALIGNMENT, Stage, Toc, too_large};
use crate::chunk::ChunkMeta;
use crate::codec::{crc32c, put_str, put_u32, put_uvarint, uvarint_len};
use crate::error::Error;
use crate::labels::{Labels, LabelsRef};
use crate::postings::SeriesNo;

/// The version that is written.
const VERSION: u8 = 2;

/// What an index came out as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WrittenIndex {
    /// Size of the index in bytes.
    pub size: u64,
    /// How many series it has.
    pub series: u64,
    /// At most how many bytes lie from the start of one series to the start of the next; 0 with fewer than two series.
    pub series_max_size: u64,
}

/// Writes an index of version 2.
#[derive(Debug)]
pub struct IndexWriter<W> {
    out: Output<W>,
    stage: Stage,
    toc: Toc,
    symbols: SymbolArena,
    /// All series, then per name.
    all: Column,
    columns: Vec<Column>,
    column_of: HashMap<u32, usize>,
    last: LastSeries,
    written: WrittenIndex,
    content: Vec<u8>,
    entry: Vec<u8>,
}

/// The series written last: neighbours share most of their labels, and so most lookups.
#[derive(Debug, Default)]
struct LastSeries {
    labels: Labels,
    symbols: Vec<(u32, u32)>,
    columns: Vec<usize>,
    no: Option<SeriesNo>,
    chunk_ref: u64,
}

impl<W: io::Write> IndexWriter<W> {
    /// Begins an index at the start of `out`.
    ///
    /// # Errors
    /// `Io` if writing fails.
    pub fn new(out: W) -> Result<Self, Error> {
        let mut writer = Self {
            out: Output::new(out),
            stage: Stage::Symbols,
            toc: Toc { symbols: HEADER_LEN, ..Toc::default() },
            symbols: SymbolArena::default(),
            all: Column::new(0),
            columns: Vec::new(),
            column_of: HashMap::new(),
            last: LastSeries::default(),
            written: WrittenIndex::default(),
            content: Vec::new(),
            entry: Vec::new(),
        };
        writer.out.put(&MAGIC)?;
        writer.out.put(&[VERSION])?;
        Ok(writer)
    }

    /// What comes next.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Adds a symbol. Symbols rise strictly, bytewise; the empty one is allowed, and so are symbols that no series has.
    ///
    /// # Errors
    /// `Invalid` if a series was added before, or the symbol is not above the last one.
    pub fn add_symbol(&mut self, symbol: &[u8]) -> Result<(), Error> {
        if self.stage != Stage::Symbols {
            return Err(Error::invalid("index", "a symbol after the first series"));
        }
        self.symbols.push(symbol)
    }

    /// Adds a series. Label sets rise strictly; all names and values are symbols; chunks follow one another in time, and
    /// their references never fall.
    ///
    /// # Errors
    /// `Invalid` if one of these does not hold, `Io` if writing fails.
    pub fn add_series(&mut self, labels: LabelsRef<'_>, chunks: &[ChunkMeta]) -> Result<SeriesNo, Error> {
        match self.stage {
            Stage::Failed => return Err(Error::invalid("index", "an earlier write failed")),
            Stage::Symbols => self.guarded(Self::write_symbols)?,
            Stage::Series => {}
        }
        if self.last.no.is_some() && self.last.labels.as_ref() >= labels {
            let why = format!("{labels:?} does not come after {:?}", self.last.labels);
            return Err(Error::invalid("series", why));
        }
        let chunk_ref = self.check_chunks(labels, chunks)?;
        self.guarded(|writer| writer.find_symbols(labels))?;
        self.guarded(|writer| writer.write_series(labels, chunks, chunk_ref))
    }

    /// Runs a step that writes: if it fails, the writer is done for.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let done = step(self);
        if done.is_err() {
            self.stage = Stage::Failed;
        }
        done
    }

    /// Checks times and references of the chunks of one series; the last reference.
    fn check_chunks(&self, labels: LabelsRef<'_>, chunks: &[ChunkMeta]) -> Result<u64, Error> {
        let fault = |why: &str| Err(Error::invalid("series", format!("{labels:?}: {why}")));
        if chunks.is_empty() {
            return fault("it has no chunk");
        }
        let mut last_ref = self.last.chunk_ref;
        let mut last_max = None;
        for chunk in chunks {
            if chunk.range.is_empty() || last_max.is_some_and(|max| max >= chunk.range.min) {
                return fault("its chunks do not follow one another in time");
            }
            if chunk.chunk_ref.0 < last_ref {
                return fault("a chunk reference is below the one before it");
            }
            (last_ref, last_max) = (chunk.chunk_ref.0, Some(chunk.range.max));
        }
        Ok(last_ref)
    }

    /// Turns the labels into symbols and columns, in `last`. What stands at the same place in the series before need not
    /// be looked up again.
    fn find_symbols(&mut self, labels: LabelsRef<'_>) -> Result<(), Error> {
        let Self { symbols, columns, column_of, last, .. } = self;
        let unknown = |text: &[u8]| {
            let why = format!("{:?} is not among the symbols", String::from_utf8_lossy(text));
            Error::invalid("series", why)
        };
        let mut before = last.labels.iter();
        let mut count = 0;
        for (i, (name, value)) in labels.iter().enumerate() {
            let (old_name, old_value) = before.next().unwrap_or_default();
            count = i + 1;
            if let (true, Some((_, symbol))) = (old_name == name, last.symbols.get_mut(i)) {
                if old_value != value {
                    *symbol = symbols.find(value).ok_or_else(|| unknown(value))?;
                }
                continue;
            }
            let found = (
                symbols.find(name).ok_or_else(|| unknown(name))?,
                symbols.find(value).ok_or_else(|| unknown(value))?,
            );
            let column = *column_of.entry(found.0).or_insert_with(|| {
                columns.push(Column::new(found.0));
                columns.len() - 1
            });
            // From the first other name on the places have shifted: the rest of the old series is of no use.
            before = LabelsRef::default().iter();
            last.symbols.truncate(i);
            last.columns.truncate(i);
            last.symbols.push(found);
            last.columns.push(column);
        }
        last.symbols.truncate(count);
        last.columns.truncate(count);
        Ok(())
    }

    fn write_symbols(&mut self) -> Result<(), Error> {
        let Self { out, symbols, .. } = self;
        let count = u32::try_from(symbols.count()).map_err(|_| too_large("the symbol table"))?;
        let strings = symbols.iter().map(|s| (uvarint_len(s.len() as u64) + s.len()) as u64).sum::<u64>();
        out.section(4 + strings, "the symbol table", |section| {
            section.put(&count.to_be_bytes())?;
            let mut bytes = Vec::new();
            for symbol in symbols.iter() {
                bytes.clear();
                put_str(&mut bytes, symbol);
                section.put(&bytes)?;
            }
            Ok(())
        })?;
        symbols.index();
        self.toc.series = self.out.position();
        self.stage = Stage::Series;
        Ok(())
    }

    fn write_series(
        &mut self,
        labels: LabelsRef<'_>,
        chunks: &[ChunkMeta],
        chunk_ref: u64,
    ) -> Result<SeriesNo, Error> {
        self.out.pad(SERIES_ALIGNMENT)?;
        let no = u32::try_from(self.out.position() / SERIES_ALIGNMENT).map_err(|_| too_large("the index"))?;
        let no = SeriesNo(no);
        self.entry.clear();
        put_entry(&mut self.entry, &mut self.content, &self.last.symbols, chunks);
        self.out.put(&self.entry)?;

        if let Some(last) = self.last.no {
            let size = u64::from(no.0 - last.0) * SERIES_ALIGNMENT;
            self.written.series_max_size = self.written.series_max_size.max(size);
        }
        self.written.series += 1;
        self.all.push(no, 0);
        for (&(_, value), &column) in self.last.symbols.iter().zip(&self.last.columns) {
            if let Some(column) = self.columns.get_mut(column) {
                column.push(no, value);
            }
        }
        self.last.no = Some(no);
        self.last.chunk_ref = chunk_ref;
        self.last.labels = labels.to_owned();
        Ok(no)
    }

    /// Bytes of memory that the index under construction holds, without its symbol table.
    pub fn memory(&self) -> usize {
        self.all.memory() + self.columns.iter().map(Column::memory).sum::<usize>()
    }

    /// Writes postings, offset table and table of contents, and flushes.
    ///
    /// # Errors
    /// `Invalid` if a section is too large for the format or an earlier write failed, `Io` if writing fails.
    pub fn finish(mut self) -> Result<(W, WrittenIndex), Error> {
        match self.stage {
            Stage::Failed => return Err(Error::invalid("index", "an earlier write failed")),
            Stage::Symbols => self.write_symbols()?,
            Stage::Series => {}
        }
        self.toc.label_indices = self.out.position();
        self.toc.postings = self.out.position();
        let lists = self.write_postings()?;
        self.toc.postings_table = self.out.position();
        self.toc.label_indices_table = self.out.position();
        self.write_table(&lists)?;
        self.entry.clear();
        self.toc.put(&mut self.entry);
        self.out.put(&self.entry)?;
        self.written.size = self.out.position();
        Ok((self.out.finish()?, self.written))
    }

    /// Writes all lists, in the order of the table, and says what the table needs to know.
    fn write_postings(&mut self) -> Result<Lists, Error> {
        let mut lists = Lists::default();
        self.out.pad(LIST_ALIGNMENT)?;
        lists.first = self.out.position();
        let (mut bytes, mut entries) = (Vec::new(), Vec::new());
        begin_list(&mut bytes, u64::from(self.all.count))?;
        self.all.for_each(|no, _| put_u32(&mut bytes, no.0))?;
        end_list(&mut self.out, &mut bytes)?;

        self.columns.sort_unstable_by_key(|column| column.name);
        for column in std::mem::take(&mut self.columns) {
            entries.clear();
            column.for_each(|no, value| entries.push(u64::from(value) << 32 | u64::from(no.0)))?;
            let name = column.name;
            drop(column);
            entries.sort_unstable();
            for list in entries.chunk_by(|a, b| a >> 32 == b >> 32) {
                begin_list(&mut bytes, list.len() as u64)?;
                for &entry in list {
                    put_u32(&mut bytes, entry as u32);
                }
                end_list(&mut self.out, &mut bytes)?;
                let value = list.first().map_or(0, |entry| (entry >> 32) as u32);
                lists.push(name, value, list.len() as u32);
            }
        }
        Ok(lists)
    }

    fn write_table(&mut self, lists: &Lists) -> Result<(), Error> {
        let Self { out, symbols, all, .. } = self;
        // Once to learn the length, once to write.
        let mut length = 4u64;
        let mut entry = Vec::new();
        lists.for_each(all.count, symbols, |name, value, offset| {
            length += entry_bytes(&mut entry, name, value, offset).len() as u64;
            Ok(())
        })?;
        let count = u32::try_from(lists.values.len() + 1).map_err(|_| too_large("the postings table"))?;
        out.section(length, "the postings table", |section| {
            section.put(&count.to_be_bytes())?;
            lists.for_each(all.count, symbols, |name, value, offset| {
                section.put(entry_bytes(&mut entry, name, value, offset))
            })
        })
    }
}

fn entry_bytes<'a>(entry: &'a mut Vec<u8>, name: &[u8], value: &[u8], offset: u64) -> &'a [u8] {
    entry.clear();
    entry.push(2);
    put_str(entry, name);
    put_str(entry, value);
    put_uvarint(entry, offset);
    entry
}

/// Begins a postings list in `bytes`, which hold nothing else.
fn begin_list(bytes: &mut Vec<u8>, count: u64) -> Result<(), Error> {
    let length = u32::try_from(4 + 4 * count).map_err(|_| too_large("a postings list"))?;
    bytes.clear();
    put_u32(bytes, length);
    put_u32(bytes, count as u32);
    Ok(())
}

fn end_list<W: io::Write>(out: &mut Output<W>, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let crc = crc32c(bytes.get(4..).unwrap_or_default());
    put_u32(bytes, crc);
    out.pad(LIST_ALIGNMENT)?;
    out.put(bytes)
}

/// The lists that were written, as little as gives back their names and places.
#[derive(Debug, Default)]
struct Lists {
    /// Offset of the first list, the one of all series.
    first: u64,
    /// Per name, in order: its symbol and how many values it has.
    names: Vec<(u32, usize)>,
    /// Per list behind the first, in order: symbol of the value, and how many series it names.
    values: Vec<(u32, u32)>,
}

impl Lists {
    fn push(&mut self, name: u32, value: u32, count: u32) {
        match self.names.last_mut() {
            Some((last, values)) if *last == name => *values += 1,
            _ => self.names.push((name, 1)),
        }
        self.values.push((value, count));
    }

    /// Shows name, value and offset of every list, in order. `all` is how many series there are.
    fn for_each(
        &self,
        all: u32,
        symbols: &SymbolArena,
        mut show: impl FnMut(&[u8], &[u8], u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Lists are whole words long, so that after the first no padding lies between them.
        let bytes_of = |count: u32| 12 + 4 * u64::from(count);
        show(b"", b"", self.first)?;
        let mut offset = self.first + bytes_of(all);
        let mut values = self.values.iter();
        for &(name, count) in &self.names {
            for &(value, count) in values.by_ref().take(count) {
                show(symbols.get(name), symbols.get(value), offset)?;
                offset += bytes_of(count);
            }
        }
        Ok(())
    }
}
