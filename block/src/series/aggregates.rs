//! What a rewrite asks of those who know aggregate chunks.
//!
//! This crate carries the chunks of downsampled blocks (encoding 0xFF) without looking into them. Where they have to be taken apart,
//! because two blocks overlap or a part is deleted, the rewrite asks through this seam; the crate that knows the format answers.

use std::fmt;

use crate::chunk::TimedChunk;
use crate::error::Error;
use crate::time::TimeRange;

/// Takes aggregate chunks apart and puts them together.
pub trait Aggregates: fmt::Debug + Sync {
    /// Chunks that hang together by overlapping, as one run of chunks that do not overlap. `runs` are at least two, each what one block has of
    /// the stretch, in order of time, without overlaps, never empty; they stand in the order in which blocks count: where two hold
    /// the same window, it is for the implementation to say which one stays, but no window that only one of them holds is lost.
    ///
    /// The answer is in order of time without overlaps and lies within the range that the runs cover together.
    ///
    /// # Errors
    /// `Corrupt` if a chunk is damaged.
    fn merge(&self, runs: Vec<Vec<TimedChunk>>) -> Result<Vec<TimedChunk>, Error>;

    /// `chunk` without the windows that touch one of the `deleted` ranges, at least one. Nothing if no window is left.
    ///
    /// # Errors
    /// `Corrupt` if the chunk is damaged.
    fn without(&self, chunk: &TimedChunk, deleted: &[TimeRange]) -> Result<Vec<TimedChunk>, Error>;
}
