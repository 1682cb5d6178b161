//! A closed range of the head becomes a block directory, or nothing.
//!
//! Series are streamed in label order: their numbers are sorted by ranks of labels, their chunks copied in slices under
//! the lock and written without it. If anything fails on the way, the head still has the data and no block is left.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use sarsen_block::{BlockId, BlockMeta, BlockSink, BlockWriter, Parent, SeriesNo, TimeRange, TimedChunk};

use crate::block_files::Target;
use crate::blocks::LocalBlock;
use crate::error::Error;
use crate::head::{Head, LateTable, SortedHead, clip, closed, join_overlapping, names, series_in};

/// Series whose chunks are copied under one hold of the lock.
const CHUNK_SLICE: usize = 512;
/// Labels whose text is copied under one hold of the lock.
const LABEL_SLICE: u32 = 8192;

/// What Prometheus notes in blocks of late samples.
const FROM_OUT_OF_ORDER: &str = "from-out-of-order";

/// What a block takes from the head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// What came in order.
    Ordered,
    /// What came late and was sealed, of these series (rising).
    Sealed(&'a [SeriesNo]),
    /// What came late, sealed or not, of these series (rising).
    Late(&'a [SeriesNo]),
}

/// Writes the samples of `range` as block `id`, and opens it. `None` if there are none.
pub(crate) fn write_block(
    head: &RwLock<Head>,
    target: Target<'_>,
    (id, range): (BlockId, TimeRange),
    content: Content<'_>,
) -> Result<Option<LocalBlock>, Error> {
    let series = match content {
        Content::Ordered => series_in(head, range),
        Content::Sealed(series) | Content::Late(series) => series.to_vec(),
    };
    if series.is_empty() {
        return Ok(None);
    }
    let sorted = SortedHead::collect(head, &series)?;
    target.make(id, |sink| {
        let mut writer = BlockWriter::new(sink, target.options, symbols(head)?)?;
        match content {
            Content::Ordered => stream(head, &sorted, range, &mut writer)?,
            Content::Sealed(_) => {
                let chunks = |late: &LateTable, no| Ok(late.sealed_chunks(no, range));
                stream_late(head, &sorted, range, &mut writer, chunks)?;
            }
            Content::Late(_) => {
                let chunks = |late: &LateTable, no| late.chunks(no, range);
                stream_late(head, &sorted, range, &mut writer, chunks)?;
            }
        }
        drop(sorted);
        let written = writer.finish()?;
        if written.stats.num_series == 0 {
            return Ok(None);
        }
        let mut meta = BlockMeta::fresh(id, range, written.stats);
        if !matches!(content, Content::Ordered) {
            mark_out_of_order(&mut meta);
        }
        Ok(Some(meta))
    })
}

/// Marks a block as Prometheus does one of samples out of order: by a parent that is none, and a hint.
pub(crate) fn mark_out_of_order(meta: &mut BlockMeta) {
    meta.compaction.parents.push(Parent::default());
    meta.compaction.hints.push(FROM_OUT_OF_ORDER.to_owned());
}

/// All names and values of the head, each once, rising, with the empty one that Prometheus' blocks have.
fn symbols(head: &RwLock<Head>) -> Result<Vec<Bytes>, Error> {
    let mut texts = Vec::new();
    let mut spans = Vec::new();
    let mut start = 0;
    let end = head.read().label_end();
    while start < end {
        let head = head.read();
        for (_, value) in head.pairs(start..end.min(start.saturating_add(LABEL_SLICE))) {
            spans.push((texts.len(), value.len()));
            texts.extend_from_slice(value);
        }
        start = start.saturating_add(LABEL_SLICE);
    }
    let texts = Bytes::from(texts);
    let values = spans.iter().map(|&(at, length)| texts.slice(at..at + length));
    let mut symbols: Vec<Bytes> = values.chain(names(head)).chain([Bytes::new()]).collect();
    symbols.sort_unstable();
    symbols.dedup();
    Ok(symbols)
}

/// Copies chunks in slices and writes them.
fn stream<S: BlockSink>(
    head: &RwLock<Head>,
    sorted: &SortedHead,
    range: TimeRange,
    writer: &mut BlockWriter<S>,
) -> Result<(), Error> {
    let (mut labels, mut buffer) = (Vec::new(), Vec::new());
    for start in (0..sorted.len()).step_by(CHUNK_SLICE) {
        let slice = start..sorted.len().min(start + CHUNK_SLICE);
        let (files, slice) = {
            let head = head.read();
            let pieces = |at| {
                let no = sorted.key(at)?;
                Some((at, head.pieces_of(no, range).transpose()?, head.deleted(no, range)))
            };
            (Arc::clone(head.spill_files()), slice.filter_map(pieces).collect::<Vec<_>>())
        };
        for (at, pieces, deleted) in slice {
            let pieces = pieces?;
            let is_open = pieces.ends_open();
            let mut chunks = pieces.read(&files, &mut buffer)?;
            if is_open && let Some(last) = chunks.pop() {
                chunks.extend(closed(last)?);
            }
            writer.add(sorted.labels(at, &mut labels), &clip(chunks, range, &deleted)?)?;
        }
    }
    Ok(())
}

/// The same for what came late: chunks that overlap are brought together.
fn stream_late<S: BlockSink>(
    head: &RwLock<Head>,
    sorted: &SortedHead,
    range: TimeRange,
    writer: &mut BlockWriter<S>,
    chunks_of: impl Fn(&LateTable, SeriesNo) -> Result<Vec<TimedChunk>, sarsen_block::Error>,
) -> Result<(), Error> {
    let mut labels = Vec::new();
    for start in (0..sorted.len()).step_by(CHUNK_SLICE) {
        let slice = start..sorted.len().min(start + CHUNK_SLICE);
        let copied: Vec<_> = {
            let head = head.read();
            slice.filter_map(|at| Some((at, chunks_of(&head.late, sorted.key(at)?)))).collect()
        };
        for (at, chunks) in copied {
            let chunks = clip(join_overlapping(chunks?)?, range, &[])?;
            writer.add(sorted.labels(at, &mut labels), &chunks)?;
        }
    }
    Ok(())
}
