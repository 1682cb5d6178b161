//! The wing of queries in front of endpoints of every kind: good ones, silent ones, lying ones.

mod endpoints;
pub(super) mod peer;
mod proxy;
mod services;
