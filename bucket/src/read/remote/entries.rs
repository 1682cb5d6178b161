//! Series entries as they lie in the index, fetched batch by batch.
//!
//! How long an entry is stands at its beginning, so more is asked for than most need; one that is longer still is asked for again. Small
//! selections are looked for in the cache first, and kept there.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sarsen_block::{SeriesNo, series_entry_len};

use super::super::{Held, ReadCount};
use super::{Budget, Purpose, RemoteBlock};
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
pub(super) const MOST_CACHED: usize = 50_000;
/// An entry is expected to take no more than so many times the average.
const LONG: u64 = 8;
/// Bytes of an entry that are asked for at least.
const LEAST_ENTRY: u64 = 1 << 10;
/// The longest entry that is believed without having been read.
const MOST_ENTRY: u64 = 64 << 10;

/// The entries of a batch as they came.
#[derive(Debug)]
pub(super) struct RawEntries {
    series: Vec<SeriesNo>,
    /// Those that were kept; none at all if nothing is.
    kept: Vec<Option<Bytes>>,
    fetched: Vec<Stretches>,
    pub(super) held: Vec<Held>,
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

impl RemoteBlock {
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
        let began = self.0.shared.bucket.elapsed();
        let cache = self.0.shared.cache.as_ref().filter(|_| cached);
        let kept = match cache {
            Some(cache) => cache.series(self.id(), series).await,
            None => Vec::new(),
        };
        let mut raw =
            RawEntries { series: series.to_vec(), kept, fetched: Vec::new(), held: Vec::new(), cached };
        let room = self.entry_room();
        let mut ranges: Vec<Range<u64>> = raw.missing().map(|no| self.entry_range(no, room)).collect();
        let mut step = ReadCount { fetched: ranges.len() as u64, ..ReadCount::default() };
        // Entries that are longer than expected are asked for again as far as their first bytes say.
        for _ in 0..3 {
            let (fetched, held) = self.index_stretches(&ranges, Purpose::Series, budget).await?;
            step.fetched_bytes += fetched.size();
            raw.fetched.push(fetched);
            raw.held.push(held);
            ranges = self.cut_off(&raw, room)?;
            if ranges.is_empty() {
                break;
            }
            step.again += ranges.len() as u64;
        }
        step.touched = series.len() as u64;
        let kept: u64 = raw.kept.iter().flatten().map(|entry| entry.len() as u64).sum();
        step.touched_bytes = kept + step.fetched_bytes;
        step.took = self.0.shared.bucket.elapsed().saturating_sub(began);
        budget.note(Purpose::Series, &step);
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
    pub(super) fn batch_of(&self, series: &[SeriesNo]) -> usize {
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
