//! Which blocks are too old for their resolution; pure.
//!
//! What is due by age is what Thanos deletes: a block whose last millisecond, cut to a whole second, lies more than the retention
//! of its resolution before now. The guard comes after that ([`plan`](crate::plan)) and only ever keeps.

use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta};
use sarsen_downsample::Resolution;

use crate::options::{Options, Retention};
use crate::sift::resolution;

/// Those of `blocks` that are older than the retention of their resolution allows at `now_ms`, in the order in which they came.
pub fn retain<'a>(
    blocks: impl IntoIterator<Item = &'a Arc<BlockMeta>>,
    now_ms: i64,
    options: &Options,
) -> Vec<BlockId> {
    let due = |meta: &&Arc<BlockMeta>| {
        resolution(meta).is_some_and(|own| is_due(meta, own, now_ms, &retention(meta, options)))
    };
    blocks.into_iter().filter(due).map(|meta| meta.id).collect()
}

/// The retention that holds for a block.
pub(crate) fn retention(meta: &BlockMeta, options: &Options) -> Retention {
    match &meta.thanos {
        Some(thanos) => options.retention_of(&thanos.labels),
        None => options.retention,
    }
}

/// Whether the block, or a copy of it at resolution `at`, is due by age.
pub(crate) fn is_due(meta: &BlockMeta, at: Resolution, now_ms: i64, retention: &Retention) -> bool {
    let kept_ms = retention.of(at);
    // Towards zero, as a division of whole numbers goes in Go.
    let end_ms = meta.max_time / 1000 * 1000;
    kept_ms != 0 && now_ms > end_ms.saturating_add(kept_ms)
}
