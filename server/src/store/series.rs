//! What a store sends: series with their chunks, warnings, names and values, exemplars.

use bytes::Bytes;
use sarsen_block::{BlockId, Chunk, Encoding, Labels, TimeRange, Timestamp};
use sarsen_downsample::{AggrChunk, Aggregate};

use super::{Hints, StoreError};

/// The bytes of a chunk, never decoded on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChunkParts {
    /// Samples.
    Raw(Chunk),
    /// Those aggregates of a downsampled chunk that were asked for; perhaps none.
    Aggregates(Box<AggrChunk>),
}

impl ChunkParts {
    /// Of a stored chunk: samples as they are, of aggregates only the `wanted` ones.
    ///
    /// # Errors
    /// `Internal` if the chunk of aggregates is damaged.
    pub(crate) fn of(chunk: Chunk, wanted: &[Aggregate]) -> Result<Self, StoreError> {
        if chunk.encoding != Encoding::Aggregate {
            return Ok(Self::Raw(chunk));
        }
        let all = AggrChunk::parse(&chunk).map_err(|why| StoreError::Internal(why.to_string()))?;
        let part = |aggregate| wanted.contains(&aggregate).then(|| all.get(aggregate).cloned()).flatten();
        Ok(Self::Aggregates(Box::new(AggrChunk::new(Aggregate::ALL.map(part)))))
    }
}

/// A chunk and the times of its first and last sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreChunk {
    /// As the index has it; may reach beyond what was asked for.
    pub(crate) range: TimeRange,
    /// What is in it.
    pub(crate) parts: ChunkParts,
}

/// A series as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreSeries {
    /// Complete: external labels in, replica labels out.
    pub(crate) labels: Labels,
    /// By first time. None only if chunks are not wanted.
    pub(crate) chunks: Vec<StoreChunk>,
}

/// One thing in a stream of series. A series with many chunks may come as several frames with the same labels in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The next series.
    Series(StoreSeries),
    /// Something is missing; the text says what and why.
    Warning(String),
    /// What was looked at; only for those who ask for it.
    Hints(Box<Hints>),
}

impl Frame {
    /// Roughly how many bytes it holds in memory and on the wire.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Warning(text) => text.len(),
            Self::Hints(hints) => hints.blocks.iter().flatten().map(|block| block.id.len()).sum(),
            Self::Series(series) => {
                let chunks: usize = series.chunks.iter().map(StoreChunk::bytes).sum();
                series.labels.as_ref().as_bytes().len() + chunks
            }
        }
    }
}

impl StoreChunk {
    /// Roughly how many bytes it holds in memory and on the wire.
    pub(crate) fn bytes(&self) -> usize {
        const AROUND: usize = 64;
        AROUND
            + match &self.parts {
                ChunkParts::Raw(chunk) => chunk.data.len(),
                ChunkParts::Aggregates(parts) => {
                    let present = Aggregate::ALL.iter().filter_map(|&aggregate| parts.get(aggregate));
                    present.map(|chunk| chunk.data.len() + AROUND).sum()
                }
            }
    }
}

/// Names or values of labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LabelsAnswer {
    /// Sorted, unique, within the limit.
    pub(crate) values: Vec<Bytes>,
    /// What is missing.
    pub(crate) warnings: Vec<String>,
    /// The blocks that were looked at; `None` if the store does not tell, as a receiver.
    pub(crate) blocks: Option<Vec<BlockId>>,
}

/// Exemplars, and what is missing of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ExemplarsAnswer {
    /// By labels; several stores may have the same labels.
    pub(crate) series: Vec<ExemplarSeries>,
    /// What is missing.
    pub(crate) warnings: Vec<String>,
}

/// The exemplars of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExemplarSeries {
    /// Complete, as of [`StoreSeries`].
    pub(crate) labels: Labels,
    /// By time.
    pub(crate) exemplars: Vec<ExemplarOut>,
}

/// One exemplar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExemplarOut {
    /// Its own labels: `trace_id` and the like.
    pub(crate) labels: Labels,
    /// The sample's value.
    pub(crate) value: f64,
    /// When.
    pub(crate) t: Timestamp,
}
