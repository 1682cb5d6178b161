//! The series that a selection finds, batch by batch.
//!
//! A batch is a bounded number of entries: they are fetched together, read from the bytes as they came, asked the matchers that no list
//! answered, and become rows of a [`SeriesBatch`]. Of the labels of neighbours most are the same, so what the row before
//! had in front is copied and not looked up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use sarsen_block::{
    ChunkMeta, LabelsBuilder, Matcher, SeriesNo, SymbolTexts, TimeRange, append_label, read_series_entry,
    series_entry_len,
};

use super::super::Held;
use super::batch::{RemoteChunk, Row, SeriesBatch};
use super::postings::Found;
use super::{Budget, Purpose, RemoteBlock, Selection};
use crate::error::Error;
use crate::ranges::Stretches;

/// The most series in a batch.
const BATCH: usize = 8192;
/// Batches that are on their way at a time, so that a wide selection does not wait for each. Little memory in all: a request that waits
/// for room while it could go on looks stuck to the ceiling.
const BATCHES_IN_FLIGHT: usize = 3;
/// Bytes of entries, with what is read over between them, after which a batch ends.
const BATCH_BYTES: u64 = 8 << 20;
/// Entries of larger selections are not looked for in the cache: they would only push out what others need.
const MOST_CACHED: usize = 50_000;
/// An entry is expected to take no more than so many times the average.
const LONG: u64 = 8;
/// Bytes of an entry that are asked for at least.
const LEAST_ENTRY: u64 = 1 << 10;
/// The longest entry that is believed without having been read.
const MOST_ENTRY: u64 = 64 << 10;
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

    /// How long the entry of a series is expected to be at most.
    fn entry_room(&self) -> u64 {
        let header = self.header();
        let bytes = header.series_end().saturating_sub(header.toc().series);
        let guess = (bytes / header.num_series().max(1)).saturating_mul(LONG).clamp(LEAST_ENTRY, MOST_ENTRY);
        let known = self.meta().thanos.as_ref().map_or(0, |thanos| thanos.index_stats.series_max_size);
        match u64::try_from(known) {
            Ok(known) if known > 0 => known.min(guess),
            _ => guess,
        }
    }

    /// Where an entry may lie.
    fn entry_range(&self, no: SeriesNo, room: u64) -> Range<u64> {
        let (at, end) = (self.header().series_offset(no), self.header().series_end());
        at.min(end)..at.saturating_add(room).min(end)
    }

    /// Fetches the entries of `series`, which make a batch.
    pub(super) async fn fetch_entries(
        &self,
        series: &[SeriesNo],
        cached: bool,
        budget: &Budget,
    ) -> Result<RawEntries, Error> {
        let cache = self.0.shared.cache.as_ref().filter(|_| cached);
        let kept = match cache {
            Some(cache) => cache.series(self.id(), series).await,
            None => Vec::new(),
        };
        let mut raw =
            RawEntries { series: series.to_vec(), kept, fetched: Vec::new(), held: Vec::new(), cached };
        let room = self.entry_room();
        let mut ranges: Vec<Range<u64>> = raw.missing().map(|no| self.entry_range(no, room)).collect();
        // Entries that are longer than expected are asked for again as far as their first bytes say.
        for _ in 0..3 {
            let (fetched, held) = self.index_stretches(&ranges, Purpose::Series, budget).await?;
            raw.fetched.push(fetched);
            raw.held.push(held);
            ranges = self.cut_off(&raw, room)?;
            if ranges.is_empty() {
                break;
            }
        }
        Ok(raw)
    }

    /// Where entries lie that are not at hand to their end.
    fn cut_off(&self, raw: &RawEntries, room: u64) -> Result<Vec<Range<u64>>, Error> {
        let mut longer = Vec::new();
        for no in raw.missing() {
            let at = self.header().series_offset(no);
            let bytes = newest(&raw.fetched, at);
            let here = bytes.len() as u64;
            let length = match series_entry_len(bytes, at) {
                Ok(length) if length <= here => continue,
                Ok(length) => length,
                Err(_) if here < 10 => room.saturating_mul(2).max(64),
                Err(error) => return Err(self.damage()(error)),
            };
            let range = self.entry_range(no, length);
            if range.end > at.saturating_add(here) {
                longer.push(range);
            }
        }
        Ok(longer)
    }

    /// Shows each entry that was fetched to `read`, in order, with its offset. The bytes may go on behind the entry.
    pub(super) fn read_entries(
        &self,
        raw: &RawEntries,
        mut read: impl FnMut(SeriesNo, &[u8], u64) -> Result<(), sarsen_block::Error>,
    ) -> Result<(), Error> {
        let cache = self.0.shared.cache.as_ref().filter(|_| raw.cached);
        for (at, &no) in raw.series.iter().enumerate() {
            let offset = self.header().series_offset(no);
            if let Some(bytes) = raw.kept(at) {
                read(no, bytes, offset).map_err(self.damage())?;
                continue;
            }
            let bytes = newest(&raw.fetched, offset);
            read(no, bytes, offset).map_err(self.damage())?;
            if let Some(cache) = cache
                && let Ok(length) = series_entry_len(bytes, offset)
                && let Some(entry) = bytes.get(..usize::try_from(length).unwrap_or(usize::MAX))
            {
                cache.put_series(self.id(), no, entry);
            }
        }
        Ok(())
    }

    /// Fetches the entries of all `series`, batch by batch, a few batches ahead of whoever takes them.
    pub(super) fn entries_of<'a>(
        &'a self,
        series: &'a [SeriesNo],
        budget: &'a Budget,
    ) -> impl Stream<Item = Result<RawEntries, Error>> + Unpin + 'a {
        let cached = series.len() <= MOST_CACHED;
        let mut rest = series;
        let batches = std::iter::from_fn(move || {
            let (batch, behind) = rest.split_at_checked(self.batch_of(rest))?;
            rest = behind;
            (!batch.is_empty()).then_some(batch)
        });
        let fetch = move |batch: &'a [SeriesNo]| self.fetch_entries(batch, cached, budget);
        Box::pin(futures_util::stream::iter(batches).map(fetch).buffered(BATCHES_IN_FLIGHT))
    }

    /// How many of the first of `series` make a batch.
    fn batch_of(&self, series: &[SeriesNo]) -> usize {
        let gap = self.0.shared.options.gap;
        let mut bytes = 0u64;
        let mut last: Option<u64> = None;
        let most = series.len().min(BATCH);
        for (count, no) in series.iter().take(most).enumerate() {
            let at = self.header().series_offset(*no);
            bytes += last.map_or(0, |last| at.saturating_sub(last).min(gap));
            last = Some(at);
            if bytes > BATCH_BYTES {
                return count.max(1);
            }
        }
        most
    }
}

/// The entries of a batch as they came.
#[derive(Debug)]
pub(super) struct RawEntries {
    series: Vec<SeriesNo>,
    /// Those that were kept; none at all if nothing is.
    kept: Vec<Option<Bytes>>,
    fetched: Vec<Stretches>,
    held: Vec<Held>,
    cached: bool,
}

impl RawEntries {
    fn kept(&self, at: usize) -> Option<&Bytes> {
        self.kept.get(at).and_then(Option::as_ref)
    }

    fn missing(&self) -> impl Iterator<Item = SeriesNo> {
        self.series.iter().enumerate().filter(|(at, _)| self.kept(*at).is_none()).map(|(_, no)| *no)
    }
}

/// What was fetched last from `at` on; nothing if that is not at hand.
fn newest(fetched: &[Stretches], at: u64) -> &[u8] {
    fetched.iter().rev().find_map(|stretches| stretches.view(at)).unwrap_or_default()
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
