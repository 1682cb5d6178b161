//! The buffer of a log: frames with their place in it, not yet written.
//!
//! Positions are given here, so this is where a segment ends and the next begins. Bytes are counted from
//! [`Stage::FIRST_COUNT`] on, over all segments, so that "how far" is one number for those who wait.

use crate::frame::{self, Codec};
use crate::pool::Pool;
use crate::segment::{self, Position, SegmentNo};

/// A chunk's buffer that has grown beyond this is not kept.
const KEPT_BYTES: usize = 1 << 20;

/// Buffers of chunks that are written.
static SPARE: Pool<Vec<u8>> = Pool::new();

/// Bytes that follow each other in one segment.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Where the first byte goes. Offset 0: the segment begins here, and `bytes` begins with its header.
    pub(crate) start: Option<Position>,
    pub(crate) bytes: Vec<u8>,
    frames: u64,
}

/// What a leader takes to the disk.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) count: u64,
    pub(crate) end: Position,
}

/// The buffer.
#[derive(Debug)]
pub(crate) struct Stage {
    chunks: Vec<Chunk>,
    /// Where the next byte goes, in a segment that has begun; else the end of the one before.
    end: Position,
    /// The next frame opens a new segment.
    ended: bool,
    segment_bytes: u64,
    count: u64,
}

impl Chunk {
    /// Where the first frame begins, in `bytes` and in the log.
    pub(crate) fn first_frame(&self) -> Option<(usize, Position)> {
        let start = self.start?;
        let header = if start.offset == 0 { segment::HEADER_LEN } else { 0 };
        Some((header as usize, Position { offset: start.offset + header, ..start }))
    }
}

impl Stage {
    /// The count of a log to which nothing has been appended. Not 0, so that 0 can stand for "not even what was there
    /// at open".
    pub(crate) const FIRST_COUNT: u64 = 1;

    /// An empty buffer; the next frame opens the segment behind `start` (or at it, if its offset is 0).
    pub(crate) const fn new(start: Position, segment_bytes: u64) -> Self {
        Self { chunks: Vec::new(), end: start, ended: true, segment_bytes, count: Self::FIRST_COUNT }
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) const fn end(&self) -> Position {
        self.end
    }

    /// Lets the next frame open a new segment, unless nothing lies in the current one. The last segment in use.
    pub(crate) fn roll(&mut self) -> SegmentNo {
        self.ended = true;
        if self.end.offset == 0 { SegmentNo(self.end.segment.0.saturating_sub(1)) } else { self.end.segment }
    }

    /// Places one frame.
    pub(crate) fn put(&mut self, stored: &[u8], codec: Codec, checksum: u32) {
        let length = frame::HEADER_LEN + stored.len();
        if self.end.offset + length as u64 > self.segment_bytes && self.end.offset > segment::HEADER_LEN {
            self.ended = true;
        }
        if self.ended {
            self.begin_segment();
        }
        let header = frame::Header { length: stored.len() as u32, checksum, synced: 0, codec: codec as u8 };
        let position = self.end;
        let chunk = self.chunk();
        chunk.bytes.extend_from_slice(&header.encode(position));
        chunk.bytes.extend_from_slice(stored);
        chunk.frames += 1;
        self.end.offset += length as u64;
        self.count += length as u64;
    }

    fn begin_segment(&mut self) {
        let (number, previous_end) = match self.end.offset {
            0 => (self.end.segment, 0),
            offset => (self.end.segment.next(), offset),
        };
        let header = segment::Header { segment: number, previous_end };
        let mut bytes = SPARE.lend().unwrap_or_default();
        bytes.extend_from_slice(&header.encode());
        self.chunks.push(Chunk {
            start: Some(Position { segment: number, offset: 0 }),
            bytes,
            ..Chunk::default()
        });
        self.end = Position { segment: number, offset: segment::HEADER_LEN };
        self.count += segment::HEADER_LEN;
        self.ended = false;
    }

    /// The chunk that the next byte belongs to.
    fn chunk(&mut self) -> &mut Chunk {
        let Self { chunks, end, .. } = self;
        if chunks.is_empty() {
            chunks.push(Chunk {
                start: Some(*end),
                bytes: SPARE.lend().unwrap_or_default(),
                ..Chunk::default()
            });
        }
        // Not empty: a segment's chunk was pushed by `begin_segment`, or one just now.
        let last = chunks.len().saturating_sub(1);
        &mut chunks[last]
    }

    /// Everything that is buffered, for the leader.
    pub(crate) fn take(&mut self) -> Taken {
        Taken { chunks: std::mem::take(&mut self.chunks), count: self.count, end: self.end }
    }
}

/// Takes back the memory of chunks that are written.
pub(crate) fn give_back(chunks: Vec<Chunk>) {
    for mut chunk in chunks {
        if chunk.bytes.capacity() <= KEPT_BYTES {
            chunk.bytes.clear();
            SPARE.give_back(chunk.bytes);
        }
    }
}
