//! The embedded time series database: append, query, cut blocks.
//!
//! A [`Db`] is a directory: a log of what was written last, and blocks in Prometheus' format for everything older. Samples
//! are staged in an [`Appender`] and committed as a batch; the [`Pending`] of a commit returns when the batch is on disk.
//! Nothing happens behind the caller's back: [`Db::maintain`] does what is due at the moment the caller names, and
//! returns what it did. Needs no async runtime and starts no thread.
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! use sarsen_block::{Decode, Labels, Matcher, SampleSet, TimeRange};
//! use sarsen_tsdb::Db;
//!
//! let db = Db::builder(directory).hash_seed([1, 2, 3, 4]).open()?;
//! let labels = Labels::from_pairs([("__name__", "temperature"), ("room", "kitchen")])?;
//!
//! let mut batch = db.appender();
//! batch.append(labels.as_ref(), 1_700_000_000_000, 21.5);
//! batch.append(labels.as_ref(), 1_700_000_015_000, 21.6);
//! let commit = batch.commit()?;
//! assert_eq!(commit.committed.accepted, 2);
//! commit.pending.wait()?; // on disk
//!
//! let range = TimeRange::new(1_700_000_000_000, 1_700_000_060_000);
//! let matchers = [Matcher::equal("room", "kitchen")];
//! let mut found = Decode::new(db.querier(range).select(&matchers)?, range);
//! let series = found.next()?.ok_or("no series")?;
//! assert_eq!((series.labels, series.samples.len()), (labels, 2));
//!
//! db.maintain(1_700_000_060_000)?; // once a minute or so
//! db.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to | there is | example |
//! |---|---|---|
//! | keep measurements | [`Db::builder`], [`Db::appender`], [`Db::maintain`] | `embed` |
//! | ask | [`Db::querier`], [`Querier::select`], [`Db::exemplars`], [`Db::metadata`] | `query` |
//! | forget | [`Db::delete`], [`Db::clean_tombstones`], [`Options::retention_time`], [`Db::retain`] | |
//! | copy | [`Db::snapshot`] | |
//! | bring in the past | [`Backfill`]; [`import`] for what Prometheus has | `backfill` |
//! | read blocks without a database | [`open_block`], [`open_blocks`] | `read_block` |
//!
//! Times are milliseconds since the Unix epoch, ranges are closed on both sides, names and values of labels are bytes. One
//! [`Db`] is shared between threads behind an `Arc`; an [`Appender`], a [`Querier`] and what comes out of them may be sent to other
//! threads. Expected outcomes, such as a sample that is too old, are values ([`Committed`]); every [`Error`] says with
//! [`Error::advice`] what to do about it. Settings and reports may gain fields, and reasons and errors may gain variants,
//! without a new major version.
//!
//! Rooms in reading order: `db` and `builder` (the handle and how it comes to be), `appender` (stage and commit), `head` (what is in
//! memory), `exemplars` and `metadata` (what is told beside samples), `replay` (from log to head), `checkpoint` (and back), `upkeep`, `head_compaction` and
//! `late_cut` (from head to block), `block_files` (how a block comes into being), `blocks` (local blocks), `delete` and `clean`,
//! `retention`, `snapshot`, `backfill`, `query`, `arranged` and `sorted` (head and blocks as one), `import` (moving in). `DESIGN.md` tells the write path, the lock
//! order and what a crash leaves.

#![forbid(unsafe_code)]

mod appender;
mod arranged;
mod backfill;
mod block_files;
mod blocks;
mod builder;
mod chance;
mod checkpoint;
mod clean;
mod db;
mod delete;
mod error;
mod exemplars;
mod head;
mod head_compaction;
mod import;
mod late_cut;
mod lock;
mod metadata;
mod observer;
mod options;
mod outcome;
mod query;
mod replay;
mod report;
mod retention;
mod snapshot;
mod sorted;
mod stats;
mod upkeep;

pub use appender::{Appender, Commit, Pending, wait_all};
pub use arranged::{Arranged, Arrangement};
pub use backfill::Backfill;
pub use blocks::{BlockInfo, open_block, open_blocks};
pub use builder::Builder;
pub use clean::{Rewrite, Rewritten};
pub use db::Db;
pub use delete::DeleteReport;
pub use error::{Advice, Error};
pub use exemplars::{
    Exemplar, ExemplarReason, ExemplarRef, ExemplarRefusal, MAX_EXEMPLAR_CHARS, SeriesExemplars,
};
pub use import::{Fault, ImportReport, Origin, import};
pub use metadata::{Metadata, MetadataRef, MetricType, SeriesMetadata};
pub use observer::TsdbObserver;
pub use options::{OnDamage, Options, Shipping};
pub use outcome::{Committed, ExemplarsCommitted, Reason, Refusal};
pub use query::{Querier, Selected};
pub use report::{CutReport, Lost, MaintainReport, OpenReport, SetAside};
pub use retention::RetainReport;
pub use sarsen_wal::{Lead, Position, SyncPolicy};
pub use snapshot::SnapshotReport;
pub use stats::{HeadBytes, Stats};

/// What programs may rely on: these types go between threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    const fn sent<T: Send>() {}
    shared::<Db>();
    shared::<Builder>();
    shared::<Querier>();
    shared::<Error>();
    shared::<Pending>();
    sent::<Appender<'static>>();
    sent::<Selected>();
    sent::<Arranged>();
    sent::<Backfill>();
};
