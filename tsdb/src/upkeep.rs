//! What a database does when its owner says that time has passed.
//!
//! A cut goes in an order that a crash may interrupt anywhere: the range is closed for writers; the block is written and
//! gets its name; readers are shown the block; memory is given back; the log is shortened. Until the rename the head has
//! the data, from then on the block has it, and replay passes over what a block covers.
//!
//! Memory behind a cut is given back when the last querier made before the cut is gone; that may be at a later call.

use std::sync::{Arc, Weak};

use sarsen_block::{BlockId, BlockWriterOptions, TimeRange, Timestamp};

use crate::block_files::Target;
use crate::blocks::{self, LocalBlock};
use crate::chance::Chance;
use crate::db::Shared;
use crate::error::Error;
use crate::head::{Gc, Head};
use crate::head_compaction::{Content, write_block};
use crate::late_cut::LateUpkeep;
use crate::options::{Options, Shipping};
use crate::query::View;
use crate::report::{CutReport, MaintainReport};

/// What is remembered from one call to the next.
#[derive(Debug)]
pub(crate) struct Upkeep {
    chance: Chance,
    /// When the head was first seen with as many samples as it has now.
    quiet: Option<(Timestamp, u64)>,
    /// Views that were replaced; whoever holds one may read memory behind the newest cut.
    old_views: Vec<Weak<View>>,
    /// Memory before this moment is to be given back.
    collect_before: Option<Timestamp>,
    /// What is known of late samples between calls.
    pub(crate) late: LateUpkeep,
    /// The log may have samples which blocks cover, or the disk spill files which nobody needs.
    pub(crate) log_has_old: bool,
    /// Bytes of the log that no checkpoint stands for: those that were there at open, and how far it was then.
    log_bytes: u64,
    log_count: u64,
    /// Bytes of the last checkpoint.
    checkpoint_bytes: u64,
}

impl Upkeep {
    pub(crate) const fn new(seed: u64, log_has_old: bool, log_bytes: u64) -> Self {
        Self {
            chance: Chance::new(seed),
            quiet: None,
            old_views: Vec::new(),
            collect_before: None,
            late: LateUpkeep::new(),
            log_has_old,
            log_bytes,
            log_count: 0,
            checkpoint_bytes: 0,
        }
    }

    /// Whether somebody holds a replaced view for which `reads` says so.
    fn is_read(&self, reads: impl Fn(&View) -> bool) -> bool {
        self.old_views.iter().any(|view| view.upgrade().is_some_and(|view| reads(&view)))
    }

    /// Whether no sample has come for `grace` milliseconds, as far as the calls up to now tell.
    fn is_quiet(&mut self, now: Timestamp, samples: u64, grace: Timestamp) -> bool {
        match self.quiet {
            Some((since, seen)) if seen == samples && since <= now => now.saturating_sub(since) >= grace,
            _ => {
                self.quiet = Some((now, samples));
                grace == 0
            }
        }
    }
}

/// The end of the block range that `t` lies in.
fn range_end(t: Timestamp, block_range: Timestamp) -> Timestamp {
    (t / block_range * block_range).saturating_add(block_range)
}

/// The oldest range of the head, if it is due: when the head spans more than one and a half block ranges and the delay; or,
/// in a head that nobody writes, when that much time has passed since its oldest sample, and half a range since its newest.
fn due(head: TimeRange, now: Timestamp, is_quiet: bool, options: &Options) -> Option<TimeRange> {
    let block_range = options.block_range;
    let enough = (block_range / 2 * 3).saturating_add(options.cut_delay);
    let is_long = head.max.saturating_sub(head.min) > enough;
    let is_left =
        is_quiet && now.saturating_sub(head.min) > enough && now.saturating_sub(head.max) > block_range / 2;
    (is_long || is_left).then(|| TimeRange::new(head.min, range_end(head.min, block_range) - 1))
}

impl Shared {
    pub(crate) fn maintain(&self, now: Timestamp) -> Result<MaintainReport, Error> {
        let mut upkeep = self.upkeep.lock();
        let samples = self.head.read().counts.samples;
        let is_quiet = upkeep.is_quiet(now, samples, self.options.idle_grace);
        let mut report = MaintainReport::default();
        self.cut_while(&mut upkeep, now, &mut report, |range, _| due(range, now, is_quiet, &self.options))?;
        let late = self.head.read().late.range();
        if upkeep.late.is_due(now, late, !report.cuts.is_empty(), self.options.block_range) {
            self.cut_late(&mut upkeep, now, &mut report)?;
        }
        let mut report = self.settle(&mut upkeep, report)?;
        if self.options.shipping == Shipping::NotNeeded {
            report.blocks_removed = self.retain(&mut upkeep, |_| true)?.removed;
        }
        Ok(report)
    }

    pub(crate) fn flush(&self, now: Timestamp) -> Result<MaintainReport, Error> {
        let mut upkeep = self.upkeep.lock();
        let mut report = MaintainReport::default();
        self.cut_while(&mut upkeep, now, &mut report, |head, block_range| {
            let end = range_end(head.min, block_range) - 1;
            Some(TimeRange::new(head.min, end.min(head.max)))
        })?;
        self.cut_late(&mut upkeep, now, &mut report)?;
        self.settle(&mut upkeep, report)
    }

    /// Cuts what `next` names until it names nothing.
    fn cut_while(
        &self,
        upkeep: &mut Upkeep,
        now: Timestamp,
        report: &mut MaintainReport,
        next: impl Fn(TimeRange, Timestamp) -> Option<TimeRange>,
    ) -> Result<(), Error> {
        loop {
            let range = self.head.read().range().and_then(|range| next(range, self.options.block_range));
            // Empty at the end of time alone, where no block could hold the range.
            let Some(range) = range.filter(|range| !range.is_empty()) else { return Ok(()) };
            let cut = self.observed(|| self.cut(upkeep, now, range))?;
            report.cuts.push(cut);
            self.collect(upkeep, report);
        }
    }

    /// Tells the observer of a cut.
    pub(crate) fn observed(
        &self,
        cut: impl FnOnce() -> Result<CutReport, Error>,
    ) -> Result<CutReport, Error> {
        self.observer.cut_started();
        let result = cut();
        match &result {
            Ok(cut) => self.observer.cut(cut),
            Err(_) => self.observer.cut_failed(),
        }
        result
    }

    /// After all cuts: gives back memory and log.
    fn settle(&self, upkeep: &mut Upkeep, mut report: MaintainReport) -> Result<MaintainReport, Error> {
        self.collect(upkeep, &mut report);
        report.memory_in_use = upkeep.collect_before.is_some() || upkeep.late.sealed.is_some();
        report.head_from = self.head.read().range().map(|range| range.min);
        if upkeep.log_has_old || self.is_log_long(upkeep) {
            self.shorten_log(upkeep, &mut report)?;
        }
        Ok(report)
    }

    /// Whether so much was logged since the last checkpoint that another pays: also in bytes, of which a checkpoint of a large head
    /// has many.
    fn is_log_long(&self, upkeep: &Upkeep) -> bool {
        let appended = self.log.stats().appended_bytes.saturating_sub(upkeep.log_count);
        let pays = self.options.checkpoint_log_bytes.max(upkeep.checkpoint_bytes / 4);
        upkeep.log_bytes.saturating_add(appended) >= pays
    }

    /// Writes one range of the head as a block and shows it to readers.
    fn cut(&self, upkeep: &mut Upkeep, now: Timestamp, range: TimeRange) -> Result<CutReport, Error> {
        let end = range.max.saturating_add(1);
        // From here on nobody adds to the range. Where the head is long this refuses nobody who was not refused before.
        let former = self.close_for_writers(end);
        let written = self
            .new_id(upkeep, now)
            .and_then(|id| write_block(&self.head, self.target(), (id, range), Content::Ordered));
        let local = match written {
            Ok(local) => local,
            Err(error) => {
                self.head.write().times.floor = former;
                return Err(error);
            }
        };
        let report = CutReport::of(local.as_ref(), range, false);
        self.show_block(upkeep, local, |view| view.head_from = end);
        self.head.write().begin_at(end);
        upkeep.collect_before = Some(end);
        upkeep.log_has_old = true;
        Ok(report)
    }

    /// Where blocks go.
    pub(crate) fn target(&self) -> Target<'_> {
        Target {
            disk: self.disk.as_ref(),
            directory: &self.directory,
            options: BlockWriterOptions { segment_size: self.options.chunk_segment_size },
        }
    }

    /// Gives readers a view that has a new block, and what else `change` makes of it.
    pub(crate) fn show_block(
        &self,
        upkeep: &mut Upkeep,
        local: Option<LocalBlock>,
        change: impl FnOnce(&mut View),
    ) {
        let mut view = self.view.read().as_ref().clone();
        view.blocks.extend(local.map(Arc::new));
        blocks::sort(&mut view.blocks);
        change(&mut view);
        self.show(upkeep, view);
    }

    /// Gives readers a new view. The caller holds `upkeep`, so nobody else replaces it meanwhile.
    pub(crate) fn show(&self, upkeep: &mut Upkeep, view: View) {
        let old = std::mem::replace(&mut *self.view.write(), Arc::new(view));
        upkeep.old_views.retain(|view| view.strong_count() > 0);
        upkeep.old_views.push(Arc::downgrade(&old));
    }

    /// Lets the head take nothing before `end`; what the bound was before.
    fn close_for_writers(&self, end: Timestamp) -> Timestamp {
        let mut head = self.head.write();
        let former = head.times.floor;
        head.times.floor = former.max(end);
        former
    }

    /// An id that no directory has.
    pub(crate) fn new_id(&self, upkeep: &mut Upkeep, now: Timestamp) -> Result<BlockId, Error> {
        upkeep.chance.block_id(self.disk.as_ref(), &self.directory, now)
    }

    /// Gives memory behind the newest cut back, if nobody reads it.
    fn collect(&self, upkeep: &mut Upkeep, report: &mut MaintainReport) {
        if let Some(cut) = upkeep.late.sealed
            && !upkeep.is_read(|view| view.late_cuts < cut)
        {
            self.drop_sealed();
            upkeep.late.sealed = None;
            // Series that had nothing else go as well.
            upkeep.collect_before.get_or_insert(self.head.read().times.floor);
        }
        let Some(before) = upkeep.collect_before else { return };
        if upkeep.is_read(|view| view.head_from < before) {
            return;
        }
        upkeep.collect_before = None;
        upkeep.log_has_old = true;
        let mut gc = Gc::new(&self.head.read(), before);
        while gc.step(&mut self.head.write()) {}
        report.forgotten += gc.forgotten();
        self.observer.forgotten(gc.forgotten());
    }

    /// Replaces old segments of the log by a checkpoint.
    fn shorten_log(&self, upkeep: &mut Upkeep, report: &mut MaintainReport) -> Result<(), Error> {
        let count = self.log.stats().appended_bytes;
        match self.checkpoint(upkeep) {
            Ok(done) => {
                report.log_segments_dropped += done.segments;
                report.checkpoint_bytes += done.bytes;
                upkeep.log_has_old = false;
                (upkeep.log_bytes, upkeep.log_count) = (0, count);
                upkeep.checkpoint_bytes = done.bytes;
                self.observer.log_truncated();
                Ok(())
            }
            Err(error) => {
                self.observer.log_truncation_failed();
                Err(error)
            }
        }
    }

    pub(crate) fn retire(&self, id: BlockId) -> Result<bool, Error> {
        self.retire_one(&mut self.upkeep.lock(), id)
    }

    pub(crate) fn retire_one(&self, upkeep: &mut Upkeep, id: BlockId) -> Result<bool, Error> {
        if !self.view.read().blocks.iter().any(|local| local.info.id == id) {
            return Ok(false);
        }
        if upkeep.log_has_old {
            // Without the block, replay would take what the log still has of its range for new.
            self.shorten_log(upkeep, &mut MaintainReport::default())?;
        }
        blocks::remove(self.disk.as_ref(), &self.directory, id)?;
        let view = Arc::clone(&self.view.read());
        let blocks = view.blocks.iter().filter(|local| local.info.id != id).cloned().collect();
        self.show(upkeep, View { blocks, ..*view });
        Ok(true)
    }

    pub(crate) fn refresh(&self) -> Result<(), Error> {
        let mut upkeep = self.upkeep.lock();
        let known = Arc::clone(&self.view.read());
        let mut found = blocks::load(self.disk.as_ref(), &self.directory, &known.blocks)?;
        found.leave_out_downsampled();
        blocks::remove_superseded(self.disk.as_ref(), &self.directory, &mut found)?;
        for what in &found.set_aside {
            self.observer.block_set_aside(what);
        }
        self.show(&mut upkeep, View { blocks: found.blocks, ..*known });
        Ok(())
    }
}

impl Head {
    /// What lies before `from` is in a block. Until it is collected, the head has no better bound for its oldest sample.
    fn begin_at(&mut self, from: Timestamp) {
        self.times.min = self.times.min.max(from);
    }
}
