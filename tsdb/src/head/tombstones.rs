//! What is deleted of the series in memory.
//!
//! Chunks of the head are not touched by a delete: stones cover them, every reader looks through the stones, and the cut
//! writes what is left. A stone is clamped to the oldest time of the head and the last sample that its series had when it was
//! set, so it never covers a sample that is appended in order later; behind a cut the stones of what was cut go with the chunks.
//! Nothing here logs: whoever deletes logs the ranges that [`Head::delete`] returns under the same hold of the lock.

use sarsen_block::{SeriesNo, TimeRange};

use super::Head;

impl Head {
    /// Deletes what one series has in `range`; what was marked, `None` if there is no sample.
    pub(crate) fn delete(&mut self, no: SeriesNo, range: TimeRange) -> Option<TimeRange> {
        let series = self.series.get(no)?;
        if !series.may_have(range) {
            return None;
        }
        let clamped = range.intersect(TimeRange::new(self.times.min, series.newest()?.0));
        if clamped.is_empty() {
            return None;
        }
        self.stones.add(no, clamped);
        Some(clamped)
    }

    /// A deletion comes back from the log. Whether its series is there.
    pub(crate) fn restore_deletion(&mut self, no: SeriesNo, range: TimeRange) -> bool {
        if self.series.get(no).is_none() {
            return false;
        }
        self.stones.add(no, range);
        true
    }

    /// What is deleted of a series, as far as it touches `range`.
    pub(crate) fn deleted(&self, no: SeriesNo, range: TimeRange) -> Vec<TimeRange> {
        self.stones.of(no).iter().copied().filter(|stone| stone.overlaps(range)).collect()
    }
}
