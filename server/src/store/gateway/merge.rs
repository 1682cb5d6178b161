//! Series of many blocks as one stream: in the order in which they go out, equal ones as one, no chunk twice. Pure.

use std::collections::BTreeSet;

use sarsen_block::{ChunkMeta, Labels, LabelsRef, SeriesNo};
use sarsen_downsample::Aggregate;

use crate::store::{ChunkParts, OutgoingLabels, Shard, StoreChunk, merge_equal, sort_outgoing};

/// What one block has of a series: which series it is there, and its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Which of the blocks of the request.
    pub(super) block: usize,
    pub(super) no: SeriesNo,
    pub(super) chunks: Vec<ChunkMeta>,
}

/// A series as it goes out, its chunks still in their blocks.
pub(super) type Merged = (Labels, Vec<Piece>);

/// What is left out of a request's series.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cut<'a> {
    pub(super) shard: Option<&'a Shard>,
    /// Series up to and with this one were sent already.
    pub(super) behind: Option<LabelsRef<'a>>,
    /// At most so many; 0: all.
    pub(super) limit: usize,
}

/// Adds the series of one block to those of the others.
pub(super) fn gather(
    all: &mut Vec<Merged>,
    found: impl IntoIterator<Item = (Labels, Piece)>,
    outgoing: &OutgoingLabels,
    cut: &Cut<'_>,
) {
    let mut scratch = Vec::new();
    for (stored, piece) in found {
        let labels = outgoing.of(stored.as_ref());
        let is_sent = cut.behind.is_some_and(|behind| labels.as_ref() <= behind);
        if !is_sent && cut.shard.is_none_or(|shard| shard.takes(labels.as_ref(), &mut scratch)) {
            all.push((labels, vec![piece]));
        }
    }
}

/// Brings what was gathered into the order in which it goes out; equal series become one, with the pieces in the order of their blocks.
pub(super) fn arrange(mut all: Vec<Merged>, cut: &Cut<'_>) -> Vec<Merged> {
    sort_outgoing(&mut all);
    merge_equal(&mut all);
    if cut.limit > 0 {
        all.truncate(cut.limit);
    }
    all
}

/// The chunks of one series from all its blocks, as they are sent: by time, none twice. Chunks without any data are sent only where there
/// are no others, and then those of one block, as Thanos does. `chunks` come with the number of their block.
pub(super) fn finish(mut chunks: Vec<(usize, StoreChunk)>) -> Vec<StoreChunk> {
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
