//! A bucket as a library reads it: no server, no cache to set up, nothing written.
//!
//! A [`BucketReader`] looks at the bucket when it is told to ([`refresh`](BucketReader::refresh)) and answers from what it saw: the blocks of one
//! resolution with something in the range, minus those that others contain. External labels become labels of the series, those
//! of replicas are left out, and what all blocks have of a series comes as one, chunks by time and none twice, in the order of
//! labels ([`BucketSeries`]). In memory are the labels and the places of chunks of what was found, and the bytes of one group of series.
//! A block that has gone since the last look is looked for again once: a compactor puts another in its place.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use sarsen_block::{
    Aggregates, BlockId, BlockMeta, ChunkSeries, ChunkSet, Labels, LabelsRef, Matcher, Merge, TimeRange,
    TimedChunk,
};

use super::remote::{Outgoing, RemoteBlock, RemoteBlocks, RemoteOptions, Selection, SeriesBatch, visible};
use super::{Budget, Cache, Ceiling, HeaderCache, Held, Limits, UncountedHeaders};
use crate::bucket::Bucket;
use crate::deletions::Deletions;
use crate::error::Error;
use crate::filter::Filter;
use crate::view::{Fetcher, View};

/// Blocks that are asked at the same time.
const BLOCKS_IN_FLIGHT: usize = 8;
/// A group of series ends with the one that makes its chunks more than so many, over all blocks.
const GROUP_CHUNKS: usize = 16_384;

/// How a bucket is read.
#[derive(Debug, Clone, Default)]
pub struct ReaderOptions {
    /// External labels that tell replicas apart: they are left out, and what replicas have of a series comes as one.
    pub replica_labels: Vec<String>,
    /// Where headers of indexes are kept, to be found again by the next process; `None`: in memory.
    pub headers: Option<std::path::PathBuf>,
    /// What one selection may take. What it may not is an error and no shorter answer.
    pub limits: Limits,
    /// Bytes that all selections together may have in memory; 0: no bound.
    pub memory: u64,
    /// How ranges of objects are asked for.
    pub remote: RemoteOptions,
    /// What was read lately; `None`: nothing is kept but the headers.
    pub cache: Option<Cache>,
}

/// A bucket, open for reading.
#[derive(Debug)]
pub struct BucketReader {
    blocks: RemoteBlocks,
    options: ReaderOptions,
    ceiling: Ceiling,
    fetcher: tokio::sync::Mutex<Fetcher>,
    /// What was seen last. The lock is held to copy a pointer.
    seen: RwLock<Arc<Seen>>,
}

/// The bucket at one time.
#[derive(Debug, Default)]
struct Seen {
    view: View,
    deletions: Arc<Deletions>,
}

impl BucketReader {
    /// A reader that has seen nothing yet.
    pub fn new(bucket: Bucket, options: ReaderOptions) -> Self {
        let headers = Arc::new(HeaderCache::new(options.headers.clone(), Arc::new(UncountedHeaders)));
        let blocks = RemoteBlocks::new(bucket, headers, options.remote, options.cache.clone());
        let ceiling = Ceiling::new(options.memory);
        Self { blocks, options, ceiling, fetcher: tokio::sync::Mutex::default(), seen: RwLock::default() }
    }

    /// Looks at the bucket: which blocks there are now, and what is deleted. Answers from now on are of what is seen here.
    ///
    /// # Errors
    /// As the store says; then nothing changes.
    pub async fn refresh(&self) -> Result<(), Error> {
        let mut fetcher = self.fetcher.lock().await;
        let bucket = self.blocks.bucket();
        let (mut view, deletions) = futures_util::try_join!(fetcher.fetch(bucket), Deletions::fetch(bucket))?;
        Filter::NoDuplicates.apply(&mut view);
        self.blocks.forget(|id| view.blocks.contains_key(&id));
        let seen = Arc::new(Seen { view, deletions: Arc::new(deletions) });
        *self.seen.write().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(())
    }

    /// The blocks that were seen and that no other one contains.
    pub fn blocks(&self) -> Vec<Arc<BlockMeta>> {
        self.seen().view.blocks.values().cloned().collect()
    }

    /// Which resolution (distance of samples in milliseconds, 0 for raw) is the finest there is for which time, in order of time; nothing
    /// coarser than `coarsest_ms`. Times without a block are left out.
    pub fn stretches(&self, range: TimeRange, coarsest_ms: i64) -> Vec<(TimeRange, i64)> {
        let seen = self.seen();
        let resolutions: BTreeSet<i64> = seen.view.blocks.values().map(|meta| resolution(meta)).collect();
        let mut all: Vec<(TimeRange, i64)> = Vec::new();
        for own in resolutions.into_iter().filter(|&own| own <= coarsest_ms) {
            let metas = seen.view.blocks.values().filter(|meta| resolution(meta) == own);
            for block in metas.map(|meta| meta.range().intersect(range)).filter(|range| !range.is_empty()) {
                for free in uncovered(block, &all) {
                    all.push((free, own));
                }
                all.sort_by_key(|(range, _)| range.min);
            }
        }
        all.dedup_by(|next, last| {
            let joined = next.1 == last.1 && next.0.min == last.0.max.saturating_add(1);
            if joined {
                last.0.max = next.0.max;
            }
            joined
        });
        all
    }

    /// The series that all `matchers` accept and that have samples in `range`, of raw data. Matchers see external labels too, where a block
    /// has them.
    ///
    /// # Errors
    /// `Exceeded` if that is more than the options allow, `Corrupt` if a block is damaged; otherwise as the store says.
    pub async fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<BucketSeries, Error> {
        self.select_resolution(matchers, range, 0, None).await
    }

    /// The same of data whose samples are `resolution_ms` apart. Chunks of downsampled blocks hold aggregates, which `sarsen-downsample`
    /// reads; its `AggregateChunks` of this resolution are the `aggregates`, who take out of them what is deleted.
    ///
    /// # Errors
    /// As [`select`](Self::select). Later, `Refused` if a part of a chunk of aggregates is deleted and nobody knows these.
    pub async fn select_resolution(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        resolution_ms: i64,
        aggregates: Option<Arc<dyn Aggregates + Send + Sync>>,
    ) -> Result<BucketSeries, Error> {
        let budget = Budget::new(self.options.limits, &self.ceiling);
        let mut found = self.find(matchers, range, resolution_ms, &budget).await;
        if matches!(found, Err(Error::NotFound { .. })) {
            self.refresh().await?;
            found = self.find(matchers, range, resolution_ms, &budget).await;
        }
        let inputs = found?;
        Ok(BucketSeries { inputs, aggregates, budget, ready: VecDeque::new(), held: Vec::new() })
    }

    async fn find(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        resolution_ms: i64,
        budget: &Budget,
    ) -> Result<Vec<Input>, Error> {
        let seen = self.seen();
        let asked = self.asked(&seen, matchers, range)?;
        let asked = asked.into_iter().filter(|asked| resolution(&asked.meta) == resolution_ms);
        let of_block = async |asked: Asked| {
            let block = self.blocks.open(&asked.meta).await?;
            let mut selection = Selection::new(asked.matchers, range);
            selection.outgoing = asked.outgoing;
            selection.deletions = Arc::clone(&seen.deletions);
            let found = block.select(&selection, budget).await?.all().await?;
            Ok::<_, Error>(Input { block, found, at: 0 })
        };
        futures_util::stream::iter(asked).map(of_block).buffered(BLOCKS_IN_FLIGHT).try_collect().await
    }

    /// The names of the labels of the series that all `matchers` accept, in blocks with something in `range`, rising.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub async fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<Vec<u8>>, Error> {
        let budget = Budget::new(self.options.limits, &self.ceiling);
        let seen = self.seen();
        let mut names = BTreeSet::new();
        for asked in self.asked(&seen, matchers, range)? {
            let found = self.blocks.open(&asked.meta).await?.label_names(&asked.matchers, &budget).await?;
            if !found.is_empty() {
                names.extend(asked.external.iter().map(|(name, _)| name.to_vec()));
                names.extend(found);
            }
        }
        for label in &self.options.replica_labels {
            names.remove(label.as_bytes());
        }
        Ok(names.into_iter().collect())
    }

    /// The values of a label in the series that all `matchers` accept, in blocks with something in `range`, rising.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub async fn label_values(
        &self,
        name: &[u8],
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let budget = Budget::new(self.options.limits, &self.ceiling);
        let seen = self.seen();
        let mut values = BTreeSet::new();
        if self.options.replica_labels.iter().any(|label| label.as_bytes() == name) {
            return Ok(Vec::new());
        }
        for asked in self.asked(&seen, matchers, range)? {
            let block = self.blocks.open(&asked.meta).await?;
            match asked.external.get(name) {
                // Every series of the block has it: is there one?
                Some(value) => {
                    if !block.label_names(&asked.matchers, &budget).await?.is_empty() {
                        values.insert(value.to_vec());
                    }
                }
                None => values.extend(block.label_values(name, &asked.matchers, &budget).await?),
            }
        }
        Ok(values.into_iter().collect())
    }

    fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The blocks with something in the range whose external labels the matchers accept, and what is left to ask of them.
    fn asked(&self, seen: &Seen, matchers: &[Matcher], range: TimeRange) -> Result<Vec<Asked>, Error> {
        let mut all = Vec::new();
        for meta in seen.view.blocks.values().filter(|meta| meta.range().overlaps(range)) {
            let labels = meta.thanos.iter().flat_map(|thanos| &thanos.labels);
            let external = Labels::from_pairs(labels).map_err(|error| Error::of_block(meta.id, error))?;
            let (own, others): (Vec<&Matcher>, Vec<&Matcher>) =
                matchers.iter().partition(|matcher| external.get(matcher.name()).is_some());
            if own.iter().all(|matcher| matcher.matches(external.get(matcher.name()).unwrap_or_default())) {
                let replicas = self.options.replica_labels.iter().map(|name| Bytes::from(name.clone()));
                let outgoing = Outgoing::new(&external, replicas);
                let matchers = others.into_iter().cloned().collect();
                all.push(Asked { meta: Arc::clone(meta), external, outgoing, matchers });
            }
        }
        Ok(all)
    }
}

/// What is asked of a block.
struct Asked {
    meta: Arc<BlockMeta>,
    external: Labels,
    outgoing: Outgoing,
    matchers: Vec<Matcher>,
}

fn resolution(meta: &BlockMeta) -> i64 {
    meta.thanos.as_ref().map_or(0, |thanos| thanos.resolution)
}

/// The parts of `range` that none of `all`, which are in order and apart, covers.
fn uncovered(range: TimeRange, all: &[(TimeRange, i64)]) -> Vec<TimeRange> {
    let mut free = Vec::new();
    let mut from = range.min;
    for (covered, _) in all.iter().filter(|(covered, _)| covered.overlaps(range)) {
        if covered.min > from {
            free.push(TimeRange::new(from, covered.min - 1));
        }
        if covered.max >= range.max {
            return free;
        }
        from = from.max(covered.max + 1);
    }
    free.push(TimeRange::new(from, range.max));
    free
}

/// What one block has.
#[derive(Debug)]
struct Input {
    block: RemoteBlock,
    found: SeriesBatch,
    /// The series that comes next.
    at: usize,
}

impl Input {
    fn next(&self) -> Option<LabelsRef<'_>> {
        (self.at < self.found.len()).then(|| self.found.labels(self.at))
    }

    /// The chunks of the series from `from` up to where it stands, those with equal labels as one.
    async fn read(
        &self,
        from: usize,
        budget: &Budget,
        aggregates: Option<&(dyn Aggregates + Send + Sync)>,
    ) -> Result<(Read, Vec<Held>), Error> {
        let rows = from..self.at;
        let wanted: Vec<_> = rows.clone().flat_map(|row| self.found.chunks(row)).copied().collect();
        let fetched = self.block.chunks(&wanted, budget).await?;
        let mut chunks = wanted.iter().zip(fetched.chunks);
        let mut all: Vec<ChunkSeries> = Vec::with_capacity(rows.len());
        for row in rows {
            let (labels, deleted) = (self.found.labels(row), self.found.deleted(row));
            let mut seen: Vec<TimedChunk> = Vec::new();
            for (of, chunk) in chunks.by_ref().take(self.found.chunks(row).len()) {
                let aggregates = aggregates.map(|known| known as &dyn Aggregates);
                seen.extend(visible(self.id(), of, chunk, deleted, aggregates)?);
            }
            match all.last_mut() {
                Some(last) if last.labels.as_ref() == labels => {
                    last.chunks.extend(seen);
                    last.chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max));
                }
                _ => all.push(ChunkSeries { labels: labels.to_owned(), chunks: seen }),
            }
        }
        all.retain(|series| !series.chunks.is_empty());
        Ok((Read(all.into_iter()), fetched.held))
    }

    fn id(&self) -> BlockId {
        self.block.meta().id
    }
}

/// Series that were read.
struct Read(std::vec::IntoIter<ChunkSeries>);

impl ChunkSet for Read {
    fn next(&mut self) -> Result<Option<ChunkSeries>, sarsen_block::Error> {
        Ok(self.0.next())
    }
}

/// The series of a selection, in the order of labels, each label set once.
#[derive(Debug)]
pub struct BucketSeries {
    inputs: Vec<Input>,
    aggregates: Option<Arc<dyn Aggregates + Send + Sync>>,
    budget: Budget,
    ready: VecDeque<ChunkSeries>,
    /// Room for the chunks of what is ready.
    held: Vec<Held>,
}

impl BucketSeries {
    /// The next series with its chunks by time; `None` at the end. Chunks of several blocks may overlap; one that is the same as one before
    /// is left out.
    ///
    /// # Errors
    /// `NotFound` if a block has gone meanwhile: after a [`refresh`](BucketReader::refresh) the selection can be made again; `Corrupt` if a chunk is
    /// damaged; otherwise as the store says.
    pub async fn next(&mut self) -> Result<Option<ChunkSeries>, Error> {
        while self.ready.is_empty() {
            self.held.clear();
            let from: Vec<usize> = self.inputs.iter().map(|input| input.at).collect();
            if !self.advance() {
                return Ok(None);
            }
            let aggregates = self.aggregates.as_deref();
            let reads = self.inputs.iter().zip(from);
            let reads = reads.map(|(input, from)| input.read(from, &self.budget, aggregates));
            let (sets, held): (Vec<Read>, Vec<Vec<Held>>) = try_join_all(reads).await?.into_iter().unzip();
            let mut merged = Merge::new(sets);
            let refused = |error: sarsen_block::Error| Error::refused("a selection", error.to_string());
            while let Some(series) = merged.next().map_err(refused)? {
                self.ready.push_back(series);
            }
            self.held = held.into_iter().flatten().collect();
        }
        Ok(self.ready.pop_front())
    }

    /// Moves all inputs behind the next group of series; whether there is one.
    fn advance(&mut self) -> bool {
        let mut chunks = 0;
        let mut moved = false;
        while chunks < GROUP_CHUNKS {
            let least = self.inputs.iter().filter_map(Input::next).min().map(LabelsRef::to_owned);
            let Some(least) = least else { break };
            for input in &mut self.inputs {
                while input.next() == Some(least.as_ref()) {
                    chunks += input.found.chunks(input.at).len();
                    input.at += 1;
                }
            }
            moved = true;
        }
        moved
    }
}
