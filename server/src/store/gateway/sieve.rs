//! Which blocks of a bucket are served: by time, by label, by age, by mark, without duplicates. Pure.
//!
//! The filters and their order are Thanos': what one takes out the next does not see. A block of a resolution that nobody asks for
//! is left out last.

use sarsen_block::{BlockId, TimeRange};
use sarsen_bucket::{Excluded, Filter, Selector, View};

use super::choose::RESOLUTIONS;
use crate::config::Moment;

/// The conditions that a block must hold.
#[derive(Debug, Clone)]
pub(crate) struct Sieve {
    /// Blocks that end before this are left out (`--min-time`).
    pub(crate) min: Moment,
    /// Blocks that begin after this are left out (`--max-time`).
    pub(crate) max: Moment,
    /// Which blocks are ours by their labels (`--selector.relabel-config`).
    pub(crate) selector: Selector,
    /// How long an upload rests, in milliseconds (`--consistency-delay`).
    pub(crate) consistency_delay_ms: i64,
    /// How long a block that is marked for deletion is still served, in milliseconds (`--ignore-deletion-marks-delay`).
    pub(crate) ignore_marks_ms: i64,
}

impl Default for Sieve {
    /// Every block; those marked for deletion for a day more.
    fn default() -> Self {
        Self {
            min: Moment::At(i64::MIN),
            max: Moment::At(i64::MAX),
            selector: Selector::default(),
            consistency_delay_ms: 0,
            ignore_marks_ms: 24 * 3_600_000,
        }
    }
}

impl Sieve {
    /// The time that is served, if it is `now_ms` now.
    pub(crate) fn range(&self, now_ms: i64) -> TimeRange {
        TimeRange::new(self.min.resolve(now_ms), self.max.resolve(now_ms))
    }

    /// Takes out of the view what is not served; the blocks taken out, with the reason.
    pub(super) fn apply(&self, view: &mut View, now_ms: i64) -> Vec<(BlockId, Excluded)> {
        let mut gone = Filter::Time(self.range(now_ms)).apply(view);
        gone.extend(self.selector.apply(view, &[]));
        gone.extend(Filter::Age { now_ms, delay_ms: self.consistency_delay_ms }.apply(view));
        let (now_s, delay_s) = (now_ms.div_euclid(1000), self.ignore_marks_ms.div_euclid(1000));
        gone.extend(Filter::NotDeleted { now_s, delay_s }.apply(view));
        gone.extend(Filter::NoDuplicates.apply(view));
        view.blocks.retain(|id, meta| {
            let known = RESOLUTIONS.contains(&meta.thanos.as_ref().map_or(0, |thanos| thanos.resolution));
            gone.extend((!known).then_some((*id, Excluded::Resolution)));
            known
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use sarsen_block::{BlockMeta, BlockStats, ThanosMeta};
    use sarsen_bucket::Marker;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn block(number: u64, hours: (i64, i64), replica: &str, resolution: i64) -> BlockMeta {
        let range = TimeRange::new(hours.0 * HOUR, hours.1 * HOUR - 1);
        let mut meta = BlockMeta::fresh(BlockId::from_parts(number, 0), range, BlockStats::default());
        let labels = BTreeMap::from([("replica".to_owned(), replica.to_owned())]);
        meta.thanos = Some(ThanosMeta { labels, resolution, ..ThanosMeta::default() });
        meta
    }

    #[test]
    fn each_reason_takes_its_blocks() {
        let mut view = View::default();
        let merged = {
            let mut merged = block(7, (0, 4), "a", 0);
            merged.compaction.sources = vec![BlockId::from_parts(2, 0), BlockId::from_parts(3, 0)];
            merged
        };
        let blocks = [
            block(1, (-9, -8), "a", 0),
            block(2, (0, 2), "a", 0),
            merged,
            block(4, (2, 4), "b", 0),
            block(5, (2, 4), "a", 0),
            block(6, (2, 4), "a", 60_000),
            block(8, (2, 4), "c", 0),
        ];
        view.blocks.extend(blocks.into_iter().map(|meta| (meta.id, Arc::new(meta))));
        let marked = BlockId::from_parts(5, 0);
        view.marks.insert(marked, vec![Marker::deletion(marked, 100, "")]);
        let late = BlockId::from_parts(8, 0);
        view.marks.insert(late, vec![Marker::deletion(late, 300_000, "")]);
        let sieve = Sieve {
            min: Moment::FromNow(-100 * HOUR),
            selector: Selector::parse("- {action: drop, source_labels: [replica], regex: b}").unwrap(),
            ..Sieve::default()
        };
        let mut gone = sieve.apply(&mut view, 98 * HOUR);
        gone.sort_unstable();
        let numbers: Vec<(u64, &str)> = gone.iter().map(|(id, why)| (id.ms(), why.as_str())).collect();
        let expected = [
            (1, "time-excluded"),
            (2, "duplicate"),
            (4, "label-excluded"),
            (5, "marked-for-deletion"),
            (6, "resolution-excluded"),
        ];
        assert_eq!(numbers, expected);
        assert_eq!(view.blocks.keys().map(|id| id.ms()).collect::<Vec<_>>(), [7, 8]);
    }

    #[test]
    fn a_fresh_upload_rests() {
        let mut view = View::default();
        let meta = block(98 * HOUR as u64, (0, 2), "a", 0);
        view.blocks.insert(meta.id, Arc::new(meta));
        let sieve = Sieve { consistency_delay_ms: HOUR, ..Sieve::default() };
        assert_eq!(sieve.apply(&mut view.clone(), 98 * HOUR + 5).first().unwrap().1, Excluded::TooFresh);
        assert!(sieve.apply(&mut view, 99 * HOUR).is_empty());
    }
}
