//! Blocks that overlap, some with two values for one time, read as one: the samples are those of the block that Prometheus'
//! compaction makes of them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::path::Path;

use golden::whole::open;
use golden::{GoldenBlock, Point, blocks, folder};
use sarsen_block::{Block, ChunkSet, Labels, Merge, ResetHint, TimeRange, decode_chunks};

fn named<'a>(all: &'a [GoldenBlock], path: &Path) -> &'a GoldenBlock {
    all.iter().find(|block| block.dir == path).unwrap()
}

/// A histogram's hint depends on what lies before it in its chunk, and compaction makes other chunks.
fn without_hint(mut point: Point) -> Point {
    if let Some(histogram) = point.histogram.as_mut().filter(|histogram| histogram.hint != ResetHint::Gauge) {
        histogram.hint = ResetHint::Unknown;
    }
    point
}

#[test]
fn merged_and_decoded_they_are_the_compacted_block() {
    let dir = folder("blocks/c-compacted");
    let names: Vec<String> = serde_json::from_str(&golden::text(&dir.join("inputs.json"))).unwrap();
    let all = blocks();
    let inputs: Vec<Block> = names.iter().map(|name| open(named(&all, &dir.join("in").join(name)))).collect();
    let sets = inputs.iter().map(|block| block.select(&[], TimeRange::ALL).unwrap());
    let mut merged = Merge::new(sets);

    let compacted = all.iter().find(|block| block.dir.parent() == Some(&dir)).unwrap();
    let mut overlaps = 0;
    for line in compacted.dump.as_ref().unwrap() {
        let found = merged.next().unwrap().unwrap();
        assert_eq!(found.labels, Labels::from_pairs(line.labels.iter().map(|(n, v)| (n, v))).unwrap());
        let samples: Vec<_> = decode_chunks(&found.chunks, TimeRange::ALL).unwrap();
        let samples: Vec<_> = samples.into_iter().map(Point::of).map(without_hint).collect();
        let expected = line.chunks.iter().flat_map(|chunk| chunk.samples.iter().cloned());
        let expected: Vec<_> = expected.map(without_hint).collect();
        assert_eq!(samples, expected, "{:?}", found.labels);
        overlaps += found.chunks.windows(2).filter(|pair| pair[0].range.overlaps(pair[1].range)).count();
    }
    assert!(overlaps > 0 && merged.next().unwrap().is_none());
}
