//! What a job needs of memory and disk, as far as can be told before, and what of both is given out.
//!
//! The figures are bounds of what the rooms below promise: a reader holds a few stretches of each block and the names of its index, a
//! writer its index under construction and what goes up in parts; on the disk lie the indexes, and at most two chunk segments.
//! A job that alone needs more memory than there is runs alone, with short stretches. One that needs more disk reads indexes
//! where they are and sends its own up while it is made, so that only two segments of each output take room; if even that
//! is too much it does not run.

use sarsen_block::{BlockMeta, DEFAULT_CHUNK_FILE_LIMIT};
use sarsen_bucket::Layout;

use crate::options::Options;
use crate::plan::{Job, Work};

/// Bytes of a chunk segment that one request brings: the least, and the most.
const SHORT_STRETCH: u64 = 64 << 10;
const LONG_STRETCH: u64 = 1 << 20;
/// Stretches of a block that are in memory at a time.
const STRETCHES: u64 = 3;
/// Of an index this part is in memory while it is read, and while it is written.
const INDEX_PART: u64 = 6;
/// What a sink has in memory of files that go up.
const SINK_MEMORY: u64 = 40 << 20;
/// Of a block whose meta has no sizes this part is taken to be its index.
const USUAL_INDEX_PART: u64 = 8;

/// What a job needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Need {
    pub(crate) memory: u64,
    pub(crate) disk: u64,
    /// How much of a segment is read at once.
    pub(crate) stretch: u64,
    /// Whether there is disk for indexes; else they are read where they are and go up while they are made, which costs requests.
    pub(crate) copies_indexes: bool,
}

impl Need {
    pub(crate) fn of(job: &Job, options: &Options) -> Self {
        let outputs = match &job.work {
            Work::Merge { .. } | Work::Rewrite => 1,
            Work::Coarsen { to } => to.len() as u64,
            Work::Bar { .. } | Work::Delete { .. } => {
                return Self { stretch: LONG_STRETCH, ..Self::default() };
            }
        };
        let index: u64 = job.blocks.iter().map(|meta| index_bytes(meta)).fold(0, u64::saturating_add);
        let chunks = job.bytes.saturating_sub(index);
        let blocks = job.blocks.len() as u64;
        let segments = chunks.min(DEFAULT_CHUNK_FILE_LIMIT.saturating_mul(2)).saturating_mul(outputs);
        // The index of each block, the one that is written, and the same fetched once more to be verified.
        let copied = index.saturating_mul(1 + 2 * outputs).saturating_add(segments);
        let copies_indexes = copied <= options.disk_bytes;
        let disk = if copies_indexes { copied } else { segments };
        // An index that is read where it is is read in stretches too.
        let sources = if copies_indexes { blocks } else { blocks.saturating_mul(2) };
        let indexes = index.saturating_mul(1 + outputs) / INDEX_PART;
        let fixed = indexes.saturating_add(SINK_MEMORY.saturating_mul(outputs));
        let left = options.memory_bytes.saturating_sub(fixed) / sources.saturating_mul(STRETCHES).max(1);
        let stretch = left.clamp(SHORT_STRETCH, LONG_STRETCH);
        let memory = fixed.saturating_add((stretch * STRETCHES).saturating_mul(sources));
        Self { memory, disk, stretch, copies_indexes }
    }
}

fn index_bytes(meta: &BlockMeta) -> u64 {
    let files = meta.thanos.as_ref().map_or(&[][..], |thanos| &thanos.files);
    match files.iter().find(|file| file.rel_path == Layout::INDEX) {
        Some(index) => index.size_bytes,
        None => crate::plan::bytes_of(meta) / USUAL_INDEX_PART,
    }
}

/// What is given out.
#[derive(Debug)]
pub(crate) struct Budget {
    memory: u64,
    disk: u64,
    taken: Need,
    jobs: usize,
}

impl Budget {
    pub(crate) fn new(options: &Options) -> Self {
        Self { memory: options.memory_bytes, disk: options.disk_bytes, taken: Need::default(), jobs: 0 }
    }

    /// Whether there is room for a job beside those that run.
    pub(crate) fn has_room(&self, need: Need) -> bool {
        let fits = self.taken.memory.saturating_add(need.memory) <= self.memory
            && self.taken.disk.saturating_add(need.disk) <= self.disk;
        fits || self.jobs == 0
    }

    /// Whether a job can never run.
    pub(crate) fn is_beyond(&self, need: Need) -> bool {
        need.disk > self.disk
    }

    pub(crate) fn take(&mut self, need: Need) {
        self.jobs += 1;
        self.taken.memory = self.taken.memory.saturating_add(need.memory);
        self.taken.disk = self.taken.disk.saturating_add(need.disk);
    }

    pub(crate) fn give_back(&mut self, need: Need) {
        self.jobs = self.jobs.saturating_sub(1);
        self.taken.memory = self.taken.memory.saturating_sub(need.memory);
        self.taken.disk = self.taken.disk.saturating_sub(need.disk);
    }
}
