//! Chunks of late samples, and what a cut makes of an open chunk.
//!
//! Late samples that are put away become one chunk for a run of one kind, however many they are; those of chunks that overlap are
//! brought together when they are cut, into chunks of about 1024 bytes. So it is in Prometheus' head.

use sarsen_block::{
    ChunkEnd, EncodeOptions, Encoding, Error, Sample, TimeRange, TimedChunk, Timestamp, decode_chunks,
    encode_chunks,
};

/// The chunks of samples whose times rise, each as long as it comes.
pub(super) fn encode(samples: &[Sample]) -> Result<Vec<TimedChunk>, Error> {
    encode_chunks(samples, EncodeOptions { end: ChunkEnd::Never, ..EncodeOptions::default() })
}

/// A chunk that was still being written when its block was cut, as Prometheus writes it: encoded once more, so that a histogram
/// chunk says nothing about the chunk before it.
pub(crate) fn closed(open: TimedChunk) -> Result<Vec<TimedChunk>, Error> {
    match open.chunk.encoding {
        Encoding::Xor | Encoding::Xor2 => Ok(vec![open]),
        _ => open.chunk.without(&[]),
    }
}

/// Chunks of one series, by first, then last time, such that none overlaps another: those that do are made into new
/// ones, the others stay as they are.
pub(crate) fn join_overlapping(chunks: Vec<TimedChunk>) -> Result<Vec<TimedChunk>, Error> {
    let mut joined = Vec::with_capacity(chunks.len());
    let mut group: Vec<TimedChunk> = Vec::new();
    let mut end = Timestamp::MIN;
    for chunk in chunks {
        if !group.is_empty() && chunk.range.min > end {
            settle(&mut group, &mut joined)?;
        }
        end = end.max(chunk.range.max);
        group.push(chunk);
    }
    settle(&mut group, &mut joined)?;
    Ok(joined)
}

/// Moves a group of chunks that hang together by overlapping.
fn settle(group: &mut Vec<TimedChunk>, joined: &mut Vec<TimedChunk>) -> Result<(), Error> {
    if group.len() < 2 {
        joined.append(group);
    } else {
        let samples = decode_chunks(group, TimeRange::ALL)?;
        let options = EncodeOptions { end: ChunkEnd::Bytes, ..EncodeOptions::default() };
        joined.extend(encode_chunks(&samples, options)?);
        group.clear();
    }
    Ok(())
}
