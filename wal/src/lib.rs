//! A log that survives a power cut, and the small disk it stands on.

#![deny(unsafe_code)]

mod disk;

pub use disk::{
    Disk, Entry, File, Latch, Latched, Lock, RealDisk, Space, read_file, real_disk, replace_file,
};
#[cfg(any(test, feature = "sim"))]
pub use disk::{Fault, Operation, SimDisk, Survival};
