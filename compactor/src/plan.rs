//! From what a bucket holds and a time to the jobs that are due; pure.
//!
//! Invariants: the same situation gives the same jobs in the same order; no block is in two jobs of a plan; every job of a plan can
//! be done at once, beside the others, because none reads what another makes. What comes after them is told as an outlook
//! ([`Later`]), and planned when it is there.
//!
//! Nothing here looks into a block or waits; what is known of damage and of failures comes with the [`Situation`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta};
use sarsen_bucket::{Deletions, Excluded, MarkKind, Reason, View};
use sarsen_downsample::Resolution;

use crate::cover::Coarser;
use crate::due::{Answer, Due};
use crate::group::{Group, GroupKey};
use crate::grow;
use crate::options::Options;
use crate::sift::sift;

/// The kinds of work, in the order in which each round begins them. None waits for another to come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Blocks become one block.
    Merge,
    /// A block gets a coarser copy.
    Coarsen,
    /// Blocks are marked for deletion.
    Retain,
    /// A block is written anew without what was deleted.
    Rewrite,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 4] = [Self::Merge, Self::Coarsen, Self::Retain, Self::Rewrite];

    /// A word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Coarsen => "downsample",
            Self::Retain => "retention",
            Self::Rewrite => "rewrite",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be done with the blocks of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Make one block of all of them, then mark them for deletion.
    Merge {
        /// Whether their ranges overlap. Then samples may have to be merged.
        overlapping: bool,
    },
    /// Mark them as not to be compacted: nobody may merge them.
    Bar {
        /// Why not.
        reason: Reason,
    },
    /// Make coarser copies of the one block, the finer first, each from the one before it. The block stays.
    Coarsen {
        /// Resolutions of the copies, rising; at least one.
        to: Vec<Resolution>,
    },
    /// Mark them for deletion.
    Delete {
        /// Why.
        reason: Outdated,
        /// Blocks that must be sound for that: they hold what is deleted, or its aggregates. None where nothing has to.
        covered_by: Vec<BlockId>,
    },
    /// Write the one block anew, without what was deleted from it, then mark the old one for deletion.
    Rewrite,
}

impl Work {
    /// The stage that this kind of work belongs to.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Merge { .. } | Self::Bar { .. } => Stage::Merge,
            Self::Coarsen { .. } => Stage::Coarsen,
            Self::Delete { .. } => Stage::Retain,
            Self::Rewrite => Stage::Rewrite,
        }
    }
}

/// Why a block is no longer needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outdated {
    /// Everything in it is in another block of its group.
    Duplicate,
    /// It is older than its retention.
    Age,
}

/// A piece of work that can be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The group of the blocks.
    pub group: GroupKey,
    /// Their external labels, without replica labels: those of what is made of them.
    pub labels: BTreeMap<String, String>,
    /// What to do.
    pub work: Work,
    /// With which blocks, by first time and id. The ones of a merge are given to it in this order.
    pub blocks: Vec<Arc<BlockMeta>>,
    /// Bytes of their files, as far as their metas tell.
    pub bytes: u64,
    /// Why, for people.
    pub why: String,
}

impl Job {
    pub(crate) fn new(blocks: Vec<Arc<BlockMeta>>, work: Work, why: impl Into<String>) -> Self {
        let first = blocks.first();
        let thanos = first.and_then(|meta| meta.thanos.as_ref());
        Self {
            group: first.map_or(GroupKey { resolution: 0, labels: 0 }, |meta| GroupKey::of(meta)),
            labels: thanos.map(|thanos| thanos.labels.clone()).unwrap_or_default(),
            bytes: blocks.iter().map(|meta| bytes_of(meta)).fold(0, u64::saturating_add),
            work,
            blocks,
            why: why.into(),
        }
    }

    /// The stage that this job belongs to.
    pub const fn stage(&self) -> Stage {
        self.work.stage()
    }

    /// Ids of the blocks, in their order.
    pub fn ids(&self) -> impl Iterator<Item = BlockId> + '_ {
        self.blocks.iter().map(|meta| meta.id)
    }

    /// First millisecond of the blocks' ranges, and the one after the last.
    pub fn span(&self) -> (i64, i64) {
        let min = self.blocks.iter().map(|meta| meta.min_time).min();
        let max = self.blocks.iter().map(|meta| meta.max_time).max();
        (min.unwrap_or_default(), max.unwrap_or_default())
    }
}

/// A merge that will be due when those before it are done, if nothing changes until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// The group.
    pub group: GroupKey,
    /// External labels of the group.
    pub labels: BTreeMap<String, String>,
    /// How many blocks become one.
    pub blocks: usize,
    /// First millisecond of their ranges, and the one after the last.
    pub span: (i64, i64),
    /// Bytes of what they will be made of, as far as metas tell.
    pub bytes: u64,
    /// Why, for people.
    pub why: String,
}

/// Why a block that is due by age stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kept {
    /// It goes when a merge of this plan is done, or when its mark, which failed just now, is tried again.
    Waiting,
    /// It must not be downsampled: it has a mark.
    Marked,
    /// It cannot be read now, or not at all.
    Unreadable,
}

impl Kept {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waits for other work, or to be tried again",
            Self::Marked => "no coarser block covers it, and a mark forbids to make one",
            Self::Unreadable => "no coarser block covers it, and it cannot be read",
        }
    }
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The bucket as last seen.
    pub view: &'a View,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Blocks that a stage leaves alone for now, because work on them failed.
    pub resting: &'a BTreeSet<(Stage, BlockId)>,
    /// Blocks that cannot be used at all. Nothing is made of them, and they cover nothing.
    pub damaged: &'a BTreeSet<BlockId>,
    /// What was deleted from the whole bucket.
    pub deletions: &'a Deletions,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What can be done now: by stage, group, and time.
    pub jobs: Vec<Job>,
    /// Merges that come after them.
    pub later: Vec<Later>,
    /// Blocks that were not planned with, and why.
    pub excluded: Vec<(BlockId, Excluded)>,
    /// Blocks that are due by age and stay, and why.
    pub kept: Vec<(BlockId, Kept)>,
}

/// What waits for a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Pieces of work, those of the outlook included.
    pub jobs: usize,
    /// Blocks in them.
    pub blocks: usize,
    /// Bytes of these, as far as metas tell.
    pub bytes: u64,
}

impl Plan {
    /// How much a stage has to do.
    pub fn backlog(&self, stage: Stage) -> Backlog {
        let own =
            self.jobs.iter().filter(|job| job.stage() == stage).map(|job| (job.blocks.len(), job.bytes));
        let later =
            self.later.iter().filter(|_| stage == Stage::Merge).map(|later| (later.blocks, later.bytes));
        own.chain(later).fold(Backlog::default(), |sum, (blocks, bytes)| Backlog {
            jobs: sum.jobs + 1,
            blocks: sum.blocks + blocks,
            bytes: sum.bytes.saturating_add(bytes),
        })
    }
}

/// What is due in this situation.
pub fn plan(situation: &Situation<'_>, options: &Options) -> Plan {
    let sifted = sift(situation.view, situation.now_ms, situation.damaged, options);
    let mut plan = Plan::default();
    for group in Group::all(sifted.blocks.values()) {
        let (jobs, later) = grow::merges(&group, situation, options);
        plan.jobs.extend(jobs);
        plan.later.extend(later);
    }
    let busy: BTreeSet<BlockId> = plan.jobs.iter().flat_map(Job::ids).collect();
    let coarser = Coarser::new(sifted.blocks.values());
    let whole = Due { situation, options, coarser: &coarser };
    plan.jobs.extend(sifted.outdated.iter().filter_map(|(meta, by)| whole.duplicate(meta, *by)));
    let sound = sifted.blocks.values().map(|meta| (meta.id, whole.of(meta, busy.contains(&meta.id))));
    let damaged = sifted.damaged.iter().map(|meta| (meta.id, whole.of_damaged(meta)));
    for (id, answer) in sound.chain(damaged) {
        match answer {
            Answer::Nothing => {}
            Answer::Job(job) => plan.jobs.push(job),
            Answer::Kept(why) => plan.kept.push((id, why)),
        }
    }
    let order = |job: &Job| (job.stage(), job.group, job.span(), job.ids().next());
    plan.jobs.sort_by_cached_key(order);
    plan.kept.sort_unstable();
    plan.excluded = sifted.excluded;
    plan
}

/// Bytes of a block's files, as far as its meta tells.
pub(crate) fn bytes_of(meta: &BlockMeta) -> u64 {
    let files = meta.thanos.iter().flat_map(|thanos| &thanos.files);
    files.map(|file| file.size_bytes).fold(0, u64::saturating_add)
}

/// Whether a stage may work with this block.
pub(crate) fn is_barred(situation: &Situation<'_>, stage: Stage, id: BlockId) -> bool {
    let mark = match stage {
        Stage::Merge => Some(MarkKind::NoCompact),
        Stage::Coarsen => Some(MarkKind::NoDownsample),
        Stage::Retain | Stage::Rewrite => None,
    };
    let marked = mark.is_some_and(|kind| situation.view.mark(id, kind).is_some());
    marked || situation.resting.contains(&(stage, id))
}
