//! Listeners, where bytes come in, and connections to other servers. Limits, TLS, graceful stop, probes; no knowledge of time series.

#[cfg(any(feature = "compact", feature = "store"))]
pub(crate) mod api;
mod base64;
#[cfg(feature = "query")]
mod client_tls;
#[cfg(feature = "grpc")]
pub(crate) mod grpc;
mod guard;
mod http;
mod open;
mod password;
mod probe;
#[cfg(feature = "query")]
mod subject;
mod tls;

#[cfg(feature = "query")]
pub(crate) use client_tls::ClientTls;
pub(crate) use http::{ServeOptions, bind, serve};
pub(crate) use probe::{Probe, admin_routes};
#[cfg(feature = "query")]
pub(crate) use subject::Subject;
