//! What a querier does: queries at the same time, how long they take and wait, what range they ask for.

use std::sync::Arc;
use std::time::Duration;

use super::{Counter, Family, Gauge, Histogram, Registry};

const GATE: &[f64] =
    &[0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];
const SPANS: &[f64] = &[
    900.0,
    1800.0,
    3600.0,
    7200.0,
    14400.0,
    28800.0,
    57600.0,
    115_200.0,
    230_400.0,
    460_800.0,
    921_600.0,
    1_843_200.0,
];
const STORES: &[f64] = &[0.1, 0.25, 0.75, 1.25, 1.75, 2.5, 3.0, 5.0, 10.0];
const SAMPLES: &[(f64, &str)] =
    &[(1e2, "100"), (1e3, "1000"), (1e4, "10000"), (1e5, "100000"), (1e6, "1e+06")];
const SERIES: &[(f64, &str)] = &[(1e1, "10"), (1e2, "100"), (1e3, "1000"), (1e4, "10000"), (1e5, "100000")];

/// The counters of a querier.
#[derive(Debug, Clone)]
pub(crate) struct QueryMetrics {
    /// Queries at the same time.
    pub(crate) queries: GateMetrics,
    /// Selections of queries at the same time.
    pub(crate) selects: GateMetrics,
    spans: Arc<Histogram>,
    stores: Arc<Family<Histogram>>,
    engine: Arc<Gauge>,
    samples: Arc<Counter>,
}

/// A gate that lets so many through at the same time.
#[derive(Debug, Clone)]
pub(crate) struct GateMetrics {
    in_flight: Arc<Gauge>,
    /// The name that older alerts have for it.
    alias: Arc<Gauge>,
    total: Arc<Counter>,
    waited: Arc<Histogram>,
}

struct GateNames {
    max: &'static str,
    in_flight: &'static str,
    total: &'static str,
    seconds: &'static str,
    alias: &'static str,
}

impl GateMetrics {
    fn new(registry: &Registry, names: &GateNames, most: usize) -> Self {
        let gauge = |name, help| registry.family::<Gauge>(name, help, &[]).with(&[]);
        gauge(names.max, "Maximum number of concurrent queries.").set(most as f64);
        Self {
            in_flight: gauge(names.in_flight, "Number of queries that are currently in flight."),
            alias: gauge(names.alias, "The same under an older name."),
            total: registry
                .family::<Counter>(names.total, "Total number of queries that passed the gate.", &[])
                .with(&[]),
            waited: registry
                .histograms(
                    names.seconds,
                    "How many seconds it took for queries to wait at the gate.",
                    &[],
                    GATE,
                )
                .with(&[]),
        }
    }

    /// One more is in, having waited so long.
    pub(crate) fn entered(&self, waited: Duration) {
        self.total.add(1);
        self.waited.observe(waited.as_secs_f64());
        self.in_flight.add(1.0);
        self.alias.add(1.0);
    }

    /// One is out.
    pub(crate) fn left(&self) {
        self.in_flight.add(-1.0);
        self.alias.add(-1.0);
    }
}

impl QueryMetrics {
    /// Registers the families; so many queries run at the same time, and so many selections of each.
    pub(crate) fn new(registry: &Registry, most: usize, selects: usize) -> Self {
        let queries = GateNames {
            max: "thanos_query_concurrent_gate_queries_max",
            in_flight: "thanos_query_concurrent_gate_queries_in_flight",
            total: "thanos_query_concurrent_gate_queries_total",
            seconds: "thanos_query_concurrent_gate_queries_duration_seconds",
            alias: "thanos_query_concurrent_queries",
        };
        let selections = GateNames {
            max: "thanos_query_concurrent_selects_gate_selects_max",
            in_flight: "thanos_query_concurrent_selects_gate_selects_in_flight",
            total: "thanos_query_concurrent_selects_gate_selects_total",
            seconds: "thanos_query_concurrent_selects_gate_selects_duration_seconds",
            alias: "thanos_query_concurrent_selects",
        };
        let gauge = |name, help| registry.family::<Gauge>(name, help, &[]).with(&[]);
        gauge("prometheus_engine_queries_concurrent_max", "The max number of concurrent queries.")
            .set(most as f64);
        Self {
            queries: GateMetrics::new(registry, &queries, most),
            selects: GateMetrics::new(registry, &selections, selects),
            spans: registry
                .histograms(
                    "thanos_query_range_requested_timespan_duration_seconds",
                    "A histogram of the query range window in seconds",
                    &[],
                    SPANS,
                )
                .with(&[]),
            stores: registry.histograms(
                "thanos_store_api_query_duration_seconds",
                "Duration of the Thanos Store API select phase for a query.",
                &["series_le", "samples_le", "tenant"],
                STORES,
            ),
            engine: gauge(
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting.",
            ),
            samples: registry
                .family::<Counter>(
                    "prometheus_engine_query_samples_total",
                    "The total number of samples loaded by all queries.",
                    &[],
                )
                .with(&[]),
        }
    }

    /// A query over a range of this length has come.
    pub(crate) fn asked_range(&self, length: Duration) {
        self.spans.observe(length.as_secs_f64());
    }

    /// One more query (1) or one less (-1).
    pub(crate) fn active(&self, by: f64) {
        self.engine.add(by);
    }

    /// A query has been answered, from so much.
    pub(crate) fn answered(&self, tenant: &str, took: Duration, series: u64, samples: u64) {
        self.samples.add(samples);
        let within = |steps: &[(f64, &'static str)], value: u64| {
            steps.iter().find(|(bound, _)| value as f64 <= *bound).map_or("+Inf", |(_, text)| *text)
        };
        self.stores
            .with(&[within(SERIES, series), within(SAMPLES, samples), tenant])
            .observe(took.as_secs_f64());
    }
}
