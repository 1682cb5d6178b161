//! A selection in the order of the labels under which it goes out: labels first, chunks later.
//!
//! A server gives every series labels of its own and leaves others out, and either changes the order. So labels are
//! gathered first, of the head and of all blocks, as they will be shown, and sorted in the form of [`SortedRows`];
//! chunks are read afterwards, for whatever slice of the series the caller is about to send. Series that differ
//! in labels which are left out stay apart and stand one behind the other; the same series in head and blocks is one.
//! Nothing is locked between two calls; what is read stays readable for as long as the selection lives.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashTable;
use parking_lot::RwLock;
use sarsen_block::codec::xxh64;
use sarsen_block::{
    Block, Labels, LabelsBuilder, LabelsRef, Matcher, SeriesNo, SeriesReader, TimeRange, TimedChunk,
};

use crate::error::Error;
use crate::head::{Gather, Head, HeadLists, Reach, clip, collect_labels};
use crate::query::{EVERYTHING, View};
use crate::sorted::SortedRows;

/// What is asked of [`Querier::arrange`](crate::Querier::arrange).
#[derive(Debug, Clone, Default)]
pub struct Arrangement<'a> {
    /// What all series have to satisfy with the labels that they are stored under.
    pub matchers: &'a [Matcher],
    /// Labels that every series gets, in place of its own of the same names.
    pub add: Labels,
    /// Names of labels that are left out, of the added ones too.
    pub without: &'a [Bytes],
    /// Samples that must not be seen: those in the range, of the series that the matchers accept as they are stored.
    pub hidden: &'a [(Vec<Matcher>, TimeRange)],
}

impl Arrangement<'_> {
    fn leaves_out(&self, name: &[u8]) -> bool {
        self.without.iter().any(|left_out| left_out == name)
    }
}

/// Where a series was found: 0 for the head, else one more than the place of the block; and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    source: u32,
    no: SeriesNo,
}

/// The series of a selection, in the order of their labels as they are shown.
#[derive(Debug)]
pub struct Arranged {
    head: Arc<RwLock<Head>>,
    /// Keeps what is read from going away.
    _view: Arc<View>,
    range: TimeRange,
    reach: Reach,
    rows: SortedRows<Key>,
    /// Rows of each series: from, to.
    series: Vec<(u32, u32)>,
    hidden: HashMap<Key, Vec<TimeRange>>,
    readers: Vec<SeriesReader>,
    buffer: Vec<u8>,
}

/// What is read.
pub(crate) struct Sources<'a> {
    pub(crate) head: &'a Arc<RwLock<Head>>,
    pub(crate) view: &'a Arc<View>,
    pub(crate) range: TimeRange,
    pub(crate) reach: Reach,
    /// Whether the head has anything to say.
    pub(crate) asks_head: bool,
}

impl Arranged {
    pub(crate) fn new(sources: &Sources<'_>, wanted: &Arrangement<'_>) -> Result<Self, Error> {
        let &Sources { head, view, range, reach, asks_head } = sources;
        let mut gathering = Gathering::new(wanted)?;
        let mut hidden: HashMap<Key, Vec<TimeRange>> = HashMap::new();
        let mut hide = |source: u32, series: Vec<SeriesNo>, range: TimeRange| {
            for no in series {
                hidden.entry(Key { source, no }).or_default().push(range);
            }
        };
        if asks_head {
            let selected = HeadLists::new(head).select(wanted.matchers, reach)?;
            collect_labels(head, &selected, &mut gathering)?;
            for (matchers, range) in wanted.hidden {
                hide(0, HeadLists::new(head).select(matchers, EVERYTHING)?, *range);
            }
        }
        let blocks = view.blocks.iter().filter(|local| local.info.meta.range().overlaps(range));
        let blocks: Vec<&Block> = blocks.map(|local| &local.block).collect();
        let mut readers: Vec<SeriesReader> = blocks.iter().map(|block| block.series_reader()).collect();
        for ((source, block), reader) in (1u32..).zip(&blocks).zip(&mut readers) {
            gathering.block(source, reader, &block.postings(wanted.matchers)?, range)?;
            for (matchers, range) in wanted.hidden.iter().filter(|(_, r)| r.overlaps(block.meta().range())) {
                hide(source, block.postings(matchers)?, *range);
            }
        }
        let rows = gathering.finish();
        let series = same_rows(&rows);
        let (head, view) = (Arc::clone(head), Arc::clone(view));
        Ok(Self { head, _view: view, range, reach, rows, series, hidden, readers, buffer: Vec::new() })
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Writes the labels of the series at a place, as they are shown.
    pub fn labels<'b>(&self, at: usize, out: &'b mut Vec<u8>) -> LabelsRef<'b> {
        let row = self.series.get(at).map_or(usize::MAX, |&(from, _)| from as usize);
        self.rows.labels(row, out)
    }

    /// Keeps only the series for whose labels, as they are shown, `is_wanted` says so.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(LabelsRef<'_>) -> bool) {
        let mut bytes = Vec::new();
        let rows = &self.rows;
        self.series.retain(|&(from, _)| is_wanted(rows.labels(from as usize, &mut bytes)));
    }

    /// Keeps the first series, as many as `len`.
    pub fn truncate(&mut self, len: usize) {
        self.series.truncate(len);
    }

    /// Whether something that must not be seen may be all that a series has: [`chunks`](Self::chunks) tells.
    pub fn is_doubtful(&self, at: usize) -> bool {
        !self.hidden.is_empty() && self.keys(at).any(|key| self.hidden.contains_key(&key))
    }

    /// Bytes held in memory.
    pub fn held(&self) -> usize {
        self.rows.held() + self.series.capacity() * size_of::<(u32, u32)>()
    }

    fn keys(&self, at: usize) -> impl Iterator<Item = Key> {
        let (from, to) = self.series.get(at).copied().unwrap_or_default();
        (from as usize..to as usize).filter_map(|row| self.rows.key(row))
    }

    /// The chunks of the series at these places that share a millisecond with the range, by first, then last time. They are
    /// given whole and may overlap; a series may turn out to have none.
    ///
    /// # Errors
    /// [`Error::Block`] if the head's files or a local block cannot be read.
    pub fn chunks(&mut self, places: Range<usize>) -> Result<Vec<Vec<TimedChunk>>, Error> {
        let mut found = self.head_chunks(places.clone())?;
        for (at, chunks) in places.zip(&mut found) {
            let keys: Vec<Key> = self.keys(at).filter(|key| key.source > 0).collect();
            for key in keys {
                let hidden = self.hidden.get(&key).map_or(&[][..], Vec::as_slice);
                if let Some(reader) = self.readers.get_mut(key.source as usize - 1) {
                    chunks.extend(reader.chunks(key.no, self.range, hidden)?);
                }
            }
            // A chunk may have lost to a deletion what it had in the range.
            chunks.retain(|chunk| chunk.range.overlaps(self.range));
            chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max));
            // What has just become a block may still be in memory too.
            chunks.dedup();
        }
        Ok(found)
    }

    /// What the head has, copied under one hold of the lock and put together without it.
    fn head_chunks(&mut self, places: Range<usize>) -> Result<Vec<Vec<TimedChunk>>, Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut found = vec![Vec::new(); places.len()];
        let (files, copied) = {
            let head = self.head.read();
            let mut copied = Vec::new();
            for (slot, at) in places.enumerate() {
                for key in self.keys(at).filter(|key| key.source == 0) {
                    let Reach { ordered, late } = self.reach;
                    let pieces = head.pieces_of(key.no, ordered)?;
                    copied.push((
                        slot,
                        key,
                        pieces,
                        head.deleted(key.no, ordered),
                        head.late.chunks(key.no, late)?,
                    ));
                }
            }
            (Arc::clone(head.spill_files()), copied)
        };
        for (slot, key, pieces, deleted, late) in copied {
            let mut chunks = match pieces {
                Some(pieces) => pieces.read(&files, &mut buffer)?,
                None => Vec::new(),
            };
            if !deleted.is_empty() {
                chunks = clip(chunks, TimeRange::ALL, &deleted)?;
            }
            chunks.extend(late);
            if let Some(hidden) = self.hidden.get(&key) {
                chunks = clip(chunks, TimeRange::ALL, hidden)?;
            }
            if let Some(slot) = found.get_mut(slot) {
                *slot = chunks;
            }
        }
        self.buffer = buffer;
        Ok(found)
    }
}

/// Runs of rows with the same labels.
fn same_rows(rows: &SortedRows<Key>) -> Vec<(u32, u32)> {
    let mut series: Vec<(u32, u32)> = Vec::new();
    for row in 0..rows.len() {
        match series.last_mut() {
            Some((_, end)) if rows.is_same(row - 1, row) => *end = row as u32 + 1,
            _ => series.push((row as u32, row as u32 + 1)),
        }
    }
    series
}

/// Rows under way.
struct Gathering<'a> {
    wanted: &'a Arrangement<'a>,
    rows: SortedRows<Key>,
    /// Places by text.
    table: HashTable<u32>,
    /// By place: whether it is left out, or another stands for it.
    is_hidden: Vec<bool>,
    /// Places of the labels that every series gets.
    own: Vec<u32>,
    hidden: Vec<u32>,
}

impl<'a> Gathering<'a> {
    fn new(wanted: &'a Arrangement<'a>) -> Result<Self, Error> {
        let (rows, table) = (SortedRows::default(), HashTable::new());
        let (is_hidden, own, hidden) = (Vec::new(), Vec::new(), Vec::new());
        let mut gathering = Self { wanted, rows, table, is_hidden, own, hidden };
        gathering.begin(0)?;
        Ok(gathering)
    }

    fn begin(&mut self, rows: usize) -> Result<(), Error> {
        self.rows.restart(rows);
        self.table.clear();
        self.is_hidden.clear();
        self.own.clear();
        let mut builder = LabelsBuilder::new();
        let wanted = self.wanted;
        for (name, value) in wanted.add.iter().filter(|(name, _)| !wanted.leaves_out(name)) {
            builder.clear();
            builder.push(name, value);
            self.own.push(self.rows.add_label(builder.finish()?.as_bytes())?);
            self.is_hidden.push(false);
        }
        Ok(())
    }

    /// The place of a label of a stored series.
    fn place(&mut self, text: &[u8]) -> Result<u32, Error> {
        let Self { rows, table, .. } = self;
        let hash = xxh64(text);
        if let Some(&place) = table.find(hash, |&place| rows.text(place) == text) {
            return Ok(place);
        }
        let name = LabelsRef::trusted(text).iter().next().unwrap_or_default().0;
        let is_hidden = self.wanted.leaves_out(name) || self.wanted.add.get(name).is_some();
        let place = self.rows.add_label(text)?;
        self.is_hidden.push(is_hidden);
        let rows = &self.rows;
        self.table.insert_unique(hash, place, |&place| xxh64(rows.text(place)));
        Ok(place)
    }

    fn add(&mut self, key: Key, places: &[u32]) -> Result<(), Error> {
        let Self { rows, is_hidden, own, hidden, .. } = self;
        let is_hidden = |place: &u32| is_hidden.get(*place as usize).copied().unwrap_or_default();
        hidden.clear();
        hidden.extend(places.iter().copied().filter(is_hidden));
        let shown = places.iter().copied().filter(|place| !is_hidden(place)).chain(own.iter().copied());
        rows.add_row(key, shown, hidden)
    }

    /// Adds the series of a block that have something to show in `range`.
    fn block(
        &mut self,
        source: u32,
        reader: &mut SeriesReader,
        series: &[SeriesNo],
        range: TimeRange,
    ) -> Result<(), Error> {
        let (mut builder, mut places) = (LabelsBuilder::new(), Vec::new());
        let (mut texts, mut ends) = (Vec::new(), Vec::new());
        for &no in series {
            texts.clear();
            ends.clear();
            let mut fault = Ok(());
            let is_seen = reader.labels(no, range, |name, value| {
                builder.clear();
                builder.push(name, value);
                match builder.finish() {
                    Ok(label) => texts.extend_from_slice(label.as_bytes()),
                    Err(error) => fault = Err(error),
                }
                ends.push(texts.len());
            })?;
            fault?;
            if !is_seen {
                continue;
            }
            places.clear();
            let mut from = 0;
            for &end in &ends {
                places.push(self.place(texts.get(from..end).unwrap_or_default())?);
                from = end;
            }
            self.add(Key { source, no }, &places)?;
        }
        Ok(())
    }

    fn finish(mut self) -> SortedRows<Key> {
        self.rows.sort(!self.own.is_empty());
        self.rows
    }
}

impl Gather for Gathering<'_> {
    fn restart(&mut self, rows: usize) -> Result<(), Error> {
        self.begin(rows)
    }

    fn label(&mut self, text: &[u8]) -> Result<u32, Error> {
        self.place(text)
    }

    fn row(&mut self, no: SeriesNo, places: &[u32]) -> Result<(), Error> {
        self.add(Key { source: 0, no }, places)
    }
}
