//! Which blocks answer a request. Pure.
//!
//! Blocks of equal external labels are a group. In a group the coarsest resolution that is not above the one asked for answers,
//! and whatever stretch of time it leaves open is filled by the next finer one, and so on. Ranges of blocks are half-open here, as
//! in their metas; those of requests are closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta, Error, Labels, Matcher, TimeRange, Timestamp};

/// Resolutions of blocks in milliseconds between samples, coarse to fine; 0: raw.
pub(super) const RESOLUTIONS: [i64; 3] = [3_600_000, 300_000, 0];

/// The label that holds the id of a block, for those who choose blocks by matchers.
const BLOCK_ID: &[u8] = b"__block_id";

/// Blocks of the same external labels.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) labels: Labels,
    /// By resolution as in [`RESOLUTIONS`]; in each the blocks by their times.
    lanes: [Vec<Arc<BlockMeta>>; RESOLUTIONS.len()],
}

/// What a request asks of blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) range: TimeRange,
    /// No block coarser than this, in milliseconds.
    pub(super) max_resolution_ms: i64,
    /// What external labels and the block's id must hold.
    pub(super) block_matchers: &'a [Matcher],
    /// Blocks that cannot be read: as if they were not there.
    pub(super) unreadable: &'a BTreeSet<BlockId>,
}

impl Group {
    /// The blocks of a view by their labels, sorted by these. A block of a resolution that nobody asks for is left out.
    ///
    /// # Errors
    /// `Invalid` for labels that are none.
    pub(super) fn all_of(blocks: &BTreeMap<BlockId, Arc<BlockMeta>>) -> Result<Vec<Self>, Error> {
        let mut groups: BTreeMap<Labels, Self> = BTreeMap::new();
        for meta in blocks.values() {
            let (labels, resolution) = (external_labels(meta)?, resolution_of(meta));
            let group = groups
                .entry(labels.clone())
                .or_insert_with(|| Self { labels, lanes: [const { Vec::new() }; RESOLUTIONS.len()] });
            let lane = RESOLUTIONS.iter().zip(&mut group.lanes).find(|(one, _)| **one == resolution);
            if let Some((_, lane)) = lane {
                lane.push(Arc::clone(meta));
            }
        }
        let mut groups: Vec<Self> = groups.into_values().collect();
        for lane in groups.iter_mut().flat_map(|group| &mut group.lanes) {
            lane.sort_by_key(|meta| (meta.min_time, meta.max_time, meta.id));
        }
        Ok(groups)
    }

    /// Every block.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Arc<BlockMeta>> {
        self.lanes.iter().flatten()
    }

    /// The blocks that answer, each once, by their times.
    pub(super) fn choose(&self, ask: &Ask<'_>) -> Vec<Arc<BlockMeta>> {
        let first = RESOLUTIONS.iter().position(|resolution| *resolution <= ask.max_resolution_ms);
        // A negative resolution asks for raw data too.
        let first = first.unwrap_or(RESOLUTIONS.len() - 1);
        let mut chosen = Vec::new();
        self.fill(ask.range, first, ask, &mut chosen);
        chosen.retain(|meta: &Arc<BlockMeta>| self.is_wanted(meta, ask.block_matchers));
        chosen.sort_by_key(|meta| (meta.min_time, meta.max_time, meta.id));
        chosen.dedup_by_key(|meta| meta.id);
        chosen
    }

    /// Blocks of any resolution with something in the range, as label names and values are asked for.
    pub(super) fn touched<'a>(&'a self, ask: &'a Ask<'_>) -> impl Iterator<Item = &'a Arc<BlockMeta>> {
        self.blocks().filter(|meta| {
            meta.min_time <= ask.range.max
                && ask.range.min < meta.max_time
                && !ask.unreadable.contains(&meta.id)
                && self.is_wanted(meta, ask.block_matchers)
        })
    }

    /// Fills the range by the blocks of one resolution, and what they leave open by finer ones.
    fn fill(&self, range: TimeRange, lane: usize, ask: &Ask<'_>, chosen: &mut Vec<Arc<BlockMeta>>) {
        let Some(blocks) = self.lanes.get(lane).filter(|_| !range.is_empty()) else { return };
        let mut open = range.min;
        for meta in blocks {
            if meta.max_time <= range.min || ask.unreadable.contains(&meta.id) {
                continue;
            }
            if meta.min_time > range.max {
                break;
            }
            if let Some(before) = meta.min_time.checked_sub(1) {
                self.fill(TimeRange::new(open, before), lane + 1, ask, chosen);
            }
            chosen.push(Arc::clone(meta));
            open = open.max(meta.max_time);
        }
        self.fill(TimeRange::new(open, range.max), lane + 1, ask, chosen);
    }

    fn is_wanted(&self, meta: &BlockMeta, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| match matcher.name() {
            BLOCK_ID => matcher.matches(meta.id.to_string().as_bytes()),
            name => matcher.matches(self.labels.get(name).unwrap_or_default()),
        })
    }
}

/// The external labels of a block.
pub(super) fn external_labels(meta: &BlockMeta) -> Result<Labels, Error> {
    Labels::from_pairs(meta.thanos.iter().flat_map(|thanos| &thanos.labels))
}

/// Milliseconds between the samples of a block; 0: raw.
pub(super) fn resolution_of(meta: &BlockMeta) -> i64 {
    meta.thanos.as_ref().map_or(0, |thanos| thanos.resolution)
}

/// The stretches of time that the blocks of a group cover, those that touch as one; both ends as in the metas.
pub(super) fn stretches(group: &Group) -> Vec<(Timestamp, Timestamp)> {
    let mut all: Vec<(Timestamp, Timestamp)> =
        group.blocks().map(|meta| (meta.min_time, meta.max_time)).collect();
    all.sort_unstable();
    let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
    for (min, max) in all {
        match joined.last_mut() {
            Some((_, end)) if min <= *end => *end = max.max(*end),
            _ => joined.push((min, max)),
        }
    }
    joined
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
