//! What the compactor does: rounds, merges, downsamplings, marks, removals, and what is left to do.
//!
//! Every member that Thanos shows from the start is there from the start, so that alerts can take rates of them.

use std::sync::Arc;
use std::time::Duration;

use super::{Counter, Family, Gauge, Histogram, Registry};

const R: &[&str] = &["resolution"];
const RESOLUTIONS: [&str; 3] = ["0", "300000", "3600000"];
const COLLECTION_SECONDS: &[f64] =
    &[0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];
const DOWNSAMPLE_SECONDS: &[f64] = &[60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0];
const MERGE_SECONDS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];

/// The compactor's counters.
#[derive(Debug)]
pub(crate) struct CompactMetrics {
    /// Rounds that came to their end.
    pub(crate) iterations: Arc<Counter>,
    /// Rounds, looks and removals that ended early because the store failed.
    pub(crate) retries: Arc<Counter>,
    /// Removals of half and of marked blocks.
    pub(crate) cleanups: Arc<Counter>,
    pub(crate) halves_removed: Arc<Counter>,
    pub(crate) cleaned: Arc<Counter>,
    pub(crate) cleanup_failures: Arc<Counter>,
    /// By the file name of the mark and its reason.
    pub(crate) marked: Arc<Family<Counter>>,
    /// Blocks marked because their content is in others.
    pub(crate) garbage: Arc<Counter>,
    collections: Arc<Counter>,
    collection_failures: Arc<Counter>,
    collection_seconds: Arc<Histogram>,
    /// Whether this process has the bucket to itself.
    pub(crate) leads: Arc<Gauge>,
    merges: Merges,
    downsamplings: Downsamplings,
}

#[derive(Debug)]
struct Merges {
    started: Arc<Family<Counter>>,
    completed: Arc<Family<Counter>>,
    done: Arc<Family<Counter>>,
    failed: Arc<Family<Counter>>,
    vertical: Arc<Family<Counter>>,
    /// The same under the names of Prometheus.
    tsdb: [Arc<Counter>; 2],
    tsdb_seconds: Arc<Histogram>,
}

#[derive(Debug)]
struct Downsamplings {
    done: Arc<Family<Counter>>,
    failed: [Arc<Family<Counter>>; 2],
    seconds: Arc<Family<Histogram>>,
}

/// How work with one output ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worked {
    /// Milliseconds between samples of the blocks that were read.
    pub(crate) resolution: i64,
    pub(crate) good: bool,
    /// Whether samples of several blocks were merged one by one.
    pub(crate) vertical: bool,
    pub(crate) took: Duration,
}

impl CompactMetrics {
    /// Registers everything.
    pub(crate) fn new(registry: &Registry, delete_delay: Duration, consistency_delay: Duration) -> Self {
        let count = |name, help| registry.family::<Counter>(name, help, &[]).with(&[]);
        let gauge = |name, help| registry.family::<Gauge>(name, help, &[]).with(&[]);
        gauge("thanos_delete_delay_seconds", "Configured delete delay in seconds.")
            .set(delete_delay.as_secs_f64());
        gauge("thanos_consistency_delay_seconds", "Configured consistency delay in seconds.")
            .set(consistency_delay.as_secs_f64());
        for name in ["thanos_compact_halted", "thanos_compactor_halted"] {
            gauge(
                name,
                "Always 0: a block that cannot be worked on is set aside, and everything else goes on.",
            )
            .set(0.0);
        }
        let marked = registry.family::<Counter>(
            "thanos_compact_blocks_marked_total",
            "Total number of blocks marked in compactor.",
            &["marker", "reason"],
        );
        for (mark, reason) in [
            ("deletion-mark.json", ""),
            ("no-compact-mark.json", "block-index-out-of-order-chunk"),
            ("no-compact-mark.json", "index-size-exceeding"),
        ] {
            marked.with(&[mark, reason]);
        }
        Self {
            iterations: count(
                "thanos_compact_iterations_total",
                "Total number of iterations that were executed successfully.",
            ),
            retries: count(
                "thanos_compact_retries_total",
                "Total number of retries after retriable compactor error.",
            ),
            cleanups: count(
                "thanos_compact_block_cleanup_loops_total",
                "Total number of concurrent cleanup loops of partially uploaded blocks and marked blocks that were executed successfully.",
            ),
            halves_removed: count(
                "thanos_compact_aborted_partial_uploads_deletion_attempts_total",
                "Total number of started deletions of blocks that are assumed aborted and only partially uploaded.",
            ),
            cleaned: count(
                "thanos_compact_blocks_cleaned_total",
                "Total number of blocks deleted in compactor.",
            ),
            cleanup_failures: count(
                "thanos_compact_block_cleanup_failures_total",
                "Failures encountered while deleting blocks in compactor.",
            ),
            marked,
            garbage: count(
                "thanos_compact_garbage_collected_blocks_total",
                "Total number of blocks marked for deletion by compactor.",
            ),
            collections: count(
                "thanos_compact_garbage_collection_total",
                "Total number of garbage collection operations.",
            ),
            collection_failures: count(
                "thanos_compact_garbage_collection_failures_total",
                "Total number of failed garbage collection operations.",
            ),
            collection_seconds: registry
                .histograms(
                    "thanos_compact_garbage_collection_duration_seconds",
                    "Time it took to perform garbage collection iteration.",
                    &[],
                    COLLECTION_SECONDS,
                )
                .with(&[]),
            leads: gauge(
                "sarsen_compact_lease_held",
                "Whether this process is the one that works on the bucket.",
            ),
            merges: Merges::new(registry),
            downsamplings: Downsamplings::new(registry),
        }
    }

    /// Outdated blocks were looked for and marked.
    pub(crate) fn collected(&self, took: Duration, good: bool) {
        self.collections.add(1);
        if !good {
            self.collection_failures.add(1);
        }
        self.collection_seconds.observe(took.as_secs_f64());
    }

    /// A merge has begun.
    pub(crate) fn merge_began(&self, resolution: i64) {
        self.merges.started.with(&[&resolution.to_string()]).add(1);
    }

    /// A merge has ended.
    pub(crate) fn merged(&self, worked: Worked) {
        let label = worked.resolution.to_string();
        let merges = &self.merges;
        merges.done.with(&[&label]).add(1);
        if !worked.good {
            merges.failed.with(&[&label]).add(1);
            return;
        }
        merges.completed.with(&[&label]).add(1);
        let [all, vertical] = &merges.tsdb;
        all.add(1);
        if worked.vertical {
            merges.vertical.with(&[&label]).add(1);
            vertical.add(1);
        }
        merges.tsdb_seconds.observe(worked.took.as_secs_f64());
    }

    /// A downsampling has ended.
    pub(crate) fn downsampled(&self, worked: Worked) {
        let label = worked.resolution.to_string();
        let downsamplings = &self.downsamplings;
        if worked.good {
            downsamplings.done.with(&[&label]).add(1);
            downsamplings.seconds.with(&[&label]).observe(worked.took.as_secs_f64());
        } else {
            downsamplings.failed.iter().for_each(|family| family.with(&[&label]).add(1));
        }
    }
}

/// A family with a member for each resolution.
fn by_resolution(registry: &Registry, name: &'static str, help: &'static str) -> Arc<Family<Counter>> {
    let family = registry.family::<Counter>(name, help, R);
    RESOLUTIONS.iter().for_each(|resolution| drop(family.with(&[resolution])));
    family
}

impl Merges {
    fn new(registry: &Registry) -> Self {
        let count = |name, help| by_resolution(registry, name, help);
        let tsdb = |name, help| registry.family::<Counter>(name, help, &[]).with(&[]);
        Self {
            started: count(
                "thanos_compact_group_compaction_runs_started_total",
                "Total number of group compaction attempts.",
            ),
            completed: count(
                "thanos_compact_group_compaction_runs_completed_total",
                "Total number of group completed compaction runs. This also includes compactor group runs that resulted with no compaction.",
            ),
            done: count(
                "thanos_compact_group_compactions_total",
                "Total number of group compaction attempts that resulted in a new block.",
            ),
            failed: count(
                "thanos_compact_group_compactions_failures_total",
                "Total number of failed group compactions.",
            ),
            vertical: count(
                "thanos_compact_group_vertical_compactions_total",
                "Total number of group compaction attempts that resulted in a new block based on overlapping blocks.",
            ),
            tsdb: [
                tsdb(
                    "prometheus_tsdb_compactions_total",
                    "Total number of compactions that were executed for the partition.",
                ),
                tsdb(
                    "prometheus_tsdb_vertical_compactions_total",
                    "Total number of compactions done on overlapping blocks.",
                ),
            ],
            tsdb_seconds: registry
                .histograms(
                    "prometheus_tsdb_compaction_duration_seconds",
                    "Duration of compaction runs",
                    &[],
                    MERGE_SECONDS,
                )
                .with(&[]),
        }
    }
}

impl Downsamplings {
    fn new(registry: &Registry) -> Self {
        Self {
            done: by_resolution(
                registry,
                "thanos_compact_downsample_total",
                "Total number of downsampling attempts.",
            ),
            failed: [
                by_resolution(
                    registry,
                    "thanos_compact_downsample_failures_total",
                    "Total number of failed downsampling attempts.",
                ),
                by_resolution(
                    registry,
                    "thanos_compact_downsampling_failures_total",
                    "The same under the name that runbooks use.",
                ),
            ],
            seconds: registry.histograms(
                "thanos_compact_downsample_duration_seconds",
                "Duration of downsample runs",
                R,
                DOWNSAMPLE_SECONDS,
            ),
        }
    }
}
