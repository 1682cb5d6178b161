//! Merges that are planned to go on side by side leave the blocks that one merge after the other leaves.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod simulated;

use std::collections::BTreeSet;

use proptest::prelude::*;
use sarsen_block::BlockId;
use sarsen_bucket::{MarkKind, Reason};
use sarsen_compactor::{Candidate, Choice, Limits, Options, Rules, choose};
use simulated::{Bucket, HOUR, START};

/// Range and sources of each block that is left.
fn left(bucket: &Bucket) -> BTreeSet<(i64, i64, Vec<BlockId>)> {
    bucket.unmarked().map(|meta| (meta.min_time, meta.max_time, meta.compaction.sources.clone())).collect()
}

/// As Thanos goes about it: choose one, merge it, look again.
fn one_by_one(
    uploads: &[(i64, i64)],
    barred: &BTreeSet<usize>,
    options: &Options,
) -> BTreeSet<(i64, i64, Vec<BlockId>)> {
    let ids: Vec<BlockId> =
        (1..=uploads.len()).map(|number| BlockId::from_parts(1_000, number as u128)).collect();
    let mut blocks: Vec<(Candidate, Vec<BlockId>)> = Vec::new();
    for (place, (min_time, length)) in uploads.iter().enumerate() {
        let candidate = Candidate {
            id: ids[place],
            min_time: *min_time,
            max_time: min_time + length,
            resolution: 0,
            num_series: 10,
            num_tombstones: 0,
            index_bytes: 100,
            failed: false,
            barred: barred.contains(&place),
        };
        blocks.push((candidate, vec![ids[place]]));
    }
    for number in 0u128.. {
        blocks.sort_by_key(|(block, _)| (block.min_time, block.id));
        let mut candidates: Vec<Candidate> = blocks.iter().map(|(block, _)| *block).collect();
        let rules = Rules { ranges: &options.ranges, small_deletions: false };
        let limits = Limits { max_index_bytes: options.max_index_bytes, merge_coarse: true };
        let Choice { selected, .. } = choose(&mut candidates, rules, limits);
        let Some(selected) = selected else { break };
        let mut inputs = Vec::new();
        for place in selected.places.into_iter().rev() {
            inputs.push(blocks.remove(place));
        }
        let mut sources: Vec<BlockId> = inputs.iter().flat_map(|(_, sources)| sources.clone()).collect();
        sources.sort();
        let made = Candidate {
            id: BlockId::from_parts(2_000, number),
            min_time: inputs.iter().map(|(block, _)| block.min_time).min().unwrap(),
            max_time: inputs.iter().map(|(block, _)| block.max_time).max().unwrap(),
            barred: false,
            ..inputs[0].0
        };
        blocks.push((made, sources));
    }
    blocks.into_iter().map(|(block, sources)| (block.min_time, block.max_time, sources)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn side_by_side_is_one_after_the_other(
        steps in proptest::collection::vec((prop_oneof![8 => Just(2i64), 1 => 0i64..30], prop_oneof![8 => Just(2i64), 1 => 1i64..10]), 1..200),
        marked in proptest::collection::btree_set(0usize..200, 0..4),
    ) {
        let options = Options { downsampling: false, ..Options::default() };
        let (mut bucket, mut at) = (Bucket::default(), START);
        let mut uploads = Vec::new();
        for (step, length) in steps {
            uploads.push((at, length * HOUR));
            let id = bucket.upload("a", at, length * HOUR);
            if marked.contains(&(uploads.len() - 1)) {
                bucket.mark(id, MarkKind::NoCompact, Reason::Manual);
            }
            at += step * HOUR;
        }
        bucket.now_ms = at + 1000 * HOUR;
        bucket.settle(&options);
        prop_assert_eq!(left(&bucket), one_by_one(&uploads, &marked, &options));
    }
}
