//! Late samples as chunks, in the form in which Prometheus' head puts them away and merges them.
//!
//! One chunk for a run of one kind, however many samples it has; a histogram that does not go behind the one before it begins
//! another. Chunks that overlap are brought together sample by sample, and what comes of it is encoded the same way.

use sarsen_block::{
    Chunk, Error, Sample, TimeRange, TimedChunk, Timestamp, Value, XorAppender, decode_chunks,
};

/// A float chunk that is made of others takes no further sample at more bytes: one of at most 19 bytes might pass 1024.
const FLOAT_BYTES: usize = 1024 - 19;

/// The chunks of samples whose times rise, each as long as it comes.
pub(super) fn encode(samples: &[Sample]) -> Result<Vec<TimedChunk>, Error> {
    encode_within(samples, usize::MAX)
}

fn encode_within(samples: &[Sample], float_bytes: usize) -> Result<Vec<TimedChunk>, Error> {
    let mut chunks = Vec::new();
    for run in samples.chunk_by(|a, b| is_float(a) == is_float(b)) {
        encode_floats(run, float_bytes, &mut chunks);
    }
    Ok(chunks)
}

fn encode_floats(run: &[Sample], most: usize, chunks: &mut Vec<TimedChunk>) {
    let (mut open, mut bytes, mut first) = (XorAppender::new(), Vec::new(), None);
    let mut close = |open: &XorAppender, bytes: &[u8], first: Option<Timestamp>| {
        if let Some(first) = first {
            let range = TimeRange::new(first, open.last_time());
            chunks.push(TimedChunk { range, chunk: Chunk::xor(open.finish(bytes)) });
        }
    };
    for sample in run {
        let Value::Float(v) = sample.value else { continue };
        if open.byte_len(bytes.len()) > most || open.num_samples() == XorAppender::MAX_SAMPLES {
            close(&open, &bytes, first.take());
            (open, bytes) = (XorAppender::new(), Vec::new());
        }
        first.get_or_insert(sample.t);
        open.append(&mut bytes, sample.t, v);
    }
    close(&open, &bytes, first);
}

const fn is_float(sample: &Sample) -> bool {
    matches!(sample.value, Value::Float(_))
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
        joined.extend(encode_within(&decode_chunks(group, TimeRange::ALL)?, FLOAT_BYTES)?);
        group.clear();
    }
    Ok(())
}
