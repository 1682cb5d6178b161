//! Listeners: where bytes come in. Limits, TLS, graceful stop, probes; no knowledge of time series.

#[cfg(any(feature = "compact", feature = "store"))]
pub(crate) mod api;
mod base64;
#[cfg(feature = "grpc")]
pub(crate) mod grpc;
mod guard;
mod http;
mod open;
mod password;
mod probe;
mod tls;

pub(crate) use http::{ServeOptions, bind, serve};
pub(crate) use probe::{Probe, admin_routes};
