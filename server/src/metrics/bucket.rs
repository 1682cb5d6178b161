//! What is asked of the object store, and how it goes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sarsen_bucket::{BucketObserver, Finished, Operation, Outcome};

use super::{Counter, Family, Gauge, Histogram, Registry};

const LABELS: &[&str] = &["bucket", "operation"];
const SECONDS: &[f64] = &[0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];
const KIB: f64 = 1024.0;
const BYTES: &[f64] = &[
    32.0 * KIB,
    64.0 * KIB,
    128.0 * KIB,
    256.0 * KIB,
    512.0 * KIB,
    1024.0 * KIB,
    2048.0 * KIB,
    4096.0 * KIB,
    8192.0 * KIB,
    16384.0 * KIB,
    32768.0 * KIB,
    65536.0 * KIB,
    131_072.0 * KIB,
    262_144.0 * KIB,
    524_288.0 * KIB,
    1_048_576.0 * KIB,
];

/// Listens to one bucket.
#[derive(Debug)]
pub(crate) struct BucketMetrics {
    bucket: String,
    operations: Arc<Family<Counter>>,
    failures: Arc<Family<Counter>>,
    seconds: Arc<Family<Histogram>>,
    bytes: Arc<Family<Histogram>>,
    fetched: Arc<Family<Counter>>,
    retries: Arc<Family<Counter>>,
    last_upload: [Arc<Gauge>; 2],
}

impl BucketMetrics {
    /// Registers the families for the bucket of this name; every operation is there from the start.
    pub(crate) fn new(registry: &Registry, bucket: &str) -> Self {
        let last = |name, help| registry.family::<Gauge>(name, help, &["bucket"]).with(&[bucket]);
        let metrics = Self {
            bucket: bucket.to_owned(),
            operations: registry.family("thanos_objstore_bucket_operations_total", "Total number of all attempted operations against a bucket.", LABELS),
            failures: registry.family("thanos_objstore_bucket_operation_failures_total", "Total number of operations against a bucket that failed, but were not expected to fail in certain way from caller perspective. Those errors have to be investigated.", LABELS),
            seconds: registry.histograms("thanos_objstore_bucket_operation_duration_seconds", "Duration of successful operations against the bucket per operation - iter operations include time spent on each callback.", LABELS, SECONDS),
            bytes: registry.histograms("thanos_objstore_bucket_operation_transferred_bytes", "Number of bytes transferred from/to bucket per operation.", LABELS, BYTES),
            fetched: registry.family("thanos_objstore_bucket_operation_fetched_bytes_total", "Total number of bytes fetched from bucket, per operation.", LABELS),
            retries: registry.family("sarsen_objstore_retries_total", "Operations that were tried again.", LABELS),
            last_upload: [
                last("thanos_objstore_bucket_last_successful_upload_time", "Second timestamp of the last successful upload to the bucket."),
                last("thanos_shipper_last_successful_upload_time", "The same under the name that runbooks use."),
            ],
        };
        for operation in Operation::ALL {
            let labels = [bucket, operation.as_str()];
            metrics.operations.with(&labels);
            metrics.failures.with(&labels);
            metrics.seconds.with(&labels);
        }
        metrics
    }
}

impl BucketObserver for BucketMetrics {
    fn finished(&self, ended: &Finished) {
        let labels = [self.bucket.as_str(), ended.operation.as_str()];
        self.operations.with(&labels).add(1);
        if ended.retries > 0 {
            self.retries.with(&labels).add(u64::from(ended.retries));
        }
        if ended.outcome == Outcome::Failed {
            self.failures.with(&labels).add(1);
            return;
        }
        self.seconds.with(&labels).observe(ended.took.as_secs_f64());
        match ended.operation {
            Operation::Upload => {
                self.bytes.with(&labels).observe(ended.bytes as f64);
                let now =
                    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
                self.last_upload.iter().for_each(|gauge| gauge.set(now));
            }
            Operation::Get | Operation::GetRange => {
                self.bytes.with(&labels).observe(ended.bytes as f64);
                self.fetched.with(&labels).add(ended.bytes);
            }
            _ => {}
        }
    }
}
