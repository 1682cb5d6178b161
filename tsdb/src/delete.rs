//! Deletes: marks in local blocks and in the head.
//!
//! Nothing is removed here. A block gets a longer tombstones file, then a meta file that counts it, each replaced as a whole;
//! a series of the head gets a stone, which is logged under the same hold of the lock. Readers that begin afterwards see neither. A
//! delete that was interrupted has marked some blocks and series and others not; done again, it marks the rest.
//!
//! A delete holds `upkeep`: no cut, and no other delete, runs meanwhile. So what it marks in the head is not on its way into a
//! block, and every sample is either in a block or in the head.

use std::sync::Arc;

use sarsen_block::{Block, BlockId, Matcher, SeriesNo, TimeRange, Timestamp, Tombstones};
use sarsen_wal::{SeriesId, replace_file};

use crate::appender::Pending;
use crate::blocks::{self, Access, LocalBlock};
use crate::db::Shared;
use crate::error::Error;
use crate::head::{HeadLists, Reach};
use crate::query::View;

/// Series of the head that are marked under one hold of the lock.
const SLICE: usize = 1024;

/// What a delete has marked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DeleteReport {
    /// Local blocks that have more tombstones than before, oldest first.
    pub blocks: Vec<BlockId>,
    /// Series of the head of which something was deleted.
    pub head_series: u64,
}

impl Shared {
    pub(crate) fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<DeleteReport, Error> {
        let mut upkeep = self.upkeep.lock();
        self.check()?;
        self.log.check()?;
        let mut report = DeleteReport::default();
        let view = Arc::clone(&self.view.read());
        let mut blocks = view.blocks.clone();
        for (at, local) in view.blocks.iter().enumerate() {
            if let Some(stones) = stones_of(&local.block, matchers, range)? {
                let marked = Arc::new(self.mark(local, &stones)?);
                report.blocks.push(marked.info.id);
                if let Some(slot) = blocks.get_mut(at) {
                    *slot = marked;
                }
                // Shown one by one: what is on disk is what is seen, also if the next one fails.
                self.show(&mut upkeep, View { blocks: blocks.clone(), ..*view });
            }
        }
        report.head_series = self.delete_in_head(matchers, range, view.head_from)?;
        Ok(report)
    }

    /// Gives a block its new tombstones, on disk first.
    fn mark(&self, local: &LocalBlock, stones: &Tombstones) -> Result<LocalBlock, Error> {
        let directory = &local.info.directory;
        let failed = |e| Error::io(format!("marking {}", directory.display()), e);
        let mut meta = local.info.meta.clone();
        meta.stats.num_tombstones = stones.count() as u64;
        // In this order: a count without stones would be believed by nobody, stones without a count are honoured.
        for (name, bytes) in [("tombstones", stones.to_bytes()), ("meta.json", meta.to_bytes())] {
            replace_file(self.disk.as_ref(), &directory.join(name), &bytes).map_err(failed)?;
        }
        blocks::open(self.disk.as_ref(), directory, local.info.id, Access::Random)
    }

    /// Marks series of the head, logs the marks, and waits until they are on disk; how many series.
    fn delete_in_head(&self, matchers: &[Matcher], range: TimeRange, from: Timestamp) -> Result<u64, Error> {
        let ordered = range.intersect(TimeRange::new(from, Timestamp::MAX));
        let selected = HeadLists::new(&self.head).select(matchers, Reach { ordered, late: range })?;
        let mut pending = None;
        let mut count = 0;
        for slice in selected.chunks(SLICE) {
            let (marked, logged) = self.delete_slice(slice, (range, from))?;
            count += marked;
            pending = logged.or(pending);
        }
        pending.map_or(Ok(()), Pending::wait)?;
        Ok(count)
    }

    fn delete_slice(
        &self,
        slice: &[SeriesNo],
        (range, from): (TimeRange, Timestamp),
    ) -> Result<(u64, Option<Pending>), Error> {
        let mut batch = sarsen_wal::Batch::new();
        let mut marked = 0;
        let mut head = self.head.write();
        self.check()?;
        self.log.check()?;
        for &no in slice {
            let deleted = head.delete(no, range, from)?;
            marked += u64::from(!deleted.is_empty());
            deleted.into_iter().for_each(|range| batch.deletion(SeriesId(u64::from(no.0)), range));
        }
        if marked == 0 {
            return Ok((0, None));
        }
        let pending = self.log_applied(&mut batch)?;
        Ok((marked, Some(pending)))
    }
}

/// The tombstones that a block has to get; `None` if it has them already. As Prometheus does: a series is marked if one of its
/// chunks overlaps the range, from its first time to its last at most.
fn stones_of(block: &Block, matchers: &[Matcher], range: TimeRange) -> Result<Option<Tombstones>, Error> {
    if !block.meta().range().overlaps(range) {
        return Ok(None);
    }
    let mut stones = block.tombstones().clone();
    for no in block.postings(matchers)? {
        let chunks = block.series(no)?.chunks;
        if let (Some(first), Some(last)) = (chunks.first(), chunks.last())
            && chunks.iter().any(|chunk| chunk.range.overlaps(range))
        {
            stones.add(no, range.intersect(TimeRange::new(first.range.min, last.range.max)));
        }
    }
    Ok((stones != *block.tombstones()).then_some(stones))
}
