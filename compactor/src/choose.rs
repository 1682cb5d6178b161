//! What is merged next, after asking whether the result can be: no index too large, no aggregates merged that must not be.
//!
//! A block that stands in the way is barred for good, by a mark, and the selection is made again. Pure: the marks are part of
//! the answer.

use sarsen_block::BlockId;
use sarsen_bucket::Reason;

use crate::select::{Candidate, Rules, Selected, overlapping, select};

/// Of the largest index that can be written, in percent: so much may be expected at most.
const INDEX_PERCENT: u128 = 85;

/// What a merge must not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the largest index that can be written.
    pub max_index_bytes: u64,
    /// Whether downsampled blocks that overlap may be merged.
    pub merge_coarse: bool,
}

/// What is to be merged next, and what is to be marked first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// The blocks to be merged, if there are any.
    pub selected: Option<Selected>,
    /// Blocks to be marked as not to be compacted, in the order in which they were found.
    pub marks: Vec<(BlockId, Reason)>,
}

/// What is to be merged next among blocks that are sorted by first time. What gets a mark is barred in `blocks` as well.
pub fn choose(blocks: &mut [Candidate], rules: Rules<'_>, limits: Limits) -> Choice {
    let mut marks = Vec::new();
    loop {
        let Some(selected) = select(blocks, rules) else { return Choice { selected: None, marks } };
        let (in_the_way, reason) = match over_the_limit(blocks, &selected.places, limits.max_index_bytes) {
            Some(place) => (vec![place], Reason::IndexSizeExceeding),
            None => (coarse_overlaps(blocks, &selected.places, limits), Reason::DownsampleVerticalCompaction),
        };
        if in_the_way.is_empty() {
            return Choice { selected: Some(selected), marks };
        }
        for place in in_the_way {
            blocks[place].barred = true;
            marks.push((blocks[place].id, reason.clone()));
        }
    }
}

/// The block with the largest index among those up to which the sum is too large.
fn over_the_limit(blocks: &[Candidate], places: &[usize], max_index_bytes: u64) -> Option<usize> {
    let limit = u128::from(max_index_bytes) * INDEX_PERCENT / 100;
    let (mut sum, mut largest) = (0u128, *places.first()?);
    for &place in places {
        sum += u128::from(blocks[place].index_bytes);
        if blocks[place].index_bytes > blocks[largest].index_bytes {
            largest = place;
        }
        if sum >= limit {
            return Some(largest);
        }
    }
    None
}

/// The downsampled blocks of a merge in which blocks overlap, unless that is allowed.
fn coarse_overlaps(blocks: &[Candidate], places: &[usize], limits: Limits) -> Vec<usize> {
    if limits.merge_coarse || overlapping(blocks, places).is_none() {
        return Vec::new();
    }
    places.iter().copied().filter(|place| blocks[*place].resolution != 0).collect()
}
