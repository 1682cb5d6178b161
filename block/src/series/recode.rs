//! The chunks that several blocks have of one series, as one run of chunks that do not overlap.
//!
//! What Prometheus' compaction makes of them, chunk for chunk: they are taken by first, then last time; one that is the same as
//! the one taken before is dropped; one that overlaps no other is taken over as it is; those that hang together by overlapping
//! are decoded, merged (`overlap.rs`) and encoded anew. Small neighbours are never joined.

use crate::chunk::{EncodeOptions, TimedChunk, encode_chunks};
use crate::error::Error;
use crate::series::decode::decode_group;
use crate::series::heap::Heap;

/// Chunks of one origin, at least one, in order of time.
#[derive(Debug)]
struct Run {
    first: TimedChunk,
    others: std::vec::IntoIter<TimedChunk>,
}

impl Run {
    fn new(chunks: Vec<TimedChunk>) -> Option<Self> {
        let mut others = chunks.into_iter();
        Some(Self { first: others.next()?, others })
    }

    fn before(&self, other: &Self) -> bool {
        let times = |run: &Self| (run.first.range.min, run.first.range.max);
        times(self) < times(other)
    }
}

/// Takes the first chunk of all; its run goes back without it.
fn pop(heap: &mut Heap<Run>) -> Option<TimedChunk> {
    let Run { first, mut others } = heap.pop()?;
    if let Some(next) = others.next() {
        heap.push(Run { first: next, others });
    }
    Some(first)
}

/// The chunks of `runs`, each of them in order of time and without overlaps, as one such run. Where chunks of two runs have the same
/// times and other content, the order of the runs decides.
///
/// # Errors
/// As decoding and [`encode_chunks`].
pub(crate) fn compact(runs: Vec<Vec<TimedChunk>>, options: EncodeOptions) -> Result<Vec<TimedChunk>, Error> {
    let mut heap = Heap::new(Run::before);
    runs.into_iter().filter_map(Run::new).for_each(|run| heap.push(run));
    let mut compacted = Vec::new();
    while let Some(first) = pop(&mut heap) {
        let mut group = vec![first];
        let mut end = group.first().map_or(i64::MIN, |first| first.range.max);
        while heap.first().is_some_and(|run| run.first.range.min <= end) {
            let Some(next) = pop(&mut heap) else { break };
            if group.last() != Some(&next) {
                end = end.max(next.range.max);
                group.push(next);
            }
        }
        match <[TimedChunk; 1]>::try_from(group) {
            Ok([alone]) => compacted.push(alone),
            Err(group) => {
                let mut encoded = encode_chunks(&decode_group(&group)?, options)?.into_iter();
                compacted.extend(encoded.next());
                // The others wait their turn: where they stand in the heap decides on what comes behind them.
                if let Some(run) = Run::new(encoded.collect()) {
                    heap.push(run);
                }
            }
        }
    }
    Ok(compacted)
}
