//! What the receive role has to tell: one call per request, per upload, per opened database; never per sample.
//!
//! The metrics wing implements [`ReceiveObserver`]. Sizes do not come this way: they are read from a snapshot when somebody asks.

use std::time::Duration;

/// A write request that has been answered.
#[derive(Debug, Clone, Copy)]
pub struct WriteSeen<'a> {
    /// Tenant of the request's header, or the default.
    pub tenant: &'a str,
    /// HTTP status of the answer.
    pub status: u16,
    /// Series in the request.
    pub series: u64,
    /// Float samples in the request.
    pub samples: u64,
    /// Bytes of the body as it came.
    pub body_bytes: u64,
    /// From the first byte of the body to the verdict.
    pub took: Duration,
}

/// Why part of a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// A label set with an empty name or value, names twice or unsorted.
    Labels,
    /// Older than the newest sample of its series.
    OutOfOrder,
    /// Too old for the head, or too far in the future.
    OutOfBounds,
    /// Before the out-of-order window.
    TooOld,
    /// Another value at the time of the newest sample.
    Duplicate,
    /// Exemplars that are out of order or have too long labels.
    Exemplars,
    /// Histograms that contradict themselves.
    Broken,
}

/// Listens to the receive role. Every method does nothing by default, and must be quick.
pub trait ReceiveObserver: Send + Sync {
    /// A write request was answered.
    fn wrote(&self, _seen: WriteSeen<'_>) {}
    /// A request began or ended to be in work: +1 or -1.
    fn in_work(&self, _change: i64) {}
    /// Series or samples of a tenant were refused.
    fn refused(&self, _tenant: &str, _why: Refused, _count: u64) {}
    /// A request ran into a limit of its tenant: `series`, `samples` or `body_size`.
    fn limit_hit(&self, _tenant: &str, _limit: &'static str) {}
    /// A database was opened, or could not be (then `why` says why).
    fn database_opened(&self, _tenant: &str, _why: Option<&str>) {}
    /// One look of the shipper at a tenant's blocks ended.
    fn shipped(&self, _tenant: &str, _outcome: ShipOutcome) {}
    /// The limits file was read again, with or without success.
    fn limits_reloaded(&self, _ok: bool) {}
}

/// What one look at a tenant's local blocks came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShipOutcome {
    /// Blocks that are in the bucket now and were not before.
    pub uploaded: u64,
    /// Blocks whose upload failed.
    pub failed: u64,
    /// Blocks set aside because they cannot be read.
    pub corrupted: u64,
    /// Whether the directory itself could be read.
    pub synced: bool,
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl ReceiveObserver for Silent {}
