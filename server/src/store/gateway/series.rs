//! A Series call: which series the blocks have, in the order in which they go out, and then their chunks, batch by batch.
//!
//! First every block says which series match and where their chunks lie; no chunk is read before all are in order. Then chunks are
//! read for as many series as fit into a batch, of all blocks at once, while the batch before is on its way to the caller. If
//! a block fails in the middle, the call begins anew behind the last series that was sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use sarsen_block::{BlockId, ChunkMeta, Labels, SeriesNo, TimedChunk};

use super::Gateway;
use super::merge::{Cut, Merged, Piece, arrange, finish, gather};
use super::request::{Answer, Request, Terms, Trouble};
use super::shelf::{Asked, Shelf};
use super::source::{Found, Select, Source};
use crate::clock;
use crate::metrics::Answered;
use crate::store::{
    ChunkParts, Frame, FrameSender, OutgoingLabels, SeriesQuery, StoreChunk, StoreError, StoreSeries,
};

/// Bytes of chunks that are read for one batch; the first one is smaller, so that the caller need not wait for it.
const BATCH_BYTES: u64 = 4 << 20;
const FIRST_BATCH_BYTES: u64 = 256 << 10;
/// Series in a batch at most.
const BATCH_SERIES: usize = 4096;
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
    };
    call.run().await?;
    Ok(call.answered)
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
}

/// Series in order, and the blocks that their pieces lie in.
struct Plan {
    sources: Vec<Arc<Source>>,
    series: Vec<Merged>,
}

/// A batch with its chunks: for each series, by block.
type Filled = Vec<(Labels, Vec<(usize, Vec<TimedChunk>)>)>;

impl Call<'_> {
    async fn run(&mut self) -> Result<(), StoreError> {
        loop {
            let began = clock::moment();
            let plan = self.find().await?;
            self.answered.found_in += began.elapsed();
            let began = clock::moment();
            let sent = self.send(plan).await;
            self.answered.sent_in += began.elapsed();
            match sent? {
                None => return Ok(()),
                Some((id, trouble)) => self.heed(id, trouble).await?,
            }
        }
    }

    async fn heed(&mut self, id: BlockId, trouble: Trouble) -> Result<(), StoreError> {
        let mut warnings = Vec::new();
        self.request.heed(id, trouble, &mut warnings).await?;
        self.warn(warnings).await
    }

    async fn warn(&self, warnings: Vec<String>) -> Result<(), StoreError> {
        for warning in warnings {
            self.frames.send(Frame::Warning(warning)).await?;
        }
        Ok(())
    }

    /// Which series are still to be sent.
    async fn find(&mut self) -> Result<Plan, StoreError> {
        let (range, skip_chunks) = (self.request.range(), self.query.skip_chunks);
        let one = move |asked: Asked| {
            let select = Select { matchers: asked.matchers, range, skip_chunks };
            async move { asked.source.select(select).await.map_err(Trouble::from) }.boxed()
        };
        let mut warnings = Vec::new();
        let answers = self.request.ask(Shelf::choose, &one, &mut warnings).await?;
        self.warn(warnings).await?;
        self.answered.blocks += answers.len() as u64;
        self.answered.touched_series += answers.iter().map(|(_, found)| found.len() as u64).sum::<u64>();
        let (query, last) = (self.query, self.last.clone());
        let limit = match query.limit {
            0 => 0,
            limit if limit <= self.sent => return Ok(Plan { sources: Vec::new(), series: Vec::new() }),
            limit => usize::try_from(limit - self.sent).unwrap_or(usize::MAX),
        };
        let (without, shard) = (query.without.clone(), query.shard.clone());
        // Sorting many series takes a while: not on a thread that serves connections.
        let planned = tokio::task::spawn_blocking(move || {
            let cut = Cut { shard: shard.as_ref(), behind: last.as_ref().map(Labels::as_ref), limit };
            plan(answers, &without, &cut)
        });
        planned.await.map_err(|why| StoreError::Internal(why.to_string()))
    }

    /// Sends the series of a plan; the block that failed, if one did.
    async fn send(&mut self, plan: Plan) -> Result<Option<(BlockId, Trouble)>, StoreError> {
        let Plan { sources, series } = plan;
        let sizes: Vec<u64> = sources.iter().map(|source| source.chunk_bytes()).collect();
        let (gateway, sources) = (self.request.gateway, Arc::new(sources));
        let mut batches = futures_util::stream::iter(batches(series, sizes))
            .map(|batch| {
                let sources = Arc::clone(&sources);
                async move { fill(gateway, &sources, batch).await }
            })
            .buffered(BATCHES_IN_FLIGHT);
        let sizes = gateway.metrics().chunk_bytes(self.query.tenant.as_deref());
        while let Some(filled) = batches.next().await {
            let filled = match filled {
                Ok(filled) => filled,
                Err((number, trouble)) => {
                    let id = sources.get(number).map(|source| source.id()).unwrap_or_default();
                    return Ok(Some((id, trouble)));
                }
            };
            for (labels, pieces) in filled {
                let chunks = self.chunks(pieces)?;
                self.answered.touched_chunks += chunks.len() as u64;
                let chunks = finish(chunks);
                // What deletions took all chunks of is not sent.
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
        }
        Ok(None)
    }

    /// The chunks of one series as they are sent.
    fn chunks(&self, pieces: Vec<(usize, Vec<TimedChunk>)>) -> Result<Vec<(usize, StoreChunk)>, StoreError> {
        let mut chunks = Vec::new();
        for (block, timed) in pieces {
            for TimedChunk { range, chunk } in timed {
                let chunk = if self.query.xor2 { chunk } else { chunk.to_plain()? };
                let parts = ChunkParts::of(chunk, &self.query.aggregates)?;
                chunks.push((block, StoreChunk { range, parts }));
            }
        }
        Ok(chunks)
    }
}

fn plan(answers: Vec<Answer<Vec<Found>>>, without: &[bytes::Bytes], cut: &Cut<'_>) -> Plan {
    let (mut sources, mut series) = (Vec::with_capacity(answers.len()), Vec::new());
    for (block, (asked, found)) in answers.into_iter().enumerate() {
        let outgoing = OutgoingLabels::new(asked.source.external.as_ref(), without);
        let pieces =
            found.into_iter().map(|Found { labels, no, chunks }| (labels, Piece { block, no, chunks }));
        gather(&mut series, pieces, &outgoing, cut);
        sources.push(asked.source);
    }
    Plan { sources, series: arrange(series, cut) }
}

/// Series in batches of about the same bytes of chunks; `sizes`: bytes of a chunk, by block.
fn batches(series: Vec<Merged>, sizes: Vec<u64>) -> impl Iterator<Item = Vec<Merged>> {
    let mut series = series.into_iter().peekable();
    let mut room = FIRST_BATCH_BYTES;
    std::iter::from_fn(move || {
        let mut batch = Vec::new();
        let mut bytes = 0u64;
        while batch.len() < BATCH_SERIES && bytes < room {
            let Some(next) = series.next() else { break };
            let piece =
                |piece: &Piece| sizes.get(piece.block).copied().unwrap_or(0) * piece.chunks.len() as u64;
            bytes = bytes.saturating_add(next.1.iter().map(piece).sum());
            batch.push(next);
        }
        room = BATCH_BYTES;
        (!batch.is_empty()).then_some(batch)
    })
}

/// Reads the chunks of a batch, of all blocks at the same time.
async fn fill(
    gateway: &Gateway,
    sources: &[Arc<Source>],
    batch: Vec<Merged>,
) -> Result<Filled, (usize, Trouble)> {
    let mut wanted: BTreeMap<usize, Vec<(SeriesNo, Vec<ChunkMeta>)>> = BTreeMap::new();
    let mut filled: Filled = Vec::with_capacity(batch.len());
    for (labels, pieces) in batch {
        let mut places = Vec::with_capacity(pieces.len());
        for Piece { block, no, chunks } in pieces {
            if !chunks.is_empty() {
                places.push((block, Vec::new()));
                wanted.entry(block).or_default().push((no, chunks));
            }
        }
        filled.push((labels, places));
    }
    let reads = wanted.into_iter().map(|(block, wanted)| async move {
        let Some(source) = sources.get(block) else { return Ok((block, Vec::new())) };
        let read = async { source.chunks(wanted).await.map_err(Trouble::from) };
        gateway.unless_away(read).await.map(|chunks| (block, chunks)).map_err(|why| (block, why))
    });
    let read = futures_util::future::try_join_all(reads).await?;
    let mut read: BTreeMap<usize, std::vec::IntoIter<Vec<TimedChunk>>> =
        read.into_iter().map(|(block, chunks)| (block, chunks.into_iter())).collect();
    for (block, chunks) in filled.iter_mut().flat_map(|(_, places)| places) {
        *chunks = read.get_mut(block).and_then(Iterator::next).unwrap_or_default();
    }
    Ok(filled)
}
