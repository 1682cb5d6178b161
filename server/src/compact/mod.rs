//! The compact role: merges, coarsens and ages the blocks of a bucket, again and again, and shows what it does.
//!
//! What is done to blocks is decided and done in `sarsen-compactor`; here are the loop, the lease, the log lines, what is
//! shown at `/blocks`, and the API.

mod api;
mod board;
mod claim;
mod options;
mod page;
mod role;
mod scratch;
mod timeline;
mod watch;

pub(crate) use board::{Board, Known, Waiting};
pub(crate) use options::{RoleOptions, WebOptions};
pub(crate) use role::CompactRole;
