//! Settings as plain data with defaults and a check.
//!
//! Components (disk, observer) and secrets (hash seed, seed of block ids) are not settings: they are handed to the
//! builder.

use sarsen_block::Timestamp;
use sarsen_wal::SyncPolicy;

use crate::error::Error;
use crate::head::MAX_OPEN_BYTES;

/// What opening does when the log ends in damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDamage {
    /// Opening fails with [`Error::Damaged`], which names segment and offset. Nothing is changed.
    #[default]
    Stop,
    /// The log is cut at the damage, what lies behind it is lost, and the [`OpenReport`](crate::OpenReport) says so.
    CutOff,
}

/// Whether blocks have to be brought elsewhere before they may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shipping {
    /// Yes: the database removes no block on its own. The owner calls [`Db::retain`](crate::Db::retain) and says which
    /// blocks are safe, or [`Db::retire`](crate::Db::retire).
    #[default]
    Required,
    /// No: this directory is all there is, and [`Db::maintain`](crate::Db::maintain) removes what is due.
    NotNeeded,
}

/// Settings of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Length of a block in milliseconds; blocks end at multiples of it. Two hours.
    pub block_range: Timestamp,
    /// How many milliseconds must pass between calls of `maintain` without an accepted sample before the
    /// head counts as idle, so that its old ranges are cut although it does not span one and a half of them. Five
    /// minutes. Zero: the head counts as idle at every call.
    pub idle_grace: Timestamp,
    /// How many milliseconds longer than one and a half block ranges the head may grow before its oldest range is cut.
    /// None. Whoever has many databases gives each another delay, so that they are not all cut at the same moment.
    pub cut_delay: Timestamp,
    /// How many milliseconds before the newest sample of the head a sample may lie that is older than the newest of its
    /// series, or older than half a block range. 0, the default: such samples are refused.
    pub out_of_order_window: Timestamp,
    /// Late samples of one series that are kept sorted before they are encoded; 1 to 255. 32.
    pub out_of_order_cap_max: usize,
    /// Whether start timestamps of samples are kept. Floats are then written as XOR2 chunks, and histograms in the encodings with
    /// start timestamps, which few readers know. No: start timestamps are dropped.
    pub xor2: bool,
    /// What to do when the log is damaged.
    pub on_damage: OnDamage,
    /// When a commit counts as being on disk. Every commit.
    pub sync: SyncPolicy,
    /// Bytes after which the log begins a new segment. 128 MiB.
    pub log_segment_bytes: u64,
    /// Bytes of log after which `maintain` writes a checkpoint of the head, so that opening has little to replay; of a
    /// large head, a quarter of the bytes of the last checkpoint. One is written after each cut in any case. 32 MiB.
    pub checkpoint_log_bytes: u64,
    /// Whether large log records are packed. Yes.
    pub log_compression: bool,
    /// How many exemplars the database keeps, all series together; the next one pushes out the oldest. They cost memory
    /// only as they come. None.
    pub max_exemplars: u32,
    /// How many milliseconds before the end of the newest block a block may end before it is due to go. Zero: for ever,
    /// which is the default.
    pub retention_time: Timestamp,
    /// How many bytes blocks, log and spill may have together before the oldest blocks are due to go. Zero: any number, which is
    /// the default.
    pub retention_bytes: u64,
    /// Whether blocks that are due have to lie elsewhere before they go. Yes.
    pub shipping: Shipping,
    /// Bytes of an open chunk that are kept in memory; the front of one that has grown longer goes to the spill files. 8 to
    /// 1024. 168.
    pub open_chunk_bytes: usize,
    /// Bytes of spilled chunks that are gathered before they are written; a small head gathers less. 1 MiB.
    pub spill_buffer_bytes: usize,
    /// Bytes after which a block begins a new chunk file; 512 MiB.
    pub chunk_segment_size: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            block_range: 2 * 60 * 60 * 1000,
            idle_grace: 5 * 60 * 1000,
            cut_delay: 0,
            out_of_order_window: 0,
            out_of_order_cap_max: 32,
            xor2: false,
            on_damage: OnDamage::Stop,
            sync: SyncPolicy::EveryCommit,
            log_segment_bytes: 128 << 20,
            checkpoint_log_bytes: 32 << 20,
            log_compression: true,
            max_exemplars: 0,
            retention_time: 0,
            retention_bytes: 0,
            shipping: Shipping::Required,
            open_chunk_bytes: 168,
            spill_buffer_bytes: 1 << 20,
            chunk_segment_size: 512 * 1024 * 1024,
        }
    }
}

impl Options {
    /// Whether the settings make sense together.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub fn check(&self) -> Result<(), Error> {
        let day = 24 * 60 * 60 * 1000;
        if !(1000..=21 * day).contains(&self.block_range) {
            return Err(Error::invalid("block_range", "not between a second and three weeks"));
        }
        if !(8..=MAX_OPEN_BYTES).contains(&self.open_chunk_bytes) {
            return Err(Error::invalid("open_chunk_bytes", "not between 8 and 1024"));
        }
        if !(0..=self.block_range).contains(&self.cut_delay) {
            return Err(Error::invalid("cut_delay", "not between nothing and a block range"));
        }
        if self.idle_grace < 0 {
            return Err(Error::invalid("idle_grace", "negative"));
        }
        if self.out_of_order_window < 0 {
            return Err(Error::invalid("out_of_order_window", "negative"));
        }
        if !(1..=255).contains(&self.out_of_order_cap_max) {
            return Err(Error::invalid("out_of_order_cap_max", "not between 1 and 255"));
        }
        if self.retention_time < 0 {
            return Err(Error::invalid("retention_time", "negative"));
        }
        if !(64..=u64::from(u32::MAX)).contains(&self.chunk_segment_size) {
            return Err(Error::invalid("chunk_segment_size", "not between 64 bytes and 4 GiB"));
        }
        Ok(())
    }
}
