//! PromQL over stores: ask who knows, gather, merge, evaluate, answer.
//!
//! What is asked is a [`Store`](crate::store::Store): the endpoints of a querier behind one face, or the head and the bucket of this very process. Stores send
//! encoded chunks in the order of their labels; this wing puts overlapping ones together, reads the aggregates that a function asks for,
//! makes one series of several replicas, and hands them to `sarsen_promql`, which never asks back.

mod assemble;
mod client;
mod endpoints;
mod fleet;
mod gather;
mod page;
mod proxy;
mod resolve;
mod services;
mod surroundings;
#[cfg(test)]
mod tests;

#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use assemble::{Told, select};
#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use endpoints::{EndpointOptions, EndpointSet, EndpointSpec, EndpointStatus, Listing, Sources};
#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use fleet::Fleet;
#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use gather::{Gather, Replicas};
#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use page::page;
#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use proxy::ProxyStore;
#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use resolve::System as SystemNames;
#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use services::{
    Answered, Asking, Queries, QueryDefaults, Times, querier_services, querying_services,
};
#[allow(unused_imports, reason = "those who ask come next")]
pub(crate) use surroundings::{Alone, Found, Metadata, RulesQuery, StoreStatus, Surroundings};
