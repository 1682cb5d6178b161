//! From the chunks of a series to its samples.
//!
//! Chunks are brought into order once, and those that are the same are dropped. Where none of them overlap, which is nearly always so, they
//! are decoded straight into columns. Where they do, it depends on what is asked: with replicas made one, chunks are split into rows
//! without overlaps, each goes to the first row that has ended before it, and the rows are the replicas; raw chunks of one store's
//! series are merged by time; all others follow each other, as a querier of Thanos without deduplication has them.

use std::fmt;
use std::sync::Arc;

use sarsen_block::{Encoding, TimeRange, Timed, TimedChunk, Timestamp, decode_chunks, interleave};
use sarsen_downsample::{Aggregate, Sent, Sink, Wanted, aggregate_for, read_sent};
use sarsen_promql::{Error, Samples, Selection, SeriesData};

use super::apart::{Origins, Tagged};
use super::pieces::{Columns, Each, Row};
use crate::query::{Gather, Replicas};
use crate::store::{ChunkParts, StoreChunk};

/// How the chunks of a selection are read.
#[derive(Debug)]
pub(super) struct Reading {
    range: TimeRange,
    wanted: Wanted,
    /// Whether replicas become one series, and how.
    replicas: Option<Replicas>,
    /// Whether resets are taken out of raw counters too.
    adjust: bool,
    /// Whether a value may not fall where one replica takes over from another.
    counter: bool,
    /// Whether a count stands for so many samples, which is what Prometheus would have counted; Thanos counts the counts.
    counts: bool,
}

impl Reading {
    pub(super) fn new(selection: &Selection, gather: &Gather) -> Self {
        let function = selection.hint.function;
        Self {
            range: selection.range,
            wanted: aggregate_for(function),
            replicas: (!gather.replica_labels.is_empty()).then_some(gather.replicas),
            adjust: gather.adjust_counters,
            counter: matches!(function, "increase" | "rate" | "irate" | "resets"),
            counts: function == "count_over_time" && !gather.adjust_counters,
        }
    }
}

/// The encoded samples of one series.
pub(super) struct ChunkData {
    /// By first, then last time.
    chunks: Vec<StoreChunk>,
    overlap: bool,
    reading: Arc<Reading>,
    /// Where each of them comes from, if somebody wants to know; then none stands twice.
    origins: Option<Origins>,
}

impl fmt::Debug for ChunkData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkData")
            .field("chunks", &self.chunks.len())
            .field("reading", &self.reading)
            .finish()
    }
}

impl ChunkData {
    /// Of chunks in any order.
    pub(super) fn new(mut chunks: Vec<StoreChunk>, reading: Arc<Reading>) -> Self {
        let key = |chunk: &StoreChunk| (chunk.range.min, chunk.range.max);
        if !chunks.is_sorted_by_key(key) {
            chunks.sort_by_key(key);
        }
        let apart =
            |chunks: &[StoreChunk]| chunks.is_sorted_by(|before, next| before.range.max < next.range.min);
        let mut overlap = !apart(&chunks);
        if overlap {
            drop_identical(&mut chunks);
            overlap = !apart(&chunks);
        }
        Self { chunks, overlap, reading, origins: None }
    }

    /// Of chunks in order, none of them twice, whose samples are counted by where they come from.
    pub(super) fn counted(chunks: Vec<StoreChunk>, origins: Origins, reading: Arc<Reading>) -> Self {
        Self { origins: Some(origins), ..Self::new(chunks, reading) }
    }

    fn all_raw(&self) -> bool {
        let raw = |chunk: &StoreChunk| matches!(&chunk.parts, ChunkParts::Raw(raw) if raw.encoding != Encoding::Aggregate);
        self.chunks.iter().all(raw)
    }

    /// What is to be read: raw counters stay as they are unless it is said otherwise.
    fn wanted(&self) -> Wanted {
        let counter = self.reading.wanted == Wanted::Part(Aggregate::Counter);
        if counter && !self.reading.adjust && self.all_raw() { Wanted::Average } else { self.reading.wanted }
    }

    /// Chunks one behind the other.
    fn following<'a>(
        &self,
        chunks: impl IntoIterator<Item = &'a StoreChunk>,
        one_behind: bool,
        into: &mut impl Sink,
    ) -> Result<(), sarsen_block::Error> {
        let (range, wanted) = (self.reading.range, self.wanted());
        if !self.reading.counts {
            return read_sent(chunks.into_iter().map(sent), wanted, (range, one_behind), into);
        }
        let mut each = Each::new(range.min, into);
        for chunk in chunks {
            each.is_count = matches!(chunk.parts, ChunkParts::Aggregates(_));
            read_sent([sent(chunk)], wanted, (range, one_behind), &mut each)?;
            if each.is_behind(range.max) {
                break;
            }
        }
        Ok(())
    }

    /// Chunks of one store's series, merged by time.
    fn merged(&self, into: &mut Columns<'_>) -> Result<(), sarsen_block::Error> {
        let timed = |chunk: &StoreChunk| match &chunk.parts {
            ChunkParts::Raw(raw) => Some(TimedChunk { range: chunk.range, chunk: raw.clone() }),
            ChunkParts::Aggregates(_) => None,
        };
        let timed: Vec<_> = self.chunks.iter().filter_map(timed).collect();
        decode_chunks(&timed, self.reading.range)?.into_iter().for_each(|sample| into.sample(sample));
        Ok(())
    }

    /// Chunks of replicas, made one.
    fn made_one(&self, how: Replicas, into: &mut Columns<'_>) -> Result<(), sarsen_block::Error> {
        let mut rows = Vec::new();
        let split = split(&self.chunks);
        for chunks in &split {
            let mut row = Row::default();
            let one_behind = how == Replicas::Penalty;
            let chunks = chunks.iter().filter_map(|&at| self.chunks.get(at));
            self.following(chunks, one_behind, &mut row)?;
            rows.push(row);
        }
        if let Some(origins) = &self.origins {
            let mut counting = origins.counting(&self.chunks, &split);
            let tagged = |(row, samples): (usize, Row)| {
                let tagged = samples.into_mixed().into_iter().map(|sample| Tagged { sample, row });
                tagged.collect::<Vec<_>>()
            };
            let rows = rows.into_iter().enumerate().map(tagged).collect();
            self.one_of(rows, how, |tagged| {
                counting.count(tagged.row, tagged.sample.t);
                into.sample(tagged.sample);
            });
        } else if rows.iter().all(Row::is_plain) {
            let floats = rows.into_iter().map(|row| row.floats);
            self.one_of(floats.collect(), how, |(t, value)| into.float(t, 0, value));
        } else {
            let mixed = rows.into_iter().map(Row::into_mixed);
            self.one_of(mixed.collect(), how, |sample| into.sample(sample));
        }
        Ok(())
    }

    fn one_of<S: Timed>(&self, rows: Vec<Vec<S>>, how: Replicas, into: impl FnMut(S)) {
        match how {
            Replicas::Penalty => {
                let rows = rows.iter().map(Vec::as_slice);
                let (max, counter) = (self.reading.range.max, self.reading.counter);
                sarsen_block::Replicas::new(rows, max, counter).for_each(into);
            }
            Replicas::Chain => {
                let mut one = Vec::with_capacity(rows.iter().map(Vec::len).max().unwrap_or_default());
                interleave(&rows, &mut one);
                one.into_iter().for_each(into);
            }
        }
    }
}

impl SeriesData for ChunkData {
    fn read(&self, samples: &mut Samples) -> Result<(), Error> {
        let reading = &self.reading;
        let before = (samples.times.len(), samples.histogram_times.len());
        let mut into = Columns(samples);
        let read = match reading.replicas {
            Some(how) if self.overlap => self.made_one(how, &mut into),
            None if self.overlap && !reading.adjust && self.all_raw() => self.merged(&mut into),
            _ => self.following(self.chunks.iter(), false, &mut into),
        };
        read.map_err(|why| Error::Data(why.to_string()))?;
        if let Some(origins) = self.origins.as_ref().filter(|_| !self.overlap) {
            let mut counting = origins.counting(&self.chunks, &[(0..self.chunks.len()).collect()]);
            let floats = samples.times.iter().skip(before.0);
            floats.chain(samples.histogram_times.iter().skip(before.1)).for_each(|&t| counting.count(0, t));
        }
        Ok(())
    }
}

fn sent(chunk: &StoreChunk) -> Sent<'_> {
    match &chunk.parts {
        ChunkParts::Raw(raw) => Sent::Raw(raw),
        ChunkParts::Aggregates(parts) => Sent::Aggregates(parts),
    }
}

/// Rows without overlaps, as numbers of chunks: each, in order of first, then last time, goes to the first row that has ended before it.
fn split(chunks: &[StoreChunk]) -> Vec<Vec<usize>> {
    let mut rows: Vec<(Timestamp, Vec<usize>)> = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        match rows.iter_mut().find(|(last, _)| *last < chunk.range.min) {
            Some((last, row)) => {
                row.push(at);
                *last = chunk.range.max;
            }
            None => rows.push((chunk.range.max, vec![at])),
        }
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Keeps the first of chunks that are the same. They are sorted by range, and those of one range are few.
fn drop_identical(chunks: &mut Vec<StoreChunk>) {
    let mut kept: Vec<StoreChunk> = Vec::with_capacity(chunks.len());
    for chunk in chunks.drain(..) {
        let mut same_range = kept.iter().rev().take_while(|before| before.range == chunk.range);
        if !same_range.any(|before| before.parts == chunk.parts) {
            kept.push(chunk);
        }
    }
    *chunks = kept;
}
