//! Goes through all files of a block once, front to back, without decoding a sample.
//!
//! Every checksum is checked, and order and range of symbols, lists, labels, series and chunks; samples are counted by the headers of
//! the chunks. That the postings lists name for each label just the series that have it is seen from a sum: each series adds a
//! number for each of its labels, each list adds the same for each series it names, and both come to one sum only if they are the
//! same pairs. So memory is eight bytes a symbol. What breaks a part ends the search in that part; [`verify`](crate::verify) tells more.

use twox_hash::XxHash3_128;

use super::{INDEX, Report, chunk_file, verify};
use crate::chunk::{ChunkMeta, Encoding, num_samples};
use crate::error::Error;
use crate::index::{IndexReader, ListStream, SeriesWalk, SymbolStream, TableStream, Version};
use crate::postings::SeriesNo;
use crate::reader::Block;
use crate::source::Window;

/// Reads all of `block` and says what is wrong with it, but decodes no sample. What it finds wrong, [`verify`] finds wrong; not found are only
/// chunks whose checksum is right though what is in them is not.
pub fn verify_quick(block: &Block) -> Report {
    if block.index().version() == Version::V1 {
        // Such a block is ten years old, and its lists stand in any order.
        return verify(block);
    }
    let mut search = Search {
        block,
        index: block.index(),
        report: Report::default(),
        symbols: Vec::new(),
        empty: hash(b""),
        sum: 0,
        chunks: Window::default(),
        segment: 0,
        last_ref: 0,
        is_downsampled: false,
    };
    if let Err(error) = search.all() {
        search.report.add_error(INDEX, 0, &error);
    }
    let Search { mut report, is_downsampled, .. } = search;
    report.stats.num_tombstones = block.tombstones().count() as u64;
    if report.is_sound() {
        report.counts(block.meta(), is_downsampled);
    }
    report
}

struct Search<'a> {
    block: &'a Block,
    index: &'a IndexReader,
    report: Report,
    /// A hash of each symbol.
    symbols: Vec<u64>,
    /// That of the empty one.
    empty: u64,
    /// What the series have added, less what the lists have.
    sum: u64,
    chunks: Window,
    /// Which chunk file the window looks at.
    segment: u32,
    last_ref: u64,
    is_downsampled: bool,
}

fn hash(text: &[u8]) -> u64 {
    XxHash3_128::oneshot(text) as u64
}

/// A number for a label, from the hashes of its name and its value.
const fn label(name: u64, value: u64) -> u64 {
    mixed(name.rotate_left(23) ^ value)
}

/// A number that says that a series has a label.
const fn pair(label: u64, no: SeriesNo) -> u64 {
    mixed(label.wrapping_add((no.0 as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

/// Every bit of the answer depends on every bit of `x`.
const fn mixed(x: u64) -> u64 {
    let x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let x = (x ^ (x >> 29)).wrapping_mul(0xA076_1D64_78BD_642F);
    x ^ (x >> 32)
}

impl Search<'_> {
    fn all(&mut self) -> Result<(), Error> {
        self.symbols()?;
        self.series()?;
        self.lists()?;
        if self.sum != 0 {
            let what = "the lists do not name for each label the series that have it";
            self.report.add(INDEX, self.index.toc().postings, what);
        }
        Ok(())
    }

    fn symbols(&mut self) -> Result<(), Error> {
        let mut stream = SymbolStream::open(self.index)?;
        self.symbols.reserve_exact(stream.size().0);
        let mut last = Vec::new();
        while stream.advance()? {
            let symbol = stream.symbol();
            if !self.symbols.is_empty() && symbol <= last.as_slice() {
                self.report.add(INDEX, stream.offset(), "a symbol is not above the one before it");
            }
            self.symbols.push(hash(symbol));
            last.clear();
            last.extend_from_slice(symbol);
        }
        Ok(())
    }

    fn series(&mut self) -> Result<(), Error> {
        let mut walk = SeriesWalk::open(self.index)?;
        let (mut labels, mut before, mut metas) = (Vec::new(), Vec::new(), Vec::new());
        let mut stones = self.block.tombstones().iter().map(|(no, _)| no).peekable();
        let mut is_first = true;
        while let Some(no) = walk.next(&mut labels, &mut metas)? {
            let at = self.index.series_offset(no);
            self.report.stats.num_series += 1;
            self.labels(no, at, &labels)?;
            if !is_first && labels <= before {
                self.report.add(INDEX, at, "a series is not above the one before it");
            }
            self.report.chunk_order(self.block.meta(), at, &metas, &mut self.last_ref);
            for meta in &metas {
                self.chunk(at, meta);
            }
            while let Some(stone) = stones.next_if(|stone| *stone <= no) {
                if stone < no {
                    self.report.add("tombstones", 0, format!("series {} is not in the index", stone.0));
                }
            }
            is_first = false;
            std::mem::swap(&mut labels, &mut before);
        }
        for stone in stones {
            self.report.add("tombstones", 0, format!("series {} is not in the index", stone.0));
        }
        Ok(())
    }

    fn labels(&mut self, no: SeriesNo, at: u64, labels: &[u32]) -> Result<(), Error> {
        let mut last = None;
        for pair_of in labels.chunks_exact(2) {
            let &[name, value] = pair_of else { continue };
            let hash_of = |symbol: u32| self.symbols.get(symbol as usize).copied();
            let Some((name_hash, value_hash)) = hash_of(name).zip(hash_of(value)) else {
                return Err(Error::corrupt("index series", at, "a label that is no symbol"));
            };
            if last.is_some_and(|last| last >= name) {
                self.report.add(INDEX, at, "label names are not sorted and unique");
            }
            last = Some(name);
            if name_hash == self.empty || value_hash == self.empty {
                self.report.add(INDEX, at, "a label with an empty name or value");
            }
            self.sum = self.sum.wrapping_add(pair(label(name_hash, value_hash), no));
        }
        Ok(())
    }

    /// The chunk of `meta`, which stands in the entry at `entry`.
    fn chunk(&mut self, entry: u64, meta: &ChunkMeta) {
        let at = meta.chunk_ref;
        if at.segment() != self.segment {
            self.chunks = Window::default();
            self.segment = at.segment();
        }
        if at.segment() as usize >= self.block.segments().len() {
            let what = format!("a chunk in {}, which is not there", chunk_file(at.segment()));
            return self.report.add(INDEX, entry, what);
        }
        let read = self.block.record_through(at, &mut self.chunks).and_then(|record| {
            Ok((record.encoding, record.data.len(), num_samples(record.encoding, record.data)?))
        });
        let offset = u64::from(at.offset());
        match read {
            Ok((encoding, length, samples)) => {
                self.is_downsampled |= encoding == Encoding::Aggregate;
                self.report.stats.num_chunks += 1;
                self.report.chunk_bytes += length as u64;
                self.report.count(encoding, samples, at);
            }
            Err(error) => self.report.add_error(chunk_file(at.segment()), offset, &error),
        }
    }

    fn lists(&mut self) -> Result<(), Error> {
        let mut table = TableStream::open(self.index)?;
        let (mut name_before, mut value_before) = (Vec::new(), Vec::new());
        let (mut last_list, mut is_first) = (0, true);
        loop {
            let report = &mut self.report;
            let next = table.next(|at, entry| {
                let rises = (name_before.as_slice(), value_before.as_slice()) < (entry.name, entry.value);
                if !is_first && !rises {
                    report.add(INDEX, at, "the lists are not sorted by name and value");
                }
                if entry.list <= last_list {
                    report.add(INDEX, at, "the lists do not lie in the order of their table");
                }
                for (before, text) in [(&mut name_before, entry.name), (&mut value_before, entry.value)] {
                    before.clear();
                    before.extend_from_slice(text);
                }
                (entry.list, label(hash(entry.name), hash(entry.value)))
            })?;
            let Some((offset, label)) = next else { return Ok(()) };
            let mut list = ListStream::open(self.index, offset)?;
            while let Some(no) = list.next()? {
                if !is_first {
                    self.sum = self.sum.wrapping_sub(pair(label, no));
                }
            }
            // The first one is that of all series, by which they were found.
            (last_list, is_first) = (offset, false);
        }
    }
}
