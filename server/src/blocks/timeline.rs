//! Where each block stands on the page: groups, lanes of a resolution, rows of blocks that do not overlap. Pure.
//!
//! Blocks of equal external labels are a group, sorted by these labels as text; in it raw data comes first. In a lane a
//! block goes into the first row whose last block ends before it begins. What lies outside of the window is left out;
//! what reaches over its edge is cut there. Of very many blocks the newest are shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use sarsen_block::{BlockMeta, TimeRange};

/// Most bars on one page: what a browser still draws at once.
pub(super) const BARS: usize = 4_000;

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct Timeline {
    /// What is shown, closed; as asked for, or as far as the blocks reach.
    pub(super) window: TimeRange,
    pub(super) groups: Vec<Group>,
    /// Bars that are drawn.
    pub(super) shown: usize,
    /// Bars that would be drawn if there were room.
    pub(super) found: usize,
}

/// Blocks of the same external labels.
#[derive(Debug)]
pub(super) struct Group {
    /// The labels as text.
    pub(super) labels: String,
    pub(super) lanes: Vec<Lane>,
}

/// Blocks of one group and one resolution.
#[derive(Debug)]
pub(super) struct Lane {
    /// Milliseconds between samples; 0: raw.
    pub(super) resolution: i64,
    /// How many rows its bars need.
    pub(super) rows: usize,
    pub(super) bars: Vec<Bar>,
}

/// A block as a bar.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) meta: Arc<BlockMeta>,
    pub(super) row: usize,
    /// Where it begins and how long it is, in hundredths of the window.
    pub(super) left: f64,
    pub(super) width: f64,
}

/// The external labels of a block as a selector shows them; in order of their names.
pub(super) fn labels_of(meta: &BlockMeta) -> String {
    let labels = meta.thanos.iter().flat_map(|thanos| &thanos.labels);
    let pairs: Vec<String> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// The resolution of a block in milliseconds; 0: raw.
pub(super) fn resolution_of(meta: &BlockMeta) -> i64 {
    meta.thanos.as_ref().map_or(0, |thanos| thanos.resolution)
}

/// Lays out those of `blocks` whose labels contain `wanted`, within `window` if there is one.
pub(super) fn lay_out(
    blocks: impl Iterator<Item = Arc<BlockMeta>>,
    wanted: &str,
    window: Option<TimeRange>,
    limit: usize,
) -> Timeline {
    let mut found: Vec<(String, Arc<BlockMeta>)> = blocks
        .map(|meta| (labels_of(&meta), meta))
        .filter(|(labels, _)| labels.contains(wanted))
        .filter(|(_, meta)| window.is_none_or(|window| overlaps(meta, window)))
        .collect();
    let whole = found
        .iter()
        .map(|(_, meta)| meta.range())
        .reduce(|a, b| TimeRange::new(a.min.min(b.min), a.max.max(b.max)));
    let Some(window) = window.or(whole) else {
        return Timeline { window: TimeRange::new(0, 0), groups: Vec::new(), shown: 0, found: 0 };
    };
    found.sort_by_key(|(_, meta)| (std::cmp::Reverse(meta.max_time), meta.id));
    let total = found.len();
    found.truncate(limit);
    found.sort_by_key(|(_, meta)| (meta.min_time, meta.max_time, meta.id));
    let shown = found.len();
    let mut groups: BTreeMap<String, BTreeMap<i64, Vec<Arc<BlockMeta>>>> = BTreeMap::new();
    for (labels, meta) in found {
        groups.entry(labels).or_default().entry(resolution_of(&meta)).or_default().push(meta);
    }
    let groups = groups.into_iter().map(|(labels, lanes)| {
        let lanes = lanes.into_iter().map(|(resolution, metas)| lane(resolution, metas, window));
        Group { labels, lanes: lanes.collect() }
    });
    Timeline { window, groups: groups.collect(), shown, found: total }
}

fn overlaps(meta: &BlockMeta, window: TimeRange) -> bool {
    let range = meta.range();
    range.min <= window.max && range.max >= window.min
}

/// Metas come sorted by their beginning.
fn lane(resolution: i64, metas: Vec<Arc<BlockMeta>>, window: TimeRange) -> Lane {
    // The end of the last block of each row.
    let mut ends: Vec<i64> = Vec::new();
    let bars = metas.into_iter().map(|meta| {
        let range = meta.range();
        let row = ends.iter().position(|end| *end < range.min).unwrap_or(ends.len());
        match ends.get_mut(row) {
            Some(end) => *end = range.max,
            None => ends.push(range.max),
        }
        let (left, right) = (share(range.min, window), share(range.max, window));
        Bar { meta, row, left, width: right - left }
    });
    let bars: Vec<Bar> = bars.collect();
    Lane { resolution, rows: ends.len(), bars }
}

/// Where a time lies in the window, in hundredths; at its edge if it lies outside.
pub(super) fn share(time: i64, window: TimeRange) -> f64 {
    let whole = window.max.saturating_sub(window.min).max(1) as f64;
    let from_start = time.clamp(window.min, window.max.max(window.min)).saturating_sub(window.min) as f64;
    from_start / whole * 100.0
}

/// Round times in the window for the axis, at most a dozen.
pub(super) fn ticks(window: TimeRange) -> Vec<i64> {
    const HOUR: i64 = 3_600_000;
    const STEPS: [i64; 12] = [
        HOUR / 4,
        HOUR,
        2 * HOUR,
        6 * HOUR,
        12 * HOUR,
        24 * HOUR,
        48 * HOUR,
        168 * HOUR,
        336 * HOUR,
        720 * HOUR,
        2160 * HOUR,
        8760 * HOUR,
    ];
    let whole = window.max.saturating_sub(window.min);
    let longest = STEPS[STEPS.len() - 1];
    let step = STEPS
        .into_iter()
        .find(|step| whole / step < 12)
        .unwrap_or((whole / 12 / longest + 1).saturating_mul(longest));
    let first = window.min.div_euclid(step).saturating_add(1).saturating_mul(step);
    std::iter::successors(Some(first), |tick| tick.checked_add(step))
        .take_while(|tick| *tick <= window.max)
        .take(12)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use sarsen_block::{BlockId, BlockStats, ThanosMeta};

    use super::*;

    fn meta(number: u64, range: (i64, i64), tenant: &str, resolution: i64) -> Arc<BlockMeta> {
        let id = BlockId::from_parts(number, 0);
        let mut meta = BlockMeta::fresh(id, TimeRange::new(range.0, range.1), BlockStats::default());
        let labels = BTreeMap::from([("tenant".to_owned(), tenant.to_owned())]);
        meta.thanos = Some(ThanosMeta { labels, resolution, ..ThanosMeta::default() });
        Arc::new(meta)
    }

    #[test]
    fn groups_lanes_and_rows() {
        let blocks = [
            meta(1, (0, 9), "b", 0),
            meta(2, (5, 14), "b", 0),
            meta(3, (10, 19), "b", 0),
            meta(4, (0, 19), "b", 300_000),
            meta(5, (0, 9), "a", 0),
        ];
        let line = lay_out(blocks.into_iter(), "", None, BARS);
        assert_eq!(line.window, TimeRange::new(0, 19));
        let names: Vec<_> = line.groups.iter().map(|group| group.labels.as_str()).collect();
        assert_eq!(names, ["{tenant=\"a\"}", "{tenant=\"b\"}"]);
        let lanes = &line.groups[1].lanes;
        assert_eq!(
            lanes.iter().map(|lane| (lane.resolution, lane.rows)).collect::<Vec<_>>(),
            [(0, 2), (300_000, 1)]
        );
        assert_eq!(lanes[0].bars.iter().map(|bar| bar.row).collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!((lanes[1].bars[0].left, lanes[1].bars[0].width), (0.0, 100.0));
    }

    #[test]
    fn a_window_cuts_and_a_limit_keeps_the_newest() {
        let blocks = || (0..10).map(|n: i64| meta(n.unsigned_abs(), (n * 10, n * 10 + 9), "a", 0));
        let line = lay_out(blocks(), "", Some(TimeRange::new(15, 34)), BARS);
        let bars = &line.groups[0].lanes[0].bars;
        assert_eq!(bars.iter().map(|bar| bar.meta.min_time).collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!(bars[0].left, 0.0);
        assert_eq!(bars[2].left + bars[2].width, 100.0);
        let line = lay_out(blocks(), "", None, 3);
        assert_eq!((line.shown, line.found), (3, 10));
        assert_eq!(line.groups[0].lanes[0].bars[0].meta.min_time, 70);
        assert!(lay_out(blocks(), "nobody", None, BARS).groups.is_empty());
    }

    proptest! {
        #[test]
        fn bars_stay_inside_and_rows_never_overlap(
            ranges in prop::collection::vec((-1000i64..1000, 0i64..500), 1..60),
            window in prop::option::of((-1000i64..1000, 0i64..1000)),
        ) {
            let blocks = ranges.iter().zip(0u64..).map(|((from, long), n)| meta(n, (*from, from + long), "a", 0));
            let window = window.map(|(from, long)| TimeRange::new(from, from + long));
            let line = lay_out(blocks, "", window, BARS);
            for bar in line.groups.iter().flat_map(|group| &group.lanes).flat_map(|lane| &lane.bars) {
                prop_assert!(bar.left >= 0.0 && bar.width >= 0.0 && bar.left + bar.width <= 100.0 + 1e-9);
            }
            for lane in line.groups.iter().flat_map(|group| &group.lanes) {
                for row in 0..lane.rows {
                    let in_row: Vec<_> = lane.bars.iter().filter(|bar| bar.row == row).collect();
                    prop_assert!(in_row.windows(2).all(|pair| pair[0].meta.range().max < pair[1].meta.range().min));
                }
            }
        }

        #[test]
        fn ticks_are_few_and_inside(from in any::<i64>(), long in 0i64..i64::MAX) {
            let window = TimeRange::new(from, from.saturating_add(long));
            let ticks = ticks(window);
            prop_assert!(ticks.len() <= 12 && ticks.iter().all(|tick| *tick >= window.min && *tick <= window.max));
        }
    }
}
