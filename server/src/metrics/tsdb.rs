//! What the databases do and how large they are: Prometheus' `prometheus_tsdb_*` with the label `tenant`, and our own.
//!
//! Events are counted as they happen, by one observer per tenant; sizes are read from the databases when somebody asks.
//! Names whose thing does not exist here (pages of a log, memory-mapped head chunks, isolation) are left out.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use sarsen_tsdb::{
    Committed, CutReport, ExemplarReason, ExemplarRefusal, OpenReport, Reason, SetAside, Stats, TsdbObserver,
};

use super::{Counter, Family, Gauge, Histogram, Registry, sizes};

const T: &[&str] = &["tenant"];
const TYPED: &[&str] = &["tenant", "type"];
const CUT_SECONDS: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];

/// The families of all tenants.
#[derive(Debug, Clone)]
pub(crate) struct TsdbMetrics {
    appended: Arc<Family<Counter>>,
    out_of_order: Arc<Family<Counter>>,
    out_of_bounds: Arc<Family<Counter>>,
    too_old: Arc<Family<Counter>>,
    refused: Arc<Family<Counter>>,
    identical: Arc<Family<Counter>>,
    overtaken: Arc<Family<Counter>>,
    late: Arc<Family<Counter>>,
    exemplars: Arc<Family<Counter>>,
    exemplars_out_of_order: Arc<Family<Counter>>,
    commits_failed: Arc<Family<Counter>>,
    cuts: CutFamilies,
    log_damages: Arc<Family<Counter>>,
    log_lost_bytes: Arc<Family<Counter>>,
    replay_seconds: Arc<Family<Gauge>>,
    blocks_set_aside: Arc<Family<Counter>>,
}

/// What happens to ranges of heads, and to the logs behind them.
#[derive(Debug, Clone)]
struct CutFamilies {
    cuts_triggered: Arc<Family<Counter>>,
    cuts: Arc<Family<Counter>>,
    cuts_failed: Arc<Family<Counter>>,
    cut_seconds: Arc<Family<Histogram>>,
    cut_running: Arc<Family<Gauge>>,
    head_truncations: Arc<Family<Counter>>,
    log_truncations: Arc<Family<Counter>>,
    log_truncations_failed: Arc<Family<Counter>>,
}

impl CutFamilies {
    fn new(registry: &Registry) -> Self {
        let count = |name, help| registry.family::<Counter>(name, help, T);
        Self {
            cuts_triggered: count(
                "prometheus_tsdb_compactions_triggered_total",
                "Total number of triggered compactions for the partition.",
            ),
            cuts: count(
                "prometheus_tsdb_compactions_total",
                "Total number of compactions that were executed for the partition.",
            ),
            cuts_failed: count(
                "prometheus_tsdb_compactions_failed_total",
                "Total number of compactions that failed for the partition.",
            ),
            cut_seconds: registry.histograms(
                "prometheus_tsdb_compaction_duration_seconds",
                "Duration of compaction runs",
                T,
                CUT_SECONDS,
            ),
            cut_running: registry.family(
                "prometheus_tsdb_compaction_populating_block",
                "Set to 1 when a block is currently being written to the disk.",
                T,
            ),
            head_truncations: count(
                "prometheus_tsdb_head_truncations_total",
                "Total number of head truncations attempted.",
            ),
            log_truncations: count(
                "prometheus_tsdb_wal_truncations_total",
                "Total number of WAL truncations attempted.",
            ),
            log_truncations_failed: count(
                "prometheus_tsdb_wal_truncations_failed_total",
                "Total number of WAL truncations that failed.",
            ),
        }
    }
}

impl TsdbMetrics {
    /// Registers the families; `databases` gives every open database's tenant and sizes at scrape time.
    pub(crate) fn new(
        registry: &Registry,
        databases: impl Fn() -> Vec<(String, Stats)> + Send + Sync + 'static,
    ) -> Self {
        registry.snapshot(move |page| sizes::write(page, &databases()));
        let count = |name, help| registry.family::<Counter>(name, help, T);
        let typed = |name, help| registry.family::<Counter>(name, help, TYPED);
        Self {
            appended: typed(
                "prometheus_tsdb_head_samples_appended_total",
                "Total number of appended samples.",
            ),
            out_of_order: typed(
                "prometheus_tsdb_out_of_order_samples_total",
                "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
            ),
            out_of_bounds: typed(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
            ),
            too_old: typed(
                "prometheus_tsdb_too_old_samples_total",
                "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.",
            ),
            refused: registry.family(
                "sarsen_tsdb_refused_samples_total",
                "Samples that were not stored, by reason.",
                &["tenant", "reason"],
            ),
            identical: count(
                "sarsen_tsdb_identical_samples_total",
                "Samples equal to the newest of their series.",
            ),
            overtaken: count(
                "sarsen_tsdb_overtaken_samples_total",
                "Samples dropped because another of the same series in the same batch was as new or newer.",
            ),
            late: typed(
                "prometheus_tsdb_head_out_of_order_samples_appended_total",
                "Total number of appended out of order samples.",
            ),
            exemplars: count(
                "prometheus_tsdb_exemplar_exemplars_appended_total",
                "Total number of appended exemplars.",
            ),
            exemplars_out_of_order: count(
                "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
                "Total number of out of order exemplar ingestion failed attempts.",
            ),
            commits_failed: count(
                "prometheus_tsdb_wal_writes_failed_total",
                "Total number of WAL writes that failed.",
            ),
            cuts: CutFamilies::new(registry),
            log_damages: count("prometheus_tsdb_wal_corruptions_total", "Total number of WAL corruptions."),
            log_lost_bytes: count(
                "sarsen_tsdb_log_lost_bytes_total",
                "Bytes of log that were cut off because of damage.",
            ),
            replay_seconds: registry.family(
                "prometheus_tsdb_data_replay_duration_seconds",
                "Time taken to replay the data on disk.",
                T,
            ),
            blocks_set_aside: count(
                "sarsen_tsdb_blocks_set_aside_total",
                "Local blocks that cannot be read and are left where they are.",
            ),
        }
    }

    /// The observer of one tenant's database, made just before it is opened.
    pub(crate) fn tenant(&self, tenant: &str) -> TenantTsdb {
        let one = |family: &Arc<Family<Counter>>| family.with(&[tenant]);
        let float = |family: &Arc<Family<Counter>>| family.with(&[tenant, "float"]);
        let why = |reason: &str| self.refused.with(&[tenant, reason]);
        TenantTsdb {
            appended: float(&self.appended),
            out_of_order: [float(&self.out_of_order), why("out_of_order")],
            out_of_bounds: [float(&self.out_of_bounds), why("out_of_bounds")],
            too_old: [float(&self.too_old), why("too_old")],
            late: float(&self.late),
            broken_histogram: why("broken_histogram"),
            duplicate_value: why("duplicate_value"),
            too_far_in_future: why("too_far_in_future"),
            identical: one(&self.identical),
            overtaken: one(&self.overtaken),
            exemplars: one(&self.exemplars),
            exemplars_out_of_order: one(&self.exemplars_out_of_order),
            commits_failed: one(&self.commits_failed),
            cuts_triggered: one(&self.cuts.cuts_triggered),
            cuts: one(&self.cuts.cuts),
            cuts_failed: one(&self.cuts.cuts_failed),
            cut_seconds: self.cuts.cut_seconds.with(&[tenant]),
            cut_running: self.cuts.cut_running.with(&[tenant]),
            head_truncations: one(&self.cuts.head_truncations),
            log_truncations: one(&self.cuts.log_truncations),
            log_truncations_failed: one(&self.cuts.log_truncations_failed),
            log_damages: one(&self.log_damages),
            log_lost_bytes: one(&self.log_lost_bytes),
            replay_seconds: self.replay_seconds.with(&[tenant]),
            blocks_set_aside: one(&self.blocks_set_aside),
            made: Instant::now(),
            cut_since: Mutex::new(None),
        }
    }
}

/// Listens to one tenant's database.
#[derive(Debug)]
pub(crate) struct TenantTsdb {
    appended: Arc<Counter>,
    /// Each of these three is counted under Prometheus' name and under ours.
    out_of_order: [Arc<Counter>; 2],
    out_of_bounds: [Arc<Counter>; 2],
    too_old: [Arc<Counter>; 2],
    late: Arc<Counter>,
    broken_histogram: Arc<Counter>,
    duplicate_value: Arc<Counter>,
    too_far_in_future: Arc<Counter>,
    identical: Arc<Counter>,
    overtaken: Arc<Counter>,
    exemplars: Arc<Counter>,
    exemplars_out_of_order: Arc<Counter>,
    commits_failed: Arc<Counter>,
    cuts_triggered: Arc<Counter>,
    cuts: Arc<Counter>,
    cuts_failed: Arc<Counter>,
    cut_seconds: Arc<Histogram>,
    cut_running: Arc<Gauge>,
    head_truncations: Arc<Counter>,
    log_truncations: Arc<Counter>,
    log_truncations_failed: Arc<Counter>,
    log_damages: Arc<Counter>,
    log_lost_bytes: Arc<Counter>,
    replay_seconds: Arc<Gauge>,
    blocks_set_aside: Arc<Counter>,
    made: Instant,
    cut_since: Mutex<Option<Instant>>,
}

impl TenantTsdb {
    fn cut_ended(&self) {
        self.cut_running.set(0.0);
        if let Some(since) = self.cut_since.lock().take() {
            self.cut_seconds.observe(since.elapsed().as_secs_f64());
        }
    }
}

impl TsdbObserver for TenantTsdb {
    fn committed(&self, outcome: &Committed) {
        self.appended.add(outcome.accepted);
        self.late.add(outcome.late);
        self.identical.add(outcome.duplicates);
        self.overtaken.add(outcome.overtaken);
        self.exemplars.add(outcome.exemplars.accepted);
        let is_out_of_order = |refusal: &&ExemplarRefusal| refusal.reason == ExemplarReason::OutOfOrder;
        let out_of_order = outcome.exemplars.refused.iter().filter(is_out_of_order).count();
        self.exemplars_out_of_order.add(out_of_order as u64);
        for refusal in &outcome.refused {
            match refusal.reason {
                Reason::OutOfOrder => self.out_of_order.iter().for_each(|counter| counter.add(1)),
                Reason::OutOfBounds => self.out_of_bounds.iter().for_each(|counter| counter.add(1)),
                Reason::TooOld => self.too_old.iter().for_each(|counter| counter.add(1)),
                Reason::BrokenHistogram => self.broken_histogram.add(1),
                Reason::DuplicateValue => self.duplicate_value.add(1),
                Reason::TooFarInFuture => self.too_far_in_future.add(1),
                _ => {}
            }
        }
    }

    fn commit_failed(&self) {
        self.commits_failed.add(1);
    }

    fn opened(&self, report: &OpenReport) {
        self.replay_seconds.set(self.made.elapsed().as_secs_f64());
        for lost in &report.lost {
            self.log_damages.add(1);
            self.log_lost_bytes.add(lost.bytes);
        }
    }

    fn cut_started(&self) {
        self.cuts_triggered.add(1);
        self.cut_running.set(1.0);
        *self.cut_since.lock() = Some(Instant::now());
    }

    fn cut(&self, report: &CutReport) {
        if report.block.is_some() {
            self.cuts.add(1);
        }
        self.head_truncations.add(1);
        self.cut_ended();
    }

    fn cut_failed(&self) {
        self.cuts_failed.add(1);
        self.cut_ended();
    }

    fn log_truncated(&self) {
        self.log_truncations.add(1);
    }

    fn log_truncation_failed(&self) {
        self.log_truncations.add(1);
        self.log_truncations_failed.add(1);
    }

    fn block_set_aside(&self, _: &SetAside) {
        self.blocks_set_aside.add(1);
    }
}
