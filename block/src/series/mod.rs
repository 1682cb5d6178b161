//! The two streams: labels with chunks, labels with samples.
//!
//! Storage and compaction think in chunks and never decode; deduplication and evaluation think in samples. The type says on
//! which side of the decoding one stands. Both give every label set once, in rising order of labels.

mod aggregates;
mod decode;
mod dedup;
pub(crate) mod heap;
mod merge;
mod overlap;
mod recode;
mod replicas;

use crate::chunk::TimedChunk;
use crate::error::Error;
use crate::labels::Labels;
use crate::sample::Sample;

pub use aggregates::Aggregates;
pub use decode::{Decode, decode_chunks};
pub use merge::Merge;
pub use overlap::{Timed, interleave};
pub use recode::Overlap;
pub(crate) use recode::{Desk, Held, Piece, Recode, compact};
pub use replicas::Replicas;

/// A series, still encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkSeries {
    /// Which series.
    pub labels: Labels,
    /// Its chunks by first time, then last time. They may overlap.
    pub chunks: Vec<TimedChunk>,
}

/// A series, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSeries {
    /// Which series.
    pub labels: Labels,
    /// Its samples, times rising, no time twice.
    pub samples: Vec<Sample>,
}

/// Series with their chunks, each label set once, labels rising.
pub trait ChunkSet {
    /// The next series, `None` at the end.
    ///
    /// # Errors
    /// Whatever reading meets; the set cannot be used afterwards.
    fn next(&mut self) -> Result<Option<ChunkSeries>, Error>;
}

/// Series with their samples, each label set once, labels rising.
pub trait SampleSet {
    /// The next series, `None` at the end.
    ///
    /// # Errors
    /// Whatever reading or decoding meets; the set cannot be used afterwards.
    fn next(&mut self) -> Result<Option<SampleSeries>, Error>;
}

impl<S: ChunkSet + ?Sized> ChunkSet for Box<S> {
    fn next(&mut self) -> Result<Option<ChunkSeries>, Error> {
        (**self).next()
    }
}

impl<S: SampleSet + ?Sized> SampleSet for Box<S> {
    fn next(&mut self) -> Result<Option<SampleSeries>, Error> {
        (**self).next()
    }
}

#[cfg(test)]
mod tests;
