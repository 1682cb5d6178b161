//! What HTTP servers do: requests, their length, their sizes, by handler, method and answer.

use std::sync::Arc;
use std::time::Duration;

use super::{Counter, Family, Histogram, Registry};

const SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0,
    4.0, 5.0,
];
const SIZES: &[f64] = &[64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0];
const LABELS: &[&str] = &["code", "handler", "method", "tenant"];

/// The counters of every HTTP server of the process.
#[derive(Debug, Clone)]
pub(crate) struct HttpMetrics {
    requests: Arc<Family<Counter>>,
    seconds: Arc<Family<Histogram>>,
    request_bytes: Arc<Family<Histogram>>,
    response_bytes: Arc<Family<Histogram>>,
}

/// A request that has been answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered<'a> {
    /// Which handler took it: `receive`.
    pub(crate) handler: &'a str,
    /// Its method, any case.
    pub(crate) method: &'a str,
    /// Its tenant, empty if it has none.
    pub(crate) tenant: &'a str,
    pub(crate) code: u16,
    pub(crate) took: Duration,
    pub(crate) request_bytes: u64,
    /// `None` if nobody counted.
    pub(crate) response_bytes: Option<u64>,
}

impl HttpMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            requests: registry.family("http_requests_total", "Tracks the number of HTTP requests.", LABELS),
            seconds: registry.histograms(
                "http_request_duration_seconds",
                "Tracks the latencies for HTTP requests.",
                LABELS,
                SECONDS,
            ),
            request_bytes: registry.histograms(
                "http_request_size_bytes",
                "Tracks the size of HTTP requests.",
                LABELS,
                SIZES,
            ),
            response_bytes: registry.histograms(
                "http_response_size_bytes",
                "Tracks the size of HTTP responses.",
                LABELS,
                SIZES,
            ),
        }
    }

    /// A request has been answered.
    pub(crate) fn answered(&self, seen: Answered<'_>) {
        let (code, method) = (seen.code.to_string(), seen.method.to_ascii_lowercase());
        let labels = [code.as_str(), seen.handler, method.as_str(), seen.tenant];
        self.requests.with(&labels).add(1);
        self.seconds.with(&labels).observe(seen.took.as_secs_f64());
        self.request_bytes.with(&labels).observe(seen.request_bytes as f64);
        if let Some(bytes) = seen.response_bytes {
            self.response_bytes.with(&labels).observe(bytes as f64);
        }
    }
}
