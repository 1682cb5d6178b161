//! What HTTP servers do: requests, their length, their sizes, by handler, method and answer.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "query")]
use super::Gauge;
use super::{Counter, Family, Histogram, Registry};

const SIZES: &[f64] = &[64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0];

/// Of roles that tell requests apart by tenant.
#[cfg(feature = "receive")]
mod with_tenants {
    pub(super) const SECONDS: &[f64] = &[
        0.001, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0,
        3.0, 4.0, 5.0,
    ];
    pub(super) const LABELS: &[&str] = &["code", "handler", "method", "tenant"];
}

/// The same for roles that do not know tenants; their buckets are others in Thanos too. A querier knows them and has these buckets.
#[cfg(any(feature = "compact", feature = "store", feature = "query"))]
mod plain {
    pub(super) const SECONDS: &[f64] =
        &[0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];
    #[cfg(any(feature = "compact", feature = "store"))]
    pub(super) const LABELS: &[&str] = &["code", "handler", "method"];
    #[cfg(feature = "query")]
    pub(super) const TENANTS: &[&str] = &["code", "handler", "method", "tenant"];
}

/// The counters of every HTTP server of the process.
#[derive(Debug, Clone)]
pub(crate) struct HttpMetrics {
    requests: Arc<Family<Counter>>,
    seconds: Arc<Family<Histogram>>,
    request_bytes: Arc<Family<Histogram>>,
    response_bytes: Arc<Family<Histogram>>,
    /// Requests that are open; of roles that show them.
    #[cfg(feature = "query")]
    open: Arc<Family<Gauge>>,
    /// Whether requests are told apart by tenant.
    tenants: bool,
}

/// A request that has no answer yet.
#[cfg(feature = "query")]
pub(crate) struct Open {
    metrics: HttpMetrics,
    handler: &'static str,
    method: String,
    tenant: String,
    gauge: Arc<Gauge>,
}

/// How a request was answered.
#[cfg(feature = "query")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) code: u16,
    pub(crate) took: Duration,
    pub(crate) request_bytes: u64,
    /// `None` if nobody counted.
    pub(crate) response_bytes: Option<u64>,
}

#[cfg(feature = "query")]
impl Open {
    /// It has been answered.
    pub(crate) fn answered(&self, seen: Request) {
        let Request { code, took, request_bytes, response_bytes } = seen;
        let (handler, method, tenant) = (self.handler, self.method.as_str(), self.tenant.as_str());
        self.metrics.answered(Answered {
            handler,
            method,
            tenant,
            code,
            took,
            request_bytes,
            response_bytes,
        });
    }
}

#[cfg(feature = "query")]
impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.add(-1.0);
    }
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
    /// Registers the families for a process that knows tenants.
    #[cfg(feature = "receive")]
    pub(crate) fn new(registry: &Registry) -> Self {
        Self::of(registry, with_tenants::LABELS, with_tenants::SECONDS, true)
    }

    /// Registers the families for a process that does not.
    #[cfg(any(feature = "compact", feature = "store"))]
    pub(crate) fn without_tenants(registry: &Registry) -> Self {
        Self::of(registry, plain::LABELS, plain::SECONDS, false)
    }

    /// Registers the families for a querier.
    #[cfg(feature = "query")]
    pub(crate) fn of_querier(registry: &Registry) -> Self {
        Self::of(registry, plain::TENANTS, plain::SECONDS, true)
    }

    /// A request has come; it is open until what is given back goes.
    #[cfg(feature = "query")]
    pub(crate) fn begun(&self, handler: &'static str, method: &str, tenant: &str) -> Open {
        let gauge = self.open.with(&[handler, method, tenant]);
        gauge.add(1.0);
        Open { metrics: self.clone(), handler, method: method.to_owned(), tenant: tenant.to_owned(), gauge }
    }

    fn of(
        registry: &Registry,
        labels: &'static [&'static str],
        seconds: &'static [f64],
        tenants: bool,
    ) -> Self {
        Self {
            tenants,
            #[cfg(feature = "query")]
            open: registry.family(
                "http_inflight_requests",
                "Current number of HTTP requests the handler is responding to.",
                &["handler", "method", "tenant"],
            ),
            requests: registry.family("http_requests_total", "Tracks the number of HTTP requests.", labels),
            seconds: registry.histograms(
                "http_request_duration_seconds",
                "Tracks the latencies for HTTP requests.",
                labels,
                seconds,
            ),
            request_bytes: registry.histograms(
                "http_request_size_bytes",
                "Tracks the size of HTTP requests.",
                labels,
                SIZES,
            ),
            response_bytes: registry.histograms(
                "http_response_size_bytes",
                "Tracks the size of HTTP responses.",
                labels,
                SIZES,
            ),
        }
    }

    /// A request has been answered.
    pub(crate) fn answered(&self, seen: Answered<'_>) {
        let (code, method) = (seen.code.to_string(), seen.method.to_ascii_lowercase());
        let labels = [code.as_str(), seen.handler, method.as_str(), seen.tenant];
        let labels = labels.get(..if self.tenants { 4 } else { 3 }).unwrap_or(&labels);
        self.requests.with(labels).add(1);
        self.seconds.with(labels).observe(seen.took.as_secs_f64());
        self.request_bytes.with(labels).observe(seen.request_bytes as f64);
        if let Some(bytes) = seen.response_bytes {
            self.response_bytes.with(labels).observe(bytes as f64);
        }
    }
}

#[cfg(any(feature = "compact", feature = "store"))]
impl HttpMetrics {
    /// Counts what a route answers, under the name of a handler.
    pub(crate) fn watch(
        &self,
        handler: &'static str,
        route: axum::routing::MethodRouter,
    ) -> axum::routing::MethodRouter {
        use axum::extract::Request;
        use axum::middleware::{Next, from_fn};
        let metrics = self.clone();
        route.layer(from_fn(move |request: Request, next: Next| {
            let metrics = metrics.clone();
            async move {
                let (method, began) = (request.method().clone(), crate::clock::moment());
                let request_bytes = length(request.headers()).unwrap_or_default();
                let response = next.run(request).await;
                metrics.answered(Answered {
                    handler,
                    method: method.as_str(),
                    tenant: "",
                    code: response.status().as_u16(),
                    took: began.elapsed(),
                    request_bytes,
                    response_bytes: axum::body::HttpBody::size_hint(response.body()).exact(),
                });
                response
            }
        }))
    }
}

#[cfg(any(feature = "compact", feature = "store"))]
fn length(headers: &axum::http::HeaderMap) -> Option<u64> {
    headers.get(axum::http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
