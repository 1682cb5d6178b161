//! One request for series: selected once, then sent piece by piece.
//!
//! Each tenant arranges its series by the labels that go out; the request goes through all of them side by side, smallest
//! labels first, and reads chunks for the few series that come next. In memory are the labels of what was selected, in small
//! numbers, and one piece of chunks for each tenant. Series of two tenants that look the same stand one behind the other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use sarsen_block::{Labels, Matcher, TimeRange, TimedChunk};
use sarsen_bucket::Deletions;
use sarsen_tsdb::{Arranged, Arrangement};

use super::hidden::hidden_of;
use super::parts::{Choice, Part, Span};
use super::{LocalLimits, lacking};
use crate::store::{ChunkParts, Frame, Hints, SeriesQuery, StoreChunk, StoreError, StoreSeries};

/// A step ends when its frames have this many bytes, and a series is cut into frames of about as many.
const FRAME_BYTES: usize = 1 << 20;
/// A step ends after this many series too.
const SERIES: usize = 512;
/// Bytes of chunks that are read ahead, all tenants together, and for one tenant at least.
const AHEAD_BYTES: usize = 4 << 20;
const AHEAD_LEAST: usize = 64 << 10;
/// Series whose chunks are read ahead, at the beginning and at most.
const AHEAD_FIRST: usize = 8;
const AHEAD_MOST: usize = 256;
/// What a chunk counts for against the limit on samples, as in Thanos.
const SAMPLES_OF_CHUNK: u64 = 120;

/// A request that is being answered.
pub(super) struct Answer {
    query: Arc<SeriesQuery>,
    span: Span,
    limits: LocalLimits,
    /// Told before any series: warnings, and what is read.
    warnings: Vec<Frame>,
    sources: Vec<Source>,
    /// The next series of every source that has one.
    next: BinaryHeap<Reverse<(Labels, usize)>>,
    sent_series: u64,
    sent_chunks: u64,
    exceeded: &'static str,
}

/// The selection of one tenant.
struct Source {
    part: Part,
    arranged: Arranged,
    /// The series that `next` holds.
    at: usize,
    /// Chunks of the series from `at` on.
    ready: VecDeque<Vec<TimedChunk>>,
    /// Series whose chunks are read at once, as large as these have been lately, and bytes that these may be.
    ahead: usize,
    room: usize,
    bytes: Vec<u8>,
}

impl Source {
    fn labels(&mut self) -> Option<Labels> {
        (self.at < self.arranged.len()).then(|| self.arranged.labels(self.at, &mut self.bytes).to_owned())
    }

    /// The chunks of the series at hand alone.
    fn own_chunks(&mut self) -> Result<Vec<TimedChunk>, sarsen_tsdb::Error> {
        Ok(self.arranged.chunks(self.at..self.at + 1)?.pop().unwrap_or_default())
    }

    /// The same, where those of the next series will be asked for too.
    fn chunks(&mut self) -> Result<Vec<TimedChunk>, sarsen_tsdb::Error> {
        if self.ready.is_empty() {
            let end = self.arranged.len().min(self.at + self.ahead);
            self.ready = self.arranged.chunks(self.at..end)?.into();
            let bytes: usize = self.ready.iter().flatten().map(|timed| timed.chunk.data.len()).sum();
            let fit = self.room.saturating_mul(self.ahead) / bytes.max(1);
            self.ahead = fit.clamp(1, AHEAD_MOST.min(self.ahead.saturating_mul(4)));
        }
        Ok(self.ready.pop_front().unwrap_or_default())
    }
}

impl Answer {
    /// Selects what is to be sent.
    pub(super) fn select(
        query: Arc<SeriesQuery>,
        choice: Choice,
        deletions: &Deletions,
        limits: LocalLimits,
        is_gone: &dyn Fn() -> bool,
    ) -> Result<Self, StoreError> {
        let span = choice.span();
        let mut answer = Self {
            query,
            span,
            limits,
            warnings: Vec::new(),
            sources: Vec::new(),
            next: BinaryHeap::new(),
            sent_series: 0,
            sent_chunks: 0,
            exceeded: "series",
        };
        for (tenant, why) in choice.shut {
            answer.warn(format!("the database of tenant {tenant} cannot be read now: {why}"))?;
        }
        if answer.query.stats {
            answer.hint(&choice.parts);
        }
        for part in choice.parts {
            if is_gone() {
                return Err(StoreError::Gone);
            }
            answer.add(part, deletions)?;
        }
        let room = (AHEAD_BYTES / answer.sources.len().max(1)).max(AHEAD_LEAST);
        answer.sources.iter_mut().for_each(|source| source.room = room);
        for at in 0..answer.sources.len() {
            answer.advance(at);
        }
        Ok(answer)
    }

    fn warn(&mut self, text: String) -> Result<(), StoreError> {
        self.warnings.push(lacking(text, self.query.abort)?);
        Ok(())
    }

    /// Tells which blocks and heads are read.
    fn hint(&mut self, parts: &[Part]) {
        let blocks = parts.iter().flat_map(|part| part.hints(self.span.read())).collect();
        let hints = Hints { blocks: Some(blocks), ..Hints::default() };
        self.warnings.push(Frame::Hints(Box::new(hints)));
    }

    fn add(&mut self, part: Part, deletions: &Deletions) -> Result<(), StoreError> {
        if part.matchers.is_empty() {
            let why = "no matchers specified (excluding external labels)";
            return self.warn(part.fault("InvalidArgument", why));
        }
        let hidden = hidden_of(deletions, &part.labels);
        match self.arrange(&part, &hidden) {
            Ok(arranged) if arranged.is_empty() => {}
            Ok(arranged) => {
                let (ready, bytes) = (VecDeque::new(), Vec::new());
                let (ahead, room) = (AHEAD_FIRST, AHEAD_LEAST);
                self.sources.push(Source { part, arranged, at: 0, ready, ahead, room, bytes });
            }
            Err(error) => self.warn(unreadable(&part, &error))?,
        }
        Ok(())
    }

    fn arrange(
        &self,
        part: &Part,
        hidden: &[(Vec<Matcher>, TimeRange)],
    ) -> Result<Arranged, sarsen_tsdb::Error> {
        let query = &self.query;
        let wanted = Arrangement {
            matchers: &part.matchers,
            add: part.labels.clone(),
            without: &query.without,
            hidden,
        };
        let mut arranged = part.querier(self.span).arrange(&wanted)?;
        if let Some(shard) = &query.shard {
            let mut scratch = Vec::new();
            arranged.retain(|labels| shard.takes(labels, &mut scratch));
        }
        Ok(arranged)
    }

    /// Bytes that the selection holds in memory.
    pub(super) fn held(&self) -> u64 {
        self.sources.iter().map(|source| source.arranged.held() as u64).sum()
    }

    /// Series and chunks that were handed on.
    pub(super) const fn sent(&self) -> (u64, u64) {
        (self.sent_series, self.sent_chunks)
    }

    /// Which limit was the one that was exceeded.
    pub(super) const fn exceeded(&self) -> &'static str {
        self.exceeded
    }

    /// Puts the series that a source has next into line.
    fn advance(&mut self, source: usize) {
        if let Some(labels) = self.sources.get_mut(source).and_then(Source::labels) {
            self.next.push(Reverse((labels, source)));
        }
    }

    /// The frames that come next.
    pub(super) fn fill(&mut self) -> Result<Vec<Frame>, StoreError> {
        let mut frames = std::mem::take(&mut self.warnings);
        let mut bytes = 0;
        for _ in 0..SERIES {
            if self.is_done() || bytes >= FRAME_BYTES {
                break;
            }
            let Some(Reverse((labels, at))) = self.next.pop() else { break };
            let before = frames.len();
            if let Err(error) = self.put(labels, at, &mut frames)? {
                let part = self.sources.get(at).map(|source| unreadable(&source.part, &error));
                // What is left of the tenant is left out.
                frames.push(lacking(part.unwrap_or_default(), self.query.abort)?);
                continue;
            }
            bytes += frames.get(before..).unwrap_or_default().iter().map(Frame::bytes).sum::<usize>();
            if let Some(source) = self.sources.get_mut(at) {
                source.at += 1;
            }
            self.advance(at);
        }
        Ok(frames)
    }

    /// Whether there is nothing more to send.
    pub(super) fn is_done(&self) -> bool {
        let is_full = self.query.limit > 0 && self.sent_series >= self.query.limit;
        self.warnings.is_empty() && (is_full || self.next.is_empty())
    }

    /// Turns the series at hand of a source into frames.
    fn put(
        &mut self,
        labels: Labels,
        at: usize,
        frames: &mut Vec<Frame>,
    ) -> Result<Result<(), sarsen_tsdb::Error>, StoreError> {
        let Some(source) = self.sources.get_mut(at) else { return Ok(Ok(())) };
        let only_labels = self.query.skip_chunks;
        let mut chunks = Vec::new();
        if !only_labels || self.span.is_turned() || source.arranged.is_doubtful(source.at) {
            let read = if only_labels { source.own_chunks() } else { source.chunks() };
            chunks = match read {
                Ok(chunks) => chunks,
                Err(error) => return Ok(Err(error)),
            };
            chunks.retain(|chunk| self.span.takes(chunk.range));
            if chunks.is_empty() {
                return Ok(Ok(()));
            }
        }
        if only_labels {
            self.count(0)?;
            frames.push(Frame::Series(StoreSeries { labels, chunks: Vec::new() }));
            return Ok(Ok(()));
        }
        self.count(chunks.len() as u64)?;
        match to_store_chunks(chunks, self.query.xor2) {
            Ok(chunks) => cut(&labels, chunks, frames),
            Err(error) => return Ok(Err(error.into())),
        }
        Ok(Ok(()))
    }

    /// Counts a series against the limits.
    fn count(&mut self, chunks: u64) -> Result<(), StoreError> {
        self.sent_series += 1;
        self.sent_chunks += chunks;
        let over = |limit: u64, got: u64| limit > 0 && got > limit;
        let LocalLimits { series, samples, .. } = self.limits;
        if over(series, self.sent_series) {
            let why = format!("failed to send series: limit {series} violated (got {})", self.sent_series);
            return Err(StoreError::Exhausted(why));
        }
        let got = self.sent_chunks.saturating_mul(SAMPLES_OF_CHUNK);
        if over(samples, got) {
            self.exceeded = "chunks";
            let why = format!("failed to send samples: limit {samples} violated (got {got})");
            return Err(StoreError::Exhausted(why));
        }
        Ok(())
    }
}

/// What is told of a tenant that cannot be read.
fn unreadable(part: &Part, error: &sarsen_tsdb::Error) -> String {
    part.fault("Internal", &format!("tenant {}: {error}", part.name))
}

/// Chunks as they are sent: bytes as they are stored, unless the caller cannot read their encoding.
fn to_store_chunks(chunks: Vec<TimedChunk>, xor2: bool) -> Result<Vec<StoreChunk>, sarsen_block::Error> {
    let convert = |TimedChunk { range, chunk }| {
        let chunk = if xor2 { chunk } else { chunk.to_plain()? };
        Ok(StoreChunk { range, parts: ChunkParts::Raw(chunk) })
    };
    chunks.into_iter().map(convert).collect()
}

/// Frames of about [`FRAME_BYTES`], each with a chunk at least.
fn cut(labels: &Labels, chunks: Vec<StoreChunk>, frames: &mut Vec<Frame>) {
    let room = FRAME_BYTES.saturating_sub(labels.as_ref().as_bytes().len());
    let (mut part, mut left) = (Vec::new(), room);
    let mut chunks = chunks.into_iter().peekable();
    while let Some(chunk) = chunks.next() {
        left = left.saturating_sub(chunk.bytes());
        part.push(chunk);
        if left == 0 || chunks.peek().is_none() {
            let chunks = std::mem::take(&mut part);
            frames.push(Frame::Series(StoreSeries { labels: labels.clone(), chunks }));
            left = room;
        }
    }
}
