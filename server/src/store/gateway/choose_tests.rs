//! The choice of blocks: examples by hand, and many requests against a plain model that walks time step by step.

use proptest::prelude::*;
use sarsen_block::{BlockStats, MatchOp, ThanosMeta};

use super::*;

/// A block `[min, max)` of a resolution of the lane, coarse to fine.
fn block(number: u64, lane: usize, min: i64, max: i64, tenant: &str) -> Arc<BlockMeta> {
    let stats = BlockStats::default();
    let mut meta = BlockMeta::fresh(BlockId::from_parts(number, 0), TimeRange::new(min, max - 1), stats);
    let labels = BTreeMap::from([("tenant".to_owned(), tenant.to_owned())]);
    meta.thanos = Some(ThanosMeta { labels, resolution: RESOLUTIONS[lane], ..ThanosMeta::default() });
    Arc::new(meta)
}

fn groups(blocks: impl IntoIterator<Item = Arc<BlockMeta>>) -> Vec<Group> {
    Group::all_of(&blocks.into_iter().map(|meta| (meta.id, meta)).collect()).unwrap()
}

fn chosen(group: &Group, min: i64, max: i64, max_resolution_ms: i64) -> Vec<u64> {
    let unreadable = BTreeSet::new();
    let range = TimeRange::new(min, max);
    let ask = Ask { range, max_resolution_ms, block_matchers: &[], unreadable: &unreadable };
    group.choose(&ask).iter().map(|meta| meta.id.ms()).collect()
}

#[test]
fn coarse_first_and_gaps_by_finer_ones() {
    let groups = groups([
        block(1, 2, 0, 100, "a"),
        block(2, 2, 100, 200, "a"),
        block(3, 2, 200, 300, "a"),
        block(4, 1, 0, 200, "a"),
        block(5, 0, 0, 100, "a"),
        block(6, 0, 0, 300, "b"),
    ]);
    let (a, b) = (&groups[0], &groups[1]);
    assert_eq!(chosen(a, 0, 299, 0), [1, 2, 3]);
    assert_eq!(chosen(a, 0, 299, 299_999), [1, 2, 3]);
    assert_eq!(chosen(a, 0, 299, 300_000), [4, 3]);
    assert_eq!(chosen(a, 0, 299, i64::MAX), [5, 4, 3]);
    assert_eq!(chosen(a, 0, 99, 3_600_000), [5]);
    assert_eq!(chosen(a, 100, 200, 0), [2, 3]);
    assert_eq!(chosen(a, 100, 199, -5), [2]);
    assert_eq!(chosen(a, 5, 4, 0), [0u64; 0]);
    assert_eq!(chosen(b, 0, 99, 0), [0u64; 0]);
    assert_eq!(chosen(b, i64::MIN, i64::MAX, 3_600_000), [6]);
}

#[test]
fn what_cannot_be_read_is_replaced_by_finer_data() {
    let groups = groups([block(1, 2, 0, 100, "a"), block(2, 1, 0, 100, "a")]);
    let unreadable = BTreeSet::from([BlockId::from_parts(2, 0)]);
    let range = TimeRange::new(0, 99);
    let ask = Ask { range, max_resolution_ms: 300_000, block_matchers: &[], unreadable: &unreadable };
    assert_eq!(groups[0].choose(&ask).iter().map(|meta| meta.id.ms()).collect::<Vec<_>>(), [1]);
    assert_eq!(groups[0].touched(&ask).count(), 1);
}

#[test]
fn block_matchers_leave_blocks_out_but_their_time_stays_taken() {
    let groups = groups([block(1, 2, 0, 100, "a"), block(2, 1, 0, 100, "a")]);
    let not_two =
        Matcher::new(MatchOp::NotEqual, "__block_id", BlockId::from_parts(2, 0).to_string()).unwrap();
    let tenant = |value: &str| Matcher::equal("tenant", value);
    let absent = Matcher::equal("none", "");
    let unreadable = BTreeSet::new();
    let pick = |matchers: &[Matcher]| {
        let range = TimeRange::new(0, 99);
        let ask =
            Ask { range, max_resolution_ms: 300_000, block_matchers: matchers, unreadable: &unreadable };
        groups[0].choose(&ask).iter().map(|meta| meta.id.ms()).collect::<Vec<_>>()
    };
    assert_eq!(pick(&[tenant("a"), absent]), [2]);
    assert_eq!(pick(&[tenant("b")]), [0u64; 0]);
    assert_eq!(pick(&[not_two]), [0u64; 0]);
}

#[test]
fn stretches_that_touch_are_one() {
    let groups = groups([
        block(1, 2, 0, 100, "a"),
        block(2, 2, 100, 200, "a"),
        block(3, 2, 201, 300, "a"),
        block(4, 1, 10, 20, "a"),
        block(5, 0, 250, 260, "a"),
    ]);
    assert_eq!(stretches(&groups[0]), [(0, 200), (201, 300)]);
}

/// For each millisecond of the request the lane that must answer there: the coarsest allowed one with a block at that time.
fn lane_at(blocks: &[Arc<BlockMeta>], time: i64, first: usize) -> Option<usize> {
    let has = |lane: usize| {
        let mut own = blocks.iter().filter(|meta| resolution_of(meta) == RESOLUTIONS[lane]);
        own.any(|meta| meta.min_time <= time && time < meta.max_time)
    };
    (first..RESOLUTIONS.len()).find(|lane| has(*lane))
}

proptest! {
    #[test]
    fn every_moment_is_answered_by_the_coarsest_allowed(
        shapes in prop::collection::vec((0usize..3, 0i64..60, 1i64..20), 0..12),
        from in -5i64..70, long in -3i64..70, first in 0usize..3,
    ) {
        let blocks: Vec<_> = shapes.iter().enumerate()
            .map(|(i, &(lane, min, length))| block(i as u64 + 1, lane, min, min + length, "a")).collect();
        let groups = groups(blocks.clone());
        let got = groups.first().map(|group| chosen(group, from, from + long, RESOLUTIONS[first])).unwrap_or_default();
        let mut expected = BTreeSet::new();
        for time in from..=from + long {
            let Some(lane) = lane_at(&blocks, time, first) else { continue };
            let own = blocks.iter().filter(|meta| resolution_of(meta) == RESOLUTIONS[lane]);
            expected.extend(own.filter(|meta| meta.min_time <= time && time < meta.max_time).map(|meta| meta.id.ms()));
        }
        let once: BTreeSet<u64> = got.iter().copied().collect();
        prop_assert_eq!(once.len(), got.len(), "no block twice");
        prop_assert_eq!(once, expected);
    }
}
