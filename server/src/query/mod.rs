//! PromQL over stores: ask who knows, gather, merge, evaluate, answer.
//!
//! What is asked is a [`Store`](crate::store::Store): the endpoints of a querier behind one face, or the head and the bucket of this very process. Stores send
//! encoded chunks in the order of their labels; this wing puts overlapping ones together, reads the aggregates that a function asks for,
//! makes one series of several replicas, and hands them to `sarsen_promql`, which never asks back.

mod assemble;
mod client;
mod dialect;
mod endpoints;
mod exec;
mod fault;
mod fleet;
mod gather;
mod http;
mod page;
mod params;
mod proxy;
mod resolve;
mod services;
mod surroundings;
#[cfg(test)]
mod tests;

pub(crate) use dialect::Dialect;
pub(crate) use exec::{ExecOptions, Executor};
pub(crate) use fleet::{Fleet, Taken};
pub(crate) use gather::{Gather, Replicas};
pub(crate) use http::{Api, ApiSettings, CertificateField, Partial, Tenancy, hold, nowhere};
pub(crate) use page::page;
pub(crate) use resolve::System as SystemNames;
#[cfg(feature = "standalone")]
pub(crate) use services::querying_services;
pub(crate) use services::{QueryDefaults, querier_services};
#[cfg(test)]
pub(crate) use surroundings::Alone;
#[cfg(feature = "standalone")]
pub(crate) use surroundings::{Found, Metadata, StoreStatus, Surroundings};
