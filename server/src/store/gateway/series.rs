//! A Series call: which series the blocks have, in the order in which they go out, and then their chunks, batch by batch.
//!
//! First every block says which series match and where their chunks lie; no chunk is read before all are in order. Then chunks are
//! read for as many series as fit into a batch, of all blocks at once, while the batch before is on its way to the caller. If
//! a block fails in the middle, the call begins anew behind the last series that was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use sarsen_block::{BlockId, Chunk, Labels, LabelsRef, TimedChunk};
use sarsen_bucket::{Budget, Error, Held, RemoteChunk, Selection, SeriesBatch, visible};

use super::Gateway;
use super::merge::{Cut, Place, arrange, finish};
use super::request::{Request, Terms, Trouble};
use super::shelf::{Asked, Shelf};
use super::source::Source;
use crate::clock;
use crate::metrics::Answered;
use crate::store::{
    BlockHint, ChunkParts, Effort, Frame, FrameSender, Hints, SeriesQuery, StoreChunk, StoreError,
    StoreSeries,
};

/// Bytes of chunks that are read for one batch; the first one is smaller, so that the caller need not wait for it.
const BATCH_BYTES: u64 = 4 << 20;
const FIRST_BATCH_BYTES: u64 = 256 << 10;
/// Series in a batch at most, those of each block counted.
const BATCH_SERIES: usize = 8192;
/// A batch asks every block once, so it is larger where blocks are many: by bytes and series for each of them, within these bounds.
const BLOCK_BYTES: u64 = 256 << 10;
const BLOCK_SERIES: usize = 128;
const MOST_BATCH_BYTES: u64 = 8 << 20;
const MOST_BATCH_SERIES: usize = 32_768;
/// So many series are sorted sooner than another thread is woken up.
const SORTED_HERE: usize = 512;
/// Batches that are read or on their way at the same time.
const BATCHES_IN_FLIGHT: usize = 2;

/// Answers into `frames`.
pub(super) async fn answer(
    gateway: &Gateway,
    query: &SeriesQuery,
    frames: &FrameSender,
) -> Result<Answered, StoreError> {
    let terms = Terms {
        range: query.range,
        max_resolution_ms: query.max_resolution_ms,
        matchers: &query.matchers,
        block_matchers: &query.block_matchers,
        abort: query.abort,
        tenant: query.tenant.as_deref(),
    };
    let mut call = Call {
        request: Request::new(gateway, terms),
        query,
        frames,
        sent: 0,
        last: None,
        answered: Answered::default(),
        read: BTreeSet::new(),
    };
    call.run().await?;
    if query.stats {
        frames.send(call.hints()).await?;
    }
    Ok(Answered { reads: call.request.budget.reads(), ..call.answered })
}

struct Call<'a> {
    request: Request<'a>,
    query: &'a SeriesQuery,
    frames: &'a FrameSender,
    /// Series that went out.
    sent: u64,
    /// The last one of them.
    last: Option<Labels>,
    answered: Answered,
    /// The blocks that were asked, if somebody wants to know.
    read: BTreeSet<BlockHint>,
}

/// Series in order, and the blocks that they lie in.
#[derive(Default)]
struct Plan {
    blocks: Vec<(Arc<Source>, SeriesBatch)>,
    places: Vec<Place>,
}

/// Series one behind the other, with the chunks of each block in the order of its series.
struct Filled {
    places: Range<usize>,
    chunks: BTreeMap<u32, std::vec::IntoIter<Chunk>>,
    /// Room of the chunks.
    held: Vec<Held>,
}

impl Plan {
    fn new(blocks: Vec<(Arc<Source>, SeriesBatch)>, cut: &Cut<'_>) -> Self {
        let lengths = blocks.iter().map(|(_, series)| series.len());
        let labels = |place: Place| {
            let series = blocks.get(place.block as usize).map(|(_, series)| series);
            series.map_or_else(LabelsRef::default, |series| series.labels(place.row as usize))
        };
        let places = arrange(lengths, labels, cut);
        Self { blocks, places }
    }

    fn places(&self, range: Range<usize>) -> &[Place] {
        self.places.get(range).unwrap_or_default()
    }

    fn block(&self, place: Place) -> Option<&(Arc<Source>, SeriesBatch)> {
        self.blocks.get(place.block as usize)
    }

    fn labels(&self, place: Place) -> LabelsRef<'_> {
        self.block(place).map_or_else(LabelsRef::default, |(_, series)| series.labels(place.row as usize))
    }

    fn chunks(&self, place: Place) -> &[RemoteChunk] {
        self.block(place).map_or(&[], |(_, series)| series.chunks(place.row as usize))
    }

    /// Stretches of places of about the same bytes of chunks; equal series stay together.
    fn batches(&self) -> Vec<Range<usize>> {
        let sizes: Vec<u64> = self.blocks.iter().map(|(source, _)| source.chunk_bytes()).collect();
        let mut batches = Vec::new();
        let blocks = sizes.len();
        let least = (blocks as u64).saturating_mul(BLOCK_BYTES).min(MOST_BATCH_BYTES);
        let most_series = blocks.saturating_mul(BLOCK_SERIES).clamp(BATCH_SERIES, MOST_BATCH_SERIES);
        let (mut start, mut end, mut bytes, mut room) = (0, 0, 0u64, FIRST_BATCH_BYTES.max(least));
        for series in self.places.chunk_by(|a, b| self.labels(*a) == self.labels(*b)) {
            if end > start && (bytes >= room || end - start >= most_series) {
                batches.push(start..end);
                (start, bytes, room) = (end, 0, BATCH_BYTES.max(least));
            }
            let size = |place: &Place| {
                sizes.get(place.block as usize).copied().unwrap_or(0) * self.chunks(*place).len() as u64
            };
            bytes = bytes.saturating_add(series.iter().map(size).sum());
            end += series.len();
        }
        batches.extend((end > start).then_some(start..end));
        batches
    }

    /// Reads the chunks of a stretch, of all blocks at the same time.
    async fn fill(
        self: Arc<Self>,
        gateway: Gateway,
        places: Range<usize>,
        budget: Budget,
    ) -> Result<Filled, (BlockId, Trouble)> {
        let mut wanted: BTreeMap<u32, Vec<RemoteChunk>> = BTreeMap::new();
        for place in self.places(places.clone()) {
            let chunks = self.chunks(*place);
            if !chunks.is_empty() {
                wanted.entry(place.block).or_default().extend_from_slice(chunks);
            }
        }
        let reads = wanted.into_iter().filter_map(|(number, wanted)| {
            let (source, _) = self.blocks.get(number as usize)?;
            Some(chunks_of(&gateway, Arc::clone(source), number, wanted, &budget))
        });
        let mut filled = Filled { places, chunks: BTreeMap::new(), held: Vec::new() };
        let reads: Vec<_> = reads.collect();
        for (number, chunks, held) in futures_util::future::try_join_all(reads).await? {
            filled.chunks.insert(number, chunks.into_iter());
            // It waits for nobody but the caller.
            filled.held.extend(held.into_iter().map(Held::on_its_way));
        }
        Ok(filled)
    }
}

/// What one block brought: its number, the chunks and their room.
type Brought = (u32, Vec<Chunk>, Vec<Held>);

async fn chunks_of(
    gateway: &Gateway,
    source: Arc<Source>,
    number: u32,
    wanted: Vec<RemoteChunk>,
    budget: &Budget,
) -> Result<Brought, (BlockId, Trouble)> {
    let read = async { source.chunks(&wanted, budget).await.map_err(Trouble::from) };
    match gateway.unless_away(read).await {
        Ok(fetched) if fetched.chunks.len() == wanted.len() => Ok((number, fetched.chunks, fetched.held)),
        Ok(fetched) => {
            let why = format!("{} of {} chunks were found", fetched.chunks.len(), wanted.len());
            let name = source.id().to_string();
            Err((source.id(), Trouble::Unreadable(Error::Corrupt { name, why })))
        }
        Err(trouble) => Err((source.id(), trouble)),
    }
}

impl Call<'_> {
    async fn run(&mut self) -> Result<(), StoreError> {
        loop {
            let began = clock::moment();
            let plan = self.find().await?;
            self.answered.found_in += began.elapsed();
            let began = clock::moment();
            let sent = self.send(plan).await;
            self.answered.sent_in += began.elapsed();
            let Some((id, trouble)) = sent? else { return Ok(()) };
            let mut warnings = Vec::new();
            self.request.heed(id, trouble, &mut warnings).await?;
            self.warn(warnings).await?;
        }
    }

    /// What was read, and what it took.
    fn hints(&mut self) -> Frame {
        let Answered { series, touched_series, touched_chunks, found_in, sent_in, .. } = self.answered;
        let effort =
            Effort { series: (touched_series, series), chunks: touched_chunks, took: (found_in, sent_in) };
        let blocks = Some(std::mem::take(&mut self.read).into_iter().collect());
        Frame::Hints(Box::new(Hints { blocks, effort, ..Hints::default() }))
    }

    async fn warn(&self, warnings: Vec<String>) -> Result<(), StoreError> {
        for warning in warnings {
            self.frames.send(Frame::Warning(warning)).await?;
        }
        Ok(())
    }

    /// Which series are still to be sent.
    async fn find(&mut self) -> Result<Plan, StoreError> {
        let query = self.query;
        if query.limit > 0 && self.sent >= query.limit {
            return Ok(Plan::default());
        }
        let (request, skip_chunks) = (&self.request, query.skip_chunks);
        let (range, without, budget) = (request.range(), query.without.clone(), request.budget.clone());
        let one = move |shelf: &Shelf, asked: Asked| {
            let selection = Selection { skip_chunks, ..shelf.selection(&asked, range, &without) };
            let budget = budget.clone();
            async move { asked.source.select(&selection, &budget).await.map_err(Trouble::from) }.boxed()
        };
        let mut warnings = Vec::new();
        let answers = self.request.ask(Shelf::choose, &one, &mut warnings).await?;
        self.warn(warnings).await?;
        self.answered.blocks += answers.len() as u64;
        if query.stats {
            self.read.extend(answers.iter().map(|(asked, _)| asked.source.hint()));
        }
        self.answered.touched_series += answers.iter().map(|(_, found)| found.len() as u64).sum::<u64>();
        let (last, shard, limit) = (self.last.clone(), query.shard.clone(), query.limit);
        let limit = limit.saturating_sub(self.sent);
        let found: usize = answers.iter().map(|(_, series)| series.len()).sum();
        let plan = move || {
            let cut = Cut { shard: shard.as_ref(), behind: last.as_ref().map(Labels::as_ref), limit };
            Plan::new(answers.into_iter().map(|(asked, series)| (asked.source, series)).collect(), &cut)
        };
        if found <= SORTED_HERE {
            return Ok(plan());
        }
        // Sorting many series takes a while: not on a thread that serves connections.
        let planned = tokio::task::spawn_blocking(plan);
        planned.await.map_err(|why| StoreError::Internal(why.to_string()))
    }

    /// Sends the series of a plan; the block that failed, if one did.
    async fn send(&mut self, plan: Plan) -> Result<Option<(BlockId, Trouble)>, StoreError> {
        let (plan, gateway) = (Arc::new(plan), self.request.gateway);
        let budget = self.request.budget.clone();
        let fills = plan.batches().into_iter().map(|places| {
            let (plan, gateway, budget) = (Arc::clone(&plan), gateway.clone(), budget.clone());
            plan.fill(gateway, places, budget).boxed()
        });
        let fills: Vec<_> = fills.collect();
        let mut batches = futures_util::stream::iter(fills).buffered(BATCHES_IN_FLIGHT);
        let sizes = gateway.metrics().chunk_bytes(self.query.tenant.as_deref());
        while let Some(filled) = batches.next().await {
            let Filled { places, mut chunks, held } = match filled {
                Ok(filled) => filled,
                Err(failed) => return Ok(Some(failed)),
            };
            for series in plan.places(places).chunk_by(|a, b| plan.labels(*a) == plan.labels(*b)) {
                let Some(first) = series.first() else { continue };
                let labels = plan.labels(*first).to_owned();
                let mut sent = Vec::new();
                for place in series {
                    if let Err(failed) = self.put(&plan, *place, &mut chunks, &mut sent) {
                        return Ok(Some(failed));
                    }
                }
                self.answered.touched_chunks += sent.len() as u64;
                let chunks = finish(sent);
                // A series of which deletions took everything is not sent.
                if chunks.is_empty() && !self.query.skip_chunks {
                    continue;
                }
                let frame = Frame::Series(StoreSeries { labels: labels.clone(), chunks });
                if !self.query.skip_chunks {
                    sizes.observe(frame.bytes() as f64);
                }
                self.frames.send(frame).await?;
                self.sent += 1;
                self.answered.series += 1;
                self.last = Some(labels);
            }
            drop(held);
        }
        Ok(None)
    }

    /// Takes the chunks that one block has of a series, as they are sent.
    fn put(
        &self,
        plan: &Plan,
        place: Place,
        chunks: &mut BTreeMap<u32, std::vec::IntoIter<Chunk>>,
        sent: &mut Vec<(u32, StoreChunk)>,
    ) -> Result<(), (BlockId, Trouble)> {
        let Some((source, series)) = plan.block(place) else { return Ok(()) };
        let damage = |why| (source.id(), Trouble::Unreadable(Error::of_block(source.id(), why)));
        for of in plan.chunks(place) {
            let Some(chunk) = chunks.get_mut(&place.block).and_then(Iterator::next) else { break };
            let deleted = series.deleted(place.row as usize);
            let seen = visible(source.id(), of, chunk, deleted, Some(&source.aggregates()));
            for TimedChunk { range, chunk } in seen.map_err(|why| (source.id(), why.into()))? {
                let chunk = if self.query.xor2 { chunk } else { chunk.to_plain().map_err(damage)? };
                let parts = ChunkParts::of(chunk, &self.query.aggregates);
                let parts = parts.map_err(|why| (source.id(), Trouble::Damaged(why.to_string())))?;
                sent.push((place.block, StoreChunk { range, parts }));
            }
        }
        Ok(())
    }
}
