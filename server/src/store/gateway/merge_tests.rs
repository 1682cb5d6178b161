//! Merging against a plain map of label sets.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use sarsen_block::{Chunk, ChunkRef, TimeRange};
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
    let chunks = chunks.into_iter().cloned().enumerate().collect();
    assert_eq!(finish(chunks), [other, early, longer, late]);
}

#[test]
fn aggregates_are_the_same_if_all_parts_are() {
    let (one, two) = (aggregates((0, 9), b"a", b"b"), aggregates((0, 9), b"a", b"c"));
    let chunks = [&one, &two, &one].into_iter().cloned().enumerate().collect();
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

type Stored = BTreeMap<String, String>;

fn some_block() -> impl Strategy<Value = (String, Vec<Stored>)> {
    let series = prop::collection::btree_map("[a-d]", "[x-z]", 1..4);
    ("[p-r]", prop::collection::vec(series, 0..8))
}

proptest! {
    #[test]
    fn merged_as_a_plain_map_would(
        blocks in prop::collection::vec(some_block(), 0..5),
        without in prop::collection::vec(prop::sample::select(vec!["a", "c", "replica"]), 0..2),
        limit in 0usize..6,
        behind in prop::option::of("[x-z]"),
    ) {
        let mut names: Vec<Bytes> = without.iter().map(|name| Bytes::from_static(name.as_bytes())).collect();
        names.sort_unstable();
        let behind = behind.map(|value| Labels::from_pairs([("b", value)]).unwrap());
        let cut = Cut { shard: None, behind: behind.as_ref().map(Labels::as_ref), limit };
        let (mut all, mut expected) = (Vec::new(), BTreeMap::<Labels, Vec<(usize, u32)>>::new());
        for (block, (replica, stored)) in blocks.iter().enumerate() {
            let external = Labels::from_pairs([("replica", replica), ("c", replica)]).unwrap();
            let mut sorted: Vec<Labels> = stored.iter().map(|one| Labels::from_pairs(one).unwrap()).collect();
            sorted.sort();
            sorted.dedup();
            let found = sorted.iter().zip(0u32..).map(|(labels, no)| {
                let chunk_ref = ChunkRef::new(0, no);
                let chunks = vec![ChunkMeta { range: TimeRange::new(0, 1), chunk_ref }];
                (labels.clone(), Piece { block, no: SeriesNo(no), chunks })
            });
            gather(&mut all, found, &OutgoingLabels::new(external.as_ref(), &names), &cut);
            for (labels, no) in sorted.iter().zip(0u32..) {
                let mut plain: BTreeMap<&[u8], &[u8]> = labels.iter().collect();
                plain.extend(external.iter());
                plain.retain(|name, _| !without.iter().any(|other| other.as_bytes() == *name));
                let labels = Labels::from_pairs(plain).unwrap();
                if behind.as_ref().is_none_or(|behind| labels > *behind) {
                    expected.entry(labels).or_default().push((block, no));
                }
            }
        }
        let got: Vec<(Labels, Vec<(usize, u32)>)> = arrange(all, &cut)
            .into_iter()
            .map(|(labels, pieces)| (labels, pieces.iter().map(|piece| (piece.block, piece.no.0)).collect()))
            .collect();
        let limit = if limit == 0 { usize::MAX } else { limit };
        prop_assert_eq!(got, expected.into_iter().take(limit).collect::<Vec<_>>());
    }
}
