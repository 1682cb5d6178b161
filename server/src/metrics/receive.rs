//! What the receive role does: requests, limits, databases opened, blocks shipped, and what still waits to be shipped.

use std::sync::Arc;

use super::http::{Answered, HttpMetrics};
use super::{Counter, Family, Gauge, Histogram, Registry};
use crate::receive::{ReceiveObserver, Refused, ShipOutcome, WriteSeen};

const T: &[&str] = &["tenant"];
const COUNTS: &[f64] = &[10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0, 10000.0];

/// Listens to the receive role.
#[derive(Debug)]
pub(crate) struct ReceiveMetrics {
    http: HttpMetrics,
    requests: Requests,
    databases: Databases,
    shipping: Shipping,
    limits_reloads: Arc<Counter>,
    limits_reload_errors: Arc<Counter>,
}

#[derive(Debug)]
struct Requests {
    timeseries: Arc<Family<Histogram>>,
    samples: Arc<Family<Histogram>>,
    pending: Arc<Gauge>,
    refused: Arc<Family<Counter>>,
    limit_hits: Arc<Family<Counter>>,
    head_series_limited: Arc<Family<Counter>>,
}

#[derive(Debug)]
struct Databases {
    attempted: Arc<Counter>,
    completed: Arc<Counter>,
    failures: Arc<Family<Counter>>,
}

#[derive(Debug)]
struct Shipping {
    looks: Arc<Family<Counter>>,
    looks_failed: Arc<Family<Counter>>,
    uploads: Arc<Family<Counter>>,
    uploads_failed: Arc<Family<Counter>>,
    corrupted: Arc<Family<Counter>>,
}

impl Shipping {
    fn new(registry: &Registry) -> Self {
        let count = |name, help| registry.family::<Counter>(name, help, T);
        Self {
            looks: count("thanos_shipper_dir_syncs_total", "Total number of dir syncs"),
            looks_failed: count("thanos_shipper_dir_sync_failures_total", "Total number of failed dir syncs"),
            uploads: count("thanos_shipper_uploads_total", "Total number of uploaded blocks"),
            uploads_failed: count(
                "thanos_shipper_upload_failures_total",
                "Total number of block upload failures",
            ),
            corrupted: count("thanos_shipper_corrupted_blocks_total", "Total number of corrupted blocks"),
        }
    }

    /// Makes a tenant's counters, so that rates work from the first event.
    fn begin(&self, tenant: &str) {
        for family in [&self.looks, &self.looks_failed, &self.uploads, &self.uploads_failed, &self.corrupted]
        {
            family.with(&[tenant]);
        }
    }
}

impl Requests {
    fn new(registry: &Registry) -> Self {
        let labels = &["code", "tenant"];
        let pending = registry.family::<Gauge>(
            "thanos_receive_pending_write_requests",
            "The number of pending write requests.",
            &[],
        );
        Self {
            timeseries: registry.histograms(
                "thanos_receive_write_timeseries",
                "The number of timeseries received in the incoming write requests.",
                labels,
                COUNTS,
            ),
            samples: registry.histograms(
                "thanos_receive_write_samples",
                "The number of sampled received in the incoming write requests.",
                labels,
                COUNTS,
            ),
            pending: pending.with(&[]),
            refused: registry.family(
                "sarsen_receive_refused_total",
                "Series (labels) and samples (the rest) that were refused, by reason.",
                &["reason", "tenant"],
            ),
            limit_hits: registry.family(
                "sarsen_receive_limit_hits_total",
                "Requests refused by a limit.",
                &["limit", "tenant"],
            ),
            head_series_limited: registry.family(
                "thanos_receive_head_series_limited_requests_total",
                "The total number of remote write requests that have been dropped due to active series limiting.",
                T,
            ),
        }
    }
}

impl Databases {
    fn new(registry: &Registry) -> Self {
        let alone = |name, help| registry.family::<Counter>(name, help, &[]).with(&[]);
        Self {
            attempted: alone(
                "thanos_receive_multi_db_updates_attempted_total",
                "Number of Multi DB attempted reloads with flush and potential upload due to hashring changes",
            ),
            completed: alone(
                "thanos_receive_multi_db_updates_completed_total",
                "Number of Multi DB completed reloads with flush and potential upload due to hashring changes",
            ),
            failures: registry.family(
                "sarsen_receive_database_open_failures_total",
                "Databases that could not be opened.",
                T,
            ),
        }
    }
}

impl ReceiveMetrics {
    /// Registers the families.
    pub(crate) fn new(registry: &Registry, http: HttpMetrics) -> Self {
        let alone = |name, help| registry.family::<Counter>(name, help, &[]).with(&[]);
        no_ring(registry);
        Self {
            http,
            requests: Requests::new(registry),
            databases: Databases::new(registry),
            shipping: Shipping::new(registry),
            limits_reloads: alone(
                "thanos_receive_limits_config_reload_total",
                "How many times the limit configuration was reloaded",
            ),
            limits_reload_errors: alone(
                "thanos_receive_limits_config_reload_err_total",
                "How many times the limit configuration failed to reload.",
            ),
        }
    }
}

/// What alerts about replication read, on a node without a ring.
fn no_ring(registry: &Registry) {
    for name in ["thanos_receive_forward_requests_total", "thanos_receive_replications_total"] {
        let help =
            "Requests to other receivers: this one has none, the series are there for alerts that read them.";
        let family = registry.family::<Counter>(name, help, &["result"]);
        family.with(&["success"]);
        family.with(&["error"]);
    }
    let factor = registry.family::<Gauge>(
        "thanos_receive_replication_factor",
        "The number of times to replicate incoming write requests.",
        &[],
    );
    factor.with(&[]).set(1.0);
}

impl ReceiveObserver for ReceiveMetrics {
    fn wrote(&self, seen: WriteSeen<'_>) {
        let code = seen.status.to_string();
        self.requests.timeseries.with(&[&code, seen.tenant]).observe(seen.series as f64);
        self.requests.samples.with(&[&code, seen.tenant]).observe(seen.samples as f64);
        self.http.answered(Answered {
            handler: "receive",
            method: "post",
            tenant: seen.tenant,
            code: seen.status,
            took: seen.took,
            request_bytes: seen.body_bytes,
            // A write that was taken has an empty answer; how long a refusal's text is, is not worth a count.
            response_bytes: (seen.status < 300).then_some(0),
        });
    }

    fn in_work(&self, change: i64) {
        self.requests.pending.add(change as f64);
    }

    fn refused(&self, tenant: &str, why: Refused, count: u64) {
        let reason = match why {
            Refused::Labels => "labels",
            Refused::OutOfOrder => "out_of_order",
            Refused::OutOfBounds => "out_of_bounds",
            Refused::TooOld => "too_old",
            Refused::Duplicate => "duplicate",
            Refused::Exemplars => "exemplars",
            Refused::Broken => "broken_histogram",
        };
        self.requests.refused.with(&[reason, tenant]).add(count);
    }

    fn limit_hit(&self, tenant: &str, limit: &'static str) {
        self.requests.limit_hits.with(&[limit, tenant]).add(1);
        if limit == "head_series" {
            self.requests.head_series_limited.with(&[tenant]).add(1);
        }
    }

    fn database_opened(&self, tenant: &str, why: Option<&str>) {
        self.databases.attempted.add(1);
        self.shipping.begin(tenant);
        match why {
            None => self.databases.completed.add(1),
            Some(_) => self.databases.failures.with(&[tenant]).add(1),
        }
    }

    fn shipped(&self, tenant: &str, outcome: ShipOutcome) {
        let shipping = &self.shipping;
        shipping.looks.with(&[tenant]).add(1);
        if !outcome.synced {
            shipping.looks_failed.with(&[tenant]).add(1);
        }
        shipping.uploads.with(&[tenant]).add(outcome.uploaded);
        shipping.uploads_failed.with(&[tenant]).add(outcome.failed);
        shipping.corrupted.with(&[tenant]).add(outcome.corrupted);
    }

    fn limits_reloaded(&self, ok: bool) {
        self.limits_reloads.add(1);
        if !ok {
            self.limits_reload_errors.add(1);
        }
    }
}
