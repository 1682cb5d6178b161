//! The small part of an index: enough to know which bytes of it answer a question.
//!
//! A header holds the symbols, the names with their values, and where the postings list of each value lies; it is made once from ranges
//! of an index ([`HeaderBuilder`]) and then read from a local file or a map. `FORMAT.md` draws it. Symbols and values lie in pages of 64
//! with a checksum each, so that a question reads and checks a few kilobytes; in memory are the places of the pages and the names. A header
//! can be shared by any number of readers and never changes.
//!
//! [`IndexHeader::lists_of`] answers a matcher as a set: all series, none, or the lists that together hold them, as few contiguous ranges
//! as there are. What every value of a name passes, what none passes and what begins with a prefix is found by the places alone.

mod build;
mod directory;
mod lists;
mod texts;

use std::sync::Arc;

use bytes::Bytes;

use super::{SERIES_ALIGNMENT, Toc, Version};
use crate::codec::{Reader, crc32c};
use crate::error::Error;
use crate::postings::SeriesNo;
use crate::source::{Source, Window};

pub use build::HeaderBuilder;
use directory::{Directory, Name, Pages};
pub use lists::{ListRun, Listed, Lists};
pub use texts::SymbolTexts;

const OBJECT: &str = "index header";
const MAGIC: [u8; 5] = [0x53, 0x49, 0x58, 0x48, 1];
/// Length of the directory and checksum, at the end of the file.
const FOOTER_LEN: u64 = 12;
/// Symbols and values in a page; the last page of a run has what is left.
const PAGE: usize = 64;
const CRC_LEN: u64 = 4;

/// The header of an index, open for reading. Cloning shares it.
#[derive(Clone)]
pub struct IndexHeader {
    source: Arc<dyn Source>,
    directory: Arc<Directory>,
}

impl std::fmt::Debug for IndexHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexHeader").field("index_size", &self.index_size()).finish_non_exhaustive()
    }
}

/// A value of a label, and where its list lies in the index: from the length to the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot<'a> {
    value: &'a [u8],
    start: u64,
    end: u64,
}

impl IndexHeader {
    /// Opens a header that [`HeaderBuilder`] wrote.
    ///
    /// # Errors
    /// `Corrupt` if it is cut off, of another version or its directory is damaged; `Io` if reading fails. Damage to a page is found when
    /// the page is read.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, Error> {
        let whole = source.len();
        let read = |range: std::ops::Range<u64>| {
            let at = range.start;
            source.read(range).map_err(|e| Error::io(format!("{OBJECT} at offset {at}"), e))
        };
        let magic_len = MAGIC.len() as u64;
        let Some(footer_at) = whole.checked_sub(FOOTER_LEN).filter(|&at| at >= magic_len) else {
            return Err(Error::corrupt(OBJECT, 0, format!("{whole} bytes are too few for a header")));
        };
        if read(0..magic_len)? != MAGIC[..] {
            return Err(Error::corrupt(OBJECT, 0, "not the header of an index, version 1"));
        }
        let footer = read(footer_at..whole)?;
        let mut reader = Reader::new(OBJECT, &footer).based_at(footer_at);
        let length = reader.u64("length of the directory")?;
        let Some(at) = footer_at.checked_sub(length).filter(|&at| at >= magic_len) else {
            return Err(Error::corrupt(OBJECT, footer_at, format!("a directory of {length} bytes")));
        };
        let crc = reader.u32("checksum of the directory")?;
        let covered = read(at..footer_at + 8)?;
        if crc32c(&covered) != crc {
            return Err(Error::corrupt(OBJECT, at, "checksum of the directory does not match"));
        }
        let body = covered.get(..covered.len() - 8).unwrap_or_default();
        let directory = Directory::decode(body, at)?;
        Ok(Self { source, directory: Arc::new(directory) })
    }

    /// Size in bytes of the index that this is the header of.
    pub fn index_size(&self) -> u64 {
        self.directory.index_size
    }

    /// Size in bytes of the header.
    pub fn size(&self) -> u64 {
        self.source.len()
    }

    /// Bytes that the header takes in memory while it is open, without its source.
    pub fn memory(&self) -> usize {
        self.directory.memory()
    }

    /// Where the sections of the index lie.
    pub fn toc(&self) -> &Toc {
        &self.directory.toc
    }

    /// How many series the index has.
    pub fn num_series(&self) -> u64 {
        self.directory.num_series
    }

    /// Offset in the index of the entry of a series.
    pub fn series_offset(&self, no: SeriesNo) -> u64 {
        match self.directory.version {
            Version::V1 => u64::from(no.0),
            Version::V2 => u64::from(no.0) * SERIES_ALIGNMENT,
        }
    }

    /// Where the entries of series end in the index, at the latest.
    pub fn series_end(&self) -> u64 {
        let toc = self.toc();
        let behind = [toc.label_indices, toc.label_indices_table, toc.postings, toc.postings_table];
        let behind = behind.into_iter().filter(|&at| at > toc.series).min();
        behind.unwrap_or_else(|| self.index_size().saturating_sub(Toc::LEN))
    }

    /// The names of all labels, rising.
    pub fn label_names(&self) -> impl Iterator<Item = &[u8]> {
        self.directory.names.iter().map(|name| &*name.text).filter(|name| !name.is_empty())
    }

    /// How many values a label has.
    pub fn num_values(&self, name: &[u8]) -> u64 {
        self.directory.find(name).filter(|_| !name.is_empty()).map_or(0, |name| u64::from(name.values))
    }

    /// Shows the values of a label from `least` on, rising, until `visit` says false. A label that no series has has no values.
    ///
    /// # Errors
    /// `Corrupt` if a page is damaged, `Io` if reading fails.
    pub fn label_values(
        &self,
        name: &[u8],
        least: &[u8],
        visit: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Error> {
        match self.directory.find(name) {
            Some(found) if !name.is_empty() => {
                self.walk(found, least, &mut |_, slot| visit(slot.value)).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// The content of a page, checked.
    fn page<'w>(
        &self,
        pages: &Pages,
        number: usize,
        window: &'w mut Window,
    ) -> Result<(&'w [u8], u64), Error> {
        let Some(range) = pages.range(number) else {
            return Err(Error::corrupt(OBJECT, pages.base, format!("there is no page {number}")));
        };
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = window.view(&*self.source, range.start, length as u64, OBJECT)?;
        let content = bytes.get(..length).and_then(<[u8]>::split_last_chunk::<4>);
        match content {
            Some((content, crc)) if crc32c(content) == u32::from_be_bytes(*crc) => Ok((content, range.start)),
            Some(_) => Err(Error::corrupt(OBJECT, range.start, "checksum of the page does not match")),
            None => Err(Error::corrupt(OBJECT, range.start, "the page is cut off")),
        }
    }

    /// Visits the values of `name` from `least` on, with their numbers, until `visit` says false; the number that it said false to.
    fn walk(
        &self,
        name: &Name,
        least: &[u8],
        visit: &mut dyn FnMut(u32, Slot<'_>) -> bool,
    ) -> Result<Option<u32>, Error> {
        let mut window = Window::default();
        let first = match least.is_empty() {
            true => 0,
            false => self.page_below(name, &mut window, &mut |value| value > least)?,
        };
        for page in first..name.pages() {
            let mut number = page * PAGE as u32;
            let mut stopped = None;
            self.slots(name, page, &mut window, &mut |slot| {
                if slot.value >= least && !visit(number, slot) {
                    stopped = Some(number);
                    return false;
                }
                number += 1;
                true
            })?;
            if stopped.is_some() {
                return Ok(stopped);
            }
        }
        Ok(None)
    }

    /// The last page of `name` whose first value is not `above`; 0 if there is none. What is above goes on to be so.
    fn page_below(
        &self,
        name: &Name,
        window: &mut Window,
        above: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<u32, Error> {
        // The first value of page `low` is not above, but for page 0, which is not asked.
        let (mut low, mut high) = (0, name.pages());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let mut is_above = false;
            self.slots(name, middle, window, &mut |slot| {
                is_above = above(slot.value);
                false
            })?;
            if is_above {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(low)
    }

    /// Visits the values of one page of a name until `visit` says false.
    fn slots(
        &self,
        name: &Name,
        page: u32,
        window: &mut Window,
        visit: &mut dyn FnMut(Slot<'_>) -> bool,
    ) -> Result<(), Error> {
        let count = (name.values as usize).saturating_sub(page as usize * PAGE).min(PAGE);
        let (content, at) = self.page(&self.directory.values, (name.first_page + page) as usize, window)?;
        let mut reader = Reader::new(OBJECT, content).based_at(at);
        let mut end = reader.uvarint("offset of the first list")?;
        for _ in 0..count {
            let value = reader.str("value")?;
            let start = end.checked_add_signed(reader.varint("distance of the list")?);
            let start = start.ok_or_else(|| reader.corrupt("a list outside of the index"))?;
            let length = reader.uvarint("length of the list")?;
            let past = start.checked_add(length).filter(|&past| past <= self.directory.index_size);
            end = past.ok_or_else(|| reader.corrupt("a list that ends behind the index"))?;
            if !visit(Slot { value, start, end }) {
                return Ok(());
            }
        }
        reader.finish()
    }
}

/// Sends `bytes` on as the next page.
fn put_page(out: &mut dyn std::io::Write, content: &mut Vec<u8>) -> Result<u64, Error> {
    crate::codec::put_u32(content, crc32c(content));
    out.write_all(content).map_err(|e| Error::io("writing the header of an index", e))?;
    let length = content.len() as u64;
    content.clear();
    Ok(length)
}

/// What `range` asks for, if `held`, which begins at `start`, has all of it.
fn piece(start: u64, held: &Bytes, range: &std::ops::Range<u64>) -> Option<Bytes> {
    let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
    (from <= to && to <= held.len()).then(|| held.slice(from..to))
}

#[cfg(test)]
mod tests;
