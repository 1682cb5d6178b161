//! A request becomes commits, commits become a verdict.
//!
//! `handler` alone knows status codes, `ingest` alone brings samples to a database, `tenants` alone opens and closes databases.
//! Everything of one request that computes runs in one closure on one blocking thread.
//!
//! In reading order: `options` and `observer` (what the role is told and tells), `role` (start, tend, stop), `handler` (HTTP),
//! `door` and `version` (manners of the two endpoints), `tenant` and `limits` (who, and how much), `intake` (how much at once),
//! `ingest` and `verdict` (samples in, counts out), `tenants` (databases), `ship`, `shipped` and `room` (blocks to the bucket, and
//! how long the volume lasts without it).

mod door;
mod handler;
mod ingest;
mod intake;
mod limits;
mod observer;
mod options;
#[cfg(feature = "standalone")]
mod orders;
mod role;
mod room;
mod ship;
mod shipped;
mod syncs;
mod tenant;
mod tenants;
#[cfg(test)]
mod tests;
mod verdict;
mod version;

pub(crate) use handler::not_found;
pub(crate) use limits::Limits;
pub use observer::{ReceiveObserver, Refused, ShipOutcome, Silent, WriteSeen};
pub use options::{
    IntakeOptions, LimitsSource, ReceiveOptions, ShippingOptions, StorageOptions, SyncChoice, TenancyOptions,
};
#[cfg(feature = "standalone")]
pub(crate) use orders::Order;
#[cfg(feature = "tools")]
pub(crate) use role::Flushed;
pub(crate) use role::{Parts, Readable, Receiver, Snapshot};
pub(crate) use tenant::is_valid as is_tenant;
