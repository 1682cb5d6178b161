//! A block in, a coarser block out, one series at a time.
//!
//! What a whole series needs is in memory, nothing more. Series of which nothing is left are left out, their symbols are not. The meta
//! is that of the source with another name, resolution and origin, and the counts of what was written: sources, level and parents
//! stay, for by them it is known what a block was made of.

use sarsen_block::{
    Block, BlockId, BlockMeta, BlockSink, BlockWriter, BlockWriterOptions, ChunkSeries, ChunkSet,
    Error as BlockError, LabelsRef, Rewritten, ThanosMeta, TimeRange, TimedChunk, UploadTime,
};

use crate::again::Again;
use crate::error::Error;
use crate::raw::Raw;
use crate::visible::Visible;
use crate::window::Resolution;

/// How a block is downsampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownsampleOptions {
    /// Name of the new block.
    pub id: BlockId,
    /// How coarse it is to be.
    pub to: Resolution,
    /// How the files are written.
    pub writer: BlockWriterOptions,
}

impl DownsampleOptions {
    /// For a block named `id`, in files of the usual size.
    pub fn new(id: BlockId, to: Resolution) -> Self {
        Self { id, to, writer: BlockWriterOptions::default() }
    }
}

/// Writes the aggregates of `block` into a new block: of raw samples, or, if the block is downsampled already, of its aggregates.
/// Tombstones are applied. Nothing may be left, see [`Rewritten::is_empty`].
///
/// # Errors
/// `NotFiner` if the block is not finer than what is asked for; else as reading and writing blocks. What the sink was given is
/// worth nothing then.
pub fn downsample<S: BlockSink>(
    block: &Block,
    sink: S,
    options: DownsampleOptions,
) -> Result<Rewritten<S>, Error> {
    let from = resolution_of(block.meta(), options.to)?;
    let mut output = Output::begin(block, sink, options)?;
    let mut step = Step::new(from, options.to);
    each_series(block, from, |series| {
        let coarse = step.series(&series.chunks)?;
        output.add(series.labels.as_ref(), coarse)
    })?;
    Ok(output.finish()?)
}

/// Makes both coarser blocks of a raw block in one reading of it: what [`downsample`] makes for `fine`, and what it then makes of
/// that for `coarse`.
///
/// # Errors
/// As [`downsample`]; `NotFiner` too if `coarse` is not coarser than `fine`, or `block` is not raw.
pub fn downsample_both<S: BlockSink>(
    block: &Block,
    fine: (S, DownsampleOptions),
    coarse: (S, DownsampleOptions),
) -> Result<[Rewritten<S>; 2], Error> {
    let ((fine_sink, fine), (coarse_sink, coarse)) = (fine, coarse);
    let from = resolution_of(block.meta(), fine.to)?;
    if fine.to >= coarse.to || from != Resolution::Raw {
        return Err(Error::NotFiner { from: from.max(fine.to).ms(), to: coarse.to });
    }
    let mut fine_output = Output::begin(block, fine_sink, fine)?;
    let mut coarse_output = Output::begin(block, coarse_sink, coarse)?;
    let mut first = Step::new(from, fine.to);
    let mut second = Step::new(fine.to, coarse.to);
    each_series(block, from, |series| {
        let windows = first.series(&series.chunks)?;
        coarse_output.add(series.labels.as_ref(), second.series(windows)?)?;
        fine_output.add(series.labels.as_ref(), windows)
    })?;
    Ok([fine_output.finish()?, coarse_output.finish()?])
}

/// The resolution of a block, if it is finer than `to`.
fn resolution_of(meta: &BlockMeta, to: Resolution) -> Result<Resolution, Error> {
    let from = meta.thanos.as_ref().map_or(0, |thanos| thanos.resolution);
    Resolution::of_ms(from).filter(|&own| own < to).ok_or(Error::NotFiner { from, to })
}

fn each_series(
    block: &Block,
    resolution: Resolution,
    mut each: impl FnMut(ChunkSeries) -> Result<(), BlockError>,
) -> Result<(), BlockError> {
    let mut all = Visible::of(block, resolution, &[], TimeRange::ALL)?;
    while let Some(series) = all.next()? {
        let overlap =
            series.chunks.windows(2).any(|pair| matches!(pair, [a, b] if a.range.max >= b.range.min));
        if overlap {
            let what = format!("chunks of {:?} overlap", series.labels);
            return Err(BlockError::corrupt("index", 0, what));
        }
        each(series)?;
    }
    Ok(())
}

/// One step from a resolution to a coarser one.
#[derive(Debug)]
struct Step {
    kind: Kind,
    made: Vec<TimedChunk>,
}

#[derive(Debug)]
enum Kind {
    Raw(Box<Raw>),
    Again(Box<Again>),
}

impl Step {
    fn new(from: Resolution, to: Resolution) -> Self {
        let kind = match from {
            Resolution::Raw => Kind::Raw(Box::new(Raw::new(to.ms()))),
            Resolution::FiveMinutes | Resolution::OneHour => {
                Kind::Again(Box::new(Again::new(from.ms(), to.ms())))
            }
        };
        Self { kind, made: Vec::new() }
    }

    /// The coarser chunks of a series.
    fn series(&mut self, chunks: &[TimedChunk]) -> Result<&[TimedChunk], BlockError> {
        self.made.clear();
        match &mut self.kind {
            Kind::Raw(raw) => raw.series(chunks, &mut self.made)?,
            Kind::Again(again) => again.series(chunks, &mut self.made)?,
        }
        Ok(&self.made)
    }
}

/// A block that is being written.
struct Output<S: BlockSink> {
    writer: BlockWriter<S>,
    meta: BlockMeta,
}

impl<S: BlockSink> Output<S> {
    fn begin(block: &Block, sink: S, options: DownsampleOptions) -> Result<Self, BlockError> {
        let mut trouble = None;
        let symbols = block.index().symbols().map_while(|symbol| symbol.map_err(|e| trouble = Some(e)).ok());
        let writer = BlockWriter::new(sink, options.writer, symbols);
        if let Some(error) = trouble {
            return Err(error);
        }
        let source = block.meta();
        let thanos = ThanosMeta {
            resolution: options.to.ms(),
            source: "compactor".to_owned(),
            files: Vec::new(),
            upload_time: UploadTime::default(),
            ..source.thanos.clone().unwrap_or_default()
        };
        let meta = BlockMeta { id: options.id, thanos: Some(thanos), ..source.clone() };
        Ok(Self { writer: writer?, meta })
    }

    fn add(&mut self, labels: LabelsRef<'_>, chunks: &[TimedChunk]) -> Result<(), BlockError> {
        self.writer.add(labels, chunks)
    }

    fn finish(mut self) -> Result<Rewritten<S>, BlockError> {
        let written = self.writer.finish()?;
        // Counts of floats and of histograms stay those of the raw samples.
        let stats = &mut self.meta.stats;
        stats.num_samples = written.stats.num_samples;
        stats.num_series = written.stats.num_series;
        stats.num_chunks = written.stats.num_chunks;
        if let Some(thanos) = &mut self.meta.thanos {
            thanos.index_stats = written.index_stats;
            thanos.segment_files = (1..=written.segments).map(|number| format!("{number:06}")).collect();
        }
        Ok(Rewritten { written, meta: self.meta })
    }
}
