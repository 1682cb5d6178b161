//! What a block is: labels, samples, chunks, index and meta, as bytes and as streams.
//!
//! This crate is pure: bytes in, bytes out. It opens no file, reads no clock and starts no thread.
//!
//! ```
//! use sarsen_block::Labels;
//!
//! let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")])?;
//! assert_eq!(labels.get(b"job"), Some(&b"node"[..]));
//! # Ok::<(), sarsen_block::Error>(())
//! ```

#![forbid(unsafe_code)]

mod bits;
mod chunk;
pub mod codec;
mod error;
mod labels;
mod regex;
mod sample;
mod series;
mod time;

pub use chunk::{Chunk, ChunkIter, ChunkMeta, ChunkRef, Encoding, TimedChunk, XorAppender, XorIter};
pub use error::{Advice, Corrupt, Error};
pub use labels::{
    Labels, LabelsBuilder, LabelsIter, LabelsRef, METRIC_NAME, MatchOp, Matcher, SeriesHash, SeriesHasher,
};
pub use sample::{NORMAL_NAN_BITS, STALE_NAN_BITS, Sample, SampleIter, Value, is_stale};
pub use series::{ChunkSeries, ChunkSet, SampleSeries, SampleSet};
pub use time::{TimeRange, Timestamp};
