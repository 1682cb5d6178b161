//! From chunks to samples, clipped to a range.
//!
//! The samples of all chunks of a series become one run with rising times. Where chunks overlap, a time that several of them
//! hold is given once, with the value that Prometheus' compaction would keep (`overlap.rs`). Series without a sample
//! in the range are left out.

use crate::chunk::{ChunkIter, TimedChunk};
use crate::error::Error;
use crate::sample::{Sample, Value};
use crate::series::overlap::{Float, interleave};
use crate::series::{ChunkSet, SampleSeries, SampleSet};
use crate::time::TimeRange;

/// The samples of a [`ChunkSet`] in a range.
#[derive(Debug)]
pub struct Decode<S> {
    input: S,
    range: TimeRange,
    failed: bool,
}

impl<S: ChunkSet> Decode<S> {
    /// The samples of `input` in `range`.
    pub const fn new(input: S, range: TimeRange) -> Self {
        Self { input, range, failed: false }
    }

    fn step(&mut self) -> Result<Option<SampleSeries>, Error> {
        while let Some(series) = self.input.next()? {
            let samples = decode_chunks(&series.chunks, self.range)?;
            if !samples.is_empty() {
                return Ok(Some(SampleSeries { labels: series.labels, samples }));
            }
        }
        Ok(None)
    }
}

impl<S: ChunkSet> SampleSet for Decode<S> {
    fn next(&mut self) -> Result<Option<SampleSeries>, Error> {
        if self.failed {
            return Ok(None);
        }
        let step = self.step();
        self.failed = step.is_err();
        step
    }
}

/// The samples in `range` of `chunks`, which stand in order of their first, then last time: times rising, no time twice.
///
/// # Errors
/// As [`Chunk::samples`](crate::Chunk::samples) and its iterator. Chunks outside the range are not read.
pub fn decode_chunks(chunks: &[TimedChunk], range: TimeRange) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    let mut rest = chunks;
    while let Some((group, behind)) = split_overlapping(rest) {
        rest = behind;
        match group {
            [alone] => decode_one(alone, range, &mut samples)?,
            [_, _, ..] if group.iter().any(|timed| timed.range.overlaps(range)) => {
                // Which of two values counts depends on all before, so the group is read whole and clipped afterwards.
                let start = samples.len();
                samples.extend(decode_group(group)?);
                let mut at = 0;
                samples.retain(|sample| {
                    at += 1;
                    at <= start || range.contains(sample.t)
                });
            }
            _ => {}
        }
    }
    // Chunks that are not what their ranges say would break the promise.
    let rising = samples.windows(2).all(|pair| matches!(pair, [a, b] if a.t < b.t));
    if !rising {
        samples.sort_by_key(|sample| sample.t);
        samples.dedup_by_key(|sample| sample.t);
    }
    Ok(samples)
}

/// The first chunks that hang together by overlapping, and the rest; `None` if there are no chunks.
fn split_overlapping(chunks: &[TimedChunk]) -> Option<(&[TimedChunk], &[TimedChunk])> {
    let (first, others) = chunks.split_first()?;
    let mut end = first.range.max;
    let mut len = 1;
    for timed in others {
        if timed.range.min > end {
            break;
        }
        end = end.max(timed.range.max);
        len += 1;
    }
    chunks.split_at_checked(len)
}

/// All samples of chunks that hang together by overlapping.
pub(super) fn decode_group(group: &[TimedChunk]) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    if let Some((first, others)) = group.split_first() {
        let mut runs = Vec::with_capacity(group.len());
        for timed in others.iter().chain([first]) {
            let mut run = Vec::new();
            decode_one(timed, TimeRange::ALL, &mut run)?;
            runs.push(run);
        }
        interleave(&runs, &mut samples);
    }
    Ok(samples)
}

/// The samples of each of the chunks, if all of them are floats without start timestamps.
pub(super) fn decode_floats(group: &[TimedChunk]) -> Result<Option<Vec<Vec<Float>>>, Error> {
    let mut runs = Vec::with_capacity(group.len());
    for timed in group {
        let ChunkIter::Xor(mut iter) = timed.chunk.samples()? else { return Ok(None) };
        let mut run = Vec::with_capacity(room_for(timed)?);
        while let Some(sample) = iter.next()? {
            run.push(sample);
        }
        runs.push(run);
    }
    Ok(Some(runs))
}

/// How many samples a chunk can have. A sample takes at least a bit, so a damaged count cannot ask for much memory.
fn room_for(timed: &TimedChunk) -> Result<usize, Error> {
    let most = timed.chunk.data.len().saturating_mul(8);
    Ok(most.min(timed.chunk.num_samples()?.into()))
}

/// Appends the samples of `timed` in `range`.
pub(super) fn decode_one(timed: &TimedChunk, range: TimeRange, into: &mut Vec<Sample>) -> Result<(), Error> {
    if !timed.range.overlaps(range) {
        return Ok(());
    }
    into.reserve(room_for(timed)?);
    match timed.chunk.samples()? {
        ChunkIter::Xor(mut iter) => {
            while let Some((t, value)) = iter.next()? {
                if t > range.max {
                    break;
                }
                if t >= range.min {
                    into.push(Sample::float(t, value));
                }
            }
        }
        ChunkIter::Xor2(mut iter) => {
            while let Some((t, start, value)) = iter.next()? {
                if t > range.max {
                    break;
                }
                if t >= range.min {
                    into.push(Sample { t, start, value: Value::Float(value) });
                }
            }
        }
        ChunkIter::Histogram(mut iter) => {
            while let Some(t) = iter.advance()? {
                if t > range.max {
                    break;
                }
                if t >= range.min {
                    into.extend(iter.sample());
                }
            }
        }
    }
    Ok(())
}
