//! Many blocks to one: what the new block is told to be, and whether what came out can be true. Sync.
//!
//! Chunks that do not overlap are taken over as they are; where chunks overlap, as those of replicas do, samples are merged, in a chain or
//! with the penalty. Both are the rewrite's work; here stands what Thanos' compactor adds to the meta, and a check that no
//! sample has gone which nobody deleted.

use std::collections::BTreeMap;

use sarsen_block::{
    Ancestry, Block, BlockId, BlockMeta, BlockSink, BlockStats, Error, Overlap, RewriteOptions, Rewritten,
    ThanosMeta, rewrite,
};
use sarsen_bucket::Deletions;
use sarsen_downsample::{AggregateChunks, Resolution};

use crate::group::shared_extensions;
use crate::plan::{Job, Work};

/// What Thanos calls the origin of such blocks.
const SOURCE: &str = "compactor";

/// How a merge is done, beside what its job says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merging<'a> {
    /// Name of the new block.
    pub(crate) id: BlockId,
    /// Whether the samples of replicas are merged as such.
    pub(crate) penalty: bool,
    /// What the tombstones of the blocks were made of, and the new block is free of.
    pub(crate) deletions: &'a Deletions,
}

/// Writes the blocks of `job`, in its order, into one.
pub(crate) fn merge_blocks<S: BlockSink>(
    job: &Job,
    blocks: &[Block],
    sink: S,
    how: Merging<'_>,
) -> Result<Rewritten<S>, Error> {
    let mut options = RewriteOptions::new(how.id, Ancestry::Compacted);
    options.overlap = if how.penalty { Overlap::Penalty } else { Overlap::Chain };
    let resolution = Resolution::of_ms(job.group.resolution).unwrap_or(Resolution::Raw);
    let aggregates = AggregateChunks::of(resolution);
    options.aggregates = Some(&aggregates);
    let mut rewritten = rewrite(blocks, sink, options)?;
    let sections = || job.blocks.iter().filter_map(|meta| meta.thanos.as_ref());
    rewritten.meta.thanos = Some(ThanosMeta {
        labels: job.labels.clone(),
        resolution: job.group.resolution,
        source: SOURCE.to_owned(),
        index_stats: rewritten.written.index_stats,
        extensions: shared_extensions(sections()),
        ..ThanosMeta::default()
    });
    if let (Work::Rewrite, [alone]) = (&job.work, &job.blocks[..]) {
        descend(&mut rewritten.meta, alone);
    }
    how.deletions.note(&mut rewritten.meta);
    Ok(rewritten)
}

/// A block written anew has the level of the old one, and what was done to that one before. Its sources are those of the old one too:
/// so it covers what that covered, and of the two it is the one that stays, because it was made of the other.
fn descend(meta: &mut BlockMeta, old: &BlockMeta) {
    meta.compaction.level = old.compaction.level;
    if let (Some(thanos), Some(before)) = (&mut meta.thanos, &old.thanos) {
        thanos.rewrites.clone_from(&before.rewrites);
    }
}

/// Why what was written cannot be all of what was read, if that can be told.
pub(crate) fn missing_samples(blocks: &[Block], written: &BlockStats) -> Option<String> {
    let deleted = blocks.iter().any(|block| !block.tombstones().is_empty());
    let told: Option<Vec<u64>> = blocks
        .iter()
        .map(|block| Some(block.meta().stats.num_samples).filter(|samples| *samples > 0))
        .collect();
    // Who does not say how many samples he has, cannot miss any.
    let told: u64 = told?.into_iter().fold(0, u64::saturating_add);
    let found = written.num_samples;
    let wrong = if deleted || overlap(blocks) { found > told } else { found != told };
    wrong.then(|| format!("{found} samples were written, the metas of the blocks say {told}"))
}

/// Whether the ranges of two blocks overlap.
fn overlap(blocks: &[Block]) -> bool {
    let ranges: BTreeMap<(i64, i64), usize> =
        blocks.iter().enumerate().map(|(at, b)| ((b.meta().min_time, b.meta().max_time), at)).collect();
    let mut reach = i64::MIN;
    ranges.len() < blocks.len()
        || ranges.keys().any(|&(min, max)| {
            let overlaps = min < reach;
            reach = reach.max(max);
            overlaps
        })
}
