//! Which series have which value of a name, kept small while series are written.
//!
//! An index needs its postings after its series, sorted another way. Until then every series has a place, counted from 0, and each
//! name a column of runs: so many places in a row have this value. Series come in the order of their labels, so a series costs only the
//! labels in which it differs from the one before it, two to five bytes each, and one or two bytes for its number. The runs are
//! sorted by value only when the lists are written (`lists.rs`).

use std::collections::HashMap;

use crate::codec::{Reader, put_uvarint, put_varint};
use crate::error::Error;
use crate::postings::SeriesNo;

const OBJECT: &str = "postings under construction";
const FIRST_PAGE: usize = 64;
const LARGEST_PAGE: usize = 64 << 10;
/// No entry takes more: three numbers of 33 bits.
const LONGEST_ENTRY: usize = 15;

/// Bytes in pages that never grow once they are full, so that little room is left over. No entry lies in two pages.
#[derive(Debug, Default)]
struct Pages(Vec<Vec<u8>>);

impl Pages {
    /// Adds an entry. The answer is the page it lies in and where it begins there.
    #[inline]
    fn put(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> (u32, u32) {
        let full = self.0.last().is_none_or(|page| page.capacity() - page.len() < LONGEST_ENTRY);
        if full {
            let largest = self.0.last().map_or(FIRST_PAGE, |page| page.capacity() * 2);
            self.0.push(Vec::with_capacity(largest.min(LARGEST_PAGE)));
        }
        let number = self.0.len() as u32 - 1;
        let Some(page) = self.0.last_mut() else { return (0, 0) };
        let start = page.len() as u32;
        fill(page);
        (number, start)
    }

    fn memory(&self) -> usize {
        self.0.iter().map(Vec::capacity).sum::<usize>() + self.0.capacity() * size_of::<Vec<u8>>()
    }
}

/// So many places in a row have one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first place.
    pub(crate) start: u32,
    /// How many.
    pub(crate) len: u32,
    /// Symbol of the value.
    pub(crate) value: u32,
}

/// The column of one name.
#[derive(Debug)]
pub(crate) struct Column {
    /// Symbol of the name.
    pub(crate) name: u32,
    /// The run that goes on: where it began, and its value.
    open: Option<(u32, u32)>,
    last_end: u32,
    last_value: u32,
    /// Per run that ended: its length less one, doubled, and one more if there is a gap before it; the gap; the step from the last value.
    runs: Pages,
}

impl Column {
    const fn new(name: u32) -> Self {
        Self { name, open: None, last_end: 0, last_value: 0, runs: Pages(Vec::new()) }
    }

    /// From `place` on the series have another value, or none.
    fn turn(&mut self, place: u32, value: Option<u32>) {
        let open = value.map(|value| (place, value));
        if let Some((start, value)) = std::mem::replace(&mut self.open, open) {
            let (length, gap) = (u64::from(place - start), u64::from(start - self.last_end));
            let step = i64::from(value) - i64::from(self.last_value);
            self.runs.put(|page| {
                put_uvarint(page, (length - 1) << 1 | u64::from(gap > 0));
                if gap > 0 {
                    put_uvarint(page, gap);
                }
                put_varint(page, step);
            });
            (self.last_end, self.last_value) = (place, value);
        }
    }

    /// Shows every run, by place. The last one must have ended.
    pub(crate) fn for_each(&self, mut show: impl FnMut(Run) -> Result<(), Error>) -> Result<(), Error> {
        let (mut end, mut value) = (0u32, 0u32);
        for page in &self.runs.0 {
            let mut reader = Reader::new(OBJECT, page);
            while reader.remaining() > 0 {
                let length = reader.uvarint("length of a run")?;
                let gap = if length & 1 == 1 { reader.uvarint("gap")? as u32 } else { 0 };
                value = value.wrapping_add(reader.varint("change of value")? as u32);
                let start = end.wrapping_add(gap);
                let len = (length >> 1) as u32 + 1;
                end = start.wrapping_add(len);
                show(Run { start, len, value })?;
            }
        }
        Ok(())
    }
}

/// How many series from one whose number can be found at once to the next.
const STRIDE: u32 = 1024;

/// The numbers of all series, by place.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// How many series there are.
    pub(crate) count: u32,
    last: u32,
    /// The steps from one number to the next.
    steps: Pages,
    /// For each place that is a multiple of the stride: the number before it, and page and offset of its step.
    marks: Vec<(u32, u32, u32)>,
}

impl Numbers {
    #[inline]
    fn push(&mut self, no: SeriesNo) {
        let (before, step) = (self.last, no.0 - self.last);
        let (page, at) = self.steps.put(|page| put_uvarint(page, u64::from(step)));
        if self.count.is_multiple_of(STRIDE) {
            self.marks.push((before, page, at));
        }
        self.last = no.0;
        self.count += 1;
    }

    /// Looks at the numbers from the first place on.
    pub(crate) fn look(&self) -> Look<'_> {
        Look { numbers: self, place: 0, no: 0, page: 0, reader: self.reader(0, 0) }
    }

    fn reader(&self, page: u32, at: u32) -> Reader<'_> {
        let page = self.steps.0.get(page as usize).map_or(&[][..], Vec::as_slice);
        Reader::new(OBJECT, page.get(at as usize..).unwrap_or_default())
    }
}

/// A walk over numbers that only goes forward.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    numbers: &'a Numbers,
    /// The place of the next number, and the number before it.
    place: u32,
    no: u32,
    page: u32,
    reader: Reader<'a>,
}

impl Look<'_> {
    /// Goes to `place`, which is not behind the one of the next number.
    pub(crate) fn seek(&mut self, place: u32) -> Result<(), Error> {
        if place / STRIDE > self.place / STRIDE
            && let Some(&(before, page, at)) = self.numbers.marks.get((place / STRIDE) as usize)
        {
            (self.place, self.no, self.page) = (place / STRIDE * STRIDE, before, page);
            self.reader = self.numbers.reader(page, at);
        }
        while self.place < place {
            self.next()?;
        }
        Ok(())
    }

    /// The next number.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<SeriesNo, Error> {
        while self.reader.remaining() == 0 && (self.page as usize) < self.numbers.steps.0.len() {
            self.page += 1;
            self.reader = self.numbers.reader(self.page, 0);
        }
        self.no = self.no.wrapping_add(self.reader.uvarint("step")? as u32);
        self.place += 1;
        Ok(SeriesNo(self.no))
    }
}

/// All columns.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) numbers: Numbers,
    columns: Vec<Column>,
    column_of: HashMap<u32, usize>,
    /// The columns of the names of the series added last, in their order.
    shape: Vec<usize>,
}

impl Columns {
    /// Adds a series, whose number must be above those before it. `before` are the labels of the one added last, as symbols of names
    /// and values, by name.
    pub(crate) fn push(&mut self, no: SeriesNo, before: &[(u32, u32)], labels: &[(u32, u32)]) {
        let place = self.numbers.count;
        self.numbers.push(no);
        let same = before.iter().zip(labels).take_while(|(old, new)| old.0 == new.0).count();
        let same_names = before.iter().zip(labels).take(same);
        for ((old, new), &column) in same_names.zip(&self.shape) {
            if old.1 != new.1
                && let Some(column) = self.columns.get_mut(column)
            {
                column.turn(place, Some(new.1));
            }
        }
        if same < before.len() || same < labels.len() {
            self.reshape(place, same, labels);
        }
    }

    /// Goes over to other names, from the one at `same` on.
    fn reshape(&mut self, place: u32, same: usize, labels: &[(u32, u32)]) {
        for &column in self.shape.get(same..).unwrap_or_default() {
            if let Some(column) = self.columns.get_mut(column) {
                column.turn(place, None);
            }
        }
        self.shape.truncate(same);
        for &(name, value) in labels.get(same..).unwrap_or_default() {
            let columns = &mut self.columns;
            let at = *self.column_of.entry(name).or_insert_with(|| {
                columns.push(Column::new(name));
                columns.len() - 1
            });
            if let Some(column) = self.columns.get_mut(at) {
                column.turn(place, Some(value));
            }
            self.shape.push(at);
        }
    }

    /// The finished columns in the order of their names, and the numbers.
    pub(crate) fn finish(self) -> (Numbers, Vec<Column>) {
        let Self { numbers, mut columns, .. } = self;
        columns.iter_mut().for_each(|column| column.turn(numbers.count, None));
        columns.sort_unstable_by_key(|column| column.name);
        (numbers, columns)
    }

    /// Bytes that the columns hold.
    pub(crate) fn memory(&self) -> usize {
        let runs: usize = self.columns.iter().map(|column| column.runs.memory()).sum();
        let marks = self.numbers.marks.capacity() * size_of::<(u32, u32, u32)>();
        runs + self.numbers.steps.memory() + marks
    }
}
