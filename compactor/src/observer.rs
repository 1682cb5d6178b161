//! What happened in a round, told per operation, never per series.
//!
//! Calls come from the tasks and threads that do the work: an observer counts and returns. It cannot answer back.

use std::time::Duration;

use sarsen_block::{BlockId, BlockMeta};
use sarsen_bucket::{Marker, View};

use crate::aside::SetAside;
use crate::error::Error;
use crate::plan::{Job, Plan};
use crate::report::RoundReport;

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of its blocks that have been read.
    pub read: u64,
    /// Bytes of its blocks.
    pub bytes: u64,
}

impl Progress {
    /// In percent, at most 100.
    pub fn percent(self) -> u8 {
        let share = u128::from(self.read) * 100 / u128::from(self.bytes.max(1));
        u8::try_from(share.min(100)).unwrap_or(100)
    }
}

/// Why a block was removed from the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Its deletion mark was old enough.
    Marked,
    /// It had no meta and had not changed for long.
    Half,
}

/// Listens to a compactor. All methods do nothing by default.
pub trait CompactorObserver: Send + Sync {
    /// A round begins.
    fn round_started(&self) {}

    /// A round has come to its end.
    fn round_ended(&self, report: &RoundReport, took: Duration) {
        let _ = (report, took);
    }

    /// The bucket does not answer, or a look at it failed otherwise; the round ends, the next one tries again.
    fn round_failed(&self, error: &Error) {
        let _ = error;
    }

    /// The bucket was looked at. Several times a round.
    fn looked(&self, view: &View) {
        let _ = view;
    }

    /// What is to be done ([`Plan::backlog`]), what stays out and why; after each look.
    fn planned(&self, plan: &Plan) {
        let _ = plan;
    }

    /// Everything that is left out at the moment, damaged and waiting blocks alike; after each look.
    fn left_out(&self, blocks: &[SetAside]) {
        let _ = blocks;
    }

    /// A job begins.
    fn job_started(&self, job: &Job) {
        let _ = job;
    }

    /// A job has come further; at most a hundred times a job.
    fn job_progressed(&self, job: &Job, progress: Progress) {
        let _ = (job, progress);
    }

    /// A job has come to its end.
    fn job_done(&self, job: &Job, made: &[BlockMeta], took: Duration) {
        let _ = (job, made, took);
    }

    /// A job failed. What became of its blocks is told by [`set_aside`](Self::set_aside).
    fn job_failed(&self, job: &Job, why: &str, took: Duration) {
        let _ = (job, why, took);
    }

    /// A block was set aside just now.
    fn set_aside(&self, block: &SetAside) {
        let _ = block;
    }

    /// A mark was put on a block.
    fn marked(&self, mark: &Marker) {
        let _ = mark;
    }

    /// A block, or what was left of one, is gone.
    fn removed(&self, id: BlockId, why: Removed) {
        let _ = (id, why);
    }

    /// A block could not be removed; the next round tries again.
    fn removal_failed(&self, id: BlockId, why: Removed, error: &Error) {
        let _ = (id, why, error);
    }
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl CompactorObserver for Unobserved {}
