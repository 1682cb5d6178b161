//! Aggregated resolutions: their format, their making, their reading.
//!
//! A downsampled block holds, for each series, windows of five minutes or of an hour: how many samples lie in one, their sum, the least
//! and the greatest of them, and what a counter gained. It is an ordinary block whose chunks are [`AggrChunk`]s, five little chunks in
//! one, as Thanos writes and reads them, byte for byte. [`downsample`] makes one, [`downsample_both`] makes both resolutions in one
//! reading of raw data. [`CounterIter`] follows a counter over the ends of chunks, [`AverageIter`] divides sums by counts.
//!
//! Pure: blocks come in through their sources and go out through a sink; no file is opened and no clock read. One series is in memory at
//! a time. The rooms, in reading order: `window`, `aggr`; `floats`, `histogram` (samples gathered into windows); `raw`, `again` (the two
//! steps of downsampling); `whole`; `counter`, `average`; `rows`, `merge` (windows picked one by one). `FORMAT.md` draws the bytes.

#![forbid(unsafe_code)]

mod again;
mod aggr;
mod average;
mod counter;
mod error;
mod floats;
mod histogram;
mod merge;
mod raw;
mod rows;
mod whole;
mod window;

pub use aggr::{AggrChunk, Aggregate};
pub use average::AverageIter;
pub use counter::CounterIter;
pub use error::Error;
pub use merge::AggregateChunks;
pub use whole::{DownsampleOptions, downsample, downsample_both};
pub use window::Resolution;
