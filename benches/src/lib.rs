//! Realistic series, the requests that carry them, and a load generator that costs little CPU of its own.
//!
//! Every number is a pure function of (seed, series, round): the same fleet can be sent, sent again, and written down
//! as the dump that a reader of the blocks must print. Rooms, in reading order: `fleet` (which series exist and what
//! they read at a round), `block_folder` and `blocks` (the same as blocks in a bucket), `request` (a remote write body), `dump` (the same samples as `promtool tsdb dump` prints them),
//! `http` (a client of one connection), `load` (waves of requests and what was acknowledged), `process` (what a
//! server process has used so far), `server` (a server process, started and killed),
//! `compaction` (a bucket for a compactor process, and what is left of it), `archive` and `questions` (a bucket for a
//! store gateway, and what is asked of it), `gateway` (a store
//! gateway as a process), `querier` (a querier as one), `dashboard` (what it is asked), `minio` (what a gateway may read from),
//! `pod` (what limits one), `ports` (where processes listen), `storeapi` (a client of the StoreAPI).
//!
//! Nothing here uses a room of the server: what is measured is measured through its public door.

#![forbid(unsafe_code)]

mod archive;
mod block_folder;
mod blocks;
mod compaction;
mod dashboard;
mod dump;
mod fleet;
mod gateway;
mod http;
mod load;
mod minio;
mod pod;
mod ports;
mod process;
mod querier;
mod questions;
mod request;
mod server;
pub mod storeapi;

pub use archive::{Archive, ArchivePlan, small_blocks};
pub use block_folder::BlockFolder;
pub use blocks::Shipper;
pub use compaction::{BucketPlan, Compactor, Left, Made, Outcome, REPLICA, blocks_left, build_compactor};
pub use dashboard::{PANELS, Panel, View, escaped};
pub use dump::{go_float, write_dump};
pub use fleet::{BUCKETS, Fleet, Life, METRICS_PER_TARGET, Shape};
pub use gateway::{Gateway, GatewayProgram, build_gateway};
pub use http::{Client, Response};
pub use load::{Plan, Report, run};
pub use minio::Minio;
pub use pod::Pod;
pub use ports::{free_address, free_port};
pub use process::{Spent, Usage, usage, watch};
pub use querier::{Querier, ask_range, build_querier};
pub use questions::Question;
pub use request::{RequestWriter, body};
pub use server::{Program, Server, build_receiver, folder_bytes};
