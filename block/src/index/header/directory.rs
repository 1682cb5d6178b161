//! What of a header is in memory while it is open: the sections of the index, where the pages lie, and the names.

use super::{CRC_LEN, OBJECT, PAGE};
use crate::codec::{Reader, put_str, put_u64, put_uvarint};
use crate::error::Error;
use crate::index::{Toc, Version};

/// The directory of a header.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) index_size: u64,
    pub(super) version: Version,
    pub(super) toc: Toc,
    pub(super) num_series: u64,
    pub(super) num_symbols: u64,
    pub(super) symbols: Pages,
    pub(super) values: Pages,
    /// Rising. The empty one, under which all series are listed, is the first.
    pub(super) names: Vec<Name>,
}

/// A name, and what is known of all its values together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: Box<[u8]>,
    pub(super) first_page: u32,
    pub(super) values: u32,
    /// Series numbers in all lists together. No series is in two of them.
    pub(super) numbers: u64,
    /// Where the lists lie in the index, if they lie back to back.
    pub(super) hull: Option<(u64, u64)>,
}

impl Name {
    pub(super) const fn pages(&self) -> u32 {
        self.values.div_ceil(PAGE as u32)
    }
}

/// Pages back to back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// Offset in the header of the first one.
    pub(super) base: u64,
    /// Where each ends, from there.
    pub(super) ends: Vec<u32>,
}

impl Pages {
    pub(super) const fn at(base: u64) -> Self {
        Self { base, ends: Vec::new() }
    }

    pub(super) fn end(&self) -> u64 {
        self.base + u64::from(self.ends.last().copied().unwrap_or(0))
    }

    pub(super) fn push(&mut self, length: u64) -> Result<(), Error> {
        let end = u64::from(self.ends.last().copied().unwrap_or(0)).checked_add(length);
        let end = end.and_then(|end| u32::try_from(end).ok());
        self.ends.push(end.ok_or_else(|| crate::index::too_large("a section of the header"))?);
        Ok(())
    }

    /// Where a page lies in the header, its checksum included.
    pub(super) fn range(&self, number: usize) -> Option<std::ops::Range<u64>> {
        let end = *self.ends.get(number)?;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        Some(self.base + u64::from(start)..self.base + u64::from(end))
    }

    /// The page in which byte `at` of all contents lies, put back to back without their checksums, and where that page's content begins.
    pub(super) fn containing(&self, at: u64) -> (usize, u64) {
        let contents = |number: usize| {
            let end = self.ends.get(number).copied().unwrap_or(0);
            u64::from(end).saturating_sub(CRC_LEN * (number as u64 + 1))
        };
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if contents(middle) <= at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low, low.checked_sub(1).map_or(0, contents))
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_uvarint(out, self.base);
        put_uvarint(out, self.ends.len() as u64);
        let mut last = 0;
        for &end in &self.ends {
            put_uvarint(out, u64::from(end - last));
            last = end;
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut pages = Self::at(reader.uvarint("offset of the pages")?);
        let count = reader.length(reader.remaining(), "number of pages")?;
        pages.ends.reserve_exact(count);
        for _ in 0..count {
            let length = reader.uvarint("length of a page")?;
            if length < CRC_LEN {
                return Err(reader.corrupt(format!("a page of {length} bytes")));
            }
            pages.push(length)?;
        }
        match pages.base.checked_add(u64::from(pages.ends.last().copied().unwrap_or(0))) {
            Some(_) => Ok(pages),
            None => Err(reader.corrupt("pages behind the end of the header")),
        }
    }
}

impl Directory {
    pub(super) fn find(&self, name: &[u8]) -> Option<&Name> {
        let at = self.names.binary_search_by(|own| (*own.text).cmp(name)).ok()?;
        self.names.get(at)
    }

    pub(super) fn memory(&self) -> usize {
        let texts: usize = self.names.iter().map(|name| name.text.len()).sum();
        let ends = self.symbols.ends.capacity() + self.values.ends.capacity();
        size_of::<Self>() + texts + self.names.capacity() * size_of::<Name>() + ends * size_of::<u32>()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_uvarint(out, self.index_size);
        out.push(match self.version {
            Version::V1 => 1,
            Version::V2 => 2,
        });
        let Toc { symbols, series, label_indices, label_indices_table, postings, postings_table } = self.toc;
        for offset in [symbols, series, label_indices, label_indices_table, postings, postings_table] {
            put_u64(out, offset);
        }
        put_uvarint(out, self.num_symbols);
        self.symbols.put(out);
        self.values.put(out);
        put_uvarint(out, self.names.len() as u64);
        for name in &self.names {
            put_str(out, &name.text);
            put_uvarint(out, u64::from(name.values));
            put_uvarint(out, name.numbers);
            let (start, end) = name.hull.unwrap_or((0, 0));
            put_uvarint(out, start);
            put_uvarint(out, end.saturating_sub(start));
        }
    }

    /// Reads a directory, whose checksum is right; `base` is its offset.
    pub(super) fn decode(bytes: &[u8], base: u64) -> Result<Self, Error> {
        let mut reader = Reader::new(OBJECT, bytes).based_at(base);
        let index_size = reader.uvarint("size of the index")?;
        let version = match reader.u8("version of the index")? {
            1 => Version::V1,
            2 => Version::V2,
            other => return Err(reader.corrupt(format!("version {other} of an index"))),
        };
        let toc = Toc {
            symbols: reader.u64("offset")?,
            series: reader.u64("offset")?,
            label_indices: reader.u64("offset")?,
            label_indices_table: reader.u64("offset")?,
            postings: reader.u64("offset")?,
            postings_table: reader.u64("offset")?,
        };
        let num_symbols = reader.uvarint("number of symbols")?;
        let symbols = Pages::decode(&mut reader)?;
        let values = Pages::decode(&mut reader)?;
        if num_symbols.div_ceil(PAGE as u64) != symbols.ends.len() as u64 {
            return Err(reader.corrupt(format!("{num_symbols} symbols in {} pages", symbols.ends.len())));
        }
        let names = decode_names(&mut reader, &values, index_size)?;
        reader.finish()?;
        let all = names.first().filter(|name| name.text.is_empty() && name.values == 1);
        let Some(num_series) = all.map(|name| name.numbers) else {
            return Err(Error::corrupt(OBJECT, base, "there is no list of all series"));
        };
        Ok(Self { index_size, version, toc, num_series, num_symbols, symbols, values, names })
    }
}

fn decode_names(reader: &mut Reader<'_>, values: &Pages, index_size: u64) -> Result<Vec<Name>, Error> {
    let count = reader.length(reader.remaining() / 5, "number of names")?;
    let mut names: Vec<Name> = Vec::with_capacity(count);
    let mut pages = 0u32;
    for _ in 0..count {
        let text: Box<[u8]> = reader.str("name")?.into();
        if names.last().is_some_and(|last| last.text >= text) {
            return Err(reader.corrupt("the names are not sorted"));
        }
        let values = reader.uvarint("number of values")?;
        let values = u32::try_from(values).ok().filter(|&values| values > 0);
        let values = values.ok_or_else(|| reader.corrupt("a name with no value, or with too many"))?;
        let numbers = reader.uvarint("number of series")?;
        let (start, length) =
            (reader.uvarint("offset of the lists")?, reader.uvarint("length of the lists")?);
        let end = start.checked_add(length).filter(|&end| end <= index_size);
        let end = end.ok_or_else(|| reader.corrupt("lists behind the end of the index"))?;
        let name =
            Name { text, first_page: pages, values, numbers, hull: (length > 0).then_some((start, end)) };
        let next = pages.checked_add(name.pages());
        pages = next.ok_or_else(|| reader.corrupt("more pages than there can be"))?;
        names.push(name);
    }
    if pages as usize != values.ends.len() {
        return Err(reader.corrupt(format!("{} pages of values, {pages} are needed", values.ends.len())));
    }
    Ok(names)
}
