//! A snapshot of sizes.

use sarsen_block::Timestamp;

/// Sizes of a database at one moment. Bytes are what the structures hold, slack included, without the allocator's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Series in the head.
    pub series: u64,
    /// Series born since opening.
    pub births: u64,
    /// Series forgotten since opening.
    pub forgotten: u64,
    /// Samples accepted since opening, replayed ones not counted.
    pub samples: u64,
    /// Those of the samples that came late.
    pub late_samples: u64,
    /// Chunks of samples in order in the head, open ones included.
    pub chunks: u64,
    /// Time of the oldest sample of the head (a lower bound after a cut); `None` if the head is empty.
    pub min_time: Option<Timestamp>,
    /// Time of the newest sample that the head has ever had since opening; `None` if there was none.
    pub max_time: Option<Timestamp>,
    /// Samples older than this are refused, whatever the newest sample is.
    pub min_valid_time: Timestamp,
    /// Bytes of the head by part.
    pub bytes: HeadBytes,
    /// Distinct labels (name with value) in the head.
    pub labels: u64,
    /// Exemplars kept.
    pub exemplars: u64,
    /// Segments of the log.
    pub log_segments: u64,
    /// Bytes of the segments of the log.
    pub log_bytes: u64,
    /// Bytes of the checkpoint.
    pub checkpoint_bytes: u64,
    /// Number of the segment that the log writes.
    pub log_segment: u64,
    /// Spill files: chunks of the head that have left memory.
    pub spill_files: u64,
    /// Bytes of the spill files.
    pub spill_bytes: u64,
    /// Local blocks that are open.
    pub blocks: u64,
    /// Bytes of the local blocks.
    pub block_bytes: u64,
    /// Oldest time of any local block; `None` if there is none.
    pub blocks_min_time: Option<Timestamp>,
}

/// Where the memory of a head goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HeadBytes {
    /// Texts of labels, every label once, and the table that finds them.
    pub symbols: u64,
    /// The labels of each series, as small numbers.
    pub labels: u64,
    /// Lists of series by label.
    pub postings: u64,
    /// Records of series.
    pub series: u64,
    /// Open chunks.
    pub open_chunks: u64,
    /// Pieces of chunks on their way to the spill files.
    pub spill: u64,
    /// Late samples and their tables.
    pub late: u64,
    /// The map from hash to series.
    pub map: u64,
    /// Exemplars and the labels of their series.
    pub exemplars: u64,
    /// What series mean.
    pub metadata: u64,
}

impl HeadBytes {
    /// The sum of the parts.
    pub const fn total(&self) -> u64 {
        self.symbols
            + self.labels
            + self.postings
            + self.series
            + self.open_chunks
            + self.spill
            + self.late
            + self.map
            + self.exemplars
            + self.metadata
    }
}
