//! What the logs write: frames, bytes, what compression saved, syncs and how long they took.
//!
//! A log writes and then syncs on one thread, so a sync took the time since the last write.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use sarsen_wal::{Appended, WalObserver};

use super::{Counter, Family, Registry, Summary};

const T: &[&str] = &["tenant"];

/// The families of all tenants.
#[derive(Debug, Clone)]
pub(crate) struct LogMetrics {
    frames: Arc<Family<Counter>>,
    bytes: Arc<Family<Counter>>,
    saved: Arc<Family<Counter>>,
    writes: Arc<Family<Counter>>,
    syncs: Arc<Family<Counter>>,
    sync_seconds: Arc<Family<Summary>>,
    failures: Arc<Family<Counter>>,
}

impl LogMetrics {
    /// Registers the families.
    pub(crate) fn new(registry: &Registry) -> Self {
        let count = |name, help| registry.family::<Counter>(name, help, T);
        Self {
            frames: count(
                "prometheus_tsdb_wal_record_part_writes_total",
                "Total number of record parts written before flushing.",
            ),
            bytes: count(
                "prometheus_tsdb_wal_record_parts_bytes_written_total",
                "Total number of record part bytes written before flushing, including CRC and compression headers.",
            ),
            saved: registry.family(
                "prometheus_tsdb_wal_record_bytes_saved_total",
                "Total number of bytes saved by the optional record compression. Use this metric to learn about the effectiveness compression.",
                &["compression", "tenant"],
            ),
            writes: count("sarsen_tsdb_log_writes_total", "Writes to the file of the log."),
            syncs: count("sarsen_tsdb_log_syncs_total", "Syncs of the log; one serves all commits that wait for it."),
            sync_seconds: registry.family(
                "prometheus_tsdb_wal_fsync_duration_seconds",
                "Duration of write log fsync.",
                T,
            ),
            failures: count("sarsen_tsdb_log_failures_total", "Writes or syncs of the log that failed."),
        }
    }

    /// The observer of one tenant's log.
    pub(crate) fn tenant(&self, tenant: &str) -> TenantLog {
        let one = |family: &Arc<Family<Counter>>| family.with(&[tenant]);
        TenantLog {
            frames: one(&self.frames),
            bytes: one(&self.bytes),
            saved: self.saved.with(&["zstd", tenant]),
            writes: one(&self.writes),
            syncs: one(&self.syncs),
            sync_seconds: self.sync_seconds.with(&[tenant]),
            written: Mutex::new(None),
            failures: one(&self.failures),
        }
    }
}

/// Listens to one tenant's log.
#[derive(Debug)]
pub(crate) struct TenantLog {
    frames: Arc<Counter>,
    bytes: Arc<Counter>,
    saved: Arc<Counter>,
    writes: Arc<Counter>,
    syncs: Arc<Counter>,
    sync_seconds: Arc<Summary>,
    /// When the write ended that is not synced yet.
    written: Mutex<Option<Instant>>,
    failures: Arc<Counter>,
}

impl WalObserver for TenantLog {
    fn appended(&self, batch: Appended) {
        self.frames.add(batch.frames);
        self.bytes.add(batch.stored_bytes);
        self.saved.add(batch.raw_bytes.saturating_sub(batch.stored_bytes));
    }

    fn wrote(&self, _: u64) {
        self.writes.add(1);
        *self.written.lock() = Some(Instant::now());
    }

    fn synced(&self) {
        self.syncs.add(1);
        if let Some(since) = self.written.lock().take() {
            let now = Instant::now();
            self.sync_seconds.observe(now.duration_since(since).as_secs_f64(), now);
        }
    }

    fn failed(&self) {
        self.failures.add(1);
    }
}
