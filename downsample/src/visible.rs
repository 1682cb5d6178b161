//! The chunks of a block that may be seen, also of a downsampled one of which a part is deleted.
//!
//! The block's own reading leaves deleted samples out of raw chunks and knows nothing of the inside of others. So a downsampled block
//! with tombstones is read here, chunk by chunk, without the windows that a tombstone touches.

use sarsen_block::{
    Aggregates, Block, BlockChunkSet, ChunkSeries, ChunkSet, Encoding, Error, Matcher, SeriesNo, TimeRange,
    TimedChunk,
};

use crate::merge::AggregateChunks;
use crate::window::Resolution;

/// Series of a block in label order.
#[derive(Debug)]
pub(crate) enum Visible {
    Plain(BlockChunkSet),
    Cut(Cut),
}

/// Series of a downsampled block with tombstones.
#[derive(Debug)]
pub(crate) struct Cut {
    block: Block,
    series: std::vec::IntoIter<SeriesNo>,
    range: TimeRange,
    aggregates: AggregateChunks,
}

impl Visible {
    /// The series of `block`, whose resolution is told, that all `matchers` accept and that have a chunk which overlaps `range`.
    pub(crate) fn of(
        block: &Block,
        resolution: Resolution,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Self, Error> {
        if resolution == Resolution::Raw || block.tombstones().is_empty() {
            return Ok(Self::Plain(block.select(matchers, range)?));
        }
        let series = block.postings(matchers)?.into_iter();
        Ok(Self::Cut(Cut {
            block: block.clone(),
            series,
            range,
            aggregates: AggregateChunks::of(resolution),
        }))
    }
}

impl Cut {
    fn chunks(&self, no: SeriesNo, all: &[sarsen_block::ChunkMeta]) -> Result<Vec<TimedChunk>, Error> {
        let mut chunks = Vec::with_capacity(all.len());
        for meta in all.iter().filter(|meta| meta.range.overlaps(self.range)) {
            let timed = TimedChunk { range: meta.range, chunk: self.block.chunk(meta.chunk_ref)? };
            let deleted = self.block.tombstones().of(no);
            if deleted.is_empty() {
                chunks.push(timed);
            } else if timed.chunk.encoding == Encoding::Aggregate {
                chunks.extend(self.aggregates.without(&timed, deleted)?);
            } else {
                chunks.extend(timed.chunk.without(deleted)?);
            }
        }
        Ok(chunks)
    }
}

impl ChunkSet for Visible {
    fn next(&mut self) -> Result<Option<ChunkSeries>, Error> {
        let cut = match self {
            Self::Plain(set) => return set.next(),
            Self::Cut(cut) => cut,
        };
        while let Some(no) = cut.series.next() {
            let series = cut.block.series(no)?;
            let chunks = cut.chunks(no, &series.chunks)?;
            if !chunks.is_empty() {
                return Ok(Some(ChunkSeries { labels: series.labels, chunks }));
            }
        }
        Ok(None)
    }
}
