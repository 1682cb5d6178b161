//! Where blocks lie in an object store, and the order in which they come and go.
//!
//! A [`Bucket`] is a handle on S3 or a directory, opened from the same `objstore.yml` that Thanos reads ([`ObjstoreConfig`],
//! [`Reloading`]). [`upload`] puts a block there so that it exists only when it is complete; [`View`] says what is there;
//! [`download`] and [`remove`] are the ways back. [`BucketReader`] reads series straight from there, [`RemoteBlock`] those of one
//! block, by ranges. Names are in [`Layout`], marks in [`Marker`]. `LAYOUT.md` draws it all.
//!
//! This crate waits and measures only through the [`Timer`] it is given, and reads no environment.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! use sarsen_bucket::{ObjstoreConfig, Reloading, View};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().display();
//! let text = format!("type: FILESYSTEM\nconfig:\n  directory: '{path}'\n");
//! let store = Reloading::open(ObjstoreConfig::parse(&text, |_variable| None)?)?;
//! let bucket = store.bucket().build();
//! bucket.put("notes.txt", "not a block".into()).await?;
//! assert!(View::fetch(&bucket).await?.blocks.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod bucket;
mod config;
#[cfg(feature = "contract")]
mod contract;
mod copy;
mod deletions;
mod download;
mod error;
#[cfg(feature = "contract")]
mod failing;
mod filter;
mod growing;
mod layout;
mod lease;
mod marker;
mod md5;
mod observer;
mod open;
mod origin;
mod place;
mod ranges;
mod read;
mod reload;
mod remove;
mod retry;
mod room;
mod selector;
mod sink;
mod throttle;
mod undelete;
mod upload;
mod verify;
mod view;

pub use bucket::{Bucket, BucketBuilder, BucketSettings, Level, Object};
pub use config::{
    BucketLookup, Encryption, HttpSettings, Keys, ObjstoreConfig, S3Config, StoreConfig, TlsFiles,
};
#[cfg(feature = "contract")]
pub use contract::run_contract;
pub use copy::{Copied, copy_block};
pub use deletions::{Deletion, Deletions};
pub use download::download;
pub use error::{Advice, Error, Place};
#[cfg(feature = "contract")]
pub use failing::{FailingStore, Weather};
pub use filter::{Excluded, Filter, remove_labels};
pub use layout::Layout;
pub use lease::{Lease, LeaseTerms, Leasing, Renewal};
pub use marker::{MarkKind, Marker, Reason};
pub use observer::{BucketObserver, Finished, NoTime, Operation, Outcome, Timer, Unobserved, Wait};
pub use ranges::{DEFAULT_GAP, coalesce, get_ranges};
pub use read::{
    BlockPart, BlockingReader, BlockingSeries, BreakerOptions, BucketCacheOptions, BucketReader,
    BucketSeries, Budget, Cache, CacheContext, CacheObserver, CacheOptions, CacheStore, Ceiling, Exceeded,
    FetchedChunks, Filling, Gate, HeaderCache, HeaderObserver, HedgeOptions, Held, IndexCacheOptions, Item,
    ItemSize, Limits, MemcachedOptions, MemoryOptions, OpenHeaders, Outgoing, Passage, Purpose, ReadCount,
    ReaderOptions, Reading, Reads, RemoteBlock, RemoteBlocks, RemoteChunk, RemoteOptions, RemoteOutcome,
    RemoteSet, Selection, SeriesBatch, Uncounted, UncountedHeaders, open_block, visible,
};
pub use reload::{Reload, Reloading};
pub use remove::remove;
pub use retry::Retry;
pub use selector::Selector;
pub use sink::{SinkFile, SinkOptions, UploadSink};
pub use undelete::{Undeleted, undelete};
pub use upload::{UploadOptions, Uploaded, upload};
pub use verify::{Depth, ScrubOptions, Verified, scrub, verify_block};
pub use view::{Fetcher, Partial, View};
