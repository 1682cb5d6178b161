//! The head as a set of series for a range: which series match, and their chunks in label order.
//!
//! A reader holds the lock only while it copies, in slices of a bounded number of series; between two slices the head goes
//! on. What makes that right: numbers of series are never used twice, so a series that is gone was forgotten, and only
//! series born before the reading began are looked at; numbers of labels are used again, but only after a change of
//! [`Head::label_epoch`], which sends the collecting of label sets back to its start.

use std::collections::BTreeSet;

use bytes::Bytes;
use parking_lot::RwLock;
use sarsen_block::{
    Labels, ListWalk, Matcher, PostingsSource, SeriesNo, TimeRange, TimedChunk, Timestamp, select_postings,
};

use super::symbols::LabelNo;
use super::{Head, Pieces};
use crate::error::Error;
use crate::sorted::SortedRows;

/// Series whose label sets are copied under one hold of the lock.
const LABEL_SLICE: usize = 4096;

/// What part of a head is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// Of the samples that came in order.
    pub(crate) ordered: TimeRange,
    /// Of those that came late.
    pub(crate) late: TimeRange,
}

impl Head {
    /// Whether a sample of a series may lie in `reach`, as far as the times of chunks tell.
    fn may_have(&self, no: SeriesNo, reach: Reach) -> bool {
        self.series.get(no).is_some_and(|series| series.may_have(reach.ordered))
            || self.late.may_have(no, reach.late)
    }

    /// Begins to collect the chunks of a series that share a millisecond with `range`: what of them is in memory. The
    /// rest is read without the lock. `None` if the series was forgotten.
    pub(crate) fn pieces_of(
        &self,
        no: SeriesNo,
        range: TimeRange,
    ) -> Result<Option<Pieces>, sarsen_block::Error> {
        self.series.get(no).map(|series| series.pieces(&self.store, range)).transpose()
    }

    /// Names and values of all labels that are in use, for the numbers of one slice.
    pub(crate) fn pairs(&self, numbers: std::ops::Range<u32>) -> impl Iterator<Item = (&[u8], &[u8])> {
        let end = numbers.end.min(self.symbols.end());
        (numbers.start..end).map(|no| self.symbols.pair(LabelNo(no))).filter(|(name, _)| !name.is_empty())
    }

    /// One past the largest label number.
    pub(crate) fn label_end(&self) -> u32 {
        self.symbols.end()
    }
}

/// The lists of a head, each taken under its own hold of the lock. Only series born before the reading began count, so
/// lists taken at different moments agree.
pub(crate) struct HeadLists<'a> {
    head: &'a RwLock<Head>,
    end: SeriesNo,
}

impl<'a> HeadLists<'a> {
    pub(crate) fn new(head: &'a RwLock<Head>) -> Self {
        let end = head.read().series.next_no().unwrap_or(SeriesNo(u32::MAX));
        Self { head, end }
    }

    /// The series that all matchers accept and that may have samples in `reach`, rising.
    pub(crate) fn select(&self, matchers: &[Matcher], reach: Reach) -> Result<Vec<SeriesNo>, Error> {
        let mut selected = select_postings(matchers, self)?;
        for slice in slices(selected.len()) {
            let head = self.head.read();
            for no in selected.get_mut(slice).unwrap_or_default() {
                if !head.may_have(*no, reach) {
                    *no = SeriesNo(u32::MAX);
                }
            }
        }
        selected.retain(|&no| no != SeriesNo(u32::MAX));
        Ok(selected)
    }

    fn walk(&self, mut series: Vec<SeriesNo>) -> ListWalk<Vec<SeriesNo>> {
        series.truncate(series.partition_point(|&no| no < self.end));
        ListWalk::new(series)
    }
}

impl PostingsSource for HeadLists<'_> {
    type Walk<'b>
        = ListWalk<Vec<SeriesNo>>
    where
        Self: 'b;

    fn all(&self) -> Result<Self::Walk<'_>, sarsen_block::Error> {
        Ok(self.walk(series_where(self.head, |_, _| true)))
    }

    fn list(&self, name: &[u8], value: &[u8]) -> Result<Option<Self::Walk<'_>>, sarsen_block::Error> {
        let Ok(label) = Labels::from_pairs([(name, value)]) else { return Ok(None) };
        let head = self.head.read();
        let number = head.symbols.find(&head.hasher, label.as_ref().as_bytes());
        Ok(number.map(|number| self.walk(head.postings.series(number))))
    }

    fn lists_where(
        &self,
        name: &[u8],
        prefix: &[u8],
        keep: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Vec<Self::Walk<'_>>, sarsen_block::Error> {
        let mut lists = Vec::new();
        for_labels_of(self.head, name, &mut lists, Vec::clear, |lists, head, label| {
            let (_, value) = head.symbols.pair(label);
            if value.starts_with(prefix) && keep(value) {
                lists.push(self.walk(head.postings.series(label)));
            }
        });
        Ok(lists)
    }
}

/// Ranges of at most [`LABEL_SLICE`] that cover `0..len`.
fn slices(len: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..len).step_by(LABEL_SLICE).map(move |start| start..len.min(start + LABEL_SLICE))
}

/// Some series of a head in label order, with their labels.
pub(crate) type SortedHead = SortedRows<SeriesNo>;

impl SortedHead {
    /// Copies the label sets of `series` and sorts by them. Series that were forgotten are left out.
    ///
    /// # Errors
    /// [`Error::Full`] if the series have more than four billion labels in all.
    pub(crate) fn collect(head: &RwLock<Head>, series: &[SeriesNo]) -> Result<Self, Error> {
        let mut collected = Self::default();
        collect_labels(head, series, &mut collected)?;
        collected.sort(false);
        Ok(collected)
    }
}

/// Who gathers the label sets of series of a head.
pub(crate) trait Gather {
    /// Gathering begins, perhaps not for the first time: what came so far counts no more. `rows` series may come.
    fn restart(&mut self, rows: usize) -> Result<(), Error>;
    /// A label that was not told yet; its place.
    fn label(&mut self, text: &[u8]) -> Result<u32, Error>;
    /// A series, with the places of its labels by name.
    fn row(&mut self, no: SeriesNo, places: &[u32]) -> Result<(), Error>;
}

impl Gather for SortedHead {
    fn restart(&mut self, rows: usize) -> Result<(), Error> {
        Self::restart(self, rows);
        Ok(())
    }

    fn label(&mut self, text: &[u8]) -> Result<u32, Error> {
        self.add_label(text)
    }

    fn row(&mut self, no: SeriesNo, places: &[u32]) -> Result<(), Error> {
        self.add_row(no, places.iter().copied(), &[])
    }
}

/// Tells the label sets of `series`, in slices. Series that were forgotten are left out.
///
/// # Errors
/// Whatever `into` refuses.
pub(crate) fn collect_labels(
    head: &RwLock<Head>,
    series: &[SeriesNo],
    into: &mut impl Gather,
) -> Result<(), Error> {
    'again: loop {
        into.restart(series.len())?;
        // By label number: one more than its place.
        let (mut seen, mut places) = (Vec::new(), Vec::new());
        let epoch = head.read().label_epoch;
        for slice in slices(series.len()) {
            let head = head.read();
            if head.label_epoch != epoch {
                continue 'again;
            }
            seen.resize(head.label_end() as usize, 0u32);
            for &no in series.get(slice).unwrap_or_default() {
                let Some(series) = head.series.get(no) else { continue };
                places.clear();
                for label in head.label_numbers(series) {
                    let Some(place) = seen.get_mut(label.0 as usize) else { continue };
                    if *place == 0 {
                        *place = into.label(head.symbols.text(label))? + 1;
                    }
                    places.push(*place - 1);
                }
                into.row(no, &places)?;
            }
        }
        return Ok(());
    }
}

/// All series of a head that may have samples in `range`, rising.
pub(crate) fn series_in(head: &RwLock<Head>, range: TimeRange) -> Vec<SeriesNo> {
    series_where(head, |head, no| head.series.get(no).is_some_and(|series| series.may_have(range)))
}

/// All series for which `is_wanted` says so, rising.
pub(crate) fn series_where(
    head: &RwLock<Head>,
    is_wanted: impl Fn(&Head, SeriesNo) -> bool,
) -> Vec<SeriesNo> {
    let mut found = Vec::new();
    let mut page = 0;
    loop {
        let head = head.read();
        if page >= head.series.num_pages() {
            return found;
        }
        for _ in 0..8 {
            let numbers = head.series.numbers_of_page(page);
            found.extend(numbers.into_iter().filter(|&no| is_wanted(&head, no)));
            page += 1;
        }
    }
}

/// The chunks of a series cut to `range` and without what is `deleted`: what lies wholly inside stays as it is, what sticks
/// out or is deleted in part is encoded anew.
///
/// # Errors
/// [`sarsen_block::Error`] if a chunk of the head cannot be decoded, which would be a fault of this program.
pub(crate) fn clip(
    chunks: Vec<TimedChunk>,
    range: TimeRange,
    deleted: &[TimeRange],
) -> Result<Vec<TimedChunk>, sarsen_block::Error> {
    let outside = [
        range.min.checked_sub(1).map(|end| TimeRange::new(Timestamp::MIN, end)),
        range.max.checked_add(1).map(|start| TimeRange::new(start, Timestamp::MAX)),
    ];
    let gone: Vec<TimeRange> = deleted.iter().copied().chain(outside.into_iter().flatten()).collect();
    let mut clipped = Vec::with_capacity(chunks.len());
    for timed in chunks {
        let mut touched = gone.iter().filter(|gone| gone.overlaps(timed.range)).peekable();
        if touched.peek().is_none() {
            clipped.push(timed);
        } else if !touched.any(|gone| gone.contains(timed.range.min) && gone.contains(timed.range.max)) {
            clipped.extend(timed.chunk.without(&gone)?);
        }
    }
    Ok(clipped)
}

/// All names of labels, rising.
pub(crate) fn names(head: &RwLock<Head>) -> BTreeSet<Bytes> {
    head.read().postings.names().map(Bytes::copy_from_slice).collect()
}

/// All values of one name, rising.
pub(crate) fn values(head: &RwLock<Head>, name: &[u8]) -> BTreeSet<Bytes> {
    let mut values = BTreeSet::new();
    for_labels_of(head, name, &mut values, BTreeSet::clear, |values, head, label| {
        values.insert(Bytes::copy_from_slice(head.symbols.pair(label).1));
    });
    values
}

/// The values of one name that the oldest of `series` (rising) have, as many as `limit` at most; in no order.
pub(crate) fn oldest_values(
    head: &RwLock<Head>,
    name: &[u8],
    series: &[SeriesNo],
    limit: usize,
) -> BTreeSet<Bytes> {
    let mut values = BTreeSet::new();
    for slice in slices(series.len()) {
        let head = head.read();
        for &no in series.get(slice).unwrap_or_default() {
            let Some(series) = head.series.get(no) else { continue };
            let mut pairs = head.label_numbers(series).map(|label| head.symbols.pair(label));
            let Some((_, value)) = pairs.find(|(found, _)| *found == name) else { continue };
            if !values.contains(value) {
                if values.len() >= limit {
                    return values;
                }
                values.insert(Bytes::copy_from_slice(value));
            }
        }
    }
    values
}

/// Calls `each` for every label under `name`, in slices; begins again, after `reset`, if numbers of labels may have
/// changed hands meanwhile.
fn for_labels_of<T>(
    head: &RwLock<Head>,
    name: &[u8],
    found: &mut T,
    reset: impl Fn(&mut T),
    mut each: impl FnMut(&mut T, &Head, LabelNo),
) {
    let mut epoch = head.read().label_epoch;
    let mut done = 0;
    loop {
        let head = head.read();
        if head.label_epoch != epoch {
            epoch = head.label_epoch;
            done = 0;
            reset(found);
        }
        let labels = head.postings.labels_of(name);
        let slice = labels.get(done..labels.len().min(done + 1024)).unwrap_or_default();
        if slice.is_empty() {
            return;
        }
        for &label in slice {
            each(found, &head, label);
        }
        done += slice.len();
    }
}
