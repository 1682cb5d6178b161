//! Makes the header of an index from ranges of it.
//!
//! The caller brings the ranges that are [`wanted`](HeaderBuilder::wanted) until there are none: two requests for most indexes, one for a
//! small one. Both sections are checked as a whole before anything is written.

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;

use super::directory::{Directory, Name, Pages};
use super::{MAGIC, PAGE, piece, put_page};
use crate::codec::{Reader, crc32c, put_str, put_u32, put_u64, put_uvarint, put_varint};
use crate::error::Error;
use crate::index::table::{Entry, read_entry};
use crate::index::{HEADER_LEN, Toc, Version, checked_section};

/// An index up to this size is asked for as a whole.
const WHOLE: u64 = 512 << 10;
/// How much of the end of a larger one is asked for first: the table of contents, and with luck the postings table.
const TAIL: u64 = 64 << 10;
const TABLE: &str = "index postings table";

/// Makes the header of one index.
#[derive(Debug)]
pub struct HeaderBuilder {
    size: u64,
    toc: Option<Toc>,
    parts: Vec<(u64, Bytes)>,
}

impl HeaderBuilder {
    /// For an index of `size` bytes.
    ///
    /// # Errors
    /// `Corrupt` if that is too small for an index.
    pub fn new(size: u64) -> Result<Self, Error> {
        if size < HEADER_LEN + Toc::LEN {
            return Err(Error::corrupt("index", 0, format!("{size} bytes are too few for an index")));
        }
        Ok(Self { size, toc: None, parts: Vec::new() })
    }

    fn toc_at(&self) -> u64 {
        self.size - Toc::LEN
    }

    /// The bytes up to the end of the symbols, and the postings table.
    fn needed(&self, toc: &Toc) -> [Range<u64>; 2] {
        let symbols_end = if toc.series == 0 { self.toc_at() } else { toc.series };
        [0..symbols_end.max(HEADER_LEN), toc.postings_table..self.toc_at()]
    }

    /// The ranges of the index that are still needed; none if the header can be written.
    pub fn wanted(&self) -> Vec<Range<u64>> {
        let Some(toc) = &self.toc else {
            let from = if self.size <= WHOLE { 0 } else { self.size - TAIL };
            let tail = from..self.size;
            return Vec::from([tail]);
        };
        let mut wanted = self.needed(toc).to_vec();
        wanted.retain(|range| self.held(range).is_none());
        wanted
    }

    fn held(&self, range: &Range<u64>) -> Option<Bytes> {
        self.parts.iter().find_map(|(start, held)| piece(*start, held, range))
    }

    /// Takes the bytes of the index that begin at `start`.
    ///
    /// # Errors
    /// `Corrupt` if the table of contents is among them and is damaged, or names places outside of the index.
    pub fn give(&mut self, start: u64, bytes: Bytes) -> Result<(), Error> {
        self.parts.push((start, bytes));
        if self.toc.is_none()
            && let Some(last) = self.held(&(self.toc_at()..self.size))
        {
            let toc = Toc::decode(&last, self.toc_at())?;
            let fits = |range: &Range<u64>| range.start <= range.end && range.end <= self.toc_at();
            let what = "index table of contents";
            if !self.needed(&toc).iter().all(fits) || toc.symbols < HEADER_LEN {
                return Err(Error::corrupt(what, self.toc_at(), "a section outside of the index"));
            }
            self.toc = Some(toc);
        }
        Ok(())
    }

    /// Writes the header.
    ///
    /// # Errors
    /// `Corrupt` if the symbols or the postings table are damaged, `Invalid` if ranges are still wanted, `Io` if writing fails.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        let missing = || Error::invalid("index header", "made before all ranges were given");
        let toc = self.toc.ok_or_else(missing)?;
        let [front, table] = self.needed(&toc);
        let front = self.held(&front).ok_or_else(missing)?;
        let table_bytes = self.held(&table).ok_or_else(missing)?;
        let version = Version::decode(&front)?;
        let symbols_at = usize::try_from(toc.symbols).unwrap_or(usize::MAX).min(front.len());
        let symbols = checked_section("index symbols", &front.slice(symbols_at..), toc.symbols)?;
        let body = checked_section(TABLE, &table_bytes, table.start)?;

        out.write_all(&MAGIC).map_err(|e| Error::io("writing the header of an index", e))?;
        let mut pages = Pages::at(MAGIC.len() as u64);
        let num_symbols = put_symbols(&symbols, &toc, out, &mut pages)?;
        let mut values = Values::new(out, pages.end());
        let lists = ListEnds { toc, size: self.size };
        lists.each(&body, table.start + 4, version, &mut |entry, end| values.add(entry, end))?;
        let (names, value_pages) = values.finish()?;
        let all = names.first().filter(|name| name.text.is_empty());
        let Some(num_series) = all.map(|name| name.numbers) else {
            return Err(Error::corrupt(TABLE, table.start, "there is no list of all series"));
        };
        let directory = Directory {
            index_size: self.size,
            version,
            toc,
            num_series,
            num_symbols,
            symbols: pages,
            values: value_pages,
            names,
        };
        let mut end = Vec::new();
        directory.put(&mut end);
        let length = end.len() as u64;
        put_u64(&mut end, length);
        let crc = crc32c(&end);
        put_u32(&mut end, crc);
        out.write_all(&end).map_err(|e| Error::io("writing the header of an index", e))
    }
}

/// Writes the pages of all symbols; how many symbols there are.
fn put_symbols(body: &Bytes, toc: &Toc, out: &mut dyn Write, pages: &mut Pages) -> Result<u64, Error> {
    let mut reader = Reader::new("index symbols", body).based_at(toc.symbols + 4);
    let count = reader.u32("count")?;
    let mut content = Vec::new();
    let mut start = reader.position();
    for number in 1..=count {
        reader.str("symbol")?;
        if (number as usize).is_multiple_of(PAGE) || number == count {
            content.extend_from_slice(body.get(start..reader.position()).unwrap_or_default());
            start = reader.position();
            pages.push(put_page(out, &mut content)?)?;
        }
    }
    reader.finish()?;
    Ok(count.into())
}

/// Where the lists of an index end: where the next one begins, or the section behind them.
struct ListEnds {
    toc: Toc,
    size: u64,
}

impl ListEnds {
    /// Where a list ends that begins at `start` and is the last one.
    fn last(&self, start: u64) -> u64 {
        let Toc { label_indices, label_indices_table, postings_table, .. } = self.toc;
        let behind = [label_indices, label_indices_table, postings_table];
        behind.into_iter().filter(|&at| at > start).min().unwrap_or(self.size)
    }

    /// Shows every entry of the postings table, sorted by name and value, with the end of its list.
    fn each<'a>(
        &self,
        body: &'a [u8],
        base: u64,
        version: Version,
        show: &mut dyn FnMut(Entry<'a>, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut reader = Reader::new(TABLE, body).based_at(base);
        let count = reader.u32("count")?;
        if version == Version::V1 {
            return self.each_unsorted(reader, count, show);
        }
        let mut last: Option<Entry<'a>> = None;
        for _ in 0..count {
            let entry = read_entry(&mut reader)?;
            if let Some(last) = last {
                if (last.name, last.value) >= (entry.name, entry.value) {
                    return Err(reader.corrupt("the entries are not sorted by name and value"));
                }
                if last.list >= entry.list {
                    return Err(reader.corrupt("the lists do not lie in the order of the table"));
                }
                show(last, entry.list.min(self.last(last.list)))?;
            }
            last = Some(entry);
        }
        reader.finish()?;
        last.map_or(Ok(()), |last| show(last, self.last(last.list)))
    }

    fn each_unsorted<'a>(
        &self,
        mut reader: Reader<'a>,
        count: u32,
        show: &mut dyn FnMut(Entry<'a>, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(read_entry(&mut reader)?);
        }
        reader.finish()?;
        let mut starts: Vec<u64> = entries.iter().map(|entry| entry.list).collect();
        starts.sort_unstable();
        entries.sort_unstable_by_key(|entry| (entry.name, entry.value));
        if entries.is_sorted_by(|a, b| (a.name, a.value) < (b.name, b.value)) {
            for entry in entries {
                let next = starts.get(starts.partition_point(|&start| start <= entry.list)).copied();
                show(entry, next.unwrap_or(u64::MAX).min(self.last(entry.list)))?;
            }
            return Ok(());
        }
        Err(reader.corrupt("a name and value stand twice"))
    }
}

/// Writes the pages of all values and collects the names.
struct Values<'a, 'o> {
    out: &'o mut dyn Write,
    pages: Pages,
    names: Vec<Name>,
    /// Values of the last name, not yet in a page.
    waiting: Vec<Waiting<'a>>,
    content: Vec<u8>,
}

struct Waiting<'a> {
    value: &'a [u8],
    start: u64,
    end: u64,
}

impl<'a, 'o> Values<'a, 'o> {
    fn new(out: &'o mut dyn Write, base: u64) -> Self {
        let (names, waiting, content) = (Vec::new(), Vec::new(), Vec::new());
        Self { out, pages: Pages::at(base), names, waiting, content }
    }

    fn add(&mut self, Entry { name, value, list }: Entry<'a>, end: u64) -> Result<(), Error> {
        let too_short = || Error::corrupt("index postings", list, "a list without room for its length");
        let numbers =
            end.checked_sub(list).and_then(|length| length.checked_sub(12)).ok_or_else(too_short)? / 4;
        if self.names.last().is_none_or(|last| *last.text != *name) {
            self.put()?;
            let first_page = u32::try_from(self.pages.ends.len()).unwrap_or(u32::MAX);
            let hull = Some((list, end));
            self.names.push(Name { text: name.into(), first_page, values: 1, numbers, hull });
        } else if let Some(last) = self.names.last_mut() {
            last.values += 1;
            last.numbers += numbers;
            last.hull = last.hull.filter(|&(_, past)| past == list).map(|(start, _)| (start, end));
        }
        self.waiting.push(Waiting { value, start: list, end });
        if self.waiting.len() == PAGE { self.put() } else { Ok(()) }
    }

    /// Makes a page of the values that wait for it.
    fn put(&mut self) -> Result<(), Error> {
        let Some(first) = self.waiting.first() else { return Ok(()) };
        let mut last = first.start;
        put_uvarint(&mut self.content, last);
        for Waiting { value, start, end } in self.waiting.drain(..) {
            put_str(&mut self.content, value);
            put_varint(&mut self.content, start.wrapping_sub(last).cast_signed());
            put_uvarint(&mut self.content, end - start);
            last = end;
        }
        self.pages.push(put_page(self.out, &mut self.content)?)
    }

    fn finish(mut self) -> Result<(Vec<Name>, Pages), Error> {
        self.put()?;
        Ok((self.names, self.pages))
    }
}
