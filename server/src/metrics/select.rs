//! What requests for series ask of a receiver or a querier.

use std::sync::Arc;

use super::{Counter, Family, Gauge, Histogram, Registry};
use crate::store::SelectObserver;

const SERIES: &[f64] = &[1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
const CHUNKS: &[f64] = &[1.0, 100.0, 1e3, 1e4, 1e5, 1e7, 1e8, 1e9];

/// Listens to the store of a receiver, or to that of a querier.
#[derive(Debug)]
pub(crate) struct SelectMetrics {
    series: Arc<Histogram>,
    chunks: Arc<Histogram>,
    pending: Arc<Gauge>,
    dropped: Arc<Family<Counter>>,
}

impl SelectMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let dropped = registry.family::<Counter>(
            "thanos_store_selects_dropped_total",
            "Number of select queries that were dropped due to configured limits.",
            &["reason"],
        );
        dropped.with(&["series"]);
        dropped.with(&["chunks"]);
        let pending = registry.family::<Gauge>(
            "thanos_store_server_pending_series_requests",
            "Number of pending series requests",
            &[],
        );
        let sizes = |name, help, bounds| registry.histograms(name, help, &[], bounds).with(&[]);
        Self {
            series: sizes(
                "thanos_store_server_series_requested",
                "Number of requested series for Series calls",
                SERIES,
            ),
            chunks: sizes(
                "thanos_store_server_chunks_requested",
                "Number of requested chunks for Series calls",
                CHUNKS,
            ),
            pending: pending.with(&[]),
            dropped,
        }
    }
}

impl SelectObserver for SelectMetrics {
    fn pending(&self, by: i64) {
        self.pending.add(by as f64);
    }

    fn sent(&self, series: u64, chunks: u64) {
        self.series.observe(series as f64);
        self.chunks.observe(chunks as f64);
    }

    fn dropped(&self, what: &'static str) {
        self.dropped.with(&[what]).add(1);
    }
}
