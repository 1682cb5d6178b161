//! One or several blocks written as one new block, series by series.
//!
//! The chunks of the new block are those that Prometheus' compaction and its cleaning of tombstones write, byte for byte
//! (`series/recode.rs`): deleted samples are left out, chunks are taken over as they are where nothing forbids it, and chunks
//! that overlap are merged. Symbols are merged first; from then on label sets are numbers (`symbols.rs`), and a chunk that is taken over is never
//! decoded. Of each input one series is in memory at a time (`input.rs`). Nothing here decides which blocks belong together,
//! and nothing is removed: the inputs stay as they are.

mod input;
mod symbols;

use bytes::Bytes;

use crate::chunk::{Chunk, ChunkEnd, ChunkMeta, EncodeOptions, TimedChunk};
use crate::chunkfile::{DEFAULT_CHUNK_FILE_LIMIT, Record};
use crate::error::Error;
use crate::meta::{BlockId, BlockMeta, Compaction, ThanosMeta};
use crate::reader::Block;
use crate::series::heap::Heap;
use crate::series::{Aggregates, Desk, Held, Overlap, Piece, Recode, compact};
use crate::time::TimeRange;
use crate::writer::{BlockSink, BlockWriter, BlockWriterOptions, WrittenBlock};

use input::{Input, Place};
use symbols::merge_symbols;

/// What `meta.json` of the new block says about where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// It is a block in its own right, of level 1, whose only source is itself: Prometheus' `CleanTombstones`.
    Cleaned,
    /// It has the sources of all inputs and a level more than the highest of them: a compaction.
    Compacted,
}

/// How a rewrite is done.
#[derive(Debug, Clone, Copy)]
pub struct RewriteOptions<'a> {
    /// Name of the new block.
    pub id: BlockId,
    /// Where it comes from.
    pub ancestry: Ancestry,
    /// How the files are written.
    pub writer: BlockWriterOptions,
    /// How chunks that have to be merged are encoded.
    pub encode: EncodeOptions,
    /// Chunks of encodings that Thanos cannot read are written in those it can; start timestamps are lost
    /// ([`Chunk::to_plain`](crate::Chunk::to_plain)).
    pub plain: bool,
    /// What happens to samples of chunks that overlap.
    pub overlap: Overlap,
    /// Who knows aggregate chunks. Without, aggregate chunks that overlap or lose samples are an error.
    pub aggregates: Option<&'a dyn Aggregates>,
}

impl RewriteOptions<'_> {
    /// For a block named `id`, in files of the usual size, with encodings as they are found, all times kept, and nobody who knows
    /// aggregates.
    pub const fn new(id: BlockId, ancestry: Ancestry) -> Self {
        let writer = BlockWriterOptions { segment_size: DEFAULT_CHUNK_FILE_LIMIT };
        Self {
            id,
            ancestry,
            writer,
            encode: EncodeOptions { xor2: false, end: ChunkEnd::Samples },
            plain: false,
            overlap: Overlap::Chain,
            aggregates: None,
        }
    }
}

/// What a rewrite came out as.
#[derive(Debug)]
pub struct Rewritten<S> {
    /// Index and chunk files.
    pub written: WrittenBlock<S>,
    /// The new block's meta, to be written last. Its range is that of the inputs together. It has the Thanos section of the
    /// inputs if there is one input, without files and upload time.
    pub meta: BlockMeta,
}

impl<S> Rewritten<S> {
    /// Whether no sample was left. Then there is no block: the files are to be thrown away.
    pub const fn is_empty(&self) -> bool {
        self.written.stats.num_samples == 0
    }
}

/// Writes `blocks`, at least one, into one new block. Their tombstones are applied; the new block has none. Where two blocks hold
/// different chunks with the same times, the order of the blocks decides which sample stays.
///
/// The blocks are read from front to back, through windows of at most 256 KiB on each of their files, a window beginning at most one chunk
/// or entry before the end of the one before it. In memory are the new symbol table, four bytes for each symbol of each block, about a dozen bytes
/// for each new series, and what has to be decoded of one series. [`Block::open_unread`] opens blocks without more.
///
/// # Errors
/// `Corrupt` and `Io` from reading an input, as [`Error::Block`] that says which; `Io` from writing, `Invalid` if there is no block or what they hold
/// cannot be merged. What the sink was given is worth nothing then.
pub fn rewrite<S: BlockSink>(
    blocks: &[Block],
    sink: S,
    options: RewriteOptions<'_>,
) -> Result<Rewritten<S>, Error> {
    let mut meta = meta_of(blocks, options)?;
    let mut writer = BlockWriter::begin(sink, options.writer)?;
    let numbers = merge_symbols(blocks, &mut writer)?;
    let mut group = Vec::with_capacity(blocks.len());
    for (block, numbers) in blocks.iter().zip(numbers) {
        group.push(Waiting(Box::new(Input::new(block, numbers, meta.range())?)));
    }
    let mut heap = Heap::new(Waiting::is_before);
    let mut desk = Table { group, writer, options, order: Vec::new() };
    loop {
        // Those whose series was written go back in the order in which they came out, as in Prometheus: of more than two blocks with equal
        // chunks, that order decides.
        for mut input in desk.group.drain(..) {
            if input.0.advance()? {
                heap.push(input);
            }
        }
        let Some(first) = heap.pop() else { break };
        desk.group.push(first);
        while let (Some(first), Some(next)) = (desk.group.first(), heap.first())
            && first.0.labels() == next.0.labels()
            && let Some(next) = heap.pop()
        {
            desk.group.push(next);
        }
        desk.write_series()?;
    }
    let mut written = desk.writer.finish()?;
    written.checks.id = options.id;
    meta.stats = written.stats;
    if let Some(thanos) = &mut meta.thanos {
        thanos.index_stats = written.index_stats;
    }
    Ok(Rewritten { written, meta })
}

/// An input in the heap, which moves what is in it often.
struct Waiting<'a>(Box<Input<'a>>);

impl Waiting<'_> {
    fn is_before(&self, other: &Self) -> bool {
        self.0.labels() < other.0.labels()
    }
}

/// Where the chunks of one series are put in order.
struct Table<'a, S: BlockSink> {
    /// The inputs that have the series, in the order in which Prometheus takes them.
    group: Vec<Waiting<'a>>,
    writer: BlockWriter<S>,
    options: RewriteOptions<'a>,
    order: Vec<usize>,
}

impl<S: BlockSink> Table<'_, S> {
    fn write_series(&mut self) -> Result<(), Error> {
        self.writer.begin_series()?;
        if self.is_one_behind_the_other() {
            for at in 0..self.order.len() {
                self.copy(at)?;
            }
        } else {
            self.merge()?;
        }
        let labels = self.group.first().map_or(&[][..], |first| first.0.labels());
        self.writer.end_series(labels)
    }

    /// Whether the chunks of each input lie behind all of another, and all are as they shall be. `order` is then theirs.
    fn is_one_behind_the_other(&mut self) -> bool {
        if self.group.iter().any(|input| input.0.is_cut()) {
            return false;
        }
        let range = |at: usize| {
            let chunks = self.group.get(at).map_or(&[][..], |input| input.0.chunks());
            let ends = chunks.first().zip(chunks.last());
            ends.map_or(TimeRange::new(0, 0), |(first, last)| TimeRange::new(first.range.min, last.range.max))
        };
        self.order.clear();
        self.order.extend(0..self.group.len());
        self.order.sort_by_key(|&at| range(at).min);
        self.order.windows(2).all(|pair| match pair {
            [one, next] => range(*one).max < range(*next).min,
            _ => true,
        })
    }

    /// Copies the chunks of the input that is the `at`-th in order.
    fn copy(&mut self, at: usize) -> Result<(), Error> {
        let Some(input) = self.order.get(at).and_then(|&number| self.group.get_mut(number)) else {
            return Ok(());
        };
        for at in 0..input.0.chunks().len() {
            let Some(&ChunkMeta { range, chunk_ref }) = input.0.chunks().get(at) else { break };
            put_record(&mut self.writer, range, input.0.record(chunk_ref)?, self.options.plain)?;
        }
        Ok(())
    }

    fn merge(&mut self) -> Result<(), Error> {
        let RewriteOptions { aggregates, overlap, encode, .. } = self.options;
        let mut runs = Vec::with_capacity(self.group.len());
        for (number, input) in self.group.iter_mut().enumerate() {
            runs.push(input.0.pieces(number, aggregates)?);
        }
        match <[Vec<Piece<Place>>; 1]>::try_from(runs) {
            // The chunks of one block are never merged with one another.
            Ok([alone]) => alone.into_iter().try_for_each(|piece| self.put(piece)),
            Err(runs) => compact(runs, Recode { encode, overlap, aggregates }, self),
        }
    }
}

impl<S: BlockSink> Desk for Table<'_, S> {
    type Place = Place;

    fn fetch(&mut self, (number, at): Place) -> Result<Chunk, Error> {
        let input = self.group.get_mut(number).ok_or_else(|| Error::invalid("rewrite", "no such input"))?;
        input.0.chunk(at)
    }

    fn put(&mut self, Piece { range, held }: Piece<Place>) -> Result<(), Error> {
        let plain = self.options.plain;
        match held {
            Held::Stored((number, at)) => {
                let input = self.group.get_mut(number);
                let input = input.ok_or_else(|| Error::invalid("rewrite", "no such input"))?;
                put_record(&mut self.writer, range, input.0.record(at)?, plain)
            }
            Held::Made(chunk) => {
                let chunk = if plain { chunk.to_plain()? } else { chunk };
                self.writer.put_chunk(&TimedChunk { range, chunk })
            }
        }
    }

    fn blame(&self, run: usize, error: Error) -> Error {
        match self.group.get(run) {
            Some(input) => error.in_block(input.0.id()),
            None => error,
        }
    }
}

/// Copies a chunk, unless it is to be plain and is not.
#[inline]
fn put_record<S: BlockSink>(
    writer: &mut BlockWriter<S>,
    range: TimeRange,
    record: Record<'_>,
    plain: bool,
) -> Result<(), Error> {
    if plain && !record.encoding.is_plain() {
        let chunk = Chunk { encoding: record.encoding, data: Bytes::copy_from_slice(record.data) };
        return writer.put_chunk(&TimedChunk { range, chunk: chunk.to_plain()? });
    }
    writer.put_record(range, record)
}

/// The meta of the new block, but for its stats.
fn meta_of(blocks: &[Block], options: RewriteOptions<'_>) -> Result<BlockMeta, Error> {
    let metas = || blocks.iter().map(Block::meta);
    let (Some(min_time), Some(max_time)) =
        (metas().map(|meta| meta.min_time).min(), metas().map(|meta| meta.max_time).max())
    else {
        return Err(Error::invalid("rewrite", "there is no block"));
    };
    let mut compaction = Compaction::of(metas());
    if options.ancestry == Ancestry::Cleaned {
        compaction.level = 1;
        compaction.sources = vec![options.id];
    }
    let thanos = match blocks {
        [alone] => alone.meta().thanos.clone().map(|thanos| ThanosMeta {
            segment_files: Vec::new(),
            files: Vec::new(),
            upload_time: Default::default(),
            ..thanos
        }),
        _ => None,
    };
    Ok(BlockMeta { id: options.id, min_time, max_time, compaction, thanos, ..BlockMeta::default() })
}
