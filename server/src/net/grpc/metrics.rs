//! The counters of gRPC calls, those that are answered here and those that are made from here, named and labelled as those of Thanos.
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
pub(crate) struct GrpcMetrics {
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

/// Names and help texts of the families of one side.
struct Side {
    started: [&'static str; 2],
    handled: [&'static str; 2],
    received: [&'static str; 2],
    sent: [&'static str; 2],
    seconds: [&'static str; 2],
}

const SERVER: Side = Side {
    started: ["grpc_server_started_total", "Total number of RPCs started on the server."],
    handled: [
        "grpc_server_handled_total",
        "Total number of RPCs completed on the server, regardless of success or failure.",
    ],
    received: [
        "grpc_server_msg_received_total",
        "Total number of RPC stream messages received on the server.",
    ],
    sent: ["grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server."],
    seconds: [
        "grpc_server_handling_seconds",
        "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
    ],
};

#[cfg(feature = "query")]
const CLIENT: Side = Side {
    started: ["grpc_client_started_total", "Total number of RPCs started on the client."],
    handled: [
        "grpc_client_handled_total",
        "Total number of RPCs completed by the client, regardless of success or failure.",
    ],
    received: [
        "grpc_client_msg_received_total",
        "Total number of RPC stream messages received by the client.",
    ],
    sent: ["grpc_client_msg_sent_total", "Total number of gRPC stream messages sent by the client."],
    seconds: [
        "grpc_client_handling_seconds",
        "Histogram of response latency (seconds) of the gRPC until it is finished by the application.",
    ],
};

impl GrpcMetrics {
    /// Registers the families of calls that are answered here, with all members.
    pub(super) fn new(registry: &Registry, methods: &[Method]) -> Self {
        let panics: Arc<Family<Counter>> = registry.family(
            "grpc_req_panics_recovered_total",
            "Total number of gRPC requests recovered from internal panic.",
            &[],
        );
        Self::of_side(registry, methods, &SERVER, panics.with(&[]))
    }

    /// The same of calls that are made from here.
    #[cfg(feature = "query")]
    pub(crate) fn of_client(registry: &Registry, methods: &[Method]) -> Self {
        Self::of_side(registry, methods, &CLIENT, Arc::default())
    }

    fn of_side(registry: &Registry, methods: &[Method], side: &Side, panics: Arc<Counter>) -> Self {
        let counters = |[name, help]: [&'static str; 2], labels| -> Arc<Family<Counter>> {
            registry.family(name, help, labels)
        };
        let started = counters(side.started, METHOD);
        let handled = counters(side.handled, HANDLED);
        let received = counters(side.received, METHOD);
        let sent = counters(side.sent, METHOD);
        let [seconds, help] = side.seconds;
        let seconds = registry.histograms(seconds, help, METHOD, SECONDS);
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
        Self { methods: methods.iter().map(of).collect(), panics }
    }

    /// A call to `path` begins; `None` if no method lies there.
    pub(crate) fn begin(&self, path: &str) -> Option<Watched> {
        let metrics = Arc::clone(self.methods.get(path)?);
        metrics.started.add(1);
        Some(Watched { metrics, began: clock::moment(), code: None })
    }

    /// A call panicked.
    pub(super) fn panicked(&self) {
        self.panics.add(1);
    }
}

/// A status as Go's programs print it, which is what people know it by.
#[cfg(feature = "query")]
pub(crate) fn go_text(status: &tonic::Status) -> String {
    let code = usize::try_from(i32::from(status.code())).ok().and_then(|code| CODES.get(code));
    let code = code.copied().unwrap_or("Unknown");
    format!("rpc error: code = {code} desc = {}", status.message())
}

/// A call under way; counted as handled when it is dropped, and as cancelled if nobody said how it ended.
#[derive(Debug)]
pub(crate) struct Watched {
    metrics: Arc<MethodMetrics>,
    began: Instant,
    code: Option<usize>,
}

impl Watched {
    /// The counter of messages that come in.
    pub(crate) fn received(&self) -> Arc<Counter> {
        Arc::clone(&self.metrics.received)
    }

    /// Messages went out.
    pub(crate) fn sent(&self, messages: u64) {
        self.metrics.sent.add(messages);
    }

    /// How it ended; the first word counts.
    pub(crate) fn ended(&mut self, code: i32) {
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
