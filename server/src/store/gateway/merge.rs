//! Series of many blocks as one stream: in the order in which they go out, equal ones as one, no chunk twice. Pure.

use std::collections::BTreeSet;

use sarsen_block::LabelsRef;
use sarsen_downsample::Aggregate;

use crate::store::{ChunkParts, Shard, StoreChunk};

/// What is left out of a request's series.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cut<'a> {
    pub(super) shard: Option<&'a Shard>,
    /// Series up to and with this one were sent already.
    pub(super) behind: Option<LabelsRef<'a>>,
    /// At most so many; 0: all.
    pub(super) limit: u64,
}

/// A series of one of several blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the blocks.
    pub(super) block: u32,
    /// Which of its series.
    pub(super) row: u32,
}

/// The series of all blocks that are sent, in the order of their labels, and in that of the blocks where these are equal. `lengths`: how
/// many series each block has; `labels`: those under which one goes out.
pub(super) fn arrange<'a>(
    lengths: impl IntoIterator<Item = usize>,
    labels: impl Fn(Place) -> LabelsRef<'a>,
    cut: &Cut<'_>,
) -> Vec<Place> {
    let mut places = Vec::new();
    let mut scratch = Vec::new();
    for (block, length) in (0u32..).zip(lengths) {
        for (row, _) in (0u32..).zip(0..length) {
            let place = Place { block, row };
            let labels = labels(place);
            let is_sent = cut.behind.is_some_and(|behind| labels <= behind);
            if !is_sent && cut.shard.is_none_or(|shard| shard.takes(labels, &mut scratch)) {
                places.push(place);
            }
        }
    }
    // The series of one block come in order, which this sort uses.
    places.sort_by(|a, b| labels(*a).cmp(&labels(*b)));
    if cut.limit > 0 {
        let limit = usize::try_from(cut.limit).unwrap_or(usize::MAX);
        let kept = places.chunk_by(|a, b| labels(*a) == labels(*b)).take(limit).map(<[Place]>::len).sum();
        places.truncate(kept);
    }
    places
}

/// The chunks of one series from all its blocks, as they are sent: by time, none twice. Chunks without any data are sent only where there
/// are no others, and then those of one block, as Thanos does. `chunks` come with the number of their block.
pub(super) fn finish(mut chunks: Vec<(u32, StoreChunk)>) -> Vec<StoreChunk> {
    if chunks.iter().any(|(_, chunk)| has_data(chunk)) {
        chunks.retain(|(_, chunk)| has_data(chunk));
    } else {
        let first = chunks.first().map(|(block, _)| *block);
        chunks.retain(|(block, _)| Some(*block) == first);
    }
    chunks.sort_by_key(|(_, chunk)| (chunk.range.min, chunk.range.max));
    let mut kept: Vec<StoreChunk> = Vec::with_capacity(chunks.len());
    // Equal bytes have equal times, so only chunks of the same times can be the same.
    for (_, chunk) in chunks {
        let mut alike = kept.iter().rev().take_while(|other| other.range == chunk.range);
        if !alike.any(|other| other.parts == chunk.parts) {
            kept.push(chunk);
        }
    }
    kept
}

fn has_data(chunk: &StoreChunk) -> bool {
    match &chunk.parts {
        ChunkParts::Raw(_) => true,
        ChunkParts::Aggregates(parts) => Aggregate::ALL.iter().any(|one| parts.get(*one).is_some()),
    }
}

/// The first names or values of many lists, sorted and unique; 0: all.
pub(super) fn first_of<T: Ord>(all: BTreeSet<T>, limit: u64) -> Vec<T> {
    let limit = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
    all.into_iter().take(limit).collect()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
