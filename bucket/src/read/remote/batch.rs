//! Some series of a block with the places of their chunks, in few allocations.

use sarsen_block::{Aggregates, BlockId, Chunk, ChunkMeta, Encoding, LabelsRef, TimeRange, TimedChunk};

use super::super::Held;
use crate::error::Error;

/// A chunk that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteChunk {
    /// What the index says of it.
    pub meta: ChunkMeta,
    /// Bytes up to the next chunk of its series; 0 if not known.
    pub(super) room: u32,
    /// Whether a part of it is deleted: what is fetched must go through [`visible`].
    pub is_cut: bool,
}

/// Series in the order of the block, each with its labels as they go out.
#[derive(Debug, Default)]
pub struct SeriesBatch {
    pub(super) labels: Vec<u8>,
    pub(super) rows: Vec<Row>,
    pub(super) chunks: Vec<RemoteChunk>,
    pub(super) stones: Vec<TimeRange>,
    pub(super) held: Vec<Held>,
}

/// Where the parts of a series lie in a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) labels: (usize, usize),
    pub(super) chunks: (usize, usize),
    pub(super) stones: (usize, usize),
}

impl SeriesBatch {
    /// How many series there are.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many chunks all series have together.
    pub const fn num_chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes in memory, of which the request's budget knows.
    pub const fn memory(&self) -> usize {
        self.labels.capacity()
            + self.rows.capacity() * size_of::<Row>()
            + self.chunks.capacity() * size_of::<RemoteChunk>()
            + self.stones.capacity() * size_of::<TimeRange>()
    }

    /// The labels of a series. None for one that is not there.
    pub fn labels(&self, at: usize) -> LabelsRef<'_> {
        let (start, end) = self.rows.get(at).map_or((0, 0), |row| row.labels);
        LabelsRef::trusted(self.labels.get(start..end).unwrap_or_default())
    }

    /// The chunks of a series by time; none if they were not asked for.
    pub fn chunks(&self, at: usize) -> &[RemoteChunk] {
        let (start, end) = self.rows.get(at).map_or((0, 0), |row| row.chunks);
        self.chunks.get(start..end).unwrap_or_default()
    }

    /// What is deleted of a series, by time.
    pub fn deleted(&self, at: usize) -> &[TimeRange] {
        let (start, end) = self.rows.get(at).map_or((0, 0), |row| row.stones);
        self.stones.get(start..end).unwrap_or_default()
    }

    /// Brings the series in the order of the labels under which they go out. That of the block is another one where external labels come
    /// in or labels are taken away.
    pub fn sort(&mut self) {
        let labels =
            |row: &Row| LabelsRef::trusted(self.labels.get(row.labels.0..row.labels.1).unwrap_or_default());
        if !self.rows.is_sorted_by(|a, b| labels(a) <= labels(b)) {
            self.rows.sort_by(|a, b| labels(a).cmp(&labels(b)));
        }
    }

    /// Takes the series of `other` behind its own.
    pub(super) fn append(&mut self, mut other: Self) {
        let (labels, chunks, stones) = (self.labels.len(), self.chunks.len(), self.stones.len());
        let shifted = |(start, end): (usize, usize), by: usize| (start + by, end + by);
        self.rows.extend(other.rows.iter().map(|row| Row {
            labels: shifted(row.labels, labels),
            chunks: shifted(row.chunks, chunks),
            stones: shifted(row.stones, stones),
        }));
        self.labels.append(&mut other.labels);
        self.chunks.append(&mut other.chunks);
        self.stones.append(&mut other.stones);
        self.held.append(&mut other.held);
    }
}

/// What of a chunk that was fetched may be seen: all of it unless it is cut, else its samples without those in `deleted`, encoded anew.
/// Chunks of downsampled blocks are taken apart by `aggregates`.
///
/// # Errors
/// `Corrupt` if the chunk cannot be read; `Refused` if it holds aggregates and nobody knows them.
pub fn visible(
    id: BlockId,
    of: &RemoteChunk,
    chunk: Chunk,
    deleted: &[TimeRange],
    aggregates: Option<&dyn Aggregates>,
) -> Result<Vec<TimedChunk>, Error> {
    let timed = TimedChunk { range: of.meta.range, chunk };
    if !of.is_cut {
        return Ok(Vec::from([timed]));
    }
    let left = match (timed.chunk.encoding, aggregates) {
        (Encoding::Aggregate, Some(aggregates)) => aggregates.without(&timed, deleted),
        _ => timed.chunk.without(deleted),
    };
    left.map_err(|error| Error::of_block(id, error))
}
