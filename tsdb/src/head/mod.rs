//! The part of time that is still in memory: its parts and its invariants.
//!
//! A head is one value behind one lock; nothing in it has a lock of its own. What holds between any two calls:
//! * a series is found by its hash in `map`, by its number in `series`, and stands in the list of each of its labels;
//! * a label has a number exactly as long as a series has it (until [`gc`] has passed);
//! * chunks of a series follow one another in time, the open one last, and none crosses a multiple of the block range;
//!   where there is a finished one there is an open one;
//! * late samples lie in `late` and nowhere else, and their series are in the other tables;
//! * no other sample is older than `times.floor`, except in chunks that wait to be dropped behind a cut.
//!
//! What it does not do: it knows no log and no block, and calls no disk: what it spills it only hands over.

mod append;
mod arena;
mod cells;
mod encode;
mod gc;
mod histograms;
mod judge;
mod map;
mod notes;
mod out_of_order;
mod postings;
mod read;
mod restoring;
mod series;
mod spill;
mod staged;
mod state;
mod symbols;
mod table;
mod tombstones;

use std::sync::Arc;

use sarsen_block::codec::put_uvarint;
use sarsen_block::{
    LabelsRef, Sample, SeriesHash, SeriesHasher, SeriesNo, TimeRange, Timestamp, Tombstones, Value,
};
use smallvec::SmallVec;

use crate::error::Error;
use crate::exemplars::ExemplarRing;
use crate::metadata::MetadataTable;
use crate::options::Options;
use crate::stats::{HeadBytes, Stats};

pub(crate) use append::Applied;
pub(crate) use encode::{closed, join_overlapping};
pub(crate) use gc::Gc;
pub(crate) use notes::Notes;
pub(crate) use out_of_order::{LateTable, Sealed};
pub(crate) use read::{
    Gather, HeadLists, Reach, SortedHead, clip, collect_labels, names, oldest_values, series_in, values,
};
pub(crate) use restoring::Restoring;
pub(crate) use series::MAX_OPEN_BYTES;
pub(crate) use spill::{Pieces, SpillFiles, SpillState};
pub(crate) use staged::Batch;
pub(crate) use state::{Extent, put_spill};

use arena::Arena;
use histograms::{Form, Row};
use map::NumberMap;
use postings::MemPostings;
use series::{ChunkStore, MemSeries};
use spill::Spill;
use symbols::{LabelNo, Symbols, fields};
use table::SeriesTable;

/// The times that decide what a head takes and what it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Oldest sample, or a bound below it; `Timestamp::MAX` before the first.
    pub(crate) min: Timestamp,
    /// Newest sample; `Timestamp::MIN` before the first.
    pub(crate) max: Timestamp,
    /// Samples below are refused whatever `max` is: they belong to a range that was cut.
    pub(crate) floor: Timestamp,
}

/// What has happened since the head was made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) births: u64,
    pub(crate) forgotten: u64,
    pub(crate) samples: u64,
    /// Those of the samples that came late.
    pub(crate) late: u64,
    pub(crate) chunks: u64,
}

/// What the head has to know of the settings of the database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) block_range: Timestamp,
    /// How far behind the newest sample late ones are taken; 0 if they are not.
    pub(crate) late_window: Timestamp,
    /// Late samples of a series that are kept before they are encoded.
    pub(crate) late_cap: usize,
    /// Whether start timestamps are kept, and floats go into XOR2 chunks.
    pub(crate) xor2: bool,
}

impl From<&Options> for Settings {
    fn from(options: &Options) -> Self {
        Self {
            block_range: options.block_range,
            late_window: options.out_of_order_window,
            late_cap: options.out_of_order_cap_max,
            xor2: options.xor2,
        }
    }
}

/// The head.
#[derive(Debug)]
pub(crate) struct Head {
    settings: Settings,
    hasher: SeriesHasher,
    symbols: Symbols,
    /// For each series the numbers of its labels as uvarints, in the order of their names.
    label_lists: Arena,
    postings: MemPostings,
    series: SeriesTable,
    map: NumberMap,
    store: ChunkStore,
    /// What is deleted of the chunks.
    stones: Tombstones,
    pub(crate) exemplars: ExemplarRing,
    pub(crate) metadata: MetadataTable,
    pub(crate) late: LateTable,
    pub(crate) times: Times,
    pub(crate) counts: Counts,
    /// Changes whenever the number of a label may have been given to another label.
    label_epoch: u64,
}

impl Head {
    /// An empty head, whose chunks leave memory into `files`.
    pub(crate) fn new(options: &Options, hasher: SeriesHasher, files: Arc<SpillFiles>) -> Self {
        let settings = Settings::from(options);
        let block_range = settings.block_range;
        let spill = Spill::new(files, block_range, options.spill_buffer_bytes);
        let store =
            ChunkStore::new(spill, Form { block_range, starts: settings.xor2 }, options.open_chunk_bytes);
        Self {
            settings,
            hasher,
            symbols: Symbols::default(),
            label_lists: Arena::default(),
            postings: MemPostings::default(),
            series: SeriesTable::default(),
            map: NumberMap::default(),
            store,
            late: LateTable::new(settings.late_cap),
            stones: Tombstones::default(),
            exemplars: ExemplarRing::new(0, 0),
            metadata: MetadataTable::default(),
            times: Times { min: Timestamp::MAX, max: Timestamp::MIN, floor: Timestamp::MIN },
            counts: Counts::default(),
            label_epoch: 0,
        }
    }

    /// The number of a series.
    fn find(&self, hash: SeriesHash) -> Option<SeriesNo> {
        let same = |no| self.series.get(SeriesNo(no)).is_some_and(|series| series.hash() == hash);
        self.map.find(hash.0, same).map(SeriesNo)
    }

    /// Brings a series to life that the head does not have. `None` if references have run out.
    fn birth(&mut self, hash: SeriesHash, labels: LabelsRef<'_>) -> Option<SeriesNo> {
        let no = self.series.next_no()?;
        self.birth_as(no, hash, labels)?;
        Some(no)
    }

    fn birth_as(&mut self, no: SeriesNo, hash: SeriesHash, labels: LabelsRef<'_>) -> Option<()> {
        let mut numbers = SmallVec::<[LabelNo; 32]>::new();
        let mut list = SmallVec::<[u8; 128]>::new();
        let mut one = Vec::with_capacity(5);
        for field in fields(labels) {
            let (label, is_new) = self.symbols.intern(&self.hasher, field)?;
            if is_new {
                let (name, _) = LabelsRef::trusted(field).iter().next().unwrap_or_default();
                self.postings.add_label(label, name);
            }
            numbers.push(label);
            one.clear();
            put_uvarint(&mut one, u64::from(label.0));
            list.extend_from_slice(&one);
        }
        let place = self.label_lists.put(&list)?;
        for &label in &numbers {
            self.postings.add(label, no);
        }
        self.series.insert(no, MemSeries::new(hash, place));
        self.map.insert(hash.0, no.0);
        self.counts.births += 1;
        if self.series.count().is_power_of_two() {
            self.store.spill.suit(self.series.count());
        }
        Some(())
    }

    /// A series comes back from the log under the number that it had. A checkpoint and the log behind it may both tell of a
    /// birth; and a series that was forgotten and came again has two births in the log, of which the later one counts.
    ///
    /// # Errors
    /// [`Error::Full`] if references have run out.
    pub(crate) fn restore_series(&mut self, no: SeriesNo, labels: LabelsRef<'_>) -> Result<(), Error> {
        let hash = self.hasher.hash(labels);
        let known = self.find(hash);
        if known == Some(no) {
            return Ok(());
        }
        // Whoever had the number or the labels before was forgotten in its time, without samples.
        for former in [known, self.series.get(no).map(|_| no)].into_iter().flatten() {
            self.forget_one(former);
        }
        self.birth_as(no, hash, labels).ok_or(Error::Full { what: "references of labels" })
    }

    /// Takes one series out, wherever it stands.
    fn forget_one(&mut self, no: SeriesNo) {
        let Some(mut series) = self.series.remove(no) else { return };
        let dropped = series.drop_before(&mut self.store, Timestamp::MAX);
        self.counts.chunks = self.counts.chunks.saturating_sub(u64::from(dropped));
        self.stones.drop_before(no, Timestamp::MAX);
        self.metadata.forget(no);
        self.map.remove(series.hash().0, no.0);
        let labels: Vec<LabelNo> = self.label_numbers(&series).collect();
        for label in labels {
            self.forget_in_list(label, &[no]);
        }
        self.label_lists.free(series.labels);
        self.counts.forgotten += 1;
    }

    /// Takes forgotten series (rising) out of the list of one label, and the label itself if nobody is left.
    fn forget_in_list(&mut self, label: LabelNo, dead: &[SeriesNo]) {
        if self.postings.forget(label, dead) == 0 {
            let name = self.symbols.pair(label).0.to_vec();
            self.postings.forget_label(&name, label);
            self.symbols.release(&self.hasher, label);
            self.label_epoch += 1;
        }
    }

    /// Whether a series has a sample at `t` or behind it, so that replay passes over one at `t`.
    #[inline]
    pub(crate) fn is_passed(&self, no: SeriesNo, t: Timestamp) -> bool {
        self.series.get(no).is_some_and(|series| {
            let newest = series.newest();
            newest.is_any && newest.t >= t
        })
    }

    /// A float comes back from the log. It was judged when it was logged. `false` if its series is not there; the number
    /// is then never given to another.
    ///
    /// # Errors
    /// As [`restore_row`](Self::restore_row).
    pub(crate) fn restore_sample(&mut self, no: SeriesNo, t: Timestamp, v: f64) -> Result<bool, Error> {
        match self.series.get_mut(no) {
            Some(series) if !series.has_other() && !self.settings.xor2 => {
                let newest = series.newest();
                if !newest.is_any || newest.t < t {
                    self.counts.chunks += u64::from(series.append(&mut self.store, no, t, v));
                    self.times.min = self.times.min.min(t);
                    self.times.max = self.times.max.max(t);
                }
                Ok(true)
            }
            _ => self.restore_row(no, t, 0, &Value::Float(v)),
        }
    }

    /// A sample of any kind comes back from the log.
    ///
    /// # Errors
    /// [`Error::Block`] if it is a histogram that no chunk can hold.
    pub(crate) fn restore_row(
        &mut self,
        no: SeriesNo,
        t: Timestamp,
        start: Timestamp,
        value: &Value,
    ) -> Result<bool, Error> {
        let Some(series) = self.series.get(no) else {
            self.series.skip(no);
            return Ok(false);
        };
        let newest = series.newest();
        if !newest.is_any || newest.t < t {
            self.put(no, Row::of(t, start, value))?;
        }
        Ok(true)
    }

    /// Appends a sample that was judged before to its series.
    fn put(&mut self, no: SeriesNo, row: Row<'_>) -> Result<(), Error> {
        let Some(series) = self.series.get_mut(no) else { return Ok(()) };
        let begun = if row.histogram.is_none() && !self.settings.xor2 {
            series.finish_other(&mut self.store, no);
            series.append(&mut self.store, no, row.t, f64::from_bits(row.bits))
        } else {
            let start = if self.settings.xor2 { row.start } else { 0 };
            series.append_other(&mut self.store, no, Row { start, ..row })?
        };
        self.counts.chunks += u64::from(begun);
        self.times.min = self.times.min.min(row.t);
        self.times.max = self.times.max.max(row.t);
        Ok(())
    }

    /// A late sample comes back from the log. `false` if its series is not there.
    ///
    /// # Errors
    /// [`Error::Block`] if it cannot be encoded.
    pub(crate) fn restore_late(&mut self, no: SeriesNo, sample: Sample) -> Result<bool, Error> {
        if self.series.get(no).is_none() {
            self.series.skip(no);
            return Ok(false);
        }
        self.late.insert(no, sample)?;
        Ok(true)
    }

    /// Whether samples are there that came in order.
    pub(crate) fn is_empty(&self) -> bool {
        self.times.min > self.times.max
    }

    /// First and last time, `None` if there is no sample.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        (!self.is_empty()).then(|| TimeRange::new(self.times.min, self.times.max))
    }

    /// How many series there are.
    pub(crate) fn num_series(&self) -> usize {
        self.series.count()
    }

    /// The label numbers of a series, in the order of their names.
    fn label_numbers<'a>(&'a self, series: &MemSeries) -> impl Iterator<Item = LabelNo> + 'a {
        state::label_numbers(self.label_lists.get(series.labels))
    }

    /// Where chunks go that leave memory.
    pub(crate) const fn spill_files(&self) -> &Arc<SpillFiles> {
        self.store.spill.files()
    }

    /// The head as replay leaves it is where counting begins.
    pub(crate) fn begin_counting(&mut self) {
        self.counts = Counts { chunks: self.counts.chunks, ..Counts::default() };
    }

    /// What a snapshot of sizes says of the head. Walks all pages: for a scrape, not for a loop.
    pub(crate) fn fill_stats(&self, stats: &mut Stats) {
        stats.series = self.series.count() as u64;
        stats.labels = self.symbols.count() as u64;
        (stats.births, stats.forgotten) = (self.counts.births, self.counts.forgotten);
        stats.late_samples = self.counts.late;
        (stats.samples, stats.chunks) = (self.counts.samples, self.counts.chunks);
        stats.exemplars = self.exemplars.len() as u64;
        stats.min_time = self.range().map(|range| range.min);
        stats.max_time = (self.times.max != Timestamp::MIN).then_some(self.times.max);
        stats.min_valid_time = self.times.floor;
        stats.bytes = self.bytes();
    }

    fn bytes(&self) -> HeadBytes {
        HeadBytes {
            symbols: self.symbols.held(),
            labels: self.label_lists.held(),
            postings: self.postings.held(),
            series: self.series.held(),
            open_chunks: self.store.cells.held(),
            spill: self.store.spill.held(),
            late: self.late.held(),
            map: self.map.held(),
            exemplars: self.exemplars.held(),
            metadata: self.metadata.held(),
        }
    }
}

#[cfg(test)]
mod tests;
