//! Blocks made of samples, for tests that know what is in them.

use sarsen_block::{
    Block, BlockId, BlockMeta, BlockWriter, BlockWriterOptions, Files, Labels, Sample, TimeRange, TimedChunk,
    Tombstones,
};
use sarsen_downsample::{DownsampleOptions, Resolution, downsample};

use super::{value_of, xor};

/// Raw chunks of at most `most` samples.
pub(crate) fn chunks(samples: &[(i64, f64)], most: usize) -> Vec<TimedChunk> {
    let chunk = |samples: &[(i64, f64)]| TimedChunk {
        range: TimeRange::new(samples[0].0, samples[samples.len() - 1].0),
        chunk: xor(samples.iter().copied()),
    };
    samples.chunks(most).map(chunk).collect()
}

/// A block whose only source is itself, over `range`, of series with one label `n` each, rising.
pub(crate) fn block(number: u64, range: TimeRange, series: &[(&str, Vec<TimedChunk>)]) -> Block {
    let mut symbols: Vec<&str> = series.iter().map(|(name, _)| *name).collect();
    symbols.push("n");
    symbols.sort_unstable();
    let mut writer = BlockWriter::new(Files::default(), BlockWriterOptions::default(), symbols).unwrap();
    for (name, chunks) in series {
        writer.add(Labels::from_pairs([("n", *name)]).unwrap().as_ref(), chunks).unwrap();
    }
    let written = writer.finish().unwrap();
    let meta = BlockMeta::fresh(BlockId::from_parts(number, 0), range, written.stats);
    written.sink.open(meta, Tombstones::default()).unwrap()
}

/// The same, coarser.
pub(crate) fn coarser(block: &Block, number: u64, to: Resolution) -> Block {
    let options = DownsampleOptions::new(BlockId::from_parts(number, 1), to);
    let made = downsample(block, Files::default(), options).unwrap();
    made.written.sink.open(made.meta, Tombstones::default()).unwrap()
}

/// Times and values.
pub(crate) fn points(samples: &[Sample]) -> Vec<(i64, f64)> {
    samples.iter().map(|sample| (sample.t, value_of(sample))).collect()
}
