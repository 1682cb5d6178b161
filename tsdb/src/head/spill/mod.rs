//! Chunks that are finished, and the fronts of long open ones, leave memory.
//!
//! They are put into files as records, each of which knows the place of the one before it of its series. So a series
//! remembers one place, however many chunks it has, and memory does not grow with the length of a chunk. A
//! [`Spill`] belongs to the head and works under its lock: it only gathers records. [`SpillFiles`] is shared: it takes whole
//! blocks to the disk and reads them back, without that lock.
//!
//! There is a file for each block range (of the newest time in a record), so that what a cut makes superfluous is whole files.
//! Numbers of files are never used twice; a reference into a file that is gone ends a chain, because such a file
//! held nothing but what lies before a cut.

mod files;
mod pieces;
mod record;

use std::sync::Arc;

use sarsen_block::{Error as BlockError, TimeRange, Timestamp};

use files::SpillFile;
pub(crate) use files::{SpillFiles, SpillState};
pub(super) use pieces::OpenChunk;
pub(crate) use pieces::Pieces;
pub(crate) use record::{Piece, PieceHead};

/// A file ends when it has this many bytes.
const FILE_BYTES: u64 = 256 << 20;
/// A block of a small head is handed over when it has this many bytes.
const SMALL_BLOCK: usize = 8 << 10;

/// The place of a record: a file, and the offset in it. 48 bits, because every series has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SpillRef([u16; 3]);

const OFFSET_BITS: u32 = 26;

impl SpillRef {
    /// No place.
    pub(crate) const NONE: Self = Self([0; 3]);

    /// The record at `offset`, a multiple of 8 below 512 MiB, of a file with a number from 1 to four million.
    const fn new(file: u32, offset: u64) -> Option<Self> {
        let units = offset / record::UNIT as u64;
        if file == 0 || file >> (48 - OFFSET_BITS) != 0 || units >> OFFSET_BITS != 0 {
            return None;
        }
        Some(Self::unpack((file as u64) << OFFSET_BITS | units))
    }

    const fn unpack(bits: u64) -> Self {
        Self([(bits >> 32) as u16, (bits >> 16) as u16, bits as u16])
    }

    const fn bits(self) -> u64 {
        let [high, middle, low] = self.0;
        (high as u64) << 32 | (middle as u64) << 16 | low as u64
    }

    const fn file(self) -> u32 {
        (self.bits() >> OFFSET_BITS) as u32
    }

    const fn offset(self) -> u64 {
        (self.bits() & ((1 << OFFSET_BITS) - 1)) * record::UNIT as u64
    }

    pub(crate) const fn is_none(self) -> bool {
        self.bits() == 0
    }

    /// The bytes that stand for it in files, and back.
    pub(crate) fn to_bytes(self) -> [u8; 6] {
        let [_, _, bytes @ ..] = self.bits().to_be_bytes();
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 6] = bytes.try_into().ok()?;
        Some(Self::unpack(bytes.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte))))
    }

    fn damaged(self, what: impl Into<String>) -> BlockError {
        BlockError::corrupt(format!("spill file {}", self.file()), self.offset(), what)
    }
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    range: TimeRange,
    /// Chunks that end in it.
    chunks: u64,
}

impl Default for Span {
    fn default() -> Self {
        Self { range: TimeRange::new(Timestamp::MAX, Timestamp::MIN), chunks: 0 }
    }
}

/// A file that takes records.
#[derive(Debug)]
struct Current {
    /// Which block range, counted from 0.
    range_no: Timestamp,
    file: Arc<SpillFile>,
    /// Bytes handed over.
    start: u64,
    block: Vec<u8>,
    span: Span,
}

/// What gathers records, under the lock of the head.
#[derive(Debug)]
pub(crate) struct Spill {
    files: Arc<SpillFiles>,
    current: Vec<Current>,
    block_range: Timestamp,
    /// A block is handed over when it has this many bytes.
    block_bytes: usize,
    max_block: usize,
}

impl Spill {
    /// `max_block`: see `Options::spill_buffer_bytes`.
    pub(super) fn new(files: Arc<SpillFiles>, block_range: Timestamp, max_block: usize) -> Self {
        let mut spill = Self { files, current: Vec::new(), block_range, block_bytes: 0, max_block };
        spill.suit(0);
        spill
    }

    /// The files behind it.
    pub(crate) const fn files(&self) -> &Arc<SpillFiles> {
        &self.files
    }

    /// Gathers as much as suits a head of so many series: a block of a small head would be most of its memory.
    pub(super) fn suit(&mut self, series: usize) {
        self.block_bytes = (series * 16).max(SMALL_BLOCK).min(self.max_block);
    }

    /// Whether references have nearly run out: then nothing more may be put.
    pub(super) fn is_full(&self) -> bool {
        self.files.is_full()
    }

    /// Puts a piece behind the one at `prev`; its place. `None`, and nothing is put, if references have run out.
    pub(super) fn put(&mut self, prev: SpillRef, head: &PieceHead, bytes: &[u8]) -> Option<SpillRef> {
        let range_no = head.range.max / self.block_range;
        let at = match self.current.iter().position(|current| current.range_no == range_no) {
            Some(at) => at,
            None => self.open(range_no)?,
        };
        let current = self.current.get_mut(at)?;
        let place = SpillRef::new(current.file.number(), current.start + current.block.len() as u64)?;
        record::put(&mut current.block, place, prev, head, bytes);
        current.span.range.min = current.span.range.min.min(head.range.min);
        current.span.range.max = current.span.range.max.max(head.range.max);
        current.span.chunks += u64::from(head.is_last);
        if current.block.len() >= self.block_bytes {
            self.seal();
        }
        Some(place)
    }

    /// A file for a block range. Only few are open at a time: nearly always the newest two.
    fn open(&mut self, range_no: Timestamp) -> Option<usize> {
        let file = self.files.new_file()?;
        if self.current.len() >= 8
            && let Some(oldest) =
                (0..self.current.len()).min_by_key(|&at| self.current.get(at).map(|c| c.range_no))
        {
            self.seal();
            self.current.swap_remove(oldest);
        }
        self.current.push(Current { range_no, file, start: 0, block: Vec::new(), span: Span::default() });
        Some(self.current.len() - 1)
    }

    /// Hands everything gathered over: all files at once, so that what is gathered is newer than what is not, and a
    /// chain that has left the lock of the head does not come back.
    pub(super) fn seal(&mut self) {
        for current in &mut self.current {
            current.seal(&self.files);
        }
        self.current.retain(|current| current.start < FILE_BYTES);
    }

    /// Lets go of files whose samples all lie before `from`; how many chunks went with them.
    pub(super) fn drop_before(&mut self, from: Timestamp) -> u64 {
        self.seal();
        self.current.retain(|current| current.span.range.max >= from);
        self.files.drop_before(from)
    }

    /// Oldest time of any piece; `Timestamp::MAX` if there is none.
    pub(super) fn oldest(&self) -> Timestamp {
        let gathered = self.current.iter().map(|current| current.span.range.min).min();
        self.files.oldest().min(gathered.unwrap_or(Timestamp::MAX))
    }

    /// The piece at `place`, if it has not been handed over yet.
    fn gathered(&self, place: SpillRef) -> Option<Result<Piece, BlockError>> {
        let current = self.current.iter().find(|current| current.file.number() == place.file())?;
        let at = usize::try_from(place.offset().checked_sub(current.start)?).ok()?;
        let bytes = current.block.get(at..).filter(|bytes| !bytes.is_empty())?;
        Some(record::get(bytes, place))
    }

    /// Whether there is the file that a piece lies in.
    pub(super) fn has_file(&self, place: SpillRef) -> bool {
        self.files.has(place.file())
    }

    /// Bytes of memory held.
    pub(super) fn held(&self) -> u64 {
        let gathered: usize = self.current.iter().map(|current| current.block.capacity()).sum();
        gathered as u64 + self.files.sizes().2
    }
}

impl Current {
    fn seal(&mut self, files: &SpillFiles) {
        if !self.block.is_empty() {
            let block = std::mem::take(&mut self.block);
            self.start += block.len() as u64;
            files.hand_over(&self.file, block, self.span);
        }
    }
}

#[cfg(test)]
mod tests;
