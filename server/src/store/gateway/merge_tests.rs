//! Chunks of a series by hand; the order of series against a plain map of label sets.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sarsen_block::{Chunk, Labels, TimeRange};
use sarsen_downsample::AggrChunk;

use super::*;

fn raw(range: (i64, i64), data: &'static [u8]) -> StoreChunk {
    let range = TimeRange::new(range.0, range.1);
    StoreChunk { range, parts: ChunkParts::Raw(Chunk::xor(data)) }
}

fn aggregates(range: (i64, i64), count: &'static [u8], sum: &'static [u8]) -> StoreChunk {
    let parts = [count, sum, b"", b"", b""].map(|data| Some(Chunk::xor(data)));
    let range = TimeRange::new(range.0, range.1);
    StoreChunk { range, parts: ChunkParts::Aggregates(Box::new(AggrChunk::new(parts))) }
}

#[test]
fn chunks_come_by_time_and_none_twice() {
    let (early, late) = (raw((0, 9), b"a"), raw((10, 19), b"b"));
    let longer = raw((0, 12), b"c");
    let other = raw((0, 9), b"d");
    let chunks = [&late, &other, &early, &longer, &early, &other, &late];
    let chunks = (0..).zip(chunks.into_iter().cloned()).collect();
    assert_eq!(finish(chunks), [other, early, longer, late]);
}

#[test]
fn aggregates_are_the_same_if_all_parts_are() {
    let (one, two) = (aggregates((0, 9), b"a", b"b"), aggregates((0, 9), b"a", b"c"));
    let chunks = (0..).zip([&one, &two, &one].into_iter().cloned()).collect();
    assert_eq!(finish(chunks), [one, two]);
}

#[test]
fn empty_chunks_are_sent_where_there_are_no_others() {
    let (empty, next) = (aggregates((0, 9), b"", b""), aggregates((10, 19), b"", b""));
    let full = raw((5, 9), b"a");
    assert_eq!(finish(vec![(3, empty.clone()), (4, full.clone())]), [full]);
    assert_eq!(finish(vec![(3, empty.clone()), (3, next.clone()), (4, next.clone())]), [empty, next]);
    assert_eq!(finish(Vec::new()), []);
}

#[test]
fn first_of_many() {
    let all: BTreeSet<u8> = [3, 1, 2].into();
    assert_eq!(first_of(all.clone(), 0), [1, 2, 3]);
    assert_eq!(first_of(all, 2), [1, 2]);
}

fn some_block() -> impl Strategy<Value = Vec<Labels>> {
    let series = prop::collection::btree_map("[a-d]", "[x-z]", 1..4);
    let sorted = |series: Vec<BTreeMap<String, String>>| {
        let mut labels: Vec<Labels> = series.iter().map(|one| Labels::from_pairs(one).unwrap()).collect();
        labels.sort();
        labels
    };
    prop::collection::vec(series, 0..8).prop_map(sorted)
}

proptest! {
    #[test]
    fn arranged_as_a_plain_map_would(
        blocks in prop::collection::vec(some_block(), 0..5),
        limit in 0u64..6,
        behind in prop::option::of("[x-z]"),
        part in prop::option::of(0i64..2),
    ) {
        let behind = behind.map(|value| Labels::from_pairs([("b", value)]).unwrap());
        let shard = part.and_then(|part| Shard::new(part, 2, false, Vec::new()));
        let cut = Cut { shard: shard.as_ref(), behind: behind.as_ref().map(Labels::as_ref), limit };
        let mut expected = BTreeMap::<Labels, Vec<Place>>::new();
        for (block, series) in (0u32..).zip(&blocks) {
            for (row, labels) in (0u32..).zip(series) {
                let ours = shard.as_ref().is_none_or(|shard| shard.takes(labels.as_ref(), &mut Vec::new()));
                if ours && behind.as_ref().is_none_or(|behind| labels > behind) {
                    expected.entry(labels.clone()).or_default().push(Place { block, row });
                }
            }
        }
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        let expected: Vec<Place> = expected.into_values().take(limit).flatten().collect();
        let labels = |place: Place| blocks[place.block as usize][place.row as usize].as_ref();
        prop_assert_eq!(arrange(blocks.iter().map(Vec::len), labels, &cut), expected);
    }
}
