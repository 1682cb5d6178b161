//! A block that stays in its bucket, opened for reading by threads that may wait.
//!
//! Where the store is a local directory, all objects are read by position as the files that they are ([`placed`]). Of any other the
//! index is fetched into a scratch file and read there; chunk segments stay where they are and are read forward ([`walk`]). So a block
//! of any size takes at most the disk of its index and the memory of a few stretches. Nothing is written to the bucket. What the store
//! says while a series is read travels through the block's error: [`Error::of_block`] gives it back.

mod blocking;
mod cache;
mod catalogue;
mod files;
mod gate;
mod header_cache;
mod limits;
mod placed;
mod reader;
mod reads;
mod remote;
mod scratch;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use sarsen_block::{Block, BlockId, BlockMeta, CHUNK_FILE_HEADER_LEN, Source, Tombstones};
use tokio::runtime::Handle;

use crate::bucket::{Begun, Bucket, Object};
use crate::error::Error;

pub use blocking::{BlockingReader, BlockingSeries};
pub use cache::{
    BlockPart, BreakerOptions, BucketCacheOptions, Cache, CacheContext, CacheObserver, CacheOptions,
    CacheStore, IndexCacheOptions, Item, ItemSize, MemcachedOptions, MemoryOptions, RemoteOutcome, Uncounted,
};
pub(crate) use files::{BlockObjects, segment_number};
pub use gate::{Gate, Passage};
pub use header_cache::{HeaderCache, HeaderObserver, OpenHeaders, UncountedHeaders};
pub use limits::{Budget, Ceiling, Exceeded, Filling, Held, Limits, Purpose};
use placed::Placed;
pub use reader::{BucketReader, BucketSeries, ReaderOptions};
pub use reads::{ReadCount, Reads};
pub use remote::{
    FetchedChunks, HedgeOptions, Outgoing, RemoteBlock, RemoteBlocks, RemoteChunk, RemoteOptions, RemoteSet,
    Selection, SeriesBatch, visible,
};
use scratch::ScratchFile;
pub(crate) use scratch::{LocalFile, save};
use walk::Forward;

/// Requests for one block at the same time while it is opened.
const REQUESTS_IN_FLIGHT: usize = 4;

/// How a block is read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// A local directory for the index, if the store is none itself; made if need be. The file in it goes with the block's last handle.
    pub scratch: PathBuf,
    /// How many bytes of a chunk segment one request brings, at least 64 KiB. Of each block two stretches are in memory while
    /// its chunks are read, and a third while one of them is still in use.
    pub stretch: u64,
    /// Whether an index that is not a local file is copied into `scratch`. One that is not copied is read forward like a chunk segment,
    /// which takes no disk and brings it as often as it is gone through.
    pub copy_index: bool,
    /// Runs the requests. The threads that read the block must not be the ones that drive it.
    pub runtime: Handle,
    /// Counts the bytes of chunk segments that were fetched.
    pub fetched: Arc<AtomicU64>,
}

impl Reading {
    /// With stretches of 1 MiB and copied indexes, on the runtime of the caller.
    ///
    /// # Panics
    /// As [`Handle::current`]: if the caller is on no runtime.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Self {
            scratch: scratch.into(),
            stretch: 1 << 20,
            copy_index: true,
            runtime: Handle::current(),
            fetched: Arc::default(),
        }
    }
}

/// Opens the block of `meta` for reading. Its sources wait for the store: they must be read on a thread that may wait, as
/// those of `spawn_blocking` may.
///
/// # Errors
/// `NotFound` if an object is missing, `Corrupt` if one is not what the meta or its format says, `Local` if the scratch
/// directory cannot be used; otherwise as the store says.
pub async fn open_block(bucket: &Bucket, meta: &BlockMeta, reading: &Reading) -> Result<Block, Error> {
    let objects = BlockObjects::find(bucket, meta).await?;
    let sources = BlockSources::open(bucket, &objects, reading).await?;
    let (meta, id) = (meta.clone(), meta.id);
    let opened = reading.runtime.spawn_blocking(move || sources.into_block(meta));
    opened.await.map_err(|error| ended(id, error))?.map_err(|error| Error::of_block(id, error))
}

/// The objects of a block as sources.
pub(crate) struct BlockSources {
    pub(crate) index: Arc<dyn Source>,
    pub(crate) segments: Vec<Arc<dyn Source>>,
    pub(crate) tombstones: Tombstones,
}

impl BlockSources {
    /// Looks how the segments begin, and fetches the index unless it is a local file.
    pub(crate) async fn open(
        bucket: &Bucket,
        objects: &BlockObjects,
        reading: &Reading,
    ) -> Result<Self, Error> {
        let (segments, tombstones) =
            futures_util::try_join!(forward(bucket, &objects.segments, reading), async {
                match &objects.tombstones {
                    Some(object) => read_tombstones(bucket, &object.name).await,
                    None => Ok(Tombstones::default()),
                }
            },)?;
        // Last and alone: given up halfway, it would still be making its file while the caller empties the scratch directory.
        let first = 0..objects.index.size.min(reading.stretch);
        let index: Arc<dyn Source> = match bucket.begin(&objects.index.name, first).await? {
            Begun::File(file) => Arc::new(Placed::new(bucket, &objects.index, file, reading, false)),
            // All of it is at hand.
            Begun::Bytes(first) if first.len() as u64 == objects.index.size => Arc::new(first),
            Begun::Bytes(first) if reading.copy_index => {
                Arc::new(ScratchFile::fetch(bucket, &objects.index, first, reading).await?)
            }
            Begun::Bytes(first) => {
                // What is counted is chunks.
                let uncounted = Reading { fetched: Arc::default(), ..reading.clone() };
                Arc::new(Forward::new(bucket.clone(), &objects.index, first, &uncounted))
            }
        };
        Ok(Self { index, segments, tombstones })
    }

    /// Reads how the block begins. Waits for the store.
    pub(crate) fn into_block(self, meta: BlockMeta) -> Result<Block, sarsen_block::Error> {
        // Whoever goes through the block series by series needs neither symbols nor lists in memory.
        Block::open_unread(self.index, self.segments, meta, self.tombstones)
    }
}

/// A task of the runtime that did not come to its end: the runtime is being stopped.
pub(crate) fn ended(id: BlockId, error: tokio::task::JoinError) -> Error {
    Error::local(id.to_string(), std::io::Error::other(error))
}

/// Objects as sources that are read forward.
pub(crate) async fn forward(
    bucket: &Bucket,
    objects: &[Object],
    reading: &Reading,
) -> Result<Vec<Arc<dyn Source>>, Error> {
    let open = async |object: &Object| {
        let head = 0..object.size.min(CHUNK_FILE_HEADER_LEN as u64);
        Ok(match bucket.begin(&object.name, head).await? {
            Begun::File(file) => {
                Arc::new(Placed::new(bucket, object, file, reading, true)) as Arc<dyn Source>
            }
            Begun::Bytes(head) => Arc::new(Forward::new(bucket.clone(), object, head, reading)),
        })
    };
    futures_util::stream::iter(objects).map(open).buffered(REQUESTS_IN_FLIGHT).try_collect().await
}

async fn read_tombstones(bucket: &Bucket, name: &str) -> Result<Tombstones, Error> {
    let content: Bytes = bucket.get(name).await?;
    Tombstones::decode(&content).map_err(|error| Error::corrupt(name, error.to_string()))
}
