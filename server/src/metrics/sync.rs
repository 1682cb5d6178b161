//! Looks at a bucket's metas: how often, how long, and how many blocks were in which state.

use std::sync::Arc;
use std::time::Duration;

use super::{Counter, Gauge, Histogram, Registry};

const SECONDS: &[f64] = &[0.01, 1.0, 10.0, 100.0, 300.0, 600.0, 1000.0];
/// Every state that Thanos counts in, and one of ours.
const STATES: [&str; 12] = [
    "corrupted-meta-json",
    "duplicate",
    "failed",
    "label-excluded",
    "loaded",
    "marked-for-deletion",
    "marked-for-no-compact",
    "no-meta-json",
    "parquet-migrated",
    "resolution-excluded",
    "time-excluded",
    "too-fresh",
];

/// Names of the families, in the order of the fields below.
type Names = [&'static str; 5];
const LOADED: Names = [
    "thanos_blocks_meta_syncs_total",
    "thanos_blocks_meta_sync_failures_total",
    "thanos_blocks_meta_sync_duration_seconds",
    "thanos_blocks_meta_synced",
    "thanos_blocks_meta_modified",
];
/// Without an underscore behind `ui`, as in the original.
#[cfg(feature = "compact")]
const GLOBAL: Names = [
    "thanos_bucket_uiblocks_meta_syncs_total",
    "thanos_bucket_uiblocks_meta_sync_failures_total",
    "thanos_bucket_uiblocks_meta_sync_duration_seconds",
    "thanos_bucket_uiblocks_meta_synced",
    "thanos_bucket_uiblocks_meta_modified",
];

/// Counts the looks of one kind.
#[derive(Debug)]
pub(crate) struct SyncMetrics {
    syncs: Arc<Counter>,
    failures: Arc<Counter>,
    seconds: Arc<Histogram>,
    states: Vec<(&'static str, Arc<Gauge>)>,
    relabelled: Arc<Gauge>,
}

impl SyncMetrics {
    /// Looks of the compactor itself.
    pub(crate) fn loaded(registry: &Registry) -> Self {
        Self::new(registry, LOADED)
    }

    /// Looks for the page.
    #[cfg(feature = "compact")]
    pub(crate) fn global(registry: &Registry) -> Self {
        Self::new(registry, GLOBAL)
    }

    fn new(registry: &Registry, [syncs, failures, seconds, synced, modified]: Names) -> Self {
        let synced = registry.family::<Gauge>(synced, "Number of block metadata synced", &["state"]);
        let modified =
            registry.family::<Gauge>(modified, "Number of blocks whose metadata changed", &["modified"]);
        let count = |name, help| registry.family::<Counter>(name, help, &[]).with(&[]);
        Self {
            syncs: count(syncs, "Total blocks metadata synchronization attempts"),
            failures: count(failures, "Total blocks metadata synchronization failures"),
            seconds: registry
                .histograms(
                    seconds,
                    "Duration of the blocks metadata synchronization in seconds",
                    &[],
                    SECONDS,
                )
                .with(&[]),
            states: STATES.into_iter().map(|state| (state, synced.with(&[state]))).collect(),
            relabelled: modified.with(&["replica-label-removed"]),
        }
    }

    /// A look has ended after `took`. `states`: blocks by state; the others are none. `relabelled`: blocks whose replica
    /// labels were taken off. `None`: it failed.
    pub(crate) fn looked<'a>(
        &self,
        took: Duration,
        found: Option<(impl IntoIterator<Item = (&'a str, u64)>, u64)>,
    ) {
        self.syncs.add(1);
        let Some((states, relabelled)) = found else {
            self.failures.add(1);
            return;
        };
        self.seconds.observe(took.as_secs_f64());
        self.states.iter().for_each(|(_, gauge)| gauge.set(0.0));
        for (state, count) in states {
            if let Some((_, gauge)) = self.states.iter().find(|(name, _)| *name == state) {
                gauge.add(count as f64);
            }
        }
        self.relabelled.set(relabelled as f64);
    }
}
