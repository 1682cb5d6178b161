//! A bucket of metas in which plans are carried out at once, and which is asked what data is left.

#![allow(dead_code, reason = "each test file uses the part it needs")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_block::{
    BlockFile, BlockId, BlockMeta, BlockStats, Compaction, Parent, ThanosMeta, TimeRange, UploadTime,
};
use sarsen_bucket::{Deletions, MarkKind, Marker, Reason, View};
use sarsen_compactor::{Job, Options, Plan, Situation, Stage, Work, plan};

pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const DAY: i64 = 24 * HOUR;
/// A multiple of all ranges.
pub(crate) const START: i64 = 1400 * 14 * DAY;

/// What a compactor sees, and what it remembers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bucket {
    pub(crate) view: View,
    pub(crate) now_ms: i64,
    pub(crate) resting: BTreeSet<(Stage, BlockId)>,
    pub(crate) damaged: BTreeSet<BlockId>,
    pub(crate) deletions: Deletions,
    pub(crate) made: u128,
}

impl Bucket {
    fn next_id(&mut self) -> BlockId {
        self.made += 1;
        BlockId::from_parts(1_000, self.made)
    }

    /// Uploads a block of a tenant, long ago.
    pub(crate) fn upload(&mut self, tenant: &str, min_time: i64, length: i64) -> BlockId {
        let labels = BTreeMap::from([("tenant_id".to_owned(), tenant.to_owned())]);
        self.upload_with(labels, min_time, length)
    }

    pub(crate) fn upload_with(
        &mut self,
        labels: BTreeMap<String, String>,
        min_time: i64,
        length: i64,
    ) -> BlockId {
        let id = self.next_id();
        let range = TimeRange::new(min_time, min_time + length - 1);
        let mut meta = BlockMeta::fresh(
            id,
            range,
            BlockStats { num_series: 10, num_samples: 100, ..BlockStats::default() },
        );
        let file = |name: &str, size_bytes| BlockFile { rel_path: name.to_owned(), size_bytes, hash: None };
        meta.thanos = Some(ThanosMeta {
            labels,
            source: "receive".to_owned(),
            files: vec![file("chunks/000001", 1000), file("index", 100), file("meta.json", 0)],
            upload_time: UploadTime::from_unix_ms(1),
            ..ThanosMeta::default()
        });
        self.view.blocks.insert(id, Arc::new(meta));
        id
    }

    pub(crate) fn mark(&mut self, id: BlockId, kind: MarkKind, reason: Reason) {
        let mut mark = Marker::deletion(id, self.now_ms / 1000, "");
        mark.kind = kind;
        mark.reason = (kind != MarkKind::Deletion).then_some(reason);
        let marks = self.view.marks.entry(id).or_default();
        if !marks.iter().any(|other| other.kind == kind) {
            marks.push(mark);
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = BlockId> {
        self.view.blocks.keys().copied()
    }

    /// Blocks without a deletion mark.
    pub(crate) fn unmarked(&self) -> impl Iterator<Item = &Arc<BlockMeta>> {
        self.view.blocks.values().filter(|meta| self.view.mark(meta.id, MarkKind::Deletion).is_none())
    }

    pub(crate) fn plan(&self, options: &Options) -> Plan {
        options.check().unwrap();
        let situation = Situation {
            view: &self.view,
            now_ms: self.now_ms,
            resting: &self.resting,
            damaged: &self.damaged,
            deletions: &self.deletions,
        };
        plan(&situation, options)
    }

    /// Does everything in a plan.
    pub(crate) fn carry_out(&mut self, plan: &Plan) {
        for job in &plan.jobs {
            let Work::Delete { covered_by, .. } = &job.work else { continue };
            for id in covered_by {
                assert!(self.unmarked().any(|meta| meta.id == *id) && !self.damaged.contains(id));
            }
        }
        for job in &plan.jobs {
            self.carry_out_one(job);
        }
    }

    fn carry_out_one(&mut self, job: &Job) {
        for meta in &job.blocks {
            assert!(self.view.mark(meta.id, MarkKind::Deletion).is_none(), "{job:?}: a marked block");
        }
        match &job.work {
            Work::Merge { .. } => self.merge(job),
            Work::Rewrite => self.merge(job),
            Work::Bar { reason } => {
                for id in job.ids() {
                    self.mark(id, MarkKind::NoCompact, reason.clone());
                }
            }
            Work::Coarsen { to } => {
                assert!(to.is_sorted() && !to.is_empty());
                for resolution in to {
                    let mut copy = BlockMeta::clone(&job.blocks[0]);
                    copy.id = self.next_id();
                    let thanos = copy.thanos.as_mut().unwrap();
                    assert!(thanos.resolution < resolution.ms());
                    thanos.resolution = resolution.ms();
                    thanos.source = "compactor".to_owned();
                    self.view.blocks.insert(copy.id, Arc::new(copy));
                }
            }
            Work::Delete { .. } => {
                for id in job.ids() {
                    self.mark(id, MarkKind::Deletion, Reason::Manual);
                }
            }
        }
    }

    fn merge(&mut self, job: &Job) {
        let id = self.next_id();
        let metas = || job.blocks.iter();
        let parent =
            |meta: &Arc<BlockMeta>| Parent { id: meta.id, min_time: meta.min_time, max_time: meta.max_time };
        let sources: BTreeSet<BlockId> = metas().flat_map(|meta| meta.compaction.sources.clone()).collect();
        let first = job.blocks[0].thanos.clone().unwrap();
        let mut files = first.files.clone();
        files[0].size_bytes = job.bytes;
        let mut meta = BlockMeta {
            id,
            min_time: job.span().0,
            max_time: job.span().1,
            stats: BlockStats { num_series: 10, ..BlockStats::default() },
            compaction: Compaction {
                level: metas().map(|meta| meta.compaction.level).max().unwrap() + 1,
                sources: sources.into_iter().collect(),
                parents: metas().map(parent).collect(),
                ..Compaction::default()
            },
            thanos: Some(ThanosMeta {
                labels: job.labels.clone(),
                resolution: job.group.resolution,
                source: "compactor".to_owned(),
                files,
                ..ThanosMeta::default()
            }),
        };
        self.deletions.note(&mut meta);
        self.view.blocks.insert(id, Arc::new(meta));
        for input in job.ids() {
            self.mark(input, MarkKind::Deletion, Reason::Manual);
        }
    }

    /// Plans and carries out until nothing is due; the last plan.
    pub(crate) fn settle(&mut self, options: &Options) -> Plan {
        self.settle_but(options, |_| false)
    }

    /// The same, where some jobs fail: their blocks rest until the end.
    pub(crate) fn settle_but(&mut self, options: &Options, fails: impl Fn(&Job) -> bool) -> Plan {
        for _ in 0..200 {
            let mut plan = self.plan(options);
            if plan.jobs.is_empty() {
                self.resting.clear();
                return plan;
            }
            plan.jobs.retain(|job| {
                let failed = fails(job);
                if failed {
                    self.resting.extend(job.ids().map(|id| (job.stage(), id)));
                }
                !failed
            });
            self.carry_out(&plan);
        }
        panic!("there is no end to it: {:?}", self.plan(options));
    }

    /// Removes what was marked longer ago than the delay.
    pub(crate) fn clean(&mut self, options: &Options) {
        let old = |mark: &Marker| {
            mark.kind == MarkKind::Deletion && self.now_ms / 1000 - mark.time > options.delete_delay_ms / 1000
        };
        let marks = self.view.marks.iter();
        let gone: Vec<BlockId> =
            marks.filter(|(_, marks)| marks.iter().any(old)).map(|(id, _)| *id).collect();
        for id in gone {
            self.view.blocks.remove(&id);
            self.view.marks.remove(&id);
        }
    }
}
