//! The counters of the gRPC server, named and labelled as those of Thanos.
//!
//! Every method of every service is there from the start with every code, at zero: alerts on rates would miss a first failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::clock;
use crate::metrics::{Counter, Family, Histogram, Registry};

/// The names of gRPC's codes, at the place of their number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];
const CANCELED: usize = 1;
const UNKNOWN: usize = 2;

const METHOD: &[&str] = &["grpc_method", "grpc_service", "grpc_type"];
const HANDLED: &[&str] = &["grpc_code", "grpc_method", "grpc_service", "grpc_type"];
const SECONDS: &[f64] = &[0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// A method of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    /// With its package: `thanos.Store`.
    pub(crate) service: &'static str,
    /// `Series`.
    pub(crate) name: &'static str,
    /// Whether its answer is a stream.
    pub(crate) streams: bool,
}

/// The counters of every method.
#[derive(Debug)]
pub(super) struct GrpcMetrics {
    methods: BTreeMap<String, Arc<MethodMetrics>>,
    panics: Arc<Counter>,
}

#[derive(Debug)]
struct MethodMetrics {
    started: Arc<Counter>,
    handled: Vec<Arc<Counter>>,
    received: Arc<Counter>,
    sent: Arc<Counter>,
    seconds: Arc<Histogram>,
}

impl GrpcMetrics {
    /// Registers the families with all members.
    pub(super) fn new(registry: &Registry, methods: &[Method]) -> Self {
        let counters = |name, help, labels| -> Arc<Family<Counter>> { registry.family(name, help, labels) };
        let started =
            counters("grpc_server_started_total", "Total number of RPCs started on the server.", METHOD);
        let handled = counters(
            "grpc_server_handled_total",
            "Total number of RPCs completed on the server, regardless of success or failure.",
            HANDLED,
        );
        let received = counters(
            "grpc_server_msg_received_total",
            "Total number of RPC stream messages received on the server.",
            METHOD,
        );
        let sent = counters(
            "grpc_server_msg_sent_total",
            "Total number of gRPC stream messages sent by the server.",
            METHOD,
        );
        let seconds = registry.histograms(
            "grpc_server_handling_seconds",
            "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
            METHOD,
            SECONDS,
        );
        let panics = counters(
            "grpc_req_panics_recovered_total",
            "Total number of gRPC requests recovered from internal panic.",
            &[],
        );
        let of = |method: &Method| {
            let kind = if method.streams { "server_stream" } else { "unary" };
            let labels = [method.name, method.service, kind];
            let with_code = |code: &&'static str| handled.with(&[code, method.name, method.service, kind]);
            let metrics = MethodMetrics {
                started: started.with(&labels),
                handled: CODES.iter().map(with_code).collect(),
                received: received.with(&labels),
                sent: sent.with(&labels),
                seconds: seconds.with(&labels),
            };
            (format!("/{}/{}", method.service, method.name), Arc::new(metrics))
        };
        Self { methods: methods.iter().map(of).collect(), panics: panics.with(&[]) }
    }

    /// A call to `path` begins; `None` if no method lies there.
    pub(super) fn begin(&self, path: &str) -> Option<Watched> {
        let metrics = Arc::clone(self.methods.get(path)?);
        metrics.started.add(1);
        Some(Watched { metrics, began: clock::moment(), code: None })
    }

    /// A call panicked.
    pub(super) fn panicked(&self) {
        self.panics.add(1);
    }
}

/// A call under way; counted as handled when it is dropped, and as cancelled if nobody said how it ended.
#[derive(Debug)]
pub(super) struct Watched {
    metrics: Arc<MethodMetrics>,
    began: Instant,
    code: Option<usize>,
}

impl Watched {
    /// The counter of messages that come in.
    pub(super) fn received(&self) -> Arc<Counter> {
        Arc::clone(&self.metrics.received)
    }

    /// Messages went out.
    pub(super) fn sent(&self, messages: u64) {
        self.metrics.sent.add(messages);
    }

    /// How it ended; the first word counts.
    pub(super) fn ended(&mut self, code: i32) {
        let code = usize::try_from(code).ok().filter(|&code| code < CODES.len()).unwrap_or(UNKNOWN);
        self.code.get_or_insert(code);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(handled) = self.metrics.handled.get(self.code.unwrap_or(CANCELED)) {
            handled.add(1);
        }
        self.metrics.seconds.observe(self.began.elapsed().as_secs_f64());
    }
}
