//! One block of the bucket as the gateway asks it: which series, which chunks, which names.
//!
//! A block costs nothing until it is asked; then the header of its index is opened, from the local disk if it lies there, and
//! closed again when nobody has asked for a while.

use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta, Labels};
use sarsen_bucket::{
    Budget, Cache, Error, FetchedChunks, HeaderCache, RemoteBlock, RemoteBlocks, RemoteChunk, Selection,
    SeriesBatch,
};
use sarsen_downsample::{AggregateChunks, Resolution};

use super::choose::{external_labels, resolution_of};
use crate::store::BlockHint;

/// What all blocks are read through.
#[derive(Debug)]
pub(super) struct Readers {
    pub(super) remote: RemoteBlocks,
    pub(super) headers: Arc<HeaderCache>,
    /// What was read lately, metas and marks among it.
    pub(super) cache: Cache,
}

/// A block that is served.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) meta: Arc<BlockMeta>,
    pub(super) external: Labels,
    readers: Arc<Readers>,
}

impl Source {
    /// The block, not asked for yet.
    pub(super) fn new(readers: &Arc<Readers>, meta: Arc<BlockMeta>) -> Result<Self, Error> {
        let external = external_labels(&meta).map_err(|why| Error::of_block(meta.id, why))?;
        Ok(Self { meta, external, readers: Arc::clone(readers) })
    }

    pub(super) fn id(&self) -> BlockId {
        self.meta.id
    }

    /// As those see it who ask what was read.
    pub(super) fn hint(&self) -> BlockHint {
        BlockHint::new(self.id().to_string(), resolution_of(&self.meta), self.meta.range())
    }

    /// How windows are taken out of its chunks, if they have any.
    pub(super) fn aggregates(&self) -> AggregateChunks {
        let resolution = Resolution::of_ms(resolution_of(&self.meta)).unwrap_or(Resolution::Raw);
        AggregateChunks::of(resolution)
    }

    /// Bytes that a chunk of this block takes on average, as far as its meta tells.
    pub(super) fn chunk_bytes(&self) -> u64 {
        const USUAL: u64 = 300;
        let files = self.meta.thanos.iter().flat_map(|thanos| &thanos.files);
        let segments = files.filter(|file| file.rel_path.starts_with("chunks/"));
        let bytes: u64 = segments.map(|file| file.size_bytes).sum();
        bytes.checked_div(self.meta.stats.num_chunks).filter(|bytes| *bytes > 0).unwrap_or(USUAL)
    }

    /// The series that match, in the order of the labels under which they go out.
    pub(super) async fn select(&self, selection: &Selection, budget: &Budget) -> Result<SeriesBatch, Error> {
        self.open().await?.select(selection, budget).await?.all().await
    }

    /// Chunks by their places.
    pub(super) async fn chunks(
        &self,
        wanted: &[RemoteChunk],
        budget: &Budget,
    ) -> Result<FetchedChunks, Error> {
        self.open().await?.chunks(wanted, budget).await
    }

    /// The block, open for a request.
    pub(super) async fn open(&self) -> Result<RemoteBlock, Error> {
        self.readers.remote.open(&self.meta).await
    }
}
