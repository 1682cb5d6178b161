//! What happened in a log: appended, written, synced, rolled.
//!
//! Called per batch or per operation, never per sample. An observer cannot answer back, and must not call the log.
//! It measures time itself, or wraps the disk: this crate has no clock.

use crate::segment::SegmentNo;

/// One batch, as it went into the buffer of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Frames that the batch became.
    pub frames: u64,
    /// Bytes of its records before compression.
    pub raw_bytes: u64,
    /// Bytes that its frames take in the log.
    pub stored_bytes: u64,
}

/// Receives the events of a log. Every method does nothing by default.
pub trait WalObserver: Send + Sync + std::fmt::Debug {
    /// A batch was placed in the buffer.
    fn appended(&self, _batch: Appended) {}
    /// This many bytes went to the file in one write.
    fn wrote(&self, _bytes: u64) {}
    /// A sync of the file succeeded.
    fn synced(&self) {}
    /// A new segment was begun.
    fn rolled(&self, _segment: SegmentNo) {}
    /// A write or sync failed; the log refuses everything from now on.
    fn failed(&self) {}
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl WalObserver for Unobserved {}
