//! What is deleted of the series in memory.
//!
//! Chunks of the head are not touched by a delete: stones cover them, every reader looks through the stones, and the cut
//! writes what is left. A stone is clamped to the oldest time of the head and the last sample that its series had when it was
//! set, so it never covers a sample that is appended in order later; behind a cut the stones of what was cut go with the chunks.
//! Late samples have no stones, because one may yet come at a time that was deleted: they are taken out.
//! Nothing here logs: whoever deletes logs the ranges that [`Head::delete`] returns under the same hold of the lock.

use sarsen_block::{Error, SeriesNo, TimeRange, Timestamp};

use super::Head;

impl Head {
    /// Deletes what one series has in `range`; in order it has something only at and after `from`. What was marked or taken
    /// out, nothing if there is no sample.
    ///
    /// # Errors
    /// [`Error`] if late samples cannot be read or encoded, which would be a fault of this program.
    pub(crate) fn delete(
        &mut self,
        no: SeriesNo,
        range: TimeRange,
        from: Timestamp,
    ) -> Result<Vec<TimeRange>, Error> {
        let mut deleted = Vec::from_iter(self.late.delete(no, range)?);
        let Some(series) = self.series.get(no) else { return Ok(deleted) };
        let newest = series.newest();
        if !newest.is_any {
            return Ok(deleted);
        }
        let clamped = range.intersect(TimeRange::new(self.times.min.max(from), newest.t));
        if series.may_have(clamped) {
            self.stones.add(no, clamped);
            deleted.push(clamped);
        }
        Ok(deleted)
    }

    /// A deletion comes back from the log. Whether its series is there.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub(crate) fn restore_deletion(&mut self, no: SeriesNo, range: TimeRange) -> Result<bool, Error> {
        self.late.delete(no, range)?;
        if self.series.get(no).is_none() {
            return Ok(false);
        }
        let range = range.intersect(TimeRange::new(self.times.floor, Timestamp::MAX));
        if !range.is_empty() {
            self.stones.add(no, range);
        }
        Ok(true)
    }

    /// What is deleted of a series, as far as it touches `range`.
    pub(crate) fn deleted(&self, no: SeriesNo, range: TimeRange) -> Vec<TimeRange> {
        self.stones.of(no).iter().copied().filter(|stone| stone.overlaps(range)).collect()
    }
}
