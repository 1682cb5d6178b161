//! Text and flags to checked settings: the only rooms that read a command line, a configuration file or the environment.
//!
//! One file per role. A fault is one sentence that names the flag, or the file and line, and ends the program with
//! exit code 2. Nothing here starts or opens anything.

#[cfg(feature = "store")]
mod caches;
#[cfg(feature = "compact")]
pub(crate) mod compact;
pub(crate) mod content;
pub(crate) mod flags;
#[cfg(feature = "grpc")]
pub(crate) mod grpc;
#[cfg(feature = "compact")]
mod overrides;
#[cfg(any(feature = "compact", feature = "store", feature = "query"))]
mod pages;
#[cfg(feature = "serve")]
pub(crate) mod process;
#[cfg(feature = "query")]
pub(crate) mod query;
#[cfg(feature = "query")]
pub(crate) mod query_endpoints;
#[cfg(feature = "receive")]
pub(crate) mod receive;
#[cfg(feature = "standalone")]
pub(crate) mod standalone;
#[cfg(feature = "store")]
pub(crate) mod store;
#[cfg(feature = "store")]
mod tenant_limits;
#[cfg(feature = "serve")]
pub(crate) mod tls;
mod values;
#[cfg(feature = "serve")]
pub(crate) mod web;

#[cfg(feature = "store")]
pub(crate) use values::Moment;
#[cfg(feature = "query")]
pub(crate) use values::model_duration;
