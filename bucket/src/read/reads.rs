//! What one request has read of a bucket: how much it looked at, how much of that was fetched, and how long that took.
//!
//! Counted once per step and block, never per series. The owner of the request looks at the numbers at its end.

use std::time::Duration;

use super::Purpose;

/// What was read for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadCount {
    /// Lists, entries or chunks that were looked at.
    pub touched: u64,
    /// Bytes of them. Of fetched entries what was asked for, which may be a little more.
    pub touched_bytes: u64,
    /// Those of them that came from the store and from no cache of the index.
    pub fetched: u64,
    /// Bytes that were asked for, with what was read over between them.
    pub fetched_bytes: u64,
    /// How often something was longer than expected and was asked for again.
    pub again: u64,
    /// Time that steps took, from caches and from the store, of all blocks together.
    pub took: Duration,
    /// The longest of these steps.
    pub longest: Duration,
}

impl ReadCount {
    /// Counts another step.
    pub(super) fn add(&mut self, step: &Self) {
        self.touched += step.touched;
        self.touched_bytes += step.touched_bytes;
        self.fetched += step.fetched;
        self.fetched_bytes += step.fetched_bytes;
        self.again += step.again;
        self.took += step.took;
        self.longest = self.longest.max(step.took).max(step.longest);
    }
}

/// What was read for all purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// Lists of series.
    pub postings: ReadCount,
    /// Entries of series.
    pub series: ReadCount,
    /// Chunks.
    pub chunks: ReadCount,
    /// Blocks in which matchers found no series.
    pub empty: u64,
    /// Blocks where a matcher was asked of entries because its lists were not worth fetching.
    pub spared: u64,
    /// Bytes of these lists.
    pub spared_bytes: u64,
}

impl Reads {
    /// What was read for one purpose.
    pub const fn of(&self, purpose: Purpose) -> &ReadCount {
        match purpose {
            Purpose::Postings => &self.postings,
            Purpose::Series => &self.series,
            Purpose::Chunks => &self.chunks,
        }
    }

    pub(super) const fn of_mut(&mut self, purpose: Purpose) -> &mut ReadCount {
        match purpose {
            Purpose::Postings => &mut self.postings,
            Purpose::Series => &mut self.series,
            Purpose::Chunks => &mut self.chunks,
        }
    }
}
