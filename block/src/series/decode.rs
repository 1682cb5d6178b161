//! From chunks to samples, clipped to a range.
//!
//! The samples of all chunks of a series become one run with rising times. Where chunks overlap, a time that several of them
//! hold is given once, with the value of the chunk that stands first in the series. Series without a sample in the
//! range are left out.

use crate::chunk::{ChunkIter, TimedChunk};
use crate::error::Error;
use crate::sample::Sample;
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

/// The samples of `chunks` in `range`: times rising, no time twice; the first chunk that holds a time gives its value.
///
/// # Errors
/// As [`Chunk::samples`](crate::Chunk::samples) and its iterator. Chunks outside the range are not read.
pub fn decode_chunks(chunks: &[TimedChunk], range: TimeRange) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    for timed in chunks.iter().filter(|timed| timed.range.overlaps(range)) {
        // A sample takes at least two bits, so a damaged count cannot ask for much memory.
        let most = timed.chunk.data.len().saturating_mul(4);
        samples.reserve(most.min(timed.chunk.num_samples()?.into()));
        decode_one(timed.chunk.samples()?, range, &mut samples)?;
    }
    let rising = samples.windows(2).all(|pair| matches!(pair, [a, b] if a.t < b.t));
    if !rising {
        samples.sort_by_key(|sample| sample.t);
        samples.dedup_by_key(|sample| sample.t);
    }
    Ok(samples)
}

fn decode_one(iter: ChunkIter<'_>, range: TimeRange, into: &mut Vec<Sample>) -> Result<(), Error> {
    match iter {
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
    }
    Ok(())
}
