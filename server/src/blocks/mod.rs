//! The page of blocks and its JSON API, the same for every role that works with a bucket.
//!
//! A role writes what it knows on a [`Board`]; requests read it there. Nothing here looks at a bucket by itself, except to set or take
//! off a mark that somebody asked for.

mod api;
mod board;
mod page;
mod timeline;

pub(crate) use api::{Site, WebOptions, routes};
#[cfg(feature = "compact")]
pub(crate) use board::{Aside, Known, Running, Waiting};
pub(crate) use board::{Board, State};
#[cfg(feature = "compact")]
pub(crate) use page::size_of;
