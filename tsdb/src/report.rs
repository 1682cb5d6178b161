//! What an operation on a database did: plain data handed to its caller.

use std::path::PathBuf;

use sarsen_block::{BlockId, TimeRange, Timestamp};

use crate::blocks::LocalBlock;
use crate::import::ImportReport;

/// What the log lost when it was repaired at a damage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// In the checkpoint, not in a segment.
    pub in_checkpoint: bool,
    /// Segment of the damage, or number of the checkpoint.
    pub segment: u64,
    /// Offset at which the damage began.
    pub offset: u64,
    /// What was wrong there.
    pub why: String,
    /// Bytes that are gone, good and bad.
    pub bytes: u64,
    /// Births among them that could still be read.
    pub series: u64,
    /// Samples among them that could still be read.
    pub samples: u64,
}

/// A block directory that cannot be used and was left where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAside {
    /// The directory.
    pub directory: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What opening a database found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// Records of the log that were replayed.
    pub records: u64,
    /// Series that came back from the log.
    pub series: u64,
    /// Samples that came back from the log.
    pub samples: u64,
    /// Samples in the log that lie in ranges already cut, and were skipped.
    pub skipped: u64,
    /// Samples in the log whose series is not, because a repair took its birth.
    pub orphans: u64,
    /// What was lost to damage, by place.
    pub lost: Vec<Lost>,
    /// Local blocks opened.
    pub blocks: u64,
    /// Local blocks that cannot be read.
    pub set_aside: Vec<SetAside>,
    /// Leftovers of interrupted work that were removed.
    pub removed: Vec<PathBuf>,
    /// What was taken over from Prometheus or Thanos Receive, whose log is gone from the directory now: everything in it
    /// that counts was written to ours and read back before.
    pub imported: Option<ImportReport>,
}

/// A range of the head that was written as a block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutReport {
    /// The new block; `None` if the range had no sample and no block was made.
    pub block: Option<BlockId>,
    /// The range that was cut, closed on both sides.
    pub range: TimeRange,
    /// Whether these are late samples: a block that may overlap others.
    pub late: bool,
    /// Series in the block.
    pub series: u64,
    /// Samples in the block.
    pub samples: u64,
    /// Chunks in the block.
    pub chunks: u64,
    /// Bytes of the block on disk.
    pub bytes: u64,
}

impl CutReport {
    pub(crate) fn of(local: Option<&LocalBlock>, range: TimeRange, late: bool) -> Self {
        let stats = local.map(|local| local.info.meta.stats).unwrap_or_default();
        Self {
            block: local.map(|local| local.info.id),
            range,
            late,
            series: stats.num_series,
            samples: stats.num_samples,
            chunks: stats.num_chunks,
            bytes: local.map_or(0, |local| local.info.bytes),
        }
    }
}

/// What `Db::maintain` or `Db::flush` did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MaintainReport {
    /// Ranges that were cut, oldest first.
    pub cuts: Vec<CutReport>,
    /// Series that were forgotten because they had no sample left.
    pub forgotten: u64,
    /// Whether memory behind a cut could not be given back yet because a query still reads it. The next call tries again.
    pub memory_in_use: bool,
    /// Log segments that were dropped.
    pub log_segments_dropped: u64,
    /// Local blocks that were due by age or size and are gone, newest first. Empty unless the database may remove blocks on
    /// its own ([`Shipping::NotNeeded`](crate::Shipping::NotNeeded)).
    pub blocks_removed: Vec<BlockId>,
    /// Bytes of the checkpoint that was written in place of log segments; 0 if none was due.
    pub checkpoint_bytes: u64,
    /// From here on the head has data; what is older lies in blocks.
    pub head_from: Option<Timestamp>,
}
