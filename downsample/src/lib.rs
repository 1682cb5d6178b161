//! Aggregated resolutions: their format, their making, their reading.
//!
//! A downsampled block holds, for each series, windows of five minutes or of an hour: how many samples lie in one, their sum, the least
//! and the greatest of them, and what a counter gained. It is an ordinary block whose chunks are [`AggrChunk`]s, five little chunks in
//! one, as Thanos writes and reads them, byte for byte. [`downsample`] makes one, [`downsample_both`] makes both resolutions in one
//! reading of raw data. [`CounterIter`] follows a counter over the ends of chunks, [`AverageIter`] divides sums by counts.
//!
//! Reading looks at blocks of all resolutions at once: a [`History`] answers each part of time from the finest that is left, and
//! [`aggregate_for`] knows which aggregate a function of PromQL asks for. [`AggregateChunks`] puts overlapping downsampled blocks
//! together for [`rewrite`](sarsen_block::rewrite).
//!
//! ```
//! use sarsen_block::*;
//! use sarsen_downsample::{AggrChunk, Aggregate, CounterIter};
//!
//! // The counter part of a chunk: first raw value, windows, and the last raw value at the last time again. It began anew once.
//! let counter = |points: &[(i64, f64)]| {
//!     let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
//!     points.iter().for_each(|&(t, value)| assert!(appender.append(&mut bytes, t, value)));
//!     Chunk::xor(appender.finish(&bytes))
//! };
//! let first = counter(&[(10_000, 1.0), (299_999, 6.0), (599_999, 9.0), (599_999, 5.0)]);
//! let chunk = AggrChunk::new([None, None, None, None, Some(first)]).to_chunk();
//! let parts = AggrChunk::parse(&chunk)?;
//! let second = counter(&[(610_000, 7.0), (899_999, 8.0), (899_999, 8.0)]);
//!
//! let mut followed = CounterIter::new(parts.get(Aggregate::Counter).into_iter().chain([&second]));
//! let mut last = None;
//! while let Some(sample) = followed.next()? {
//!     last = Some(sample);
//! }
//! assert_eq!(last, Some(Sample::float(899_999, 12.0)));
//! # Ok::<(), Error>(())
//! ```
//!
//! Pure: blocks come in through their sources and go out through a sink; no file is opened and no clock read. One series is in memory at
//! a time. The rooms, in reading order: `window`, `aggr`; `floats`, `histogram` (samples gathered into windows); `raw` with `stream`, and
//! `again` (the two steps of downsampling); `whole`; `visible`, `counter`, `average`, `read`, `history`; `sent` (the chunks of a store, read for a querier); `rows`, `merge` (windows picked one by one). `FORMAT.md`
//! draws the bytes.

#![forbid(unsafe_code)]

mod again;
mod aggr;
mod average;
mod counter;
mod error;
mod floats;
mod histogram;
mod history;
mod merge;
mod raw;
mod read;
mod rows;
mod sent;
mod stream;
mod visible;
mod whole;
mod window;

pub use aggr::{AggrChunk, Aggregate};
pub use average::AverageIter;
pub use counter::CounterIter;
pub use error::Error;
pub use history::{History, HistorySet};
pub use merge::AggregateChunks;
pub use read::{Wanted, aggregate_for};
pub use sent::{Sent, Sink, read_sent};
pub use whole::{DownsampleOptions, downsample, downsample_both};
pub use window::Resolution;
