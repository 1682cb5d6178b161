//! What a round did.

use sarsen_block::{BlockId, BlockMeta};

use crate::aside::SetAside;
use crate::plan::{Job, Kept, Plan};

/// A job that came to its end.
#[derive(Debug, Clone)]
pub struct Done {
    /// The job.
    pub job: Job,
    /// Metas of the blocks that it made; none if no sample was left, or it made none.
    pub made: Vec<BlockMeta>,
}

/// A job that failed, and why.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The job.
    pub job: Job,
    /// What went wrong.
    pub why: String,
}

/// What was removed from a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanReport {
    /// Blocks removed because their mark was old enough.
    pub removed: Vec<BlockId>,
    /// Half blocks removed.
    pub halves: Vec<BlockId>,
    /// Blocks that could not be removed, and why; the next round tries again.
    pub failed: Vec<(BlockId, String)>,
}

impl CleanReport {
    pub(crate) fn add(&mut self, mut other: Self) {
        self.removed.append(&mut other.removed);
        self.halves.append(&mut other.halves);
        self.failed.append(&mut other.failed);
    }
}

/// What a round did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RoundReport {
    /// Jobs done, in the order in which they ended.
    pub done: Vec<Done>,
    /// Jobs that failed. Their blocks are in `set_aside`, unless others had changed them meanwhile.
    pub failed: Vec<Failed>,
    /// Everything that is left out at the end of the round, whenever it was set aside.
    pub set_aside: Vec<SetAside>,
    /// Blocks that this round found to be damaged, also those that are no longer needed by its end.
    pub damaged: Vec<SetAside>,
    /// Objects that are no part of a block's content and cannot be read: marks, and the list of deletions. They count as absent.
    pub unreadable: Vec<(String, String)>,
    /// What was removed.
    pub cleaned: CleanReport,
    /// Blocks that are due by age and stay, and why.
    pub kept: Vec<(BlockId, Kept)>,
    /// What is left to be done: nothing, unless blocks wait or the round was stopped.
    pub left: Plan,
    /// Whether the round was told to stop.
    pub stopped: bool,
}

impl RoundReport {
    /// Metas of all blocks that the round made.
    pub fn made(&self) -> impl Iterator<Item = &BlockMeta> {
        self.done.iter().flat_map(|done| &done.made)
    }
}
