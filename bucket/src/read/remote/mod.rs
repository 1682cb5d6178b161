//! A block that stays in its bucket and is asked by ranges: postings lists, then series entries, then chunks.
//!
//! [`RemoteBlocks`] opens blocks of one bucket; a [`RemoteBlock`] needs the header of its index ([`IndexHeader`]), which lies on the local disk or
//! in memory ([`HeaderCache`]); it is a handle for one request, because what is not asked for is closed. A selection that finds few series takes four requests at most: one or two for the lists (`plan`), one for the entries, one for the
//! chunks; more only where what is wanted lies more than the gap apart. Requests of one step go out together, late ones twice
//! (`requests`). Every list, entry and chunk is held against its checksum; chunks are handed out as they lie there, and none is
//! decoded but those of which a deletion leaves a part. What a request has in memory comes out of its [`Budget`].
//!
//! Work between two requests is done on the caller's thread, in pieces of a few thousand series.

mod batch;
mod chunks;
mod entries;
mod labels;
mod outgoing;
mod plan;
mod postings;
mod requests;
mod series;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sarsen_block::{BlockId, BlockMeta, IndexHeader, Matcher, TimeRange, Tombstones};

use super::files::{BlockObjects, segment_number};
use super::{Budget, Cache, HeaderCache, Purpose};
use crate::bucket::Bucket;
use crate::deletions::Deletions;
use crate::error::Error;
use crate::layout::Layout;
use crate::ranges::{DEFAULT_GAP, Stretches, coalesce};
pub use batch::{RemoteChunk, SeriesBatch, visible};
pub use chunks::FetchedChunks;
pub use outgoing::Outgoing;
pub use requests::HedgeOptions;
use requests::{Hedge, get_each};
pub use series::RemoteSet;

/// What errors call the header of an index.
const HEADER: &str = "index header";

/// How blocks are read by ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Bytes that are read over rather than asked around.
    pub gap: u64,
    /// No request is made longer than so many bytes by joining.
    pub most: u64,
    /// Requests for one block at the same time.
    pub in_flight: usize,
    /// When a read is asked again; `None`: never. Needs a bucket with a timer.
    pub hedge: Option<HedgeOptions>,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self { gap: DEFAULT_GAP, most: 8 << 20, in_flight: 16, hedge: None }
    }
}

/// How blocks of one bucket are opened. Cloning shares it.
#[derive(Clone)]
pub struct RemoteBlocks(Arc<Shared>);

struct Shared {
    bucket: Bucket,
    headers: Arc<HeaderCache>,
    options: RemoteOptions,
    hedge: Option<Hedge>,
    cache: Option<Cache>,
    /// Blocks whose metas do not say what there is to know.
    looked_at: Mutex<BTreeMap<BlockId, Arc<Sizes>>>,
}

impl std::fmt::Debug for RemoteBlocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteBlocks").field("bucket", &self.0.bucket).finish_non_exhaustive()
    }
}

/// Which series of a block, and what of them.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Conditions on the labels that stand in the block; external ones are the caller's.
    pub matchers: Vec<Matcher>,
    /// Series without a chunk that overlaps it are left out, and so are other chunks.
    pub range: TimeRange,
    /// Whether only labels are wanted.
    pub skip_chunks: bool,
    /// Under which labels the series go out.
    pub outgoing: Outgoing,
    /// What is deleted from the bucket.
    pub deletions: Arc<Deletions>,
}

impl Selection {
    /// The series that all `matchers` accept, with their chunks in `range`, as they stand in the block.
    pub fn new(matchers: Vec<Matcher>, range: TimeRange) -> Self {
        let (outgoing, deletions) = (Outgoing::default(), Arc::default());
        Self { matchers, range, skip_chunks: false, outgoing, deletions }
    }
}

/// A block in the bucket, open for reading. Cloning shares it.
#[derive(Clone)]
pub struct RemoteBlock(Arc<Parts>);

struct Parts {
    shared: Arc<Shared>,
    meta: Arc<BlockMeta>,
    header: IndexHeader,
    sizes: Arc<Sizes>,
}

impl std::fmt::Debug for RemoteBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteBlock").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// What is known of a block's objects; sizes in bytes.
#[derive(Debug)]
struct Sizes {
    index: u64,
    segments: Vec<u64>,
    tombstones: Tombstones,
}

impl Sizes {
    /// From the meta, if it says enough.
    fn listed(meta: &BlockMeta) -> Option<Self> {
        let files = &meta.thanos.as_ref()?.files;
        let index = files.iter().find(|file| file.rel_path == Layout::INDEX)?.size_bytes;
        let mut segments: Vec<(u32, u64)> = files
            .iter()
            .filter_map(|file| Some((segment_number(&file.rel_path)?, file.size_bytes)))
            .collect();
        segments.sort_unstable();
        let in_order =
            segments.iter().zip(1u32..).all(|(&(number, size), place)| number == place && size > 0);
        let complete = index > 0 && in_order && (!segments.is_empty() || meta.stats.num_chunks == 0);
        let segments = segments.into_iter().map(|(_, size)| size).collect();
        let alone = meta.stats.num_tombstones == 0;
        (complete && alone).then(|| Self { index, segments, tombstones: Tombstones::default() })
    }

    /// From a listing of the folder.
    async fn look(bucket: &Bucket, meta: &BlockMeta) -> Result<Self, Error> {
        let objects = BlockObjects::find(bucket, meta).await?;
        let segments = objects.segments.iter().map(|object| object.size).collect();
        let tombstones = match &objects.tombstones {
            Some(object) => super::read_tombstones(bucket, &object.name).await?,
            None => Tombstones::default(),
        };
        Ok(Self { index: objects.index.size, segments, tombstones })
    }
}

impl RemoteBlocks {
    /// Of `bucket`. What is read is looked for in `cache` first and kept there.
    pub fn new(
        bucket: Bucket,
        headers: Arc<HeaderCache>,
        options: RemoteOptions,
        cache: Option<Cache>,
    ) -> Self {
        let hedge = options.hedge.map(Hedge::new);
        Self(Arc::new(Shared { bucket, headers, options, hedge, cache, looked_at: Mutex::default() }))
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.0.bucket
    }

    /// Opens a block for one request. The store is asked for nothing if the header of the index is at hand and the meta lists the
    /// block's files.
    ///
    /// # Errors
    /// `NotFound` if an object is missing, `Corrupt` if one is damaged or has not the size that the meta says; otherwise as the store
    /// says.
    pub async fn open(&self, meta: &Arc<BlockMeta>) -> Result<RemoteBlock, Error> {
        let shared = &self.0;
        let sizes = match Sizes::listed(meta) {
            Some(sizes) => Arc::new(sizes),
            None => self.looked_at(meta).await?,
        };
        let header = shared.headers.header(&shared.bucket, meta.id, sizes.index).await?;
        Ok(RemoteBlock(Arc::new(Parts { shared: Arc::clone(shared), meta: Arc::clone(meta), header, sizes })))
    }

    /// What a listing says of a block, which is looked at once.
    async fn looked_at(&self, meta: &BlockMeta) -> Result<Arc<Sizes>, Error> {
        let table = || self.0.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table().get(&meta.id).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let sizes = Arc::new(Sizes::look(&self.0.bucket, meta).await?);
        table().insert(meta.id, Arc::clone(&sizes));
        Ok(sizes)
    }

    /// Forgets what was learned of blocks that `keep` does not know.
    pub fn forget(&self, keep: impl Fn(BlockId) -> bool) {
        self.0.looked_at.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| keep(*id));
    }
}

impl RemoteBlock {
    /// Who the block is.
    pub fn meta(&self) -> &Arc<BlockMeta> {
        &self.0.meta
    }

    /// The header of its index.
    pub fn header(&self) -> &IndexHeader {
        &self.0.header
    }

    fn id(&self) -> BlockId {
        self.0.meta.id
    }

    /// Damage to the block, as an error of the bucket; damage to the header of its index is not one of the block.
    fn damage(&self) -> impl Fn(sarsen_block::Error) -> Error + Copy {
        let id = self.id();
        move |error| match error {
            sarsen_block::Error::Corrupt(corrupt) if corrupt.object == HEADER => {
                let what = std::io::Error::new(std::io::ErrorKind::InvalidData, corrupt.to_string());
                Error::local(format!("{id}: {HEADER}"), what)
            }
            error => Error::of_block(id, error),
        }
    }

    /// Lets go of the header if that is what failed, so that whoever tries again has a new one.
    async fn heed<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if matches!(result, Err(Error::Local { .. })) {
            self.0.shared.headers.discard(self.id()).await;
        }
        result
    }

    /// Fetches stretches of the index that cover `ranges`, counted and held for `purpose`.
    async fn index_stretches(
        &self,
        ranges: &[Range<u64>],
        purpose: Purpose,
        budget: &Budget,
    ) -> Result<(Stretches, super::Held), Error> {
        let shared = &*self.0.shared;
        let joined = coalesce(ranges, shared.options.gap, shared.options.most);
        let bytes = joined.iter().map(|range| range.end - range.start).sum();
        budget.take_bytes(bytes, purpose)?;
        let held = budget.hold(bytes).await?;
        let name = Layout::index(self.id());
        let fetched =
            get_each(&shared.bucket, shared.hedge.as_ref(), &name, joined, shared.options.in_flight).await?;
        Ok((fetched, held))
    }

    /// The bytes of `range` of what was fetched of the index.
    fn cut(&self, fetched: &Stretches, range: &Range<u64>) -> Result<Bytes, Error> {
        fetched.cut(range).ok_or_else(|| {
            let why = format!("bytes {}..{} are missing", range.start, range.end);
            Error::corrupt(Layout::index(self.id()), why)
        })
    }
}
