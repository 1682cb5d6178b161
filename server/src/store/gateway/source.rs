//! One block of the bucket as the gateway asks it: which series, which chunks, which names.

use std::path::PathBuf;
use std::sync::Arc;

use sarsen_block::{Block, BlockId, BlockMeta, ChunkMeta, Labels, Matcher, SeriesNo, TimeRange, TimedChunk};
use sarsen_bucket::{Bucket, Deletions, Error, Reading, open_block};
use tokio::sync::OnceCell;

use super::choose::external_labels;

/// A series that matches.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) labels: Labels,
    pub(super) no: SeriesNo,
    /// Those in the range that was asked for; none if chunks are not wanted.
    pub(super) chunks: Vec<ChunkMeta>,
}

/// What is asked of a block.
#[derive(Debug, Clone)]
pub(super) struct Select {
    /// Those that external labels do not answer.
    pub(super) matchers: Arc<[Matcher]>,
    pub(super) range: TimeRange,
    /// Only labels are wanted.
    pub(super) skip_chunks: bool,
}

/// A block that is served.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) meta: Arc<BlockMeta>,
    pub(super) external: Labels,
    bucket: Bucket,
    scratch: PathBuf,
    deletions: Arc<Deletions>,
    open: OnceCell<Block>,
}

impl Source {
    /// The block, not asked for yet.
    pub(super) fn new(
        bucket: &Bucket,
        meta: Arc<BlockMeta>,
        scratch: PathBuf,
        deletions: Arc<Deletions>,
    ) -> Result<Self, Error> {
        let external = external_labels(&meta).map_err(|why| Error::of_block(meta.id, why))?;
        Ok(Self { meta, external, bucket: bucket.clone(), scratch, deletions, open: OnceCell::new() })
    }

    /// Whether it is what would be made of these now.
    pub(super) fn is_like(&self, meta: &BlockMeta, deletions: &Deletions) -> bool {
        *self.meta == *meta && *self.deletions == *deletions
    }

    pub(super) fn id(&self) -> BlockId {
        self.meta.id
    }

    /// Bytes that a chunk of this block takes on average, as far as its meta tells.
    pub(super) fn chunk_bytes(&self) -> u64 {
        const USUAL: u64 = 300;
        let files = self.meta.thanos.iter().flat_map(|thanos| &thanos.files);
        let segments = files.filter(|file| file.rel_path.starts_with("chunks/"));
        let bytes: u64 = segments.map(|file| file.size_bytes).sum();
        bytes.checked_div(self.meta.stats.num_chunks).filter(|bytes| *bytes > 0).unwrap_or(USUAL)
    }

    /// The series that match and have a chunk in the range, in the order of their labels.
    pub(super) async fn select(&self, select: Select) -> Result<Vec<Found>, Error> {
        let block = self.block().await?;
        self.blocking(move || {
            let mut found = Vec::new();
            for no in block.postings(&select.matchers)? {
                let series = block.series(no)?;
                let mut chunks = series.chunks;
                let stones = block.tombstones().of(no);
                chunks.retain(|chunk| {
                    let hidden = stones.iter().any(|stone| stone.covers(chunk.range));
                    chunk.range.overlaps(select.range) && !hidden
                });
                if !chunks.is_empty() {
                    let chunks = if select.skip_chunks { Vec::new() } else { chunks };
                    found.push(Found { labels: series.labels, no, chunks });
                }
            }
            Ok(found)
        })
        .await
    }

    /// The chunks of some series, in the order of these.
    pub(super) async fn chunks(
        &self,
        wanted: Vec<(SeriesNo, Vec<ChunkMeta>)>,
    ) -> Result<Vec<Vec<TimedChunk>>, Error> {
        let block = self.block().await?;
        self.blocking(move || {
            let mut reader = block.series_reader();
            let mut all = Vec::with_capacity(wanted.len());
            for (no, chunks) in wanted {
                let first = chunks.iter().map(|chunk| chunk.range.min).min().unwrap_or(i64::MAX);
                let last = chunks.iter().map(|chunk| chunk.range.max).max().unwrap_or(i64::MIN);
                all.push(reader.chunks(no, TimeRange::new(first, last), &[])?);
            }
            Ok(all)
        })
        .await
    }

    /// The names of all labels of its series.
    pub(super) async fn label_names(&self) -> Result<Vec<Vec<u8>>, Error> {
        let block = self.block().await?;
        self.blocking(move || block.label_names()).await
    }

    /// All values of a label of its series.
    pub(super) async fn label_values(&self, name: Vec<u8>) -> Result<Vec<Vec<u8>>, Error> {
        let block = self.block().await?;
        self.blocking(move || block.label_values(&name)).await
    }

    async fn block(&self) -> Result<Block, Error> {
        let open = async || {
            let block = open_block(&self.bucket, &self.meta, &Reading::new(&self.scratch)).await?;
            let deletions = Arc::clone(&self.deletions);
            self.blocking(move || {
                let tombstones = deletions.tombstones(&block)?;
                Ok(block.with_tombstones(tombstones))
            })
            .await
        };
        self.open.get_or_try_init(open).await.cloned()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, sarsen_block::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let id = self.id();
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done.map_err(|why| Error::of_block(id, why)),
            Err(why) => Err(Error::Local { path: id.to_string().into(), source: std::io::Error::other(why) }),
        }
    }
}
