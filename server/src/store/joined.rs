//! Streams of series of several stores as one, in order: what a store of stores and a querier have in common.
//!
//! Each stream comes in the order of labels. The chunks of a series that several have are put together by time, and a chunk that is the
//! same in two of them is sent once. In memory are the frames that wait in the pipes and one series.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sarsen_block::{Chunk, Labels};
use sarsen_downsample::Aggregate;

use super::{ChunkParts, Frame, FrameReceiver, FrameSender, StoreChunk, StoreError, StoreSeries};

/// A series is sent in pieces of about this many bytes.
const PIECE: usize = 1 << 20;

/// What to do with a warning of one of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warnings {
    /// Hand it on.
    Pass,
    /// Somebody wants all or nothing: it ends everything.
    Abort,
}

/// What the streams still have; the next series of each is in `heads`, the first of all on top. Of equal ones, that of the
/// first stream.
struct Heads<'a> {
    heads: BinaryHeap<Reverse<(Labels, usize, Chunks)>>,
    streams: &'a mut [FrameReceiver],
    warnings: Warnings,
    out: &'a FrameSender,
}

/// Chunks on their way; two are never compared, since no stream has two heads.
struct Chunks(Vec<StoreChunk>);

impl PartialEq for Chunks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Chunks {}

impl PartialOrd for Chunks {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Chunks {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl Heads<'_> {
    /// Takes the next series of a stream in; what comes before it is handed on.
    async fn advance(&mut self, number: usize) -> Result<(), StoreError> {
        let Some(stream) = self.streams.get_mut(number) else { return Ok(()) };
        while let Some(frame) = stream.next().await {
            match frame {
                Frame::Series(StoreSeries { labels, chunks }) => {
                    self.heads.push(Reverse((labels, number, Chunks(chunks))));
                    break;
                }
                Frame::Warning(text) if self.warnings == Warnings::Abort => {
                    return Err(StoreError::Aborted(text));
                }
                other @ (Frame::Warning(_) | Frame::Hints(_)) => self.out.send(other).await?,
            }
        }
        Ok(())
    }

    /// The next series of all, with the chunks that any stream has of it.
    async fn next(&mut self) -> Result<Option<StoreSeries>, StoreError> {
        let Some(Reverse((labels, number, Chunks(mut chunks)))) = self.heads.pop() else { return Ok(None) };
        self.advance(number).await?;
        let mut alone = true;
        while self.heads.peek().is_some_and(|Reverse((next, ..))| *next == labels) {
            let Some(Reverse((_, number, Chunks(more)))) = self.heads.pop() else { break };
            chunks.extend(more);
            alone = false;
            self.advance(number).await?;
        }
        let times = |chunk: &StoreChunk| (chunk.range.min, chunk.range.max);
        let sorted = chunks.is_sorted_by(|a, b| times(a) < times(b));
        if !(alone && sorted) {
            chunks = in_order(chunks);
        }
        Ok(Some(StoreSeries { labels, chunks }))
    }
}

/// Sends the series of all streams, `limit` of them at most (0: all), each once.
///
/// # Errors
/// `Gone` if nobody listens; `Aborted` with the text of a warning if one is not to be passed on.
pub(crate) async fn join_streams(
    streams: &mut [FrameReceiver],
    limit: u64,
    warnings: Warnings,
    out: &FrameSender,
) -> Result<(), StoreError> {
    let count = streams.len();
    let mut heads = Heads { heads: BinaryHeap::with_capacity(count), streams, warnings, out };
    for number in 0..count {
        heads.advance(number).await?;
    }
    let mut sent = 0;
    while limit == 0 || sent < limit {
        let Some(series) = heads.next().await? else { break };
        send(series, out).await?;
        sent += 1;
    }
    Ok(())
}

/// By time, each once. Of two over the same time, that with the greater bytes comes first, as in Thanos' proxy: it decides which
/// replica's chunk is read first.
pub(crate) fn in_order(mut chunks: Vec<StoreChunk>) -> Vec<StoreChunk> {
    chunks.sort_by(by_order);
    chunks.dedup();
    chunks
}

/// Which of two chunks comes first; `Equal` only if they are the same.
pub(crate) fn by_order(a: &StoreChunk, b: &StoreChunk) -> std::cmp::Ordering {
    let times = |chunk: &StoreChunk| (chunk.range.min, chunk.range.max);
    times(a).cmp(&times(b)).then_with(|| parts(b).cmp(parts(a)))
}

/// What tells the contents of two chunks apart, part by part: one that is there comes before one that is not.
fn parts(chunk: &StoreChunk) -> impl Iterator<Item = Option<(Reverse<u8>, &[u8])>> {
    let (raw, aggregates) = match &chunk.parts {
        ChunkParts::Raw(raw) => (Some(raw), None),
        ChunkParts::Aggregates(aggregates) => (None, Some(aggregates)),
    };
    let of = move |aggregate| aggregates.and_then(|aggregates| aggregates.get(aggregate));
    std::iter::once(raw)
        .chain(Aggregate::ALL.into_iter().map(of))
        .map(|part: Option<&Chunk>| part.map(|chunk| (Reverse(chunk.encoding.byte()), &chunk.data[..])))
}

async fn send(series: StoreSeries, out: &FrameSender) -> Result<(), StoreError> {
    let StoreSeries { labels, chunks } = series;
    let (mut piece, mut bytes) = (Vec::new(), 0);
    let mut chunks = chunks.into_iter().peekable();
    while let Some(chunk) = chunks.next() {
        bytes += chunk.bytes();
        piece.push(chunk);
        if bytes >= PIECE && chunks.peek().is_some() {
            let (labels, chunks) = (labels.clone(), std::mem::take(&mut piece));
            out.send(Frame::Series(StoreSeries { labels, chunks })).await?;
            bytes = 0;
        }
    }
    Ok(out.send(Frame::Series(StoreSeries { labels, chunks: piece })).await?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::frames;
    use bytes::Bytes;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use sarsen_block::TimeRange;

    fn labels(number: u8) -> Labels {
        Labels::from_pairs([("n", format!("{number:03}"))]).unwrap()
    }

    fn chunk((t, data): (i64, u8)) -> StoreChunk {
        StoreChunk {
            range: TimeRange::new(t, t + 10),
            parts: ChunkParts::Raw(Chunk::xor(Bytes::from(vec![data]))),
        }
    }

    type Plain = BTreeMap<u8, Vec<(i64, u8)>>;

    fn streams(all: &[Plain]) -> Vec<FrameReceiver> {
        let one = |plain: &Plain| {
            let (into, out) = frames(1 << 20);
            let mut frames: Vec<Frame> = Vec::new();
            for (&number, chunks) in plain {
                // In two frames, now and then.
                for half in chunks.chunks(chunks.len().div_ceil(1 + usize::from(number % 2)).max(1)) {
                    let chunks = half.iter().copied().map(chunk).collect();
                    frames.push(Frame::Series(StoreSeries { labels: labels(number), chunks }));
                }
            }
            tokio::spawn(async move {
                for frame in frames {
                    into.send(frame).await.unwrap();
                }
            });
            out
        };
        all.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn as_a_map_of_sets_says(
            all in vec(btree_map(0u8..12, vec((0i64..4, 0u8..3), 1..6), 0..8), 0..5),
            limit in 0u64..6,
        ) {
            let mut expected: BTreeMap<u8, Vec<(i64, Reverse<u8>)>> = BTreeMap::new();
            for (number, chunks) in all.iter().flatten() {
                expected.entry(*number).or_default().extend(chunks.iter().map(|(t, data)| (*t, Reverse(*data))));
            }
            let limit_of = if limit == 0 { usize::MAX } else { limit as usize };
            let expected: Vec<StoreSeries> = expected.into_iter().take(limit_of).map(|(number, mut chunks)| {
                chunks.sort();
                chunks.dedup();
                let chunks = chunks.into_iter().map(|(t, Reverse(data))| chunk((t, data))).collect();
                StoreSeries { labels: labels(number), chunks }
            }).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let found = runtime.block_on(async {
                let (into, mut out) = frames(1 << 30);
                join_streams(&mut streams(&all), limit, Warnings::Pass, &into).await.unwrap();
                let mut found = Vec::new();
                while let Some(Frame::Series(series)) = out.try_next() {
                    found.push(series);
                }
                found
            });
            prop_assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn a_warning_is_passed_on_or_ends_it() {
        for (warnings, expected) in
            [(Warnings::Pass, Ok(())), (Warnings::Abort, Err(StoreError::Aborted("lost".to_owned())))]
        {
            let (into, out) = frames(1 << 20);
            into.send(Frame::Warning("lost".to_owned())).await.unwrap();
            drop(into);
            let (into, mut passed) = frames(1 << 20);
            assert_eq!(join_streams(&mut [out], 0, warnings, &into).await, expected);
            assert_eq!(passed.try_next().is_some(), expected.is_ok());
        }
    }
}
