//! A log that survives a power cut, and the small disk it stands on.
//!
//! What is appended to a [`Wal`] and waited for is on the disk. After a power cut, a [`replay`] gives it all back, in
//! order, and nothing that was never appended; it changes nothing, and says whether the log merely ends torn (as a
//! power cut leaves it) or is damaged. [`repair`] is a separate act. A checkpoint
//! ([`CheckpointWriter`]) takes the place of what is no longer needed.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! use sarsen_block::Labels;
//! use sarsen_wal::{Batch, Options, Position, Record, SeriesId, Step, Wal, real_disk, replay};
//!
//! let wal = Wal::open(real_disk(), dir, &Options::default(), Position::START)?;
//! let mut batch = Batch::new();
//! batch.birth(SeriesId(1), Labels::from_pairs([("__name__", "up")])?.as_ref());
//! batch.sample(SeriesId(1), 1_700_000_000_000, 1f64.to_bits());
//! wal.append(&mut batch)?.wait()?;
//! wal.close()?;
//!
//! let mut walk = replay(real_disk(), dir, None)?;
//! let (mut scratch, mut samples) = (Vec::new(), 0);
//! while let Step::Record(logged) = walk.next()? {
//!     if let Record::Samples(mut rows) = logged.record(&mut scratch)? {
//!         while rows.next()?.is_some() {
//!             samples += 1;
//!         }
//!     }
//! }
//! assert_eq!(samples, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Rooms, from the bottom up: `disk` (the seam to the file system), `frame` and `record` (pure bytes, drawn in
//! `FORMAT.md`), `segment`, `frames` (reading one file), `batch`, `stage`, `output`, `writer` and `waiting` (appending), `replay`,
//! `repair`, `checkpoint`; and `foreign`, which reads the log of Prometheus. This crate reads no clock and starts no thread that
//! outlives a call.

#![deny(unsafe_code)]

mod batch;
mod compress;
mod disk;
mod error;
pub mod foreign;
mod frame;
mod frames;
mod observer;
mod output;
mod pool;
mod record;
mod repair;
mod replay;
mod sealed;
mod segment;
mod stage;
mod waiting;
mod writer;

pub use batch::Batch;
pub use disk::{
    Disk, Entry, File, FileSource, Latch, Latched, Lock, RealDisk, Space, read_file, real_disk, replace_file,
};
#[cfg(any(test, feature = "sim"))]
pub use disk::{Fault, Operation, SimDisk, Survival};
pub use error::{Advice, Error};
pub use observer::{Appended, Unobserved, WalObserver};
pub use pool::Pool;
pub use record::{
    Births, Deletions, Exemplars, LoggedDeletion, LoggedExemplar, LoggedHistogram, LoggedMetadata, LoggedRow,
    LoggedSample, LoggedValue, Metadata, Record, Rows, Samples, SeriesId,
};
pub use repair::{Lost, repair};
pub use replay::{Damage, End, Logged, Part, Replay, Step, replay};
pub use sealed::{CheckpointWriter, Sealed};
pub use segment::{Position, SegmentNo};
pub use waiting::Lead;
pub use writer::{Options, Pending, SyncPolicy, Wal, WalStats, checkpoint_bytes, log_bytes, wait_all};
