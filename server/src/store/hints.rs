//! What a store tells about its answer, if it is asked to ([`SeriesQuery::stats`](super::SeriesQuery::stats)): the blocks that it read, and of a querier
//! whom it asked and what came.
//!
//! Nothing depends on it; whoever explains a query shows it.

use std::time::Duration;

#[cfg(any(feature = "receive", feature = "store"))]
use sarsen_block::TimeRange;

/// What one store tells. Several may tell something in one stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hints {
    /// What was read; `None` if that is not told.
    pub(crate) blocks: Option<Vec<BlockHint>>,
    /// What it took.
    pub(crate) effort: Effort,
    /// The endpoint of which all this is told, by a querier that asked it, or did not.
    #[cfg(feature = "query")]
    pub(crate) endpoint: Option<Box<EndpointHints>>,
}

/// A part of a store that was read: a block, or the head of a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockHint {
    /// The id of a block, or `head/` and a tenant.
    pub(crate) id: String,
    /// Milliseconds between its samples, 0 for raw ones; `None` if that is not told, as by Thanos.
    pub(crate) resolution_ms: Option<i64>,
    /// Its time, if that is told.
    pub(crate) range: Option<(i64, i64)>,
}

impl BlockHint {
    /// A part of which everything is known.
    #[cfg(any(feature = "receive", feature = "store"))]
    pub(crate) const fn new(id: String, resolution_ms: i64, range: TimeRange) -> Self {
        Self { id, resolution_ms: Some(resolution_ms), range: Some((range.min, range.max)) }
    }
}

/// What an answer took, as far as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Effort {
    /// Series that were looked at in all blocks, and those that were sent.
    pub(crate) series: (u64, u64),
    /// Chunks that were read.
    pub(crate) chunks: u64,
    /// Time to find the series, and to send them.
    pub(crate) took: (Duration, Duration),
}

/// An endpoint as the one who asks sees it.
#[cfg(feature = "query")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EndpointHints {
    /// Where it is.
    pub(crate) address: String,
    /// What it is.
    pub(crate) component: &'static str,
    /// Why it was not asked, if it was not.
    pub(crate) left_out: Option<String>,
    /// Frames with series, chunks in them, and about how many bytes these have.
    pub(crate) sent: (u64, u64, u64),
    /// Time to the first message, if one came, and to the end.
    pub(crate) took: (Option<Duration>, Duration),
    /// What it could not give, and how it broke off.
    pub(crate) warnings: Vec<String>,
}
