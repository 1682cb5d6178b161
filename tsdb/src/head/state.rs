//! The head as bytes, for a checkpoint; and back. Drawn in `DESIGN.md`.
//!
//! A checkpoint is written in slices, each under a short hold of the lock, while commits go on. So what it holds of a
//! series is the series as it was at some moment behind the roll of the log: what is logged behind the roll and was applied
//! by then is passed over in replay, because it is not newer than the newest sample. Numbers of labels in use do not
//! change meanwhile, because only the collection takes numbers away, and who writes a checkpoint keeps it from running.

use std::ops::Range;

use sarsen_block::codec::{Reader, put_str, put_uvarint, put_varint};
use sarsen_block::{Error as BlockError, LabelsRef, SeriesHasher, SeriesNo, Timestamp};
use sarsen_wal::SeriesId;

use super::postings::MemPostings;
use super::restoring::{Lists, Restoring};
use super::series::MemSeries;
use super::symbols::{LabelNo, Symbols};
use super::{Head, SpillState};
use crate::error::Error;

/// The first byte of each record.
const BEGINNING: u8 = 1;
const LABELS: u8 = 2;
const SERIES: u8 = 3;
const SPILL: u8 = 4;

/// What a checkpoint covers: everything that was there when it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Numbers of series below this.
    series: SeriesNo,
    /// Pages of series.
    pub(crate) pages: usize,
    /// Numbers of labels below this.
    pub(crate) labels: u32,
}

/// What a record of a checkpoint brought beside the state itself.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Series that cannot be told any more, because a repair took their labels.
    pub(crate) lost_series: u64,
    /// Spill files that are missing or too short.
    pub(crate) missing_files: Vec<u32>,
}

impl Head {
    /// Begins a checkpoint; the log was rolled before. What is born from here on is logged behind the roll.
    pub(crate) fn put_beginning(&self, out: &mut Vec<u8>) -> Extent {
        let series = self.series.next_no().unwrap_or(SeriesNo(u32::MAX));
        out.push(BEGINNING);
        put_varint(out, self.times.floor);
        put_uvarint(out, u64::from(series.0));
        Extent { series, pages: self.series.num_pages(), labels: self.symbols.end() }
    }

    /// The texts of labels; nothing for those not in use.
    pub(crate) fn put_labels(&self, numbers: Range<u32>, out: &mut Vec<u8>) {
        out.push(LABELS);
        put_uvarint(out, u64::from(numbers.start));
        for no in numbers {
            put_str(out, self.symbols.text(LabelNo(no)));
        }
    }

    /// The series of one page; `false`, and nothing is written, if there is none.
    pub(crate) fn put_series(&self, page: usize, extent: Extent, out: &mut Vec<u8>) -> bool {
        let mut numbers = self.series.numbers_of_page(page);
        numbers.retain(|&no| no < extent.series);
        if numbers.is_empty() {
            return false;
        }
        out.push(SERIES);
        let mut last = 0;
        for no in numbers {
            let Some(series) = self.series.get(no) else { continue };
            put_uvarint(out, u64::from(no.0 - last));
            last = no.0;
            put_str(out, self.label_lists.get(series.labels));
            series.put_state(&self.store, out);
        }
        true
    }

    /// What was spilled up to now is handed over, so that it can be synced and named.
    pub(crate) fn seal_spill(&mut self) {
        self.store.spill.seal();
    }

    /// Deletions and metadata of the series of one page, as ordinary records. Those of series born since are logged behind
    /// the roll.
    pub(crate) fn log_notes(&self, page: usize, extent: Extent, batch: &mut sarsen_wal::Batch) {
        for no in self.series.numbers_of_page(page).into_iter().filter(|&no| no < extent.series) {
            let id = SeriesId(u64::from(no.0));
            for &range in self.stones.of(no) {
                batch.deletion(id, range);
            }
            if let Some(known) = self.metadata.get(no) {
                batch.metadata(id, known.kind.number(), &known.unit, &known.help);
            }
        }
    }

    /// Exemplars of series that are still there, as ordinary records; whether there are more.
    pub(crate) fn log_exemplars(
        &self,
        turns: Range<u32>,
        extent: Extent,
        batch: &mut sarsen_wal::Batch,
    ) -> bool {
        for (hash, exemplar) in self.exemplars.in_turn(turns.clone()) {
            if let Some(no) = self.find(hash).filter(|&no| no < extent.series) {
                let labels = exemplar.labels.as_ref();
                batch.exemplar(SeriesId(u64::from(no.0)), exemplar.t, exemplar.value.to_bits(), labels);
            }
        }
        (turns.end as usize) < self.exemplars.len()
    }

    /// Takes up one record of a checkpoint; what finds the series goes to the second thread.
    ///
    /// # Errors
    /// [`Error::Block`] if the bytes are no such record; [`Error::Full`] if references have run out.
    pub(crate) fn restore_state(
        &mut self,
        record: &[u8],
        restoring: &Restoring<'_>,
    ) -> Result<Restored, Error> {
        let mut reader = Reader::new("checkpoint", record);
        match reader.u8("kind")? {
            BEGINNING => {
                self.times.floor = self.times.floor.max(reader.varint("floor")?);
                let next = narrow(&reader, reader.clone().uvarint("next series")?)?;
                if let Some(last) = next.checked_sub(1) {
                    self.series.skip(SeriesNo(last));
                }
                Ok(Restored::default())
            }
            LABELS => {
                restoring.labels(record.get(1..).unwrap_or_default());
                Ok(Restored::default())
            }
            SERIES => self.restore_page(&mut reader, restoring),
            SPILL => {
                let next = reader.uvarint("next spill file")?;
                self.spill_files().skip_numbers(narrow(&reader, next)?);
                let files = SpillState::read_all(&mut reader)?;
                for file in &files {
                    self.counts.chunks += file.chunks;
                    self.note_time(file.range.min);
                }
                let missing_files = self.spill_files().adopt(&files)?;
                if !missing_files.is_empty() {
                    self.drop_torn();
                }
                Ok(Restored { missing_files, ..Restored::default() })
            }
            other => Err(reader.corrupt(format!("a record of kind {other}")).into()),
        }
    }

    fn restore_page(
        &mut self,
        reader: &mut Reader<'_>,
        restoring: &Restoring<'_>,
    ) -> Result<Restored, Error> {
        let (mut number, mut lost_series) = (0, 0);
        let mut lists = Lists::default();
        let mut page = Vec::new();
        while reader.remaining() > 0 {
            number += reader.uvarint("series")?;
            let no = SeriesNo(narrow(reader, number)?);
            let list = reader.str("labels of a series")?;
            let place = self.label_lists.put(list).ok_or(Error::Full { what: "references of labels" })?;
            let mut series = MemSeries::new(sarsen_block::SeriesHash(0), place);
            series.restore_state(&mut self.store, reader)?;
            series.drop_before(&mut self.store, self.times.floor);
            let rises = page.last().is_none_or(|&(last, _)| last < no);
            if !rises || self.series.get(no).is_some() {
                series.drop_before(&mut self.store, Timestamp::MAX);
                self.label_lists.free(place);
                lost_series += 1;
                continue;
            }
            if let Some(oldest) = series.oldest() {
                self.counts.chunks += 1;
                self.times.max = self.times.max.max(series.newest().t);
                self.note_time(oldest);
            }
            lists.push(no, list);
            page.push((no, series));
        }
        self.series.insert_all(page);
        restoring.series(lists);
        self.store.spill.suit(self.series.count());
        Ok(Restored { lost_series, ..Restored::default() })
    }

    /// Drops open chunks whose front was lost with a spill file.
    fn drop_torn(&mut self) {
        for page in 0..self.series.num_pages() {
            for no in self.series.numbers_of_page(page) {
                if let Some(series) = self.series.get_mut(no)
                    && !series.is_whole(&self.store)
                {
                    let dropped = series.drop_before(&mut self.store, Timestamp::MAX);
                    self.counts.chunks = self.counts.chunks.saturating_sub(u64::from(dropped));
                }
            }
        }
    }

    fn note_time(&mut self, t: Timestamp) {
        self.times.min = self.times.min.min(t.max(self.times.floor));
    }
}

/// The spill files that a checkpoint names, and the number of the next one.
pub(crate) fn put_spill(next: u32, files: &[SpillState], out: &mut Vec<u8>) {
    out.push(SPILL);
    put_uvarint(out, u64::from(next));
    SpillState::put_all(files, out);
}

/// Takes up the texts of labels: the number of the first, then text behind text.
pub(super) fn restore_labels(
    reader: &mut Reader<'_>,
    hasher: &SeriesHasher,
    symbols: &mut Symbols,
    postings: &mut MemPostings,
) -> Result<(), Error> {
    let first = reader.uvarint("first label")?;
    let mut number = narrow(reader, first)?;
    while reader.remaining() > 0 {
        let field = reader.str("label")?;
        let no = LabelNo(number);
        if symbols.restore(hasher, no, field) {
            let (name, _) = LabelsRef::trusted(field).iter().next().unwrap_or_default();
            postings.add_label(no, name);
        }
        number = number.saturating_add(1);
    }
    Ok(())
}

fn narrow(reader: &Reader<'_>, value: u64) -> Result<u32, BlockError> {
    u32::try_from(value).map_err(|_| reader.corrupt("a number of more than 32 bits"))
}

/// The numbers in a list of labels.
pub(super) fn label_numbers(mut list: &[u8]) -> impl Iterator<Item = LabelNo> + '_ {
    std::iter::from_fn(move || {
        let (mut number, mut shift) = (0u32, 0u32);
        loop {
            let (&byte, rest) = list.split_first()?;
            list = rest;
            number |= u32::from(byte & 0x7F).checked_shl(shift).unwrap_or_default();
            if byte < 0x80 {
                return Some(LabelNo(number));
            }
            shift += 7;
        }
    })
}
