//! Frames of a store to messages of a stream: pieces, batches, encodings that the caller reads, and how it ended.

use std::collections::VecDeque;
use std::panic::resume_unwind;

use sarsen_block::Encoding;
use tokio::task::JoinSet;

use super::{ChunkParts, Frame, FrameReceiver, SeriesQuery, StoreChunk, StoreError, StoreSeries};
use crate::wire::storeapi::{SeriesMessage, hints_message};

/// About how many bytes a message has at most: one that is larger has a single chunk.
pub(super) const MESSAGE: usize = 1 << 20;

/// The messages that answer one request.
pub(super) struct Messages {
    frames: FrameReceiver,
    /// What makes the frames; dropped with this.
    task: JoinSet<Result<(), StoreError>>,
    /// Series a message; 1: each alone.
    batch: usize,
    xor2: bool,
    /// What is ready to go, in order.
    ready: VecDeque<Result<SeriesMessage, StoreError>>,
    open: Vec<StoreSeries>,
    open_bytes: usize,
    ended: bool,
}

impl Messages {
    pub(super) fn new(
        frames: FrameReceiver,
        task: JoinSet<Result<(), StoreError>>,
        query: &SeriesQuery,
    ) -> Self {
        Self {
            frames,
            task,
            batch: query.batch.max(1),
            xor2: query.xor2,
            ready: VecDeque::new(),
            open: Vec::new(),
            open_bytes: 0,
            ended: false,
        }
    }

    /// The next message, an error as the last one, `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Result<SeriesMessage, StoreError>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if self.ended {
                return None;
            }
            match self.frames.next().await {
                None => {
                    let outcome = self.outcome().await;
                    self.end(outcome);
                }
                Some(frame) => {
                    if let Err(why) = self.take(frame) {
                        self.end(Err(why));
                    }
                }
            }
        }
    }

    fn take(&mut self, frame: Frame) -> Result<(), StoreError> {
        match frame {
            Frame::Warning(text) => {
                self.close();
                self.ready.push_back(Ok(SeriesMessage::Warning(text)));
            }
            Frame::Hints(hints) => {
                self.close();
                self.ready.push_back(Ok(SeriesMessage::Hints(hints_message(&hints))));
            }
            Frame::Series(mut series) => {
                if !self.xor2 {
                    make_plain(&mut series.chunks)?;
                }
                for piece in pieces(series) {
                    self.add(piece);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, series: StoreSeries) {
        if self.batch == 1 {
            self.ready.push_back(Ok(SeriesMessage::Series(series)));
            return;
        }
        self.open_bytes += bytes_of(&series);
        self.open.push(series);
        if self.open.len() >= self.batch || self.open_bytes >= MESSAGE {
            self.close();
        }
    }

    /// The open batch is ready.
    fn close(&mut self) {
        if !self.open.is_empty() {
            self.ready.push_back(Ok(SeriesMessage::Batch(std::mem::take(&mut self.open))));
            self.open_bytes = 0;
        }
    }

    /// Nothing comes after what is complete by now, but the error if there is one.
    fn end(&mut self, outcome: Result<(), StoreError>) {
        self.ended = true;
        self.close();
        self.ready.extend(outcome.err().map(Err));
    }

    /// The store put its last frame: how did it end?
    async fn outcome(&mut self) -> Result<(), StoreError> {
        match self.task.join_next().await {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            // Counted and answered where the body of the call is polled.
            Some(Err(why)) if why.is_panic() => resume_unwind(why.into_panic()),
            Some(Err(why)) => Err(StoreError::Internal(why.to_string())),
        }
    }
}

/// Chunks in encodings that every reader of Prometheus' blocks knows.
fn make_plain(chunks: &mut [StoreChunk]) -> Result<(), StoreError> {
    for chunk in chunks {
        if let ChunkParts::Raw(raw) = &mut chunk.parts
            && is_ours(raw.encoding)
        {
            *raw = raw.to_plain().map_err(|why| StoreError::Internal(why.to_string()))?;
        }
    }
    Ok(())
}

const fn is_ours(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt)
}

fn bytes_of(series: &StoreSeries) -> usize {
    let chunks: usize = series.chunks.iter().map(StoreChunk::bytes).sum();
    series.labels.as_ref().as_bytes().len() + chunks
}

/// The series in pieces that fit into a message; a piece has at least one chunk.
fn pieces(mut series: StoreSeries) -> impl Iterator<Item = StoreSeries> {
    let (mut cuts, mut bytes) = (Vec::new(), 0);
    for (at, chunk) in series.chunks.iter().enumerate() {
        bytes += chunk.bytes();
        if bytes > MESSAGE && at > 0 {
            cuts.push(at);
            bytes = chunk.bytes();
        }
    }
    let mut tails: Vec<StoreSeries> = Vec::with_capacity(cuts.len());
    for at in cuts.into_iter().rev() {
        tails.push(StoreSeries { labels: series.labels.clone(), chunks: series.chunks.split_off(at) });
    }
    std::iter::once(series).chain(tails.into_iter().rev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FrameSender, frames};
    use bytes::Bytes;
    use sarsen_block::{Chunk, Labels, TimeRange, Xor2Appender};

    fn series(name: &str, chunks: &[usize]) -> StoreSeries {
        let labels = Labels::from_pairs([("__name__", name)]).unwrap();
        let chunk = |(at, &length): (usize, &usize)| StoreChunk {
            range: TimeRange::new(at as i64, at as i64),
            parts: ChunkParts::Raw(Chunk::xor(Bytes::from(vec![at as u8; length]))),
        };
        StoreSeries { labels, chunks: chunks.iter().enumerate().map(chunk).collect() }
    }

    async fn messages(
        query: SeriesQuery,
        sent: Vec<Frame>,
        outcome: Result<(), StoreError>,
    ) -> Vec<Result<SeriesMessage, StoreError>> {
        let (into, out): (FrameSender, FrameReceiver) = frames(1 << 30);
        let mut task = JoinSet::new();
        task.spawn(async move {
            for frame in sent {
                into.send(frame).await?;
            }
            outcome
        });
        let (mut messages, mut got) = (Messages::new(out, task, &query), Vec::new());
        while let Some(message) = messages.next().await {
            got.push(message);
        }
        got
    }

    fn query(batch: usize) -> SeriesQuery {
        SeriesQuery { batch, ..SeriesQuery::new(TimeRange::ALL, Vec::new()) }
    }

    #[tokio::test]
    async fn batches_are_full_or_last_or_before_something_else() {
        let of = |name: &str| Frame::Series(series(name, &[1]));
        let sent = vec![of("a"), of("b"), of("c"), Frame::Warning("w".into()), of("d"), of("e"), of("f")];
        let got = messages(query(2), sent.clone(), Err(StoreError::Aborted("broken".into()))).await;
        let batch =
            |names: &[&str]| Ok(SeriesMessage::Batch(names.iter().map(|name| series(name, &[1])).collect()));
        let expected = [
            batch(&["a", "b"]),
            batch(&["c"]),
            Ok(SeriesMessage::Warning("w".into())),
            batch(&["d", "e"]),
            batch(&["f"]),
            Err(StoreError::Aborted("broken".into())),
        ];
        assert_eq!(got, expected);
        for single in [0, 1] {
            let got = messages(query(single), sent.clone(), Ok(())).await;
            assert_eq!(got.len(), 7);
            assert_eq!(got[0], Ok(SeriesMessage::Series(series("a", &[1]))));
        }
    }

    #[tokio::test]
    async fn a_long_series_goes_out_in_pieces() {
        let long = series("long", &[MESSAGE / 2, MESSAGE / 3, MESSAGE / 3, 2 * MESSAGE, 10, 10]);
        let got = messages(query(0), vec![Frame::Series(long.clone())], Ok(())).await;
        let mut whole = Vec::new();
        for message in got {
            let Ok(SeriesMessage::Series(piece)) = message else { unreachable!("{message:?}") };
            assert_eq!(piece.labels, long.labels);
            assert!(piece.chunks.len() == 1 || bytes_of(&piece) <= MESSAGE + 100);
            whole.push(piece.chunks.len());
            assert!(!piece.chunks.is_empty());
        }
        assert_eq!(whole, [2, 1, 1, 2]);
        let batched = messages(query(64), vec![Frame::Series(long)], Ok(())).await;
        assert_eq!(batched.len(), 3, "a batch is closed when it is large, too");
    }

    #[tokio::test]
    async fn our_encodings_go_only_to_those_who_read_them() {
        let (mut appender, mut bytes) = (Xor2Appender::new(), Vec::new());
        for t in 0..10 {
            assert!(appender.append(&mut bytes, t * 1000, 0, t as f64));
        }
        let ours = Chunk { encoding: Encoding::Xor2, data: appender.finish(&bytes).into() };
        let mut sent = series("a", &[1]);
        sent.chunks[0].parts = ChunkParts::Raw(ours.clone());
        for xor2 in [false, true] {
            let asked = SeriesQuery { xor2, ..query(0) };
            let got = messages(asked, vec![Frame::Series(sent.clone())], Ok(())).await;
            let [Ok(SeriesMessage::Series(got))] = &got[..] else { unreachable!("{got:?}") };
            let expected = if xor2 { ours.clone() } else { ours.to_plain().unwrap() };
            assert_eq!(got.chunks[0].parts, ChunkParts::Raw(expected));
        }
        sent.chunks[0].parts =
            ChunkParts::Raw(Chunk { encoding: Encoding::Xor2, data: Bytes::from_static(b"x") });
        let got = messages(query(0), vec![Frame::Series(sent)], Ok(())).await;
        assert!(matches!(&got[..], [Err(StoreError::Internal(_))]));
    }
}
