//! A log that survives a power cut, and the small disk it stands on.

#![deny(unsafe_code)]

mod batch;
mod compress;
mod disk;
mod error;
mod frame;
mod observer;
mod output;
mod record;
mod repair;
mod segment;
mod stage;
mod writer;

pub use batch::Batch;
pub use disk::{
    Disk, Entry, File, Latch, Latched, Lock, RealDisk, Space, read_file, real_disk, replace_file,
};
#[cfg(any(test, feature = "sim"))]
pub use disk::{Fault, Operation, SimDisk, Survival};
pub use error::{Advice, Error};
pub use observer::{Appended, Unobserved, WalObserver};
pub use record::{Births, LoggedSample, Record, Samples, SeriesId};
pub use segment::{Position, SegmentNo};
pub use writer::{Options, Pending, SyncPolicy, Wal, WalStats, log_bytes, wait_all};
