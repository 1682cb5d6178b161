//! What a takeover did: plain data.

use std::path::PathBuf;

use sarsen_block::BlockId;

/// A place in a foreign log that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong there.
    pub why: String,
}

/// What was taken over from a directory of Prometheus or Thanos Receive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// Blocks, used as they are.
    pub blocks: Vec<BlockId>,
    /// Series with samples in the head.
    pub series: u64,
    /// Samples of the head that came in order.
    pub samples: u64,
    /// Samples of the head that came out of order.
    pub late: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Samples in files whose series is named nowhere, as Prometheus ignores them.
    pub orphans: u64,
    /// Histograms of a resolution that nobody knows, as Prometheus ignores them.
    pub unknown_histograms: u64,
    /// What could not be read, a torn end excepted, which was never acknowledged.
    pub faults: Vec<Fault>,
    /// Where the old log lies now, if it was kept because something in it could not be read.
    pub kept: Option<PathBuf>,
}
