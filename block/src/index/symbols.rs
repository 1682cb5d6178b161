//! Every string of an index once, found by number.
//!
//! The strings stay in the bytes of the section; of their places every eighth is kept in memory, the others are found by
//! stepping on from there. In version 1 a symbol's number is its offset in the file.

use bytes::Bytes;

use super::{Version, checked_section};
use crate::codec::Reader;
use crate::error::Error;

const OBJECT: &str = "index symbols";
const STRIDE: usize = 8;

/// How many symbols are remembered: neighbouring series share nearly all of theirs.
const RECENT: usize = 256;

/// Where symbols of one table were found last.
#[derive(Debug)]
pub(crate) struct RecentSymbols {
    slots: Box<[Slot; RECENT]>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    of: u64,
    at: u32,
    len: u32,
}

impl Default for RecentSymbols {
    fn default() -> Self {
        // No table has so many symbols, and no file so many bytes.
        Self { slots: Box::new([Slot { of: u64::MAX, at: 0, len: 0 }; RECENT]) }
    }
}

/// The symbol table of an index.
#[derive(Debug, Clone)]
pub(crate) struct Symbols {
    /// The section from its count on, without its checksum.
    body: Bytes,
    /// Offset of `body` in the index.
    base: u64,
    version: Version,
    count: usize,
    /// Offsets in `body` of every eighth symbol.
    places: Vec<u32>,
}

impl Symbols {
    /// Reads a symbol table. `bytes` begin with its length; `base` is their offset in the index.
    pub(crate) fn decode(bytes: &Bytes, base: u64, version: Version) -> Result<Self, Error> {
        let body = checked_section(OBJECT, bytes, base)?;
        let base = base + 4;
        let mut reader = Reader::new(OBJECT, &body).based_at(base);
        let count = reader.u32("count")? as usize;
        // A symbol takes at least a byte, so a hostile count cannot ask for more memory than the section has.
        if count > reader.remaining() {
            return Err(reader.corrupt(format!("{count} symbols in {} bytes", reader.remaining())));
        }
        let mut places = Vec::with_capacity(count.div_ceil(STRIDE));
        for i in 0..count {
            if i % STRIDE == 0 {
                places.push(reader.position() as u32);
            }
            reader.str("symbol")?;
        }
        reader.finish()?;
        Ok(Self { base, version, count, places, body })
    }

    /// Bytes that the table holds in memory besides the section itself.
    pub(crate) fn index_bytes(&self) -> usize {
        self.places.capacity() * size_of::<u32>()
    }

    fn reader_at(&self, place: usize) -> Reader<'_> {
        let base = self.base + place as u64;
        Reader::new(OBJECT, self.body.get(place..).unwrap_or_default()).based_at(base)
    }

    /// The symbol with a number as series entries hold it; `recent` remembers where symbols were found.
    #[inline]
    pub(crate) fn get_recent(&self, number: u64, recent: &mut RecentSymbols) -> Result<&[u8], Error> {
        let slot = recent.slots.get_mut(number as usize % RECENT);
        if let Some(Slot { of, at, len }) = slot.as_deref()
            && *of == number
            && let Some(symbol) = self.body.get(*at as usize..(*at + *len) as usize)
        {
            return Ok(symbol);
        }
        let symbol = self.get(number)?;
        // A symbol is a part of the section, so its place is the distance from the section's start.
        let at = symbol.as_ptr() as usize - self.body.as_ptr() as usize;
        if let Some(slot) = slot {
            *slot = Slot { of: number, at: at as u32, len: symbol.len() as u32 };
        }
        Ok(symbol)
    }

    /// The symbol with a number as series entries hold it.
    pub(crate) fn get(&self, number: u64) -> Result<&[u8], Error> {
        let unknown = || Error::corrupt(OBJECT, self.base, format!("no symbol has the number {number}"));
        match self.version {
            Version::V1 => {
                let place = number.checked_sub(self.base).and_then(|place| usize::try_from(place).ok());
                let place = place.filter(|place| (4..self.body.len()).contains(place)).ok_or_else(unknown)?;
                self.reader_at(place).str("symbol")
            }
            Version::V2 => {
                let number = usize::try_from(number).ok().filter(|&n| n < self.count).ok_or_else(unknown)?;
                let place = self.places.get(number / STRIDE).copied().ok_or_else(unknown)?;
                let mut reader = self.reader_at(place as usize);
                for _ in 0..number % STRIDE {
                    reader.str("symbol")?;
                }
                reader.str("symbol")
            }
        }
    }

    /// All symbols with their offsets in the index, in file order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<(u64, &[u8]), Error>> {
        let mut reader = self.reader_at(4);
        (0..self.count).map(move |_| {
            let at = self.base + 4 + reader.position() as u64;
            Ok((at, reader.str("symbol")?))
        })
    }
}
