//! A request becomes commits, commits become a verdict.
//!
//! `handler` alone knows status codes, `ingest` alone talks to a database, `tenants` alone opens and closes databases.
//! Everything of one request that computes runs in one closure on one blocking thread.

mod observer;
mod options;

pub use observer::{ReceiveObserver, Refused, ShipOutcome, Silent, WriteSeen};
pub use options::{
    IntakeOptions, LimitsSource, ReceiveOptions, ShippingOptions, StorageOptions, SyncChoice, TenancyOptions,
};
