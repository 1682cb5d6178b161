//! Whether coarser blocks hold what a block holds.
//!
//! A block is covered when each of its sources is among those of coarser blocks with the same labels, and those blocks together
//! leave no part of its range out. A block that names no source is covered by coarser blocks that name none either. Only blocks
//! that are whole, unmarked and undamaged are asked: what is marked for deletion or set aside covers nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta};
use sarsen_downsample::Resolution;

use crate::group::GroupKey;
use crate::sift::resolution;

/// The downsampled blocks of a bucket, by what they were made of.
#[derive(Debug, Default)]
pub(crate) struct Coarser<'a> {
    /// By the hash of the labels and by source; blocks without sources are under [`BlockId::NONE`].
    by_source: BTreeMap<(u64, BlockId), Vec<(Resolution, &'a BlockMeta)>>,
}

impl<'a> Coarser<'a> {
    pub(crate) fn new(blocks: impl IntoIterator<Item = &'a Arc<BlockMeta>>) -> Self {
        let mut by_source: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for meta in blocks {
            let Some(resolution) = resolution(meta).filter(|resolution| *resolution != Resolution::Raw)
            else {
                continue;
            };
            for source in sources(meta) {
                by_source.entry((labels_of(meta), source)).or_default().push((resolution, meta.as_ref()));
            }
        }
        Self { by_source }
    }

    /// Whether blocks of this resolution have all sources of the block: then there is nothing to downsample in it.
    pub(crate) fn has_all_sources(&self, meta: &BlockMeta, at: Resolution) -> bool {
        if meta.compaction.sources.is_empty() {
            return self.covering(meta, &[at]).is_some();
        }
        let group = labels_of(meta);
        sources(meta).all(|source| self.of(group, source).any(|(resolution, _)| resolution == at))
    }

    /// Blocks of these resolutions that together cover the block; `None` if they leave something out.
    pub(crate) fn covering(&self, meta: &BlockMeta, at: &[Resolution]) -> Option<Vec<BlockId>> {
        let group = labels_of(meta);
        let mut used: BTreeMap<BlockId, (i64, i64)> = BTreeMap::new();
        for source in sources(meta) {
            let overlaps =
                |other: &BlockMeta| other.min_time < meta.max_time && meta.min_time < other.max_time;
            let mut found =
                self.of(group, source).filter(|(own, other)| at.contains(own) && overlaps(other)).peekable();
            found.peek()?;
            used.extend(found.map(|(_, other)| (other.id, (other.min_time, other.max_time))));
        }
        let spans: BTreeSet<(i64, i64)> = used.values().copied().collect();
        let mut reach = meta.min_time;
        for (min, max) in spans {
            if min > reach {
                return None;
            }
            reach = reach.max(max);
        }
        (reach >= meta.max_time).then(|| used.into_keys().collect())
    }

    fn of(&self, group: u64, source: BlockId) -> impl Iterator<Item = (Resolution, &'a BlockMeta)> + '_ {
        self.by_source.get(&(group, source)).into_iter().flatten().copied()
    }
}

fn labels_of(meta: &BlockMeta) -> u64 {
    GroupKey::of(meta).labels
}

fn sources(meta: &BlockMeta) -> impl Iterator<Item = BlockId> + '_ {
    let none = meta.compaction.sources.is_empty().then_some(BlockId::NONE);
    meta.compaction.sources.iter().copied().chain(none)
}
