//! The compact role: merges, coarsens and ages the blocks of a bucket, again and again, and shows what it does.
//!
//! What is done to blocks is decided and done in `sarsen-compactor`; here are the loop, the lease, the log lines, and what is
//! told to the page at `/blocks`.

mod claim;
mod options;
mod role;
mod scratch;
mod watch;

pub(crate) use options::RoleOptions;
pub(crate) use role::CompactRole;
