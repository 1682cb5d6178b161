//! One or several blocks written as one new block, series by series.
//!
//! The chunks of the new block are those that Prometheus' compaction and its cleaning of tombstones write, byte for byte
//! (`series/recode.rs`): deleted samples are left out, chunks are taken over as they are where nothing forbids it, and chunks
//! that overlap are merged. Of each input one series is in memory at a time. Nothing here decides which blocks belong together,
//! and nothing is removed: the inputs stay as they are.

use crate::chunk::{ChunkEnd, EncodeOptions};
use crate::chunkfile::DEFAULT_CHUNK_FILE_LIMIT;
use crate::error::Error;
use crate::meta::{BlockId, BlockMeta, Compaction, Parent, ThanosMeta};
use crate::reader::{Block, BlockChunkSet};
use crate::series::heap::Heap;
use crate::series::{ChunkSeries, compact};
use crate::time::TimeRange;
use crate::writer::{BlockSink, BlockWriter, BlockWriterOptions, WrittenBlock};

/// What `meta.json` of the new block says about where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// It is a block in its own right, of level 1, whose only source is itself: Prometheus' `CleanTombstones`.
    Cleaned,
    /// It has the sources of all inputs and a level more than the highest of them: a compaction.
    Compacted,
}

/// How a rewrite is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewriteOptions {
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
}

impl RewriteOptions {
    /// For a block named `id`, in files of the usual size, with encodings as they are found.
    pub const fn new(id: BlockId, ancestry: Ancestry) -> Self {
        let writer = BlockWriterOptions { segment_size: DEFAULT_CHUNK_FILE_LIMIT };
        Self {
            id,
            ancestry,
            writer,
            encode: EncodeOptions { xor2: false, end: ChunkEnd::Samples },
            plain: false,
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
/// # Errors
/// `Corrupt` and `Io` from reading the inputs, `Io` from writing, `Invalid` if there is no block or one holds what the format
/// forbids. What the sink was given is worth nothing then.
pub fn rewrite<S: BlockSink>(
    blocks: &[Block],
    sink: S,
    options: RewriteOptions,
) -> Result<Rewritten<S>, Error> {
    let mut meta = meta_of(blocks, options)?;
    let range = meta.range();
    let mut trouble = None;
    let symbols = symbols_of(blocks)?.map_while(|symbol| symbol.map_err(|e| trouble = Some(e)).ok());
    let begun = BlockWriter::new(sink, options.writer, symbols);
    if let Some(error) = trouble {
        return Err(error);
    }
    let mut writer = begun?;
    let mut all = AllSeries::new(blocks, range)?;
    while let Some(mut group) = all.next()? {
        let Some(ChunkSeries { labels, mut chunks }) = group.pop() else { continue };
        if !group.is_empty() {
            let mut runs: Vec<_> = group.into_iter().map(|series| series.chunks).collect();
            runs.push(chunks);
            chunks = compact(runs, options.encode)?;
        }
        if options.plain {
            for timed in &mut chunks {
                timed.chunk = timed.chunk.to_plain()?;
            }
        }
        writer.add(labels.as_ref(), &chunks)?;
    }
    let written = writer.finish()?;
    meta.stats = written.stats;
    if let Some(thanos) = &mut meta.thanos {
        thanos.index_stats = written.index_stats;
    }
    Ok(Rewritten { written, meta })
}

/// The meta of the new block, but for its stats.
fn meta_of(blocks: &[Block], options: RewriteOptions) -> Result<BlockMeta, Error> {
    let metas = || blocks.iter().map(Block::meta);
    let (Some(min_time), Some(max_time)) =
        (metas().map(|meta| meta.min_time).min(), metas().map(|meta| meta.max_time).max())
    else {
        return Err(Error::invalid("rewrite", "there is no block"));
    };
    let parent = |meta: &BlockMeta| Parent { id: meta.id, min_time: meta.min_time, max_time: meta.max_time };
    let mut compaction = Compaction { parents: metas().map(parent).collect(), ..Compaction::default() };
    match options.ancestry {
        Ancestry::Cleaned => {
            compaction.level = 1;
            compaction.sources = vec![options.id];
        }
        Ancestry::Compacted => {
            let highest = metas().map(|meta| meta.compaction.level).max().unwrap_or_default();
            compaction.level = highest.saturating_add(1);
            compaction.sources = metas().flat_map(|meta| meta.compaction.sources.iter().copied()).collect();
            compaction.sources.sort_unstable();
            compaction.sources.dedup();
        }
    }
    compaction.hints = hints_of(blocks);
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

/// The remarks that stay true: a block is of samples out of order if all inputs were, and of ended or selected series if one was,
/// for such blocks are never put together with others. A remark of another kind says something about one block only.
fn hints_of(blocks: &[Block]) -> Vec<String> {
    const OUT_OF_ORDER: &str = "from-out-of-order";
    const SOME_SERIES: [&str; 2] = ["from-selected-series", "from-stale-series"];
    let has = |block: &Block, hint: &str| block.meta().compaction.hints.iter().any(|own| own == hint);
    let mut hints = Vec::new();
    if blocks.iter().all(|block| has(block, OUT_OF_ORDER)) {
        hints.push(OUT_OF_ORDER.to_owned());
    }
    let some = SOME_SERIES.iter().filter(|hint| blocks.iter().any(|block| has(block, hint)));
    hints.extend(some.map(|&hint| hint.to_owned()));
    hints
}

/// The symbols of all blocks, rising, each once.
fn symbols_of(blocks: &[Block]) -> Result<impl Iterator<Item = Result<&[u8], Error>>, Error> {
    let mut heads = Vec::with_capacity(blocks.len());
    for index in blocks.iter().map(Block::index) {
        let mut symbols = index.symbols();
        if let Some(first) = symbols.next().transpose()? {
            heads.push((first, symbols));
        }
    }
    Ok(std::iter::from_fn(move || {
        // Blocks are few, so the least is looked for among all.
        let least = heads.iter().map(|&(symbol, _)| symbol).min()?;
        let mut failed = None;
        heads.retain_mut(|(symbol, others)| {
            if *symbol != least {
                return true;
            }
            match others.next() {
                Some(Ok(next)) => *symbol = next,
                Some(Err(e)) => failed = Some(e),
                None => return false,
            }
            failed.is_none()
        });
        Some(failed.map_or(Ok(least), Err))
    }))
}

/// A block and the series it is at.
struct Head {
    series: ChunkSeries,
    set: BlockChunkSet,
}

/// The series of all blocks, those with equal labels together.
struct AllSeries {
    heap: Heap<Head>,
    /// The sets whose series were given last.
    taken: Vec<BlockChunkSet>,
}

impl AllSeries {
    fn new(blocks: &[Block], range: TimeRange) -> Result<Self, Error> {
        let heap = Heap::new(|a: &Head, b| a.series.labels < b.series.labels);
        let taken = blocks.iter().map(|block| block.clipped_to(range)).collect::<Result<_, _>>()?;
        Ok(Self { heap, taken })
    }

    /// The series with the least labels, one of each block that has it, in the order in which Prometheus takes them.
    fn next(&mut self) -> Result<Option<Vec<ChunkSeries>>, Error> {
        for mut set in std::mem::take(&mut self.taken) {
            if let Some(series) = set.next_touched()? {
                self.heap.push(Head { series, set });
            }
        }
        let mut group: Vec<ChunkSeries> = Vec::new();
        while let Some(head) = self.heap.first()
            && group.first().is_none_or(|first| first.labels == head.series.labels)
        {
            let Some(Head { series, set }) = self.heap.pop() else { break };
            group.push(series);
            self.taken.push(set);
        }
        Ok((!group.is_empty()).then_some(group))
    }
}
