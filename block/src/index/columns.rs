//! Which series have which value of a name, kept small while series are written.
//!
//! An index needs its postings after its series, sorted another way. Until then each name has a column: for every series
//! that has the name, the step from the last such series number and, if it changed, the step from the last value's
//! symbol, as varints. With a dozen labels that takes about two bytes a label, where lists of numbers would take four and
//! more. A column is sorted by value only when it is its turn to be written.

use crate::codec::{Reader, put_uvarint, put_varint};
use crate::error::Error;
use crate::postings::SeriesNo;

const OBJECT: &str = "postings under construction";
const FIRST_PAGE: usize = 64;
const LARGEST_PAGE: usize = 64 << 10;
/// No entry takes more: a step of series numbers with its mark, and a step of symbols.
const LONGEST_ENTRY: usize = 10;

/// The column of one name.
#[derive(Debug)]
pub(crate) struct Column {
    /// Symbol of the name.
    pub(crate) name: u32,
    /// How many series have the name.
    pub(crate) count: u32,
    last_no: u32,
    last_value: u32,
    /// The entries. No entry lies in two pages, and no page grows once it is full, so that little room is left over.
    pages: Vec<Vec<u8>>,
}

impl Column {
    pub(crate) const fn new(name: u32) -> Self {
        Self { name, count: 0, last_no: 0, last_value: 0, pages: Vec::new() }
    }

    /// Adds a series, whose number must be above those before it.
    #[inline]
    pub(crate) fn push(&mut self, no: SeriesNo, value: u32) {
        let full = self.pages.last().is_none_or(|page| page.capacity() - page.len() < LONGEST_ENTRY);
        if full {
            let largest = self.pages.last().map_or(FIRST_PAGE, |page| page.capacity() * 2);
            self.pages.push(Vec::with_capacity(largest.min(LARGEST_PAGE)));
        }
        let Some(page) = self.pages.last_mut() else { return };
        let step = u64::from(no.0 - self.last_no);
        let changed = value != self.last_value;
        put_uvarint(page, step << 1 | u64::from(changed));
        if changed {
            put_varint(page, i64::from(value) - i64::from(self.last_value));
        }
        (self.last_no, self.last_value) = (no.0, value);
        self.count += 1;
    }

    /// Shows every series with its value, by series.
    pub(crate) fn for_each(&self, mut show: impl FnMut(SeriesNo, u32)) -> Result<(), Error> {
        let (mut no, mut value) = (0u32, 0u32);
        for page in &self.pages {
            let mut reader = Reader::new(OBJECT, page);
            while reader.remaining() > 0 {
                let step = reader.uvarint("step")?;
                no = no.wrapping_add((step >> 1) as u32);
                if step & 1 == 1 {
                    value = value.wrapping_add(reader.varint("change of value")? as u32);
                }
                show(SeriesNo(no), value);
            }
        }
        Ok(())
    }

    /// Bytes that the column holds.
    pub(crate) fn memory(&self) -> usize {
        self.pages.iter().map(Vec::capacity).sum::<usize>() + self.pages.capacity() * size_of::<Vec<u8>>()
    }
}
