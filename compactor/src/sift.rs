//! What of a bucket is planned with: the blocks that pass every filter, and why the others do not.
//!
//! The filters are those of Thanos' compactor in its order, with three differences. A block that is marked for deletion is out at
//! once, because nothing may be made of what is going away. A block of an unknown resolution is out. And a block that was set
//! aside as damaged does not count as a copy of others, so that what it was made of is merged again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta};
use sarsen_bucket::{Excluded, Filter, View, remove_labels};
use sarsen_downsample::Resolution;

use crate::group::GroupKey;
use crate::options::Options;

/// The blocks of a bucket, sifted.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    /// What is planned with. Replica labels are taken off.
    pub(crate) blocks: BTreeMap<BlockId, Arc<BlockMeta>>,
    /// What is not, with the reason.
    pub(crate) excluded: Vec<(BlockId, Excluded)>,
    /// Blocks that hold nothing which is not in one other block, and that block.
    pub(crate) outdated: Vec<(Arc<BlockMeta>, BlockId)>,
    /// Damaged blocks whose content is nowhere else.
    pub(crate) damaged: Vec<Arc<BlockMeta>>,
}

/// Sifts a bucket. `damaged` blocks are left out, but may turn out to be outdated.
pub(crate) fn sift(view: &View, now_ms: i64, damaged: &BTreeSet<BlockId>, options: &Options) -> Sifted {
    let mut view = view.clone();
    let mut excluded = Filter::Time(options.time).apply(&mut view);
    if let Some(selector) = &options.selector {
        excluded.extend(selector.apply(&mut view, &options.replica_labels));
    }
    excluded.extend(Filter::Age { now_ms, delay_ms: options.consistency_delay_ms }.apply(&mut view));
    excluded.extend(Filter::NotDeleted { now_s: i64::MAX, delay_s: 0 }.apply(&mut view));
    remove_labels(&mut view, &options.replica_labels);
    let strange: Vec<BlockId> =
        view.blocks.values().filter(|meta| resolution(meta).is_none()).map(|m| m.id).collect();
    view.blocks.retain(|id, _| !strange.contains(id));
    excluded.extend(strange.into_iter().map(|id| (id, Excluded::Resolution)));
    let before = view.blocks.clone();
    view.blocks.retain(|id, _| !damaged.contains(id));
    excluded.extend(Filter::NoDuplicates.apply(&mut view));
    let outdated = outdated(&before, &view.blocks);
    let is_outdated = |id: BlockId| outdated.iter().any(|(meta, _)| meta.id == id);
    let damaged =
        damaged.iter().filter(|id| !is_outdated(**id)).filter_map(|id| before.get(id).cloned()).collect();
    Sifted { blocks: view.blocks, excluded, outdated, damaged }
}

/// The resolution of a block, if it is one that there are blocks of.
pub(crate) fn resolution(meta: &BlockMeta) -> Option<Resolution> {
    Resolution::of_ms(meta.thanos.as_ref().map_or(0, |thanos| thanos.resolution))
}

/// Those of `before` that have gone and whose sources are all in one that is left, each with that one.
fn outdated(
    before: &BTreeMap<BlockId, Arc<BlockMeta>>,
    left: &BTreeMap<BlockId, Arc<BlockMeta>>,
) -> Vec<(Arc<BlockMeta>, BlockId)> {
    let mut by_source: BTreeMap<(i64, u64, BlockId), Vec<&Arc<BlockMeta>>> = BTreeMap::new();
    for meta in left.values() {
        let GroupKey { resolution, labels } = GroupKey::of(meta);
        for source in &meta.compaction.sources {
            by_source.entry((resolution, labels, *source)).or_default().push(meta);
        }
    }
    let gone = before.values().filter(|meta| !left.contains_key(&meta.id));
    let covered = gone.filter_map(|meta| {
        let (first, others) = meta.compaction.sources.split_first()?;
        let has_all =
            |other: &&&Arc<BlockMeta>| others.iter().all(|source| other.compaction.sources.contains(source));
        let GroupKey { resolution, labels } = GroupKey::of(meta);
        let whole = by_source.get(&(resolution, labels, *first))?.iter().find(has_all)?;
        Some((Arc::clone(meta), whole.id))
    });
    covered.collect()
}
