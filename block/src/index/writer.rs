//! Writes the sections of an index in order; a wrong order is an error at once.
//!
//! Only [`io::Write`]: nothing is read back, nothing is patched. First come all symbols, rising; then all series, rising,
//! with their labels as text or as numbers of symbols; then [`finish`](IndexWriter::finish) writes postings, offset table and table of
//! contents. What has to be remembered for that is the symbol table and about a dozen bytes of each series (see
//! `columns`). After a failed write the writer refuses everything: the file is then worth nothing.

use std::io;

use super::arena::SymbolArena;
use super::columns::Columns;
use super::lists::{Lists, write_lists};
use super::output::Output;
use super::series::put_entry;
use super::{HEADER_LEN, MAGIC, SERIES_ALIGNMENT, Stage, Toc, too_large};
use crate::checks::{self, SectionCheck};
use crate::chunk::ChunkMeta;
use crate::codec::{put_str, put_uvarint, uvarint_len};
use crate::error::Error;
use crate::labels::{LabelsBuilder, LabelsRef};
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
    columns: Columns,
    last: LastSeries,
    /// The labels of the series that is being added.
    labels: Vec<(u32, u32)>,
    written: WrittenIndex,
    content: Vec<u8>,
    entry: Vec<u8>,
}

/// The series written last: neighbours share most of their labels, and so most lookups.
#[derive(Debug, Default)]
struct LastSeries {
    labels: Vec<(u32, u32)>,
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
            columns: Columns::default(),
            last: LastSeries::default(),
            labels: Vec::new(),
            written: WrittenIndex::default(),
            content: Vec::new(),
            entry: Vec::new(),
        };
        writer.out.put(&MAGIC)?;
        writer.out.put(&[VERSION])?;
        writer.out.end_section(checks::HEADER);
        Ok(writer)
    }

    /// What comes next.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// There will be at most so many symbols of so many bytes together.
    pub(crate) fn reserve_symbols(&mut self, count: usize, bytes: usize) {
        self.symbols.reserve(count, bytes);
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
        self.begin_series()?;
        self.guarded(|writer| {
            writer.symbols.index();
            writer.find_symbols(labels)
        })?;
        self.finish_series(chunks)
    }

    /// The same for a series whose labels are told by the numbers of their symbols, counted from 0 in the order in which they were
    /// added: names and values, names rising.
    ///
    /// # Errors
    /// As [`add_series`](Self::add_series).
    pub fn add_numbered(&mut self, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> Result<SeriesNo, Error> {
        self.begin_series()?;
        let count = self.symbols.count();
        let mut least = 0;
        for &(name, value) in labels {
            if name < least || name.max(value) as usize >= count {
                self.stage = Stage::Failed;
                return Err(Error::invalid("series", "its labels are no symbols, or not in order"));
            }
            least = name.saturating_add(1);
        }
        self.labels.clear();
        self.labels.extend_from_slice(labels);
        self.finish_series(chunks)
    }

    fn begin_series(&mut self) -> Result<(), Error> {
        match self.stage {
            Stage::Failed => Err(Error::invalid("index", "an earlier write failed")),
            Stage::Symbols => self.guarded(Self::write_symbols),
            Stage::Series => Ok(()),
        }
    }

    /// Adds the series whose labels are in `labels`.
    fn finish_series(&mut self, chunks: &[ChunkMeta]) -> Result<SeriesNo, Error> {
        // Symbols rise, so their numbers stand in the order of their texts.
        if self.last.no.is_some() && self.last.labels >= self.labels {
            let why =
                format!("{} does not come after {}", self.told(&self.labels), self.told(&self.last.labels));
            return Err(Error::invalid("series", why));
        }
        let chunk_ref = self.check_chunks(chunks)?;
        self.guarded(|writer| writer.write_series(chunks, chunk_ref))
    }

    /// Labels for an error.
    #[cold]
    fn told(&self, labels: &[(u32, u32)]) -> String {
        let mut builder = LabelsBuilder::new();
        for &(name, value) in labels {
            builder.push(self.symbols.get(name), self.symbols.get(value));
        }
        builder.build().map_or_else(|error| error.to_string(), |labels| format!("{labels:?}"))
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
    fn check_chunks(&self, chunks: &[ChunkMeta]) -> Result<u64, Error> {
        let fault = |why: &str| Err(Error::invalid("series", format!("{}: {why}", self.told(&self.labels))));
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

    /// Turns labels into symbols. What stands at the same place in the series before need not be looked up again.
    fn find_symbols(&mut self, labels: LabelsRef<'_>) -> Result<(), Error> {
        let Self { symbols, last, labels: found, .. } = self;
        let number = |text: &[u8], before: Option<u32>| match before {
            Some(number) if symbols.get(number) == text => Ok(number),
            _ => symbols.find(text).ok_or_else(|| {
                let why = format!("{:?} is not among the symbols", String::from_utf8_lossy(text));
                Error::invalid("series", why)
            }),
        };
        found.clear();
        for (i, (name, value)) in labels.iter().enumerate() {
            let before = last.labels.get(i);
            found.push((
                number(name, before.map(|label| label.0))?,
                number(value, before.map(|label| label.1))?,
            ));
        }
        Ok(())
    }

    fn write_symbols(&mut self) -> Result<(), Error> {
        let Self { out, symbols, .. } = self;
        symbols.shrink();
        let count = u32::try_from(symbols.count()).map_err(|_| too_large("the symbol table"))?;
        let strings = symbols.iter().map(|s| (uvarint_len(s.len() as u64) + s.len()) as u64).sum::<u64>();
        out.section(4 + strings, "the symbol table", |section| {
            section.put(&count.to_be_bytes())?;
            let mut bytes = Vec::new();
            for symbol in symbols.iter() {
                put_str(&mut bytes, symbol);
                if bytes.len() >= PIECE {
                    section.put(&bytes)?;
                    bytes.clear();
                }
            }
            section.put(&bytes)
        })?;
        out.end_section(checks::SYMBOLS);
        self.toc.series = self.out.position();
        self.stage = Stage::Series;
        Ok(())
    }

    fn write_series(&mut self, chunks: &[ChunkMeta], chunk_ref: u64) -> Result<SeriesNo, Error> {
        let Self { out, columns, last, labels, written, content, entry, .. } = self;
        out.pad(SERIES_ALIGNMENT)?;
        let no = u32::try_from(out.position() / SERIES_ALIGNMENT).map_err(|_| too_large("the index"))?;
        let no = SeriesNo(no);
        entry.clear();
        put_entry(entry, content, labels, chunks);
        out.put(entry)?;

        if let Some(last) = last.no {
            let size = u64::from(no.0 - last.0) * SERIES_ALIGNMENT;
            written.series_max_size = written.series_max_size.max(size);
        }
        written.series += 1;
        columns.push(no, &last.labels, labels);
        std::mem::swap(&mut last.labels, labels);
        (last.no, last.chunk_ref) = (Some(no), chunk_ref);
        Ok(no)
    }

    /// Bytes of memory that the index under construction holds, without its symbol table.
    pub fn memory(&self) -> usize {
        self.columns.memory()
    }

    /// Writes postings, offset table and table of contents, and flushes.
    ///
    /// # Errors
    /// `Invalid` if a section is too large for the format or an earlier write failed, `Io` if writing fails.
    pub fn finish(self) -> Result<(W, WrittenIndex), Error> {
        self.finish_checked().map(|(out, written, _)| (out, written))
    }

    /// The same, with the checksums of the sections.
    pub(crate) fn finish_checked(mut self) -> Result<(W, WrittenIndex, Vec<SectionCheck>), Error> {
        self.begin_series()?;
        self.out.end_section(checks::SERIES);
        self.toc.label_indices = self.out.position();
        self.toc.postings = self.out.position();
        let columns = std::mem::take(&mut self.columns);
        let lists = write_lists(columns, self.symbols.count(), &mut self.out)?;
        self.out.end_section(checks::POSTINGS);
        self.toc.postings_table = self.out.position();
        self.toc.label_indices_table = self.out.position();
        self.write_table(&lists)?;
        self.out.end_section(checks::POSTINGS_TABLE);
        self.entry.clear();
        self.toc.put(&mut self.entry);
        self.out.put(&self.entry)?;
        self.out.end_section(checks::CONTENTS);
        self.written.size = self.out.position();
        let (out, sections) = self.out.finish()?;
        Ok((out, self.written, sections))
    }

    fn write_table(&mut self, lists: &Lists) -> Result<(), Error> {
        let Self { out, symbols, .. } = self;
        // Once to learn the length, once to write.
        let mut length = 4u64;
        lists.for_each(symbols, |name, value, offset| {
            let texts = [name, value].map(|text| uvarint_len(text.len() as u64) + text.len());
            length += (1 + texts.iter().sum::<usize>() + uvarint_len(offset)) as u64;
            Ok(())
        })?;
        let count = u32::try_from(lists.count()).map_err(|_| too_large("the postings table"))?;
        out.section(length, "the postings table", |section| {
            section.put(&count.to_be_bytes())?;
            let mut entries = Vec::with_capacity(2 * PIECE);
            lists.for_each(symbols, |name, value, offset| {
                entries.push(2);
                put_str(&mut entries, name);
                put_str(&mut entries, value);
                put_uvarint(&mut entries, offset);
                if entries.len() >= PIECE {
                    section.put(&entries)?;
                    entries.clear();
                }
                Ok(())
            })?;
            section.put(&entries)
        })
    }
}

/// Strings are handed on in pieces of about so many bytes.
const PIECE: usize = 16 << 10;
