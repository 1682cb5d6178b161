//! Listeners: where bytes come in. Limits, TLS, graceful stop, probes; no knowledge of time series.

mod http;
mod probe;
mod tls;

pub(crate) use http::{ServeOptions, bind, serve};
pub(crate) use probe::{Probe, admin_routes};
pub(crate) use tls::ServerTls;
