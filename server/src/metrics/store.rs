//! What the store gateway does: blocks that come and go, requests that are answered, waited for, refused.
//!
//! Names, labels and bounds are Thanos'. Requests without a tenant count for the one that Thanos names.

use std::sync::Arc;
use std::time::Duration;

use sarsen_bucket::{Ceiling, Gate};

use super::answers::{Answered, Answers, DEFAULT_TENANT, T};
use super::{Counter, Family, Gauge, Histogram, Registry, Type};

const GATE_SECONDS: &[f64] =
    &[0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];
const LOAD_SECONDS: &[f64] = &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0];
/// The gateway's counters.
#[derive(Debug)]
pub(crate) struct StoreMetrics {
    /// Blocks that are served from now on.
    pub(crate) loads: Arc<Counter>,
    /// Blocks that cannot be served.
    pub(crate) load_failures: Arc<Counter>,
    /// Blocks that are not served any more.
    pub(crate) drops: Arc<Counter>,
    /// Local files of such blocks that could not be removed.
    pub(crate) drop_failures: Arc<Counter>,
    loaded: Arc<Gauge>,
    last_loaded: Arc<Gauge>,
    load_seconds: Arc<Histogram>,
    dropped: Arc<Family<Counter>>,
    partial: Arc<Family<Counter>>,
    gate_seconds: [Arc<Histogram>; 2],
    answers: Answers,
}

impl StoreMetrics {
    /// Registers everything.
    pub(crate) fn new(registry: &Registry, gate: Gate, ceiling: Ceiling) -> Self {
        let count = |name, help| registry.family::<Counter>(name, help, &[]).with(&[]);
        let gauge = |name, help| registry.family::<Gauge>(name, help, &[]).with(&[]);
        let waits = |name| {
            registry
                .histograms(name, "How long many queries it took to wait at the gate.", &[], GATE_SECONDS)
                .with(&[])
        };
        show_sizes(registry, gate, ceiling);
        Self {
            loads: count(
                "thanos_bucket_store_block_loads_total",
                "Total number of remote block loading attempts.",
            ),
            load_failures: count(
                "thanos_bucket_store_block_load_failures_total",
                "Total number of failed remote block loading attempts.",
            ),
            drops: count(
                "thanos_bucket_store_block_drops_total",
                "Total number of local blocks that were dropped.",
            ),
            drop_failures: count(
                "thanos_bucket_store_block_drop_failures_total",
                "Total number of local blocks that failed to be dropped.",
            ),
            loaded: gauge("thanos_bucket_store_blocks_loaded", "Number of currently loaded blocks."),
            last_loaded: gauge(
                "thanos_bucket_store_blocks_last_loaded_timestamp_seconds",
                "Timestamp when last block got loaded.",
            ),
            load_seconds: registry
                .histograms(
                    "thanos_bucket_store_block_load_duration_seconds",
                    "The total time taken to load blocks in seconds.",
                    &[],
                    LOAD_SECONDS,
                )
                .with(&[]),
            dropped: registry.family(
                "thanos_bucket_store_queries_dropped_total",
                "Number of queries that were dropped due to the limit.",
                &["reason", "tenant"],
            ),
            partial: registry.family(
                "sarsen_store_unreadable_blocks_total",
                "Blocks that a request had to do without.",
                T,
            ),
            gate_seconds: [
                waits("thanos_bucket_store_series_gate_queries_duration_seconds"),
                waits("thanos_bucket_store_series_gate_duration_seconds"),
            ],
            answers: Answers::new(registry),
        }
    }

    /// A look at the bucket brought these many blocks; `changed_at_s`: when the last of them came, in seconds since 1970.
    pub(crate) fn loaded(&self, blocks: usize, new: u64, changed_at_s: f64, took: Duration) {
        self.loaded.set(blocks as f64);
        if new > 0 {
            self.loads.add(new);
            self.last_loaded.set(changed_at_s);
            self.load_seconds.observe(took.as_secs_f64());
        }
    }

    /// A request waited so long for its turn.
    pub(crate) fn waited(&self, took: Duration) {
        self.gate_seconds.iter().for_each(|histogram| histogram.observe(took.as_secs_f64()));
    }

    /// A request reached a limit.
    pub(crate) fn dropped(&self, tenant: Option<&str>, reason: &str) {
        self.dropped.with(&[reason, tenant.unwrap_or(DEFAULT_TENANT)]).add(1);
    }

    /// A request has to do without so many blocks.
    pub(crate) fn unreadable(&self, tenant: Option<&str>, blocks: u64) {
        self.partial.with(&[tenant.unwrap_or(DEFAULT_TENANT)]).add(blocks);
    }

    /// A series was sent with so many bytes of chunks.
    pub(crate) fn chunk_bytes(&self, tenant: Option<&str>) -> Arc<Histogram> {
        self.answers.chunk_bytes(tenant.unwrap_or(DEFAULT_TENANT))
    }

    /// A Series call came to its end.
    pub(crate) fn answered(&self, tenant: Option<&str>, answered: &Answered) {
        self.answers.observe(tenant.unwrap_or(DEFAULT_TENANT), answered);
    }
}

/// Gate and memory, read when somebody asks.
fn show_sizes(registry: &Registry, gate: Gate, ceiling: Ceiling) {
    registry.snapshot(move |page| {
        let mut one = |name: &str, kind: Type, help: &str, value: u64| {
            page.family(name, kind, help);
            page.sample(name, "", &[], value as f64);
        };
        const GATE: &str = "thanos_bucket_store_series_gate_queries";
        one(&format!("{GATE}_max"), Type::Gauge, "Maximum number of concurrent queries.", gate.most());
        one(
            &format!("{GATE}_in_flight"),
            Type::Gauge,
            "Number of queries that are currently in flight.",
            gate.inside(),
        );
        one(&format!("{GATE}_total"), Type::Counter, "Total number of queries.", gate.passed());
        let filling = ceiling.filling();
        one(
            "sarsen_store_memory_ceiling_bytes",
            Type::Gauge,
            "Bytes that requests may hold; 0: any.",
            ceiling.total(),
        );
        one("sarsen_store_memory_used_bytes", Type::Gauge, "Bytes that requests hold.", filling.used);
        one("sarsen_store_memory_peak_bytes", Type::Gauge, "The most they ever held.", filling.peak);
        one("sarsen_store_memory_waiting", Type::Gauge, "Requests that wait for memory.", filling.waiting);
        one(
            "sarsen_store_memory_refused_total",
            Type::Counter,
            "Requests refused for want of memory.",
            filling.refused,
        );
    });
}
