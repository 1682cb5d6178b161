//! The series that a selection finds, batch by batch.
//!
//! A batch is a bounded number of entries: they are fetched together, read from the bytes as they came, asked the matchers that no list
//! answered, and become rows of a [`SeriesBatch`]. Of the labels of neighbours most are the same, so what the row before
//! had in front is copied and not looked up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use futures_util::TryStreamExt;
use sarsen_block::{
    ChunkMeta, LabelsBuilder, Matcher, SeriesNo, SymbolTexts, TimeRange, append_label, read_series_entry,
};

use super::batch::{RemoteChunk, Row, SeriesBatch};
use super::entries::{MOST_CACHED, RawEntries};
use super::postings::Found;
use super::{Budget, RemoteBlock, Selection};
use crate::error::Error;

/// More texts than these are forgotten before the next batch; in bytes.
const MOST_TEXTS: usize = 32 << 20;

/// The series of a block that a selection found, to be taken batch by batch.
#[derive(Debug)]
pub struct RemoteSet {
    block: RemoteBlock,
    selection: Selection,
    budget: Budget,
    series: Vec<SeriesNo>,
    /// How many were read.
    at: usize,
    ask: Vec<Matcher>,
    /// What is deleted from the bucket and not yet from the block.
    deletions: Vec<(Vec<Matcher>, TimeRange)>,
    reading: Reading,
    /// The series that passed, while it is still worth while to keep them.
    passed: Option<Vec<SeriesNo>>,
}

/// What is used again from batch to batch.
#[derive(Debug, Default)]
struct Reading {
    texts: SymbolTexts,
    names: NumberMap<u32, NameInfo>,
    verdicts: NumberMap<(usize, u32), bool>,
    entries: Entries,
    wanted: Vec<u32>,
}

/// What is known of a label name of the block.
#[derive(Debug)]
struct NameInfo {
    /// How many external labels come before it; `None` if it does not go out.
    place: Option<usize>,
    /// The matchers that ask for it.
    asks: Vec<usize>,
}

/// Entries that were read: symbols of names and values by turns, and chunks.
#[derive(Debug, Default)]
struct Entries {
    symbols: Vec<u32>,
    chunks: Vec<ChunkMeta>,
    /// Series, and where its symbols and chunks end.
    rows: Vec<(SeriesNo, usize, usize)>,
}

impl Entries {
    fn clear(&mut self) {
        self.symbols.clear();
        self.chunks.clear();
        self.rows.clear();
    }

    /// Every series with its symbols and chunks.
    fn iter(&self) -> impl Iterator<Item = (SeriesNo, &[u32], &[ChunkMeta])> {
        let (mut symbols, mut chunks) = (0, 0);
        self.rows.iter().map(move |&(no, symbols_end, chunks_end)| {
            let row = (
                no,
                self.symbols.get(symbols..symbols_end).unwrap_or_default(),
                self.chunks.get(chunks..chunks_end).unwrap_or_default(),
            );
            (symbols, chunks) = (symbols_end, chunks_end);
            row
        })
    }
}

impl RemoteBlock {
    /// The series of a selection. Finding them is one round of requests, and each batch of entries another.
    ///
    /// # Errors
    /// `Corrupt` if a list or the header is damaged, `NotFound` if the block has gone, `Exceeded` if the request may not take so much;
    /// otherwise as the store says. Later damage is an error of the set.
    pub async fn select(&self, selection: &Selection, budget: &Budget) -> Result<RemoteSet, Error> {
        let meta = self.meta();
        let found = match selection.range.overlaps(meta.range()) {
            true => self.heed(self.find(&selection.matchers, budget).await).await?,
            false => Found::default(),
        };
        if found.series.is_empty() {
            budget.note_all(|reads| reads.empty += 1);
        }
        let pending = selection.deletions.pending(meta);
        let deletions = pending.map(|deletion| (deletion.matchers().to_vec(), deletion.range)).collect();
        let ask = found.ask.iter().filter_map(|&number| selection.matchers.get(number).cloned());
        let ask: Vec<Matcher> = ask.collect();
        let passed = (!ask.is_empty()).then(Vec::new);
        Ok(RemoteSet {
            block: self.clone(),
            selection: selection.clone(),
            budget: budget.clone(),
            series: found.series,
            at: 0,
            ask,
            deletions,
            reading: Reading::default(),
            passed,
        })
    }
}

/// A hash for symbol numbers, which lie close together: they are spread over all bits.
#[derive(Debug, Default, Clone, Copy)]
struct ByNumber(u64);

impl Hasher for ByNumber {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(29) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<ByNumber>>;

impl RemoteSet {
    /// At most how many series are still to come.
    pub fn left(&self) -> usize {
        self.series.len() - self.at
    }

    /// The next series, in the order of the block; `None` at the end. A batch may be empty.
    ///
    /// # Errors
    /// `Corrupt` if an entry is damaged, `NotFound` if the block has gone, `Exceeded` if the request may not take so much; otherwise as
    /// the store says. The set cannot be used afterwards.
    pub async fn next(&mut self) -> Result<Option<SeriesBatch>, Error> {
        let rest = self.series.get(self.at..).unwrap_or_default();
        let count = self.block.batch_of(rest);
        if count == 0 {
            self.keep();
            return Ok(None);
        }
        let cached = self.series.len() <= MOST_CACHED;
        let batch = rest.get(..count).unwrap_or_default();
        let raw = self.block.fetch_entries(batch, cached, &self.budget).await?;
        self.at += count;
        self.batch(raw).await.map(Some)
    }

    /// All series that are still to come, in the order of the labels under which they go out. Entries are fetched a few batches ahead.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn all(mut self) -> Result<SeriesBatch, Error> {
        let series = std::mem::take(&mut self.series);
        let (block, budget) = (self.block.clone(), self.budget.clone());
        let mut fetched = block.entries_of(series.get(self.at..).unwrap_or_default(), &budget);
        let mut all = SeriesBatch::default();
        while let Some(raw) = fetched.try_next().await? {
            let batch = self.batch(raw).await?;
            if all.is_empty() {
                all = batch;
            } else {
                all.append(batch);
            }
            // Others on this thread have waited for as long as a batch takes.
            tokio::task::yield_now().await;
        }
        self.keep();
        if !self.selection.outgoing.is_plain() {
            all.sort();
        }
        Ok(all)
    }

    /// Keeps what was found, once all series were asked.
    fn keep(&mut self) {
        if let Some(passed) = self.passed.take() {
            self.block.keep_found(&self.selection.matchers, &passed);
        }
    }

    /// Makes a batch of the entries that were fetched.
    async fn batch(&mut self, mut raw: RawEntries) -> Result<SeriesBatch, Error> {
        let entries = &mut self.reading.entries;
        entries.clear();
        self.block.read_entries(&raw, |no, bytes, at| {
            let Entries { symbols, chunks, rows } = entries;
            read_series_entry(bytes, at, symbols, chunks)?;
            rows.push((no, symbols.len(), chunks.len()));
            Ok(())
        })?;
        let rows = self.rows();
        let mut batch = self.block.heed(rows).await?;
        if self.reading.texts.memory() > MOST_TEXTS {
            self.reading.texts = SymbolTexts::default();
            self.reading.verdicts.clear();
        }
        // What was fetched goes; what was made of it stays in the same room as far as that reaches.
        let memory = batch.memory() as u64;
        let first = raw.held.drain(..).next();
        drop(raw);
        let room = match first {
            Some(mut room) if room.bytes() >= memory => {
                room.shrink(memory);
                room
            }
            smaller => {
                drop(smaller);
                self.budget.hold(memory).await?
            }
        };
        batch.held.push(room);
        Ok(batch)
    }

    /// Makes rows of the entries that were read.
    fn rows(&mut self) -> Result<SeriesBatch, Error> {
        self.look_up()?;
        let Self { block, selection, budget, ask, deletions, reading, passed, .. } = self;
        let mut batch = SeriesBatch::default();
        let mut labels = LabelWriter::default();
        let (mut found, mut chunks_found) = (0, 0);
        let mut verdicts = std::mem::take(&mut reading.verdicts);
        let mut passes = Asking { ask, seen: Vec::new(), verdicts: &mut verdicts };
        for (no, symbols, chunks) in reading.entries.iter() {
            if !passes.row(symbols, &reading.names, &reading.texts) {
                continue;
            }
            found += 1;
            if let Some(passed) = passed {
                passed.push(no);
            }
            if !chunks.iter().any(|chunk| chunk.range.overlaps(selection.range)) {
                continue;
            }
            let stones = batch.stones.len();
            batch.stones.extend_from_slice(block.0.sizes.tombstones.of(no));
            let concerned = deletions
                .iter()
                .filter(|(matchers, _)| matchers.iter().all(|own| accepts(own, symbols, &reading.texts)));
            batch.stones.extend(concerned.map(|(_, range)| *range));
            let first = batch.chunks.len();
            let deleted = batch.stones.get(stones..).unwrap_or_default();
            let seen = put_chunks(&mut batch.chunks, chunks, selection.range, deleted);
            if seen == 0 {
                batch.stones.truncate(stones);
                continue;
            }
            if selection.skip_chunks {
                batch.chunks.truncate(first);
            }
            chunks_found += (batch.chunks.len() - first) as u64;
            let start = batch.labels.len();
            labels.put(&mut batch.labels, symbols, selection, reading).map_err(|error| {
                block.damage()(sarsen_block::Error::corrupt(
                    "index series",
                    block.header().series_offset(no),
                    error.to_string(),
                ))
            })?;
            batch.rows.push(Row {
                labels: (start, batch.labels.len()),
                chunks: (first, batch.chunks.len()),
                stones: (stones, batch.stones.len()),
            });
        }
        reading.verdicts = verdicts;
        budget.take_series(found)?;
        budget.take_chunks(chunks_found)?;
        Ok(batch)
    }

    /// Looks up the texts of all symbols of the entries that were read, and learns of new names.
    fn look_up(&mut self) -> Result<(), Error> {
        let Reading { texts, entries, wanted, names, .. } = &mut self.reading;
        wanted.clear();
        let mut last: &[u32] = &[];
        for (_, symbols, _) in entries.iter() {
            let new = symbols.iter().enumerate().filter(|&(at, symbol)| last.get(at) != Some(symbol));
            wanted.extend(new.map(|(_, symbol)| *symbol));
            last = symbols;
        }
        self.block.header().look_up(wanted, texts).map_err(self.block.damage())?;
        let mut last: &[u32] = &[];
        for (_, symbols, _) in entries.iter() {
            for (at, &symbol) in symbols.iter().enumerate().step_by(2) {
                if last.get(at) == Some(&symbol) || names.contains_key(&symbol) {
                    continue;
                }
                let name = texts.get(symbol).unwrap_or_default();
                let asks =
                    (0..self.ask.len()).filter(|&own| self.ask.get(own).is_some_and(|m| m.name() == name));
                let info = NameInfo { place: self.selection.outgoing.place(name), asks: asks.collect() };
                names.insert(symbol, info);
            }
            last = symbols;
        }
        Ok(())
    }
}

/// Asks rows the matchers that no list answered.
struct Asking<'a> {
    ask: &'a [Matcher],
    seen: Vec<bool>,
    verdicts: &'a mut NumberMap<(usize, u32), bool>,
}

impl Asking<'_> {
    fn row(&mut self, symbols: &[u32], names: &NumberMap<u32, NameInfo>, texts: &SymbolTexts) -> bool {
        if self.ask.is_empty() {
            return true;
        }
        self.seen.clear();
        self.seen.resize(self.ask.len(), false);
        for pair in symbols.as_chunks::<2>().0 {
            let [name, value] = *pair;
            for &own in names.get(&name).map(|info| info.asks.as_slice()).unwrap_or_default() {
                let Some(matcher) = self.ask.get(own) else { continue };
                let says = || matcher.matches(texts.get(value).unwrap_or_default());
                if !*self.verdicts.entry((own, value)).or_insert_with(says) {
                    return false;
                }
                if let Some(seen) = self.seen.get_mut(own) {
                    *seen = true;
                }
            }
        }
        self.ask.iter().zip(&self.seen).all(|(matcher, seen)| *seen || matcher.matches_empty())
    }
}

/// Whether a matcher accepts the labels of an entry.
pub(super) fn accepts(matcher: &Matcher, symbols: &[u32], texts: &SymbolTexts) -> bool {
    let pairs = symbols.as_chunks::<2>().0;
    let found = pairs.iter().find(|[name, _]| texts.get(*name) == Some(matcher.name()));
    matcher.matches(found.and_then(|[_, value]| texts.get(*value)).unwrap_or_default())
}

/// Appends the chunks that overlap `range` and are not wholly deleted; how many.
fn put_chunks(
    into: &mut Vec<RemoteChunk>,
    chunks: &[ChunkMeta],
    range: TimeRange,
    deleted: &[TimeRange],
) -> usize {
    let before = into.len();
    let nexts = chunks.iter().skip(1).map(Some).chain([None]);
    for (meta, next) in chunks.iter().zip(nexts) {
        if !meta.range.overlaps(range) || deleted.iter().any(|interval| interval.covers(meta.range)) {
            continue;
        }
        let same = next.filter(|next| next.chunk_ref.segment() == meta.chunk_ref.segment());
        let room = same.and_then(|next| next.chunk_ref.offset().checked_sub(meta.chunk_ref.offset()));
        let is_cut = deleted.iter().any(|interval| interval.overlaps(meta.range));
        into.push(RemoteChunk { meta: *meta, room: room.unwrap_or(0), is_cut });
    }
    into.len() - before
}

/// Writes labels as they go out. Remembers what it wrote last.
#[derive(Debug, Default)]
struct LabelWriter {
    /// The symbols of the last series, and for each label where its bytes end and how many external labels are written by then.
    symbols: Vec<u32>,
    ends: Vec<(usize, usize)>,
    start: usize,
}

impl LabelWriter {
    fn put(
        &mut self,
        out: &mut Vec<u8>,
        symbols: &[u32],
        selection: &Selection,
        reading: &Reading,
    ) -> Result<(), sarsen_block::Error> {
        let pairs = symbols.as_chunks::<2>().0;
        if !pairs.is_sorted_by(|[a, _], [b, _]| a < b) {
            return self.put_unsorted(out, pairs, selection, reading);
        }
        let old = self.symbols.as_chunks::<2>().0;
        let same = pairs.iter().zip(old).take_while(|(a, b)| a == b).count();
        let (from, start) = (self.start, out.len());
        let (end, mut external) = match same.checked_sub(1).and_then(|last| self.ends.get(last)) {
            Some(&(end, external)) => (end, external),
            None => (from, 0),
        };
        out.extend_from_within(from..end);
        self.ends.truncate(same);
        for (end, _) in &mut self.ends {
            *end = *end - from + start;
        }
        let all = selection.outgoing.external();
        for [name, value] in pairs.iter().skip(same) {
            let place = reading.names.get(name).and_then(|info| info.place);
            let (name, value) = (text(reading, *name)?, text(reading, *value)?);
            if let (Some(before), false) = (place, value.is_empty()) {
                for (name, value) in all.get(external..before).unwrap_or_default() {
                    append_label(out, name, value);
                }
                external = external.max(before);
                append_label(out, name, value);
            }
            self.ends.push((out.len(), external));
        }
        for (name, value) in all.get(external..).unwrap_or_default() {
            append_label(out, name, value);
        }
        self.symbols.clear();
        self.symbols.extend_from_slice(symbols);
        self.start = start;
        Ok(())
    }

    /// For an entry whose names are not in order, as no writer makes them.
    fn put_unsorted(
        &mut self,
        out: &mut Vec<u8>,
        pairs: &[[u32; 2]],
        selection: &Selection,
        reading: &Reading,
    ) -> Result<(), sarsen_block::Error> {
        *self = Self { start: out.len(), ..Self::default() };
        let mut labels = LabelsBuilder::new();
        for [name, value] in pairs {
            if reading.names.get(name).is_some_and(|info| info.place.is_some()) {
                labels.push(text(reading, *name)?, text(reading, *value)?);
            }
        }
        selection.outgoing.external().iter().for_each(|(name, value)| labels.push(name, value));
        out.extend_from_slice(labels.finish()?.as_bytes());
        Ok(())
    }
}

fn text(reading: &Reading, symbol: u32) -> Result<&[u8], sarsen_block::Error> {
    let missing = || sarsen_block::Error::invalid("symbol", "it was not looked up");
    reading.texts.get(symbol).ok_or_else(missing)
}
