//! Headers of indexes: made from the bucket, opened from the local disk, closed when nobody asks for them.

use std::sync::Arc;
use std::time::Duration;

use sarsen_bucket::HeaderObserver;

use super::{Counter, Histogram, Registry};

const MADE: &[f64] = &[0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0];
const OPENED: &[f64] =
    &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0];

/// Listens to the headers of one bucket.
#[derive(Debug)]
pub(crate) struct HeaderMetrics {
    made: Arc<Histogram>,
    made_badly: Arc<Counter>,
    /// What Thanos shows of opening a file, and of opening it when it is asked for: here it is the same.
    opened: [Arc<Histogram>; 2],
    loads: Arc<Counter>,
    failed_loads: Arc<Counter>,
    unloads: Arc<Counter>,
}

impl HeaderMetrics {
    /// Registers the families.
    pub(crate) fn new(registry: &Registry) -> Self {
        let count = |name, help| registry.family::<Counter>(name, help, &[]).with(&[]);
        let seconds = |name, help, bounds| registry.histograms(name, help, &[], bounds).with(&[]);
        // A file that is closed cannot fail; the counter is there because dashboards ask for it.
        count(
            "thanos_bucket_store_indexheader_lazy_unload_failed_total",
            "Total number of failed index-header lazy unload operations.",
        );
        Self {
            made: seconds(
                "thanos_bucket_store_indexheader_download_duration_seconds",
                "Duration of the index-header download from objstore in seconds.",
                MADE,
            ),
            made_badly: count(
                "sarsen_store_indexheader_download_failures_total",
                "Headers of indexes that could not be made from the bucket.",
            ),
            opened: [
                seconds(
                    "thanos_bucket_store_indexheader_load_duration_seconds",
                    "Duration of the index-header loading in seconds.",
                    OPENED,
                ),
                seconds(
                    "thanos_bucket_store_indexheader_lazy_load_duration_seconds",
                    "Duration of the index-header lazy loading in seconds.",
                    OPENED,
                ),
            ],
            loads: count(
                "thanos_bucket_store_indexheader_lazy_load_total",
                "Total number of index-header lazy load operations.",
            ),
            failed_loads: count(
                "thanos_bucket_store_indexheader_lazy_load_failed_total",
                "Total number of failed index-header lazy load operations.",
            ),
            unloads: count(
                "thanos_bucket_store_indexheader_lazy_unload_total",
                "Total number of index-header lazy unload operations.",
            ),
        }
    }
}

impl HeaderObserver for HeaderMetrics {
    fn made(&self, took: Duration, well: bool) {
        if well {
            self.made.observe(took.as_secs_f64());
        } else {
            self.made_badly.add(1);
        }
    }

    fn opened(&self, took: Duration, well: bool) {
        self.loads.add(1);
        if well {
            self.opened.iter().for_each(|seconds| seconds.observe(took.as_secs_f64()));
        } else {
            self.failed_loads.add(1);
        }
    }

    fn closed(&self) {
        self.unloads.add(1);
    }
}
