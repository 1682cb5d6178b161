//! Late samples become blocks of their own.
//!
//! They are cut when a range of the head was, so that the blocks that overlap come about together; or when they have waited for
//! a whole block range. First everything there is gets sealed; then each block range that has a sealed sample becomes a block, with
//! the range as its bounds, which overlaps other blocks and perhaps the head; then the sealed samples are dropped as other memory
//! behind a cut is. A failure half way leaves everything in memory: a range that already became a block is then
//! written once more at the next attempt, with the same samples.

use sarsen_block::{SeriesNo, TimeRange, Timestamp};

use crate::db::Shared;
use crate::error::Error;
use crate::head::Sealed;
use crate::head_compaction::{Content, write_block};
use crate::report::{CutReport, MaintainReport};
use crate::upkeep::Upkeep;

/// What is remembered of late samples from one call to the next.
#[derive(Debug)]
pub(crate) struct LateUpkeep {
    /// When late samples were first seen after the last cut of them.
    since: Option<Timestamp>,
    /// How often they have become blocks since opening.
    cuts: u64,
    /// The samples of this cut are in blocks and wait to be dropped.
    pub(crate) sealed: Option<u64>,
}

impl LateUpkeep {
    pub(crate) const fn new() -> Self {
        Self { since: None, cuts: 0, sealed: None }
    }

    /// Whether late samples, which lie in `range`, are to be cut at `now`.
    pub(crate) fn is_due(
        &mut self,
        now: Timestamp,
        range: Option<TimeRange>,
        has_cut: bool,
        block_range: Timestamp,
    ) -> bool {
        if range.is_none() {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        has_cut || now.saturating_sub(since) >= block_range
    }
}

/// The block ranges that share a millisecond with `range`, clipped at the ends of time.
fn block_ranges(range: TimeRange, block_range: Timestamp) -> impl Iterator<Item = TimeRange> {
    let first = range.min.div_euclid(block_range).saturating_mul(block_range);
    let starts = std::iter::successors(Some(first), move |start| start.checked_add(block_range));
    starts.take_while(move |&start| start <= range.max).map(move |start| {
        TimeRange::new(start, start.saturating_add(block_range - 1).min(Timestamp::MAX - 1))
    })
}

impl Shared {
    /// Cuts all late samples. Does nothing while those of the last time are still read.
    pub(crate) fn cut_late(
        &self,
        upkeep: &mut Upkeep,
        now: Timestamp,
        report: &mut MaintainReport,
    ) -> Result<(), Error> {
        if upkeep.late.sealed.is_some() || self.head.read().late.range().is_none() {
            return Ok(());
        }
        let sealed = self.seal()?;
        for range in block_ranges(sealed.range, self.options.block_range) {
            let series = self.sealed_in(&sealed.series, range);
            if series.is_empty() {
                continue;
            }
            let cut = self.observed(|| {
                let id = self.new_id(upkeep, now)?;
                let local = write_block(&self.head, self.target(), (id, range), Content::Sealed(&series))?;
                let cut = CutReport::of(local.as_ref(), range, true);
                self.show_block(upkeep, local, |_| ());
                Ok(cut)
            })?;
            report.cuts.push(cut);
        }
        let cuts = upkeep.late.cuts + 1;
        upkeep.late = LateUpkeep { since: None, cuts, sealed: Some(cuts) };
        self.show_block(upkeep, None, |view| view.late_cuts = cuts);
        upkeep.log_has_old = true;
        Ok(())
    }

    fn seal(&self) -> Result<Sealed, Error> {
        let mut sealed = Sealed::default();
        let mut from = Some(SeriesNo(0));
        while let Some(at) = from {
            from = self.head.write().late.seal(at, &mut sealed)?;
        }
        Ok(sealed)
    }

    /// Those of `series` that have something sealed in `range`.
    fn sealed_in(&self, series: &[SeriesNo], range: TimeRange) -> Vec<SeriesNo> {
        let mut found = Vec::new();
        for slice in series.chunks(4096) {
            let head = self.head.read();
            found.extend(slice.iter().filter(|&&no| head.late.has_sealed(no, range)));
        }
        found
    }

    /// Gives the memory of what was sealed back.
    pub(crate) fn drop_sealed(&self) {
        let mut from = Some(SeriesNo(0));
        while let Some(at) = from {
            from = self.head.write().late.drop_sealed(at);
        }
    }
}
