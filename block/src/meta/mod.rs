//! Who a block is: id, range, labels, resolution, ancestry.
//!
//! The content of `meta.json`, read and written byte for byte as Prometheus and Thanos do: tabs, their order of
//! fields, their rules about what is left out. A meta without a Thanos section is written in Prometheus' form (no
//! newline at the end), one with a section in Thanos' form (a newline at the end). Unknown fields and data after the
//! object are ignored. Other versions than 1 are refused. `min_time..max_time` is half-open here, because it is in the
//! file; [`BlockMeta::range`] gives the closed range that the rest of the house speaks.

mod compaction;
mod id;
mod text;
mod upload_time;

use std::collections::BTreeMap;

use crate::json::Json;
use crate::time::{TimeRange, Timestamp};

pub use id::BlockId;
pub use upload_time::UploadTime;

/// The content of a `meta.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockMeta {
    /// The block's name; its directory has the same.
    pub id: BlockId,
    /// First millisecond of the block's range.
    pub min_time: Timestamp,
    /// The millisecond after the last one of the block's range.
    pub max_time: Timestamp,
    /// What is in the block.
    pub stats: BlockStats,
    /// Where the block comes from.
    pub compaction: Compaction,
    /// What Thanos adds; `None` in a block that Prometheus wrote.
    pub thanos: Option<ThanosMeta>,
}

/// How much is in a block. Zero where a writer left a count out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockStats {
    /// Samples of all kinds.
    pub num_samples: u64,
    /// Samples that are floats.
    pub num_float_samples: u64,
    /// Samples that are native histograms.
    pub num_histogram_samples: u64,
    /// Series.
    pub num_series: u64,
    /// Chunks.
    pub num_chunks: u64,
    /// Intervals in the tombstones file.
    pub num_tombstones: u64,
}

/// Where a block comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compaction {
    /// 1 for a block cut from a head, else one more than the highest of its parents.
    pub level: i64,
    /// The level 1 blocks whose samples are in here, sorted. A level 1 block names itself.
    pub sources: Vec<BlockId>,
    /// Set on the inputs of a compaction that left no sample.
    pub deletable: bool,
    /// The blocks that were compacted into this one.
    pub parents: Vec<Parent>,
    /// Set on the inputs of a compaction that failed.
    pub failed: bool,
    /// Remarks of the writer, sorted: `from-out-of-order` and the like.
    pub hints: Vec<String>,
}

/// A direct input of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parent {
    /// Its name; [`BlockId::NONE`] in blocks that Prometheus made of out-of-order samples.
    pub id: BlockId,
    /// First millisecond of its range.
    pub min_time: Timestamp,
    /// The millisecond after the last one of its range.
    pub max_time: Timestamp,
}

/// The `thanos` section of a `meta.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThanosMeta {
    /// Version of the section: 0 or 1.
    pub version: i64,
    /// External labels.
    pub labels: BTreeMap<String, String>,
    /// Milliseconds between the samples of a downsampled block; 0 for raw data.
    pub resolution: i64,
    /// Which kind of program made the block: `receive`, `compactor`, ...
    pub source: String,
    /// Names in `chunks/`. Superseded by `files`.
    pub segment_files: Vec<String>,
    /// The files of the block.
    pub files: Vec<BlockFile>,
    /// What rewrites were done, in free form.
    pub rewrites: Vec<Json>,
    /// Largest entries of the index.
    pub index_stats: IndexStats,
    /// Free-form additions.
    pub extensions: Option<Json>,
    /// When the block was uploaded.
    pub upload_time: UploadTime,
}

/// A file of a block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockFile {
    /// Path in the block's directory.
    pub rel_path: String,
    /// Size in bytes; 0 where it is not known (and for `meta.json` itself).
    pub size_bytes: u64,
    /// Checksum of the content.
    pub hash: Option<FileHash>,
}

/// A checksum of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileHash {
    /// The function: `SHA256`.
    pub function: String,
    /// The value, in lower case hex.
    pub value: String,
}

/// What a gateway wants to know before it reads an index by ranges. Zero: unknown. Signed, because a negative number in
/// a file is read by Thanos and so by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// At most how many bytes from the start of one series entry to the start of the next.
    pub series_max_size: i64,
    /// At most how many bytes from one chunk to the next, but for the last two chunks of each series.
    pub chunk_max_size: i64,
}

impl BlockMeta {
    /// A meta with the version, and level 1 of its own source: a block cut from a head.
    pub fn fresh(id: BlockId, range: TimeRange, stats: BlockStats) -> Self {
        let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
        let max_time = range.max.saturating_add(1);
        Self { id, min_time: range.min, max_time, stats, compaction, thanos: None }
    }

    /// The closed range of time that the block answers for.
    pub const fn range(&self) -> TimeRange {
        if self.max_time == Timestamp::MIN {
            return TimeRange::new(Timestamp::MAX, Timestamp::MIN);
        }
        TimeRange::new(self.min_time, self.max_time - 1)
    }
}

#[cfg(test)]
mod tests;
