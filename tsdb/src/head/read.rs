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
    Labels, LabelsRef, ListWalk, Matcher, PostingsSource, SeriesNo, TimeRange, TimedChunk, Timestamp,
    select_postings,
};

use super::symbols::LabelNo;
use super::{Head, Pieces};
use crate::error::Error;

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
#[derive(Debug, Default)]
pub(crate) struct SortedHead {
    /// Labels of all the series, each once, rising: bytes as in a label set.
    texts: Vec<u8>,
    /// By rank: where a label lies in `texts`.
    spans: Vec<(u32, u32)>,
    /// Ranks of the labels of one series after the other.
    ranks: Vec<u32>,
    /// In label order: the series, and where its ranks begin and how many there are.
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    no: SeriesNo,
    start: u32,
    count: u32,
}

impl SortedHead {
    /// Copies the label sets of `series` and sorts by them. Series that were forgotten are left out.
    ///
    /// # Errors
    /// [`Error::Full`] if the series have more than four billion labels in all.
    pub(crate) fn collect(head: &RwLock<Head>, series: &[SeriesNo]) -> Result<Self, Error> {
        let mut collected = Self::default();
        'again: loop {
            let mut seen = Vec::new();
            collected = Self { texts: clear(collected.texts), ..Self::default() };
            collected.rows.reserve_exact(series.len());
            let epoch = head.read().label_epoch;
            for slice in slices(series.len()) {
                let head = head.read();
                if head.label_epoch != epoch {
                    continue 'again;
                }
                seen.resize(head.label_end() as usize, 0u32);
                for &no in series.get(slice).unwrap_or_default() {
                    collected.add(&head, no, &mut seen)?;
                }
            }
            collected.sort();
            return Ok(collected);
        }
    }

    /// Copies the label set of one series. `seen` holds, for each label number, one more than its place in `spans`.
    fn add(&mut self, head: &Head, no: SeriesNo, seen: &mut [u32]) -> Result<(), Error> {
        let Some(series) = head.series.get(no) else { return Ok(()) };
        let start =
            u32::try_from(self.ranks.len()).map_err(|_| Error::Full { what: "labels of a selection" })?;
        for label in head.label_numbers(series) {
            let Some(place) = seen.get_mut(label.0 as usize) else { continue };
            if *place == 0 {
                let from = u32::try_from(self.texts.len())
                    .map_err(|_| Error::Full { what: "labels of a selection" })?;
                self.texts.extend_from_slice(head.symbols.text(label));
                self.spans.push((from, self.texts.len() as u32));
                *place = self.spans.len() as u32;
            }
            self.ranks.push(*place - 1);
        }
        self.rows.push(Row { no, start, count: self.ranks.len() as u32 - start });
        Ok(())
    }

    /// From places in the order of discovery to ranks, and the rows in the order of their ranks. Comparing two label
    /// sets pair by pair is comparing their lists of ranks.
    fn sort(&mut self) {
        let Self { texts, spans, ranks, rows } = self;
        let pair = |&(from, to): &(u32, u32)| {
            let text = texts.get(from as usize..to as usize).unwrap_or_default();
            LabelsRef::trusted(text).iter().next().unwrap_or_default()
        };
        let mut order: Vec<u32> = (0..spans.len() as u32).collect();
        let pair_at = |place: u32| spans.get(place as usize).map(pair);
        order.sort_unstable_by(|&a, &b| pair_at(a).cmp(&pair_at(b)));
        let mut rank_of = vec![0u32; order.len()];
        for (rank, &place) in order.iter().enumerate() {
            if let Some(slot) = rank_of.get_mut(place as usize) {
                *slot = rank as u32;
            }
        }
        let sorted: Vec<(u32, u32)> =
            order.iter().filter_map(|&place| spans.get(place as usize).copied()).collect();
        for rank in ranks.iter_mut() {
            *rank = rank_of.get(*rank as usize).copied().unwrap_or_default();
        }
        *spans = sorted;
        let ranks_of =
            |row: &Row| ranks.get(row.start as usize..(row.start + row.count) as usize).unwrap_or_default();
        rows.sort_unstable_by(|a, b| ranks_of(a).cmp(ranks_of(b)));
    }

    /// Names and values of the labels of all the series, each pair once, rising.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().filter_map(|&(from, to)| {
            LabelsRef::trusted(self.texts.get(from as usize..to as usize)?).iter().next()
        })
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The number of the series at a place in label order.
    pub(crate) fn series(&self, at: usize) -> Option<SeriesNo> {
        self.rows.get(at).map(|row| row.no)
    }

    /// Writes the labels of the series at a place in label order.
    pub(crate) fn labels<'b>(&self, at: usize, out: &'b mut Vec<u8>) -> LabelsRef<'b> {
        out.clear();
        let Some(row) = self.rows.get(at) else { return LabelsRef::default() };
        let ranks = self.ranks.get(row.start as usize..(row.start + row.count) as usize).unwrap_or_default();
        for &rank in ranks {
            if let Some(&(from, to)) = self.spans.get(rank as usize) {
                out.extend_from_slice(self.texts.get(from as usize..to as usize).unwrap_or_default());
            }
        }
        LabelsRef::trusted(out)
    }
}

fn clear(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.clear();
    bytes
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
