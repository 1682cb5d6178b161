//! An answer of `Store.Series`, written by hand.
//!
//! ```text
//! SeriesResponse  1 Series | 2 warning | 3 Any | 4 SeriesBatch { 1 Series ... }
//! Series          1 Label ... (the byte form of our labels is exactly this)   2 AggrChunk ...
//! AggrChunk       1 min_time   2 max_time   3 raw   4 count   5 sum   6 min   7 max   8 counter: each a Chunk
//! Chunk           1 type = encoding byte - 1   2 data   3 XXH64 of data
//! ```
//!
//! As everywhere in this format, lengths stand before what they count: [`plan`](SeriesMessage::plan) walks the message once and notes
//! them, and [`write`](SeriesMessage::write) walks it again. Zeros are left out, as generated code does.

use bytes::{BufMut, Bytes};
use sarsen_block::Chunk;
use sarsen_block::codec::{uvarint_len, xxh64};
use sarsen_downsample::Aggregate;

use crate::store::{ChunkParts, StoreChunk, StoreSeries};

/// One message of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SeriesMessage {
    /// One series, or a piece of one.
    Series(StoreSeries),
    /// Several of them, for callers that ask for it.
    Batch(Vec<StoreSeries>),
    /// What is missing.
    Warning(String),
    /// What was looked at: a message of some type with its name, as it came.
    Hints(Bytes),
}

const SERIES: u8 = 1 << 3 | 2;
const WARNING: u8 = 2 << 3 | 2;
const HINTS: u8 = 3 << 3 | 2;
const BATCH: u8 = 4 << 3 | 2;
const CHUNKS: u8 = 2 << 3 | 2;
const MIN_TIME: u8 = 1 << 3;
const MAX_TIME: u8 = 2 << 3;
const TYPE: u8 = 1 << 3;
const DATA: u8 = 2 << 3 | 2;
const HASH: u8 = 3 << 3;

/// The tags of the parts of a chunk: raw, then the aggregates in their order.
const RAW: u8 = 3 << 3 | 2;
const PARTS: [u8; 5] = [4 << 3 | 2, 5 << 3 | 2, 6 << 3 | 2, 7 << 3 | 2, 8 << 3 | 2];

/// Lengths and hashes of a message, in the order in which they are written.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Of everything.
    total: usize,
    /// Of each series, then.
    series: Vec<usize>,
    /// Of each chunk of each series.
    chunks: Vec<usize>,
    /// Of the data of each part of each chunk.
    hashes: Vec<u64>,
}

impl Plan {
    /// How many bytes the message has.
    pub(crate) const fn len(&self) -> usize {
        self.total
    }
}

const fn field_len(content: usize) -> usize {
    1 + uvarint_len(content as u64) + content
}

/// A number that is left out if it is zero.
const fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + uvarint_len(value) }
}

const fn type_of(chunk: &Chunk) -> u64 {
    chunk.encoding.byte() as u64 - 1
}

fn part_len(chunk: &Chunk, hash: u64) -> usize {
    let data = if chunk.data.is_empty() { 0 } else { field_len(chunk.data.len()) };
    number_len(type_of(chunk)) + data + number_len(hash)
}

/// The parts that are there, each with its tag.
fn parts(chunk: &StoreChunk) -> impl Iterator<Item = (u8, &Chunk)> {
    let (raw, aggregates) = match &chunk.parts {
        ChunkParts::Raw(raw) => (Some((RAW, raw)), None),
        ChunkParts::Aggregates(aggregates) => (None, Some(aggregates)),
    };
    let of_aggregate = move |(aggregate, tag)| Some((tag, aggregates?.get(aggregate)?));
    raw.into_iter().chain(Aggregate::ALL.into_iter().zip(PARTS).filter_map(of_aggregate))
}

impl SeriesMessage {
    fn series(&self) -> &[StoreSeries] {
        match self {
            Self::Series(series) => std::slice::from_ref(series),
            Self::Batch(series) => series,
            Self::Warning(_) | Self::Hints(_) => &[],
        }
    }

    /// Notes all lengths.
    pub(crate) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for series in self.series() {
            let mut of_series = series.labels.as_ref().as_bytes().len();
            for chunk in &series.chunks {
                let mut of_chunk = number_len(chunk.range.min as u64) + number_len(chunk.range.max as u64);
                for (_, part) in parts(chunk) {
                    let hash = xxh64(&part.data);
                    plan.hashes.push(hash);
                    of_chunk += field_len(part_len(part, hash));
                }
                plan.chunks.push(of_chunk);
                of_series += field_len(of_chunk);
            }
            plan.series.push(of_series);
        }
        let of_series: usize = plan.series.iter().map(|&length| field_len(length)).sum();
        plan.total = match self {
            Self::Series(_) => of_series,
            Self::Batch(_) => field_len(of_series),
            Self::Warning(text) => field_len(text.len()),
            Self::Hints(any) => field_len(any.len()),
        };
        plan
    }

    /// Writes what was planned.
    pub(crate) fn write(&self, plan: &Plan, out: &mut impl BufMut) {
        match self {
            Self::Series(_) => {}
            Self::Batch(_) => {
                let content: usize = plan.series.iter().map(|&length| field_len(length)).sum();
                put_head(out, BATCH, content);
            }
            Self::Warning(text) => {
                put_head(out, WARNING, text.len());
                out.put_slice(text.as_bytes());
            }
            Self::Hints(any) => {
                put_head(out, HINTS, any.len());
                out.put_slice(any);
            }
        }
        let (mut chunks, mut hashes) = (plan.chunks.iter().copied(), plan.hashes.iter().copied());
        for (series, &length) in self.series().iter().zip(&plan.series) {
            // In a batch the field of a series has the same number as in the answer itself.
            put_head(out, SERIES, length);
            out.put_slice(series.labels.as_ref().as_bytes());
            for (chunk, length) in series.chunks.iter().zip(&mut chunks) {
                put_head(out, CHUNKS, length);
                put_number(out, MIN_TIME, chunk.range.min as u64);
                put_number(out, MAX_TIME, chunk.range.max as u64);
                for ((tag, part), hash) in parts(chunk).zip(&mut hashes) {
                    put_head(out, tag, part_len(part, hash));
                    put_number(out, TYPE, type_of(part));
                    if !part.data.is_empty() {
                        put_head(out, DATA, part.data.len());
                        out.put_slice(&part.data);
                    }
                    put_number(out, HASH, hash);
                }
            }
        }
    }
}

fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_head(out: &mut impl BufMut, tag: u8, length: usize) {
    out.put_u8(tag);
    put_varint(out, length as u64);
}

fn put_number(out: &mut impl BufMut, tag: u8, value: u64) {
    if value != 0 {
        out.put_u8(tag);
        put_varint(out, value);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
