//! Which local blocks are due to go: by age, by size, or because a block says so itself. And letting them go.
//!
//! The rules are Prometheus': age counts from the end of the newest block, not from now; the newest block is never too old;
//! the size of log and spill counts with that of the blocks, and newer blocks are kept before older ones. What is due is one
//! question, whether it may go another: only the owner knows which blocks lie safely elsewhere.

use std::collections::BTreeSet;

use sarsen_block::{BlockId, Timestamp};

use crate::blocks::BlockInfo;
use crate::db::Shared;
use crate::error::Error;
use crate::options::Options;
use crate::upkeep::Upkeep;

/// What [`Db::retain`](crate::Db::retain) did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RetainReport {
    /// Blocks that are gone, newest first.
    pub removed: Vec<BlockId>,
    /// Blocks that are due and may not go yet, newest first.
    pub held_back: Vec<BlockId>,
}

/// The blocks that are due, newest first. `other_bytes` is what the database holds on disk beside blocks.
pub(crate) fn due<'a>(
    blocks: impl IntoIterator<Item = &'a BlockInfo>,
    other_bytes: u64,
    options: &Options,
) -> Vec<&'a BlockInfo> {
    let mut newest_first: Vec<&BlockInfo> = blocks.into_iter().collect();
    newest_first.sort_by_key(|info| std::cmp::Reverse((info.meta.max_time, info.id)));
    let newest: Option<Timestamp> = newest_first.first().map(|info| info.meta.max_time);
    let (mut is_old, mut is_over, mut bytes) = (false, false, other_bytes);
    let mut found = BTreeSet::new();
    for (at, info) in newest_first.iter().enumerate() {
        let age = newest.unwrap_or_default().saturating_sub(info.meta.max_time);
        is_old |= options.retention_time > 0 && at > 0 && age >= options.retention_time;
        bytes = bytes.saturating_add(info.bytes);
        is_over |= options.retention_bytes > 0 && bytes > options.retention_bytes;
        if is_old || is_over || info.meta.compaction.deletable {
            found.insert(info.id);
        }
    }
    newest_first.retain(|info| found.contains(&info.id));
    newest_first
}

impl Shared {
    /// Removes the blocks that are due and for which `may_go` says so.
    pub(crate) fn retain(
        &self,
        upkeep: &mut Upkeep,
        mut may_go: impl FnMut(&BlockInfo) -> bool,
    ) -> Result<RetainReport, Error> {
        let mut report = RetainReport::default();
        let view = std::sync::Arc::clone(&self.view.read());
        let infos = || view.blocks.iter().map(|local| &local.info);
        // The disk is asked only if the answer matters.
        let other_bytes = if self.options.retention_bytes > 0 { self.bytes_beside_blocks()? } else { 0 };
        for info in due(infos(), other_bytes, &self.options) {
            if !may_go(info) {
                report.held_back.push(info.id);
            } else if self.retire_one(upkeep, info.id)? {
                report.removed.push(info.id);
            }
        }
        Ok(report)
    }

    /// Bytes of everything that is no block.
    fn bytes_beside_blocks(&self) -> Result<u64, Error> {
        let (_, spilled, _) = self.spill.sizes();
        let log = sarsen_wal::log_bytes(self.disk.as_ref(), &self.directory)?;
        let checkpoint = sarsen_wal::checkpoint_bytes(self.disk.as_ref(), &self.directory)?;
        Ok(log.saturating_add(checkpoint).saturating_add(spilled))
    }
}
