//! The downsampling of one block, to one resolution or to both in one reading. Sync.

use sarsen_block::{Block, BlockId, BlockMeta, BlockSink, Rewritten};
use sarsen_bucket::Deletions;
use sarsen_downsample::{DownsampleOptions, Error, Resolution, downsample, downsample_both};

/// Where a copy goes: its sink, its name and its resolution.
pub(crate) type Target<S> = (S, BlockId, Resolution);

/// Writes the copies of `block`, at least one and at most two, in the order of `targets`. They get the labels of `like`, which are those of
/// the block without what tells replicas apart. The tombstones of the block were made of `deletions`.
pub(crate) fn coarsen<S: BlockSink>(
    block: &Block,
    like: &BlockMeta,
    targets: Vec<Target<S>>,
    deletions: &Deletions,
) -> Result<Vec<Rewritten<S>>, Error> {
    let mut made = Vec::with_capacity(targets.len());
    let mut targets = targets.into_iter();
    if let Some((sink, id, to)) = targets.next() {
        let options = DownsampleOptions::new(id, to);
        match targets.next() {
            Some((second, second_id, second_to)) => {
                let coarse = (second, DownsampleOptions::new(second_id, second_to));
                made.extend(downsample_both(block, (sink, options), coarse)?);
            }
            None => made.push(downsample(block, sink, options)?),
        }
    }
    for rewritten in &mut made {
        if let (Some(thanos), Some(wanted)) = (&mut rewritten.meta.thanos, &like.thanos) {
            thanos.labels.clone_from(&wanted.labels);
        }
        deletions.note(&mut rewritten.meta);
    }
    Ok(made)
}
