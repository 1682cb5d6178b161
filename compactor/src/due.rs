//! What is due for a single block: a coarser copy, its end, a rewrite; pure.
//!
//! The guard: where downsampling is on, a block that is due by age goes only when coarser blocks cover it, as long as such blocks
//! would themselves still be kept. If none does, the block is downsampled alone, whatever its length, and goes after that.

use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta};
use sarsen_downsample::Resolution;

use crate::cover::Coarser;
use crate::grow::length;
use crate::options::{Options, Retention, length_to_coarsen};
use crate::plan::{Job, Kept, Outdated, Situation, Stage, Work, is_barred};
use crate::retain::{is_due, retention};
use crate::sift::resolution;

/// What is asked.
pub(crate) struct Due<'a> {
    pub(crate) situation: &'a Situation<'a>,
    pub(crate) options: &'a Options,
    pub(crate) coarser: &'a Coarser<'a>,
}

/// How old a block is for its resolution.
#[derive(Debug, PartialEq, Eq)]
enum Age {
    /// Its retention is not over, or it has none.
    Fresh,
    /// It may go. These blocks hold its aggregates, if any have to.
    Over(Vec<BlockId>),
    /// It is due, but its aggregates would be lost.
    Uncovered,
}

/// What is due for a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Job(Job),
    Kept(Kept),
}

impl Due<'_> {
    /// The deletion of a block of which all is in another one, unless that failed just now.
    pub(crate) fn duplicate(&self, meta: &Arc<BlockMeta>, by: BlockId) -> Option<Job> {
        let work = Work::Delete { reason: Outdated::Duplicate, covered_by: vec![by] };
        let job = || Job::new(vec![Arc::clone(meta)], work, format!("everything in it is in {by}"));
        (!is_barred(self.situation, Stage::Retain, meta.id)).then(job)
    }

    /// The deletion of a block that is too old, unless that failed just now.
    fn too_old(&self, meta: &Arc<BlockMeta>, covered_by: Vec<BlockId>) -> Answer {
        if is_barred(self.situation, Stage::Retain, meta.id) {
            return Answer::Kept(Kept::Waiting);
        }
        let why = match covered_by.len() {
            0 => "older than its retention".to_owned(),
            count => format!("older than its retention, and covered by {count} coarser blocks"),
        };
        let work = Work::Delete { reason: Outdated::Age, covered_by };
        Answer::Job(Job::new(vec![Arc::clone(meta)], work, why))
    }

    /// What is due for this block. One that is `taken` by a job of this plan waits for that.
    pub(crate) fn of(&self, meta: &Arc<BlockMeta>, taken: bool) -> Answer {
        match self.age(meta) {
            Age::Fresh if taken => Answer::Nothing,
            Age::Fresh => {
                self.copies(meta, false).or_else(|| self.rewrite(meta)).map_or(Answer::Nothing, Answer::Job)
            }
            Age::Over(_) | Age::Uncovered if taken => Answer::Kept(Kept::Waiting),
            Age::Over(covered_by) => self.too_old(meta, covered_by),
            Age::Uncovered => match self.copies(meta, true) {
                Some(job) => Answer::Job(job),
                None if self.situation.resting.contains(&(Stage::Coarsen, meta.id)) => {
                    Answer::Kept(Kept::Unreadable)
                }
                None => Answer::Kept(Kept::Marked),
            },
        }
    }

    /// What is due for a damaged block. Nothing can be made of it; it goes when nothing needs it any more.
    pub(crate) fn of_damaged(&self, meta: &Arc<BlockMeta>) -> Answer {
        match self.age(meta) {
            Age::Fresh => Answer::Nothing,
            Age::Over(covered_by) => self.too_old(meta, covered_by),
            Age::Uncovered => Answer::Kept(Kept::Unreadable),
        }
    }

    /// How old the block is.
    fn age(&self, meta: &BlockMeta) -> Age {
        let Some(own) = resolution(meta) else { return Age::Fresh };
        let (now_ms, retention) = (self.situation.now_ms, retention(meta, self.options));
        if !is_due(meta, own, now_ms, &retention) {
            return Age::Fresh;
        }
        let coarser: Vec<Resolution> = Resolution::ALL.into_iter().filter(|other| *other > own).collect();
        let outlived = coarser.iter().any(|other| !is_due(meta, *other, now_ms, &retention));
        if !self.options.downsampling || !outlived {
            return Age::Over(Vec::new());
        }
        self.coarser.covering(meta, &coarser).map_or(Age::Uncovered, Age::Over)
    }

    /// The downsampling of a block, if there is something to do. A block that `must` go has to be covered first, whatever
    /// its length.
    fn copies(&self, meta: &Arc<BlockMeta>, must: bool) -> Option<Job> {
        let from = resolution(meta)?;
        if !self.options.downsampling || is_barred(self.situation, Stage::Coarsen, meta.id) {
            return None;
        }
        let retention = retention(meta, self.options);
        let mut to = Vec::new();
        match from {
            Resolution::Raw => {
                if must || self.wants(meta, Resolution::FiveMinutes, &retention) {
                    to.push(Resolution::FiveMinutes);
                    to.extend(
                        self.wants(meta, Resolution::OneHour, &retention).then_some(Resolution::OneHour),
                    );
                }
            }
            Resolution::FiveMinutes if must || self.wants(meta, Resolution::OneHour, &retention) => {
                to.push(Resolution::OneHour);
            }
            Resolution::FiveMinutes | Resolution::OneHour => {}
        }
        if to.is_empty() {
            return None;
        }
        let why = if must {
            format!(
                "older than its retention of {}, and no coarser block covers it",
                length(retention.of(from))
            )
        } else {
            format!(
                "{} long, and no block has its aggregates",
                length(meta.max_time.saturating_sub(meta.min_time))
            )
        };
        Some(Job::new(vec![Arc::clone(meta)], Work::Coarsen { to }, why))
    }

    /// Whether a copy at `to` is due in the usual course of things: the block is long enough, there is none, and it would not be too old
    /// at once. One over five minutes that is too old is still wanted if one over an hour has to be made of it.
    fn wants(&self, meta: &BlockMeta, to: Resolution, retention: &Retention) -> bool {
        let (from, next) = match to {
            Resolution::Raw => return false,
            Resolution::FiveMinutes => (Resolution::Raw, Some(Resolution::OneHour)),
            Resolution::OneHour => (Resolution::FiveMinutes, None),
        };
        let long = meta.max_time.saturating_sub(meta.min_time);
        let kept = !is_due(meta, to, self.situation.now_ms, retention);
        length_to_coarsen(from).is_some_and(|least| long >= least)
            && !self.coarser.has_all_sources(meta, to)
            && (kept || next.is_some_and(|next| self.wants(meta, next, retention)))
    }

    /// A rewrite for the sake of what was deleted from the whole bucket. Blocks that will be merged soon wait for that.
    fn rewrite(&self, meta: &Arc<BlockMeta>) -> Option<Job> {
        let pending = self.situation.deletions.pending(meta).count();
        if pending == 0 || self.situation.resting.contains(&(Stage::Rewrite, meta.id)) {
            return None;
        }
        let ranges = &self.options.ranges;
        let large = meta.max_time.saturating_sub(meta.min_time) >= *ranges.get(ranges.len() / 2)?;
        let settled = meta.max_time < self.situation.now_ms.saturating_sub(*ranges.last()?);
        (large || settled).then(|| {
            let why = format!("{pending} deletions concern it and are not carried out in it");
            Job::new(vec![Arc::clone(meta)], Work::Rewrite, why)
        })
    }
}
