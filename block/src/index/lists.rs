//! Writes the postings lists of an index from its columns, and remembers as little as gives back where each one lies.
//!
//! Lists stand by name, then value. A column is sorted by counting: once through it for how many series each value has, once more to
//! put each series' number where it belongs. Where a column has more series than fit a fixed room, it is gone through
//! several times, some values at a time, and the list of a value that does not fit alone is written as it is met. So the
//! memory is four bytes a symbol and the room, however many series there are.

use std::io;

use super::arena::SymbolArena;
use super::columns::{Column, Columns, Numbers};
use super::output::Output;
use super::{LIST_ALIGNMENT, too_large};
use crate::codec::{Crc32c, crc32c, put_u32};
use crate::error::Error;

/// How many numbers are sorted at once.
const ROOM: u32 = if cfg!(test) { 64 } else { 1 << 20 };
/// How many numbers of a long list become bytes at once.
const STRETCH: usize = 4096;

/// The lists that were written, as little as gives back their names and places.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Offset of the first list, the one of all series.
    first: u64,
    /// How many series there are.
    all: u32,
    /// Per name, in order: its symbol and how many values it has.
    names: Vec<(u32, usize)>,
    /// Per list behind the first, in order: symbol of the value, and how many series it names.
    values: Vec<(u32, u32)>,
}

impl Lists {
    /// How many lists there are.
    pub(crate) fn count(&self) -> usize {
        self.values.len() + 1
    }

    fn push(&mut self, name: u32, value: u32, count: u32) {
        match self.names.last_mut() {
            Some((last, values)) if *last == name => *values += 1,
            _ => self.names.push((name, 1)),
        }
        self.values.push((value, count));
    }

    /// Shows name, value and offset of every list, in order.
    pub(crate) fn for_each(
        &self,
        symbols: &SymbolArena,
        mut show: impl FnMut(&[u8], &[u8], u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Lists are whole words long, so that after the first no padding lies between them.
        let bytes_of = |count: u32| 12 + 4 * u64::from(count);
        show(b"", b"", self.first)?;
        let mut offset = self.first + bytes_of(self.all);
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

/// Writes all lists. `symbols` is how many symbols the index has.
pub(crate) fn write_lists<W: io::Write>(
    columns: Columns,
    symbols: usize,
    out: &mut Output<W>,
) -> Result<Lists, Error> {
    let (numbers, columns) = columns.finish();
    out.pad(LIST_ALIGNMENT)?;
    let mut writing = Writing {
        lists: Lists { first: out.position(), all: numbers.count, ..Lists::default() },
        out,
        numbers: &numbers,
        ends: vec![0; symbols],
        placed: Vec::new(),
        bytes: Vec::new(),
    };
    let mut look = numbers.look();
    let mut list = writing.begin_long(numbers.count)?;
    for _ in 0..numbers.count {
        list.put(writing.out, look.next()?.0)?;
    }
    list.end(writing.out)?;
    for column in columns {
        writing.column(&column)?;
    }
    Ok(writing.lists)
}

struct Writing<'a, W> {
    out: &'a mut Output<W>,
    lists: Lists,
    numbers: &'a Numbers,
    /// By symbol of a value: how many series have it; then where its numbers go in `placed`. All zero between columns.
    ends: Vec<u32>,
    placed: Vec<u32>,
    bytes: Vec<u8>,
}

impl<W: io::Write> Writing<'_, W> {
    fn column(&mut self, column: &Column) -> Result<(), Error> {
        let (mut least, mut most) = (usize::MAX, 0);
        column.for_each(|run| {
            let value = run.value as usize;
            (least, most) = (least.min(value), most.max(value));
            if let Some(count) = self.ends.get_mut(value) {
                *count += run.len;
            }
            Ok(())
        })?;
        let mut from = least;
        while from <= most {
            let (mut to, mut total) = (from, 0u32);
            while let Some(&count) = self.ends.get(to)
                && to <= most
                && (total == 0 || count <= ROOM.saturating_sub(total))
            {
                total += count;
                to += 1;
            }
            if total > ROOM {
                self.long(column, from..to, total)?;
            } else {
                self.some(column, from..to, total)?;
            }
            self.ends.get_mut(from..to).unwrap_or_default().fill(0);
            from = to.max(from + 1);
        }
        Ok(())
    }

    /// The lists of the values in a range, which name `total` series together.
    fn some(&mut self, column: &Column, values: std::ops::Range<usize>, total: u32) -> Result<(), Error> {
        self.placed.clear();
        self.placed.resize(total as usize, 0);
        let mut start = 0;
        for count in self.ends.get_mut(values.clone()).unwrap_or_default() {
            start += std::mem::replace(count, start);
        }
        let (mut look, ends, placed) = (self.numbers.look(), &mut self.ends, &mut self.placed);
        column.for_each(|run| {
            let value = run.value as usize;
            if values.contains(&value)
                && let Some(end) = ends.get_mut(value)
            {
                look.seek(run.start)?;
                let to = end.saturating_add(run.len);
                for slot in placed.get_mut(*end as usize..to as usize).unwrap_or_default() {
                    *slot = look.next()?.0;
                }
                *end = to;
            }
            Ok(())
        })?;
        let mut start = 0;
        for value in values {
            let end = self.ends.get(value).copied().unwrap_or_default();
            if end > start {
                let numbers = self.placed.get(start as usize..end as usize).unwrap_or_default();
                short(self.out, &mut self.bytes, numbers)?;
                self.lists.push(column.name, value as u32, end - start);
            }
            start = end;
        }
        Ok(())
    }

    /// The list of the one value in a range that any series has.
    fn long(&mut self, column: &Column, values: std::ops::Range<usize>, total: u32) -> Result<(), Error> {
        let mut list = self.begin_long(total)?;
        let mut look = self.numbers.look();
        let mut found = 0;
        let out = &mut *self.out;
        column.for_each(|run| {
            if values.contains(&(run.value as usize)) {
                found = run.value;
                look.seek(run.start)?;
                for _ in 0..run.len {
                    list.put(out, look.next()?.0)?;
                }
            }
            Ok(())
        })?;
        list.end(out)?;
        self.lists.push(column.name, found, total);
        Ok(())
    }

    /// Begins a list that is written as its numbers are met.
    fn begin_long(&mut self, count: u32) -> Result<Long, Error> {
        self.out.put(&length_of(count as usize)?.to_be_bytes())?;
        let mut bytes = Vec::with_capacity(4 * STRETCH);
        put_u32(&mut bytes, count);
        Ok(Long { bytes, crc: Crc32c::new() })
    }
}

/// The length field of a list.
fn length_of(count: usize) -> Result<u32, Error> {
    let length = count.checked_mul(4).and_then(|bytes| bytes.checked_add(4));
    length.and_then(|length| u32::try_from(length).ok()).ok_or_else(|| too_large("a postings list"))
}

/// Writes a list whose numbers are at hand.
fn short<W: io::Write>(out: &mut Output<W>, bytes: &mut Vec<u8>, numbers: &[u32]) -> Result<(), Error> {
    bytes.clear();
    put_u32(bytes, length_of(numbers.len())?);
    put_u32(bytes, numbers.len() as u32);
    bytes.extend(numbers.iter().flat_map(|no| no.to_be_bytes()));
    let crc = crc32c(bytes.get(4..).unwrap_or_default());
    put_u32(bytes, crc);
    out.put(bytes)
}

/// A list on its way out.
struct Long {
    bytes: Vec<u8>,
    crc: Crc32c,
}

impl Long {
    fn put<W: io::Write>(&mut self, out: &mut Output<W>, no: u32) -> Result<(), Error> {
        put_u32(&mut self.bytes, no);
        if self.bytes.len() >= 4 * STRETCH { self.empty(out) } else { Ok(()) }
    }

    fn empty<W: io::Write>(&mut self, out: &mut Output<W>) -> Result<(), Error> {
        self.crc.update(&self.bytes);
        out.put(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }

    fn end<W: io::Write>(mut self, out: &mut Output<W>) -> Result<(), Error> {
        self.empty(out)?;
        out.put(&self.crc.value().to_be_bytes())
    }
}
