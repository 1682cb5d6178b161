//! Reads everything, believes nothing, reports.
//!
//! What a checksum cannot see is what this room looks for: order of symbols, lists, labels, series and chunks; chunks
//! outside the block or with other times than their samples; postings that name too much or too little; counts in the
//! meta that are not those of the data. Every fault names the file and the offset in it. A fault never ends the search;
//! only after [`MAX_FAULTS`] is the rest merely counted. Aggregate chunks are not decoded, and whether a histogram adds up
//! is not asked: blocks may hold what a head would refuse.
//!
//! There are two ways. [`verify`] decodes every sample and names every list that is wrong; its memory grows with labels and series.
//! [`verify_quick`] (`quick.rs`) goes through the files once without decoding, in little memory, and says of the lists only whether all of them
//! are right.

mod quick;

use std::collections::HashMap;
use std::fmt;

use crate::chunk::{Chunk, ChunkMeta, ChunkRef, Encoding};
use crate::error::Error;
use crate::index::{IndexReader, SeriesCursor};
use crate::labels::{Labels, LabelsBuilder};
use crate::meta::{BlockMeta, BlockStats};
use crate::postings::{Postings, PostingsSource, SeriesNo};
use crate::reader::Block;
use crate::source::Window;
use crate::time::TimeRange;

pub use quick::verify_quick;

/// How many faults a report describes.
pub const MAX_FAULTS: usize = 1000;

/// Something that is wrong with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as a path in the block's directory.
    pub file: String,
    /// Offset in that file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}: {}", self.file, self.offset, self.what)
    }
}

/// What reading a whole block brought to light.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, in the order in which it was met; at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// Faults that are not described.
    pub more_faults: u64,
    /// What was found in the block.
    pub stats: BlockStats,
    /// Bytes of chunk data that were read.
    pub chunk_bytes: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    fn add(&mut self, file: impl Into<String>, offset: u64, what: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { file: file.into(), offset, what: what.into() });
        } else {
            self.more_faults += 1;
        }
    }

    /// Times and references of the chunks of the series whose entry lies at `at`; `last_ref` is the reference of the chunk before them.
    fn chunk_order(&mut self, block: &BlockMeta, at: u64, metas: &[ChunkMeta], last_ref: &mut u64) {
        if metas.is_empty() {
            self.add(INDEX, at, "a series without chunks");
        }
        let mut last_max = None;
        for ChunkMeta { range, chunk_ref } in metas {
            let mut fault = |what: &str| {
                self.add(INDEX, at, format!("chunk {} to {}: {what}", range.min, range.max));
            };
            if last_max.is_some_and(|max| range.min <= max) {
                fault("it does not come after the one before it");
            }
            // As Thanos does: the last time of a chunk may be the end of the block, its first may not.
            if range.min < block.min_time || range.min >= block.max_time || range.max > block.max_time {
                fault("it lies outside the block");
            }
            if chunk_ref.0 < *last_ref {
                fault("its reference is below the one before it");
            }
            *last_ref = chunk_ref.0;
            last_max = Some(range.max);
        }
    }

    /// Counts what the header of a chunk promises.
    fn count(&mut self, encoding: Encoding, samples: u16, at: ChunkRef) {
        let samples = u64::from(samples);
        self.stats.num_samples += samples;
        match encoding {
            Encoding::Xor | Encoding::Xor2 => self.stats.num_float_samples += samples,
            Encoding::Aggregate => {}
            _ => self.stats.num_histogram_samples += samples,
        }
        if samples == 0 && encoding != Encoding::Aggregate {
            self.add(chunk_file(at.segment()), at.offset().into(), "a chunk without samples");
        }
    }

    /// The counts of the meta against what was found. A writer may leave a count out. In a downsampled block the kinds are those of
    /// the samples that it was made of.
    fn counts(&mut self, meta: &BlockMeta, is_downsampled: bool) {
        let (told, found) = (meta.stats, self.stats);
        let mut counts = vec![
            ("series", told.num_series, found.num_series),
            ("chunks", told.num_chunks, found.num_chunks),
            ("tombstones", told.num_tombstones, found.num_tombstones),
            ("samples", told.num_samples, found.num_samples),
        ];
        if !is_downsampled {
            counts.extend([
                ("float samples", told.num_float_samples, found.num_float_samples),
                ("histogram samples", told.num_histogram_samples, found.num_histogram_samples),
            ]);
        }
        for (what, told, found) in counts {
            if told != 0 && told != found {
                self.add("meta.json", 0, format!("it says {told} {what}, the block has {found}"));
            }
        }
    }

    /// Adds an error that reading gave; `file` and `offset` count if the error does not name a better place.
    fn add_error(&mut self, file: impl Into<String>, offset: u64, error: &Error) {
        match error {
            Error::Corrupt(corrupt) if corrupt.object.starts_with("chunks/") => {
                self.add(corrupt.object.clone(), corrupt.offset, corrupt.what.clone());
            }
            Error::Corrupt(corrupt) if corrupt.object.starts_with("index") => {
                self.add(INDEX, corrupt.offset, format!("{}: {}", corrupt.object, corrupt.what));
            }
            other => self.add(file, offset, other.to_string()),
        }
    }
}

const INDEX: &str = "index";

/// Reads all of `block` and says what is wrong with it.
pub fn verify(block: &Block) -> Report {
    let mut search = Search {
        block,
        report: Report::default(),
        lists: HashMap::new(),
        last_ref: 0,
        last_labels: None,
        entries: SeriesCursor::default(),
        chunks: Window::default(),
        segment: 0,
        aggregates: false,
    };
    search.symbols();
    let series = search.all_series();
    for &no in &series {
        search.one_series(no);
    }
    search.postings();
    search.tombstones(&series);
    search.report.counts(block.meta(), search.aggregates);
    search.report
}

struct Search<'a> {
    block: &'a Block,
    report: Report,
    /// What the postings must say about each name and value.
    lists: HashMap<(&'a [u8], &'a [u8]), Numbers>,
    last_ref: u64,
    last_labels: Option<Labels>,
    entries: SeriesCursor,
    chunks: Window,
    segment: u32,
    /// Whether there are aggregate chunks, whose samples are not counted.
    aggregates: bool,
}

/// A list of series numbers, in little: how many, and a sum over them in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Numbers {
    count: u32,
    sum: u64,
}

impl Numbers {
    fn add(&mut self, no: SeriesNo) {
        self.count = self.count.wrapping_add(1);
        self.sum = (self.sum.rotate_left(5) ^ u64::from(no.0)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

fn chunk_file(segment: u32) -> String {
    format!("chunks/{:06}", u64::from(segment) + 1)
}

impl<'a> Search<'a> {
    fn index(&self) -> &'a IndexReader {
        self.block.index()
    }

    fn symbols(&mut self) {
        let mut last: Option<&[u8]> = None;
        let table = match self.index().symbol_table() {
            Ok(table) => table,
            Err(error) => return self.report.add_error(INDEX, self.index().toc().symbols, &error),
        };
        for symbol in table.iter() {
            let (at, symbol) = match symbol {
                Ok(symbol) => symbol,
                Err(error) => return self.report.add_error(INDEX, 0, &error),
            };
            if last.is_some_and(|last| last >= symbol) {
                self.report.add(INDEX, at, "a symbol is not above the one before it");
            }
            last = Some(symbol);
        }
    }

    /// The list of all series, as far as it rises.
    fn all_series(&mut self) -> Vec<SeriesNo> {
        let at = self.index().toc().postings;
        match self.index().all() {
            Ok(mut walk) => {
                let mut series: Vec<SeriesNo> = Vec::new();
                while let Some(no) = walk.next() {
                    if series.last().is_some_and(|&last| last >= no) {
                        self.report.add(
                            INDEX,
                            at,
                            format!("the list of all series does not rise at {}", no.0),
                        );
                        break;
                    }
                    series.push(no);
                }
                series
            }
            Err(error) => {
                self.report.add_error(INDEX, at, &error);
                Vec::new()
            }
        }
    }

    fn one_series(&mut self, no: SeriesNo) {
        let index = self.index();
        let at = index.series_offset(no);
        let mut metas = Vec::new();
        let (mut builder, mut last_name, mut faults) = (LabelsBuilder::new(), None::<&[u8]>, Vec::new());
        let read = index.read_entry(no, &mut self.entries, &mut metas, |name, value| {
            if last_name.is_some_and(|last| last >= name) {
                faults.push("label names are not sorted and unique");
            }
            if name.is_empty() || value.is_empty() {
                faults.push("a label with an empty name or value");
            }
            last_name = Some(name);
            builder.push(name, value);
            self.lists.entry((name, value)).or_default().add(no);
        });
        faults.into_iter().for_each(|what| self.report.add(INDEX, at, what));
        if let Err(error) = read {
            return self.report.add_error(INDEX, at, &error);
        }
        self.report.stats.num_series += 1;
        match builder.build() {
            Ok(labels) => {
                if self.last_labels.as_ref().is_some_and(|last| *last >= labels) {
                    self.report.add(INDEX, at, format!("series {labels:?} is not above the one before it"));
                }
                self.last_labels = Some(labels);
            }
            Err(error) => self.report.add_error(INDEX, at, &error),
        }
        self.report.chunk_order(self.block.meta(), at, &metas, &mut self.last_ref);
        for meta in &metas {
            self.one_chunk(at, meta);
        }
    }

    /// The chunk of `meta`, which stands in the entry at `entry`.
    fn one_chunk(&mut self, entry: u64, meta: &ChunkMeta) {
        let at = meta.chunk_ref;
        if at.segment() != self.segment {
            self.chunks = Window::default();
            self.segment = at.segment();
        }
        if at.segment() as usize >= self.block.segments().len() {
            let what = format!("a chunk in {}, which is not there", chunk_file(at.segment()));
            return self.report.add(INDEX, entry, what);
        }
        let (file, offset) = (chunk_file(at.segment()), u64::from(at.offset()));
        let chunk = match self.block.chunk_through(at, &mut self.chunks) {
            Ok(chunk) => chunk,
            Err(error) => return self.report.add_error(file, offset, &error),
        };
        self.report.stats.num_chunks += 1;
        self.report.chunk_bytes += chunk.data.len() as u64;
        if let Err(error) = self.samples(&chunk, meta.range, at) {
            self.report.add(file, offset, error.to_string());
        }
    }

    fn samples(&mut self, chunk: &Chunk, range: TimeRange, at: ChunkRef) -> Result<(), Error> {
        let (file, offset) = (&chunk_file(at.segment()), u64::from(at.offset()));
        self.report.count(chunk.encoding, chunk.num_samples()?, at);
        if chunk.encoding == Encoding::Aggregate {
            self.aggregates = true;
            return Ok(());
        }
        let mut samples = chunk.samples()?;
        let mut seen: Option<TimeRange> = None;
        while let Some(t) = samples.advance()? {
            if seen.is_some_and(|seen| seen.max >= t) {
                self.report.add(file, offset, format!("the times of its samples do not rise at {t}"));
            }
            seen = Some(TimeRange::new(seen.map_or(t, |seen| seen.min), t));
        }
        if let Some(seen) = seen.filter(|seen| *seen != range) {
            let (of, told) = ((seen.min, seen.max), (range.min, range.max));
            self.report.add(file, offset, format!("samples from {of:?}, the index says {told:?}"));
        }
        Ok(())
    }

    /// Every list against what the series say.
    fn postings(&mut self) {
        let mut last_list = None;
        let table = match self.index().table() {
            Ok(table) => table,
            Err(error) => return self.report.add_error(INDEX, self.index().toc().postings_table, &error),
        };
        for entry in table.iter() {
            let (at, entry) = match entry {
                Ok(entry) => entry,
                Err(error) => return self.report.add_error(INDEX, 0, &error),
            };
            if last_list.is_some_and(|last| last >= entry.list) {
                self.report.add(INDEX, at, "the lists do not lie in the order of their table");
            }
            last_list = Some(entry.list);
            let expected = self.lists.remove(&(entry.name, entry.value));
            if entry.name.is_empty() && entry.value.is_empty() {
                continue;
            }
            let label = format!("{}={:?}", entry.name.escape_ascii(), entry.value.escape_ascii().to_string());
            match self.numbers_of(entry.list) {
                Ok(found) if Some(found) == expected => {}
                Ok(found) => {
                    let count = expected.unwrap_or_default().count;
                    let what =
                        format!("postings {label} name {} series, {count} series have it", found.count);
                    self.report.add(INDEX, entry.list, what);
                }
                Err(error) => self.report.add_error(INDEX, entry.list, &error),
            }
        }
        let mut left: Vec<_> = self.lists.drain().collect();
        left.sort_unstable_by_key(|(key, _)| *key);
        let at = self.index().toc().postings_table;
        for ((name, value), _) in left {
            let (name, value) = (name.escape_ascii(), value.escape_ascii().to_string());
            self.report.add(INDEX, at, format!("no postings for {name}={value:?}"));
        }
    }

    fn numbers_of(&mut self, list: u64) -> Result<Numbers, Error> {
        let mut walk = self.index().list_at(list)?;
        let mut numbers = Numbers::default();
        let mut last = None;
        while let Some(no) = walk.next() {
            if last.is_some_and(|last| last >= no) {
                self.report.add(INDEX, list, format!("a postings list does not rise at {}", no.0));
            }
            last = Some(no);
            numbers.add(no);
        }
        Ok(numbers)
    }

    fn tombstones(&mut self, series: &[SeriesNo]) {
        for (no, _) in self.block.tombstones().iter() {
            if series.binary_search(&no).is_err() {
                self.report.add("tombstones", 0, format!("series {} is not in the index", no.0));
            }
        }
        self.report.stats.num_tombstones = self.block.tombstones().count() as u64;
    }
}

#[cfg(test)]
mod tests;
