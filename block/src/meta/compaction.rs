//! Where a block comes from that is made of others.

use std::collections::BTreeSet;

use super::{BlockMeta, Compaction, Parent};

/// A block with this remark holds samples that came out of order.
const OUT_OF_ORDER: &str = "from-out-of-order";
/// Blocks with these are of some series only, and are never put together with others.
const SOME_SERIES: [&str; 2] = ["from-selected-series", "from-stale-series"];

impl Compaction {
    /// Of a block made of these: a level above all of them, the sources of all, and they as parents in their order. The remarks
    /// are those that stay true: the block is of samples out of order if all are, and of ended or selected series if one is. A remark
    /// of another kind says something about one block only.
    pub fn of<'a>(parents: impl IntoIterator<Item = &'a BlockMeta>) -> Self {
        let parents: Vec<&BlockMeta> = parents.into_iter().collect();
        let sources: BTreeSet<_> =
            parents.iter().flat_map(|meta| &meta.compaction.sources).copied().collect();
        let highest = parents.iter().map(|meta| meta.compaction.level).max().unwrap_or_default();
        let has = |meta: &BlockMeta, hint: &str| meta.compaction.hints.iter().any(|own| own == hint);
        let all = (!parents.is_empty() && parents.iter().all(|meta| has(meta, OUT_OF_ORDER)))
            .then_some(OUT_OF_ORDER);
        let some = SOME_SERIES.into_iter().filter(|hint| parents.iter().any(|meta| has(meta, hint)));
        let parent =
            |meta: &&BlockMeta| Parent { id: meta.id, min_time: meta.min_time, max_time: meta.max_time };
        Self {
            level: highest.saturating_add(1),
            sources: sources.into_iter().collect(),
            parents: parents.iter().map(parent).collect(),
            hints: all.into_iter().chain(some).map(str::to_owned).collect(),
            ..Self::default()
        }
    }
}
