//! The three questions every role answers: `/-/healthy`, `/-/ready`, `/metrics`.
//!
//! Healthy begins when the listener does; ready is the role's own word. A change is logged once with its reason, and both
//! stand in `thanos_status`. Any method is answered, as by Thanos. The words are Thanos' too, unless the role speaks as a Prometheus server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use tokio::sync::watch;

use crate::metrics::{Gauge, Registry};

/// Whether a role is healthy and ready.
#[derive(Debug, Clone)]
pub(crate) struct Probe(Arc<State>);

#[derive(Debug)]
struct State {
    healthy: AtomicBool,
    ready: watch::Sender<bool>,
    healthy_gauge: Arc<Gauge>,
    ready_gauge: Arc<Gauge>,
    /// Answers are in Prometheus' words.
    as_prometheus: AtomicBool,
}

impl Probe {
    /// A probe that is neither, shown as `component`.
    pub(crate) fn new(registry: &Registry, component: &str) -> Self {
        let status = registry.family(
            "thanos_status",
            "Represents status (0 indicates failure, 1 indicates success) of the component.",
            &["check", "component"],
        );
        let state = State {
            healthy: AtomicBool::new(false),
            ready: watch::Sender::new(false),
            healthy_gauge: status.with(&["healthy", component]),
            ready_gauge: status.with(&["ready", component]),
            as_prometheus: AtomicBool::new(false),
        };
        Self(Arc::new(state))
    }

    /// Answers are those of a Prometheus server.
    #[cfg(feature = "query")]
    pub(crate) fn speak_as_prometheus(&self) {
        self.0.as_prometheus.store(true, Ordering::SeqCst);
    }

    /// What is said of a state that holds, or does not.
    fn answer(&self, holds: bool, state: &str) -> (StatusCode, String) {
        match (holds, self.0.as_prometheus.load(Ordering::SeqCst)) {
            (true, false) => (StatusCode::OK, "OK".to_owned()),
            (true, true) => (StatusCode::OK, format!("Prometheus Server is {state}.\n")),
            (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "NOT OK".to_owned()),
            (false, true) => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable".to_owned()),
        }
    }

    /// The listener is there.
    pub(crate) fn healthy(&self) {
        self.0.healthy.store(true, Ordering::SeqCst);
        self.0.healthy_gauge.set(1.0);
    }

    /// The role takes work.
    pub(crate) fn ready(&self) {
        if !self.0.ready.send_replace(true) {
            self.0.ready_gauge.set(1.0);
            tracing::info!(status = "ready", "changing probe status");
        }
    }

    /// The role takes no work, because of this.
    pub(crate) fn not_ready(&self, reason: &str) {
        if self.0.ready.send_replace(false) {
            self.0.ready_gauge.set(0.0);
            tracing::info!(status = "not-ready", reason, "changing probe status");
        }
    }

    /// Whether the role takes work.
    pub(crate) fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Follows [`is_ready`](Self::is_ready).
    #[cfg(feature = "grpc")]
    pub(crate) fn watch_ready(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    fn is_healthy(&self) -> bool {
        self.0.healthy.load(Ordering::SeqCst)
    }
}

/// The routes of probes and metrics.
pub(crate) fn admin_routes(probe: Probe, registry: Registry) -> Router {
    let ready = probe.clone();
    let metrics = move |headers: HeaderMap| async move {
        let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        // The page may read many sizes; it is written away from the threads that serve connections.
        let open_metrics = accepts.contains("application/openmetrics-text");
        match tokio::task::spawn_blocking(move || registry.page(open_metrics)).await {
            Ok((kind, text)) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    Router::new()
        .route("/-/healthy", any(move || async move { probe.answer(probe.is_healthy(), "Healthy") }))
        .route("/-/ready", any(move || async move { ready.answer(ready.is_ready(), "Ready") }))
        .route("/metrics", get(metrics))
}
