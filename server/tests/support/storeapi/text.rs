//! An answer of the StoreAPI as lines of text: frames and series in order, the chunks of a series as a set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use sarsen_benches::storeapi::{
    AggrChunk, Any, ChunkPart, Frame, Label, QueriedBlocks, SeriesResponse, StoreSeries,
};
use sarsen_block::codec::crc32c;
use sarsen_block::{Chunk, Encoding, Histogram, ResetHint, SampleIter as _, TimeRange};

use prost::Message as _;

/// What of chunks is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Times and bytes.
    Bytes,
    /// The samples of a range, of each aggregate, wherever chunks end. A series without any is not seen.
    Samples(TimeRange),
}

/// Labels as they are written in a query.
pub(crate) fn labels(labels: &[Label]) -> String {
    let pairs = labels.iter().map(|label| {
        format!("{}={:?}", String::from_utf8_lossy(&label.name), String::from_utf8_lossy(&label.value))
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// The frames of a Series call.
pub(crate) fn frames(frames: &[SeriesResponse], look: Look, out: &mut Vec<String>) {
    for frame in frames {
        match frame.frame.as_ref() {
            None => out.push("frame: empty".to_owned()),
            Some(Frame::Series(one)) => series(one, look, out),
            Some(Frame::Warning(text)) => out.push(format!("warning: {text}")),
            Some(Frame::Hints(any)) => out.push(format!("hints: {}", any.type_url)),
            Some(Frame::Batch(batch)) => {
                out.push(format!("batch of {}", batch.series.len()));
                batch.series.iter().for_each(|one| series(one, look, out));
            }
        }
    }
}

/// A series; where samples are looked at, one that had chunks and has no sample is left out.
pub(crate) fn series(series: &StoreSeries, look: Look, out: &mut Vec<String>) {
    let head = labels(&series.labels);
    match look {
        Look::Bytes => {
            out.push(head);
            let chunks: BTreeSet<String> = series.chunks.iter().map(chunk).collect();
            out.extend(chunks);
        }
        Look::Samples(range) => {
            let lines = samples(series, range);
            if series.chunks.is_empty() || !lines.is_empty() {
                out.push(head);
                out.extend(lines.into_iter().map(|((kind, t), value)| format!("  {kind} {t} {value}")));
            }
        }
    }
}

/// The parts of a chunk that there are, by name.
pub(crate) fn parts(chunk: &AggrChunk) -> Vec<(&'static str, &ChunkPart)> {
    let all = [
        ("raw", &chunk.raw),
        ("count", &chunk.count),
        ("sum", &chunk.sum),
        ("min", &chunk.min),
        ("max", &chunk.max),
        ("counter", &chunk.counter),
    ];
    all.into_iter().filter_map(|(name, part)| Some((name, part.as_ref()?))).collect()
}

fn chunk(chunk: &AggrChunk) -> String {
    let mut line = format!("  [{}, {}]", chunk.min_time, chunk.max_time);
    for (name, part) in parts(chunk) {
        let (length, sum) = (part.data.len(), crc32c(&part.data));
        write!(line, " {name}={}:{length} bytes {sum:08x}#{}", part.kind, part.hash).unwrap();
    }
    line
}

/// A part as a chunk that can be decoded.
pub(crate) fn decodable(part: &ChunkPart) -> Chunk {
    let encoding = match part.kind {
        0 => Encoding::Xor,
        1 => Encoding::Histogram,
        2 => Encoding::FloatHistogram,
        other => unreachable!("chunks of kind {other} are not on the wire"),
    };
    Chunk { encoding, data: Bytes::copy_from_slice(&part.data) }
}

/// Samples by aggregate and time. Of a time that several chunks have, one value; two values show themselves.
pub(crate) fn samples(series: &StoreSeries, range: TimeRange) -> BTreeMap<(&'static str, i64), String> {
    let mut found: BTreeMap<(&'static str, i64), String> = BTreeMap::new();
    for chunk in &series.chunks {
        for (name, part) in parts(chunk) {
            let decoded = decodable(part);
            let mut samples = decoded.samples().unwrap();
            while let Some(sample) = samples.next().unwrap() {
                if range.contains(sample.t) {
                    let value = value(&sample.value);
                    let old = found.entry((name, sample.t)).or_insert_with(|| value.clone());
                    if *old != value && !old.contains(&value) {
                        write!(old, " and {value}").unwrap();
                    }
                }
            }
        }
    }
    found
}

/// A value, to the bit. What a histogram says about the one before depends on where its chunk begins.
pub(crate) fn value(value: &sarsen_block::Value) -> String {
    match value {
        sarsen_block::Value::Float(float) => format!("{:016x} {float}", float.to_bits()),
        sarsen_block::Value::Histogram(histogram) => {
            let gauge = histogram.hint == ResetHint::Gauge;
            let hint = if gauge { ResetHint::Gauge } else { ResetHint::Unknown };
            format!("{:?}", Histogram { hint, ..histogram.as_ref().clone() })
        }
    }
}

/// The hints of an answer about labels.
pub(crate) fn queried_blocks(hints: Option<&Any>) -> String {
    let Some(any) = hints else { return "hints: none".to_owned() };
    let blocks = QueriedBlocks::decode(any.value.as_slice()).unwrap().queried_blocks;
    let mut ids: Vec<String> = blocks.into_iter().map(|block| block.id).collect();
    ids.sort();
    format!("hints: {} {ids:?}", any.type_url)
}

/// Nothing if both are the same; else the first lines that differ, with what stands before.
pub(crate) fn difference(expected: &[String], found: &[String]) -> Option<String> {
    if expected == found {
        return None;
    }
    let same = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let shorten = |line: Option<&String>| match line {
        None => "(the end)".to_owned(),
        Some(line) if line.len() > 400 => {
            format!("{}... ({} bytes)", line.chars().take(400).collect::<String>(), line.len())
        }
        Some(line) => line.clone(),
    };
    let before = same.checked_sub(1).and_then(|at| expected.get(at));
    Some(format!(
        "line {same} of {} and {}\n   after    {}\n   expected {}\n   found    {}",
        expected.len(),
        found.len(),
        shorten(before),
        shorten(expected.get(same)),
        shorten(found.get(same)),
    ))
}
