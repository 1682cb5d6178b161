//! From the newest piece of a series backwards, and pieces joined to chunks.
//!
//! A reader takes what it needs of a series under the lock of the head ([`Spill::pieces`]): the open chunk, and the pieces that
//! have not been handed over. It follows the chain through the files without the lock ([`Pieces::read`]). That may be long after:
//! records never change, and a file that is let go of held nothing that the reader asks for.

use bytes::Bytes;
use sarsen_block::{Chunk, Encoding, Error, TimeRange, TimedChunk};

use super::{Piece, Spill, SpillFiles, SpillRef};

/// The chunk that is being written, as it is at one moment.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    pub(crate) encoding: Encoding,
    pub(crate) range: TimeRange,
    pub(crate) samples: u16,
    /// How many bytes lie in spilled pieces.
    pub(crate) before: u32,
    /// The bytes behind them.
    pub(crate) bytes: Vec<u8>,
}

/// What is needed of a series for a range, as far as it has been looked for.
#[derive(Debug)]
pub(crate) struct Pieces {
    range: TimeRange,
    open: Option<OpenChunk>,
    /// Newest first.
    found: Vec<Piece>,
    /// The newest piece not yet looked at.
    next: SpillRef,
    /// How many bytes the chunk that was begun has in older pieces.
    missing: u32,
}

impl Spill {
    /// Begins to collect the chunks that share a millisecond with `range`: of the open chunk and the chain that ends at
    /// `newest`.
    pub(crate) fn pieces(
        &self,
        range: TimeRange,
        open: Option<OpenChunk>,
        newest: SpillRef,
    ) -> Result<Pieces, Error> {
        let missing = open.as_ref().map_or(0, |open| open.before);
        let mut pieces = Pieces { range, open, found: Vec::new(), next: newest, missing };
        while pieces.is_wanting()
            && let Some(piece) = self.gathered(pieces.next)
        {
            pieces.take(piece?)?;
        }
        Ok(pieces)
    }
}

impl Pieces {
    /// Whether the chain must be followed further.
    fn is_wanting(&self) -> bool {
        let oldest =
            self.found.last().map(|piece| piece.head.range).or(self.open.as_ref().map(|open| open.range));
        !self.next.is_none() && (self.missing > 0 || oldest.is_none_or(|oldest| oldest.min > self.range.min))
    }

    /// Whether the last of the chunks is the one that is being written.
    pub(crate) fn ends_open(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.range.overlaps(self.range))
    }

    /// Takes the next piece. Each is older than the one before it, so that no chain, however damaged, is endless.
    fn take(&mut self, piece: Piece) -> Result<(), Error> {
        let newer = self.found.last().map(|newer| newer.head.range);
        let newer = newer.or(self.open.as_ref().map(|open| open.range));
        let is_older = match newer {
            Some(newer) if self.missing > 0 => {
                piece.head.before < self.missing && piece.head.range.min == newer.min
            }
            Some(newer) => piece.head.range.max < newer.min && piece.head.range.min <= piece.head.range.max,
            None => true,
        };
        if !is_older {
            return Err(self.next.damaged("a piece of another time"));
        }
        (self.missing, self.next) = (piece.head.before, piece.prev);
        self.found.push(piece);
        Ok(())
    }

    /// Follows the chain to its end, or to what lies before the range, and joins what it finds; oldest chunk first.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk fails; [`Error::Corrupt`] if a piece is damaged or missing.
    pub(crate) fn read(mut self, files: &SpillFiles, buffer: &mut Vec<u8>) -> Result<Vec<TimedChunk>, Error> {
        while self.is_wanting() {
            match files.read(self.next, buffer)? {
                Some(piece) => self.take(piece)?,
                None => break,
            }
        }
        if self.missing > 0 {
            return Err(self.next.damaged("a piece of a chunk is missing"));
        }
        self.join()
    }

    fn join(self) -> Result<Vec<TimedChunk>, Error> {
        let mut chunks = Vec::new();
        let mut chunk = self.open.map(|open| Joining {
            encoding: open.encoding,
            range: open.range,
            samples: open.samples,
            missing: open.before,
            parts: vec![open.bytes],
        });
        let mut place = SpillRef::NONE;
        for piece in self.found {
            if let Some(whole) = chunk.take_if(|chunk| chunk.missing == 0) {
                whole.finish(self.range, &mut chunks);
            }
            let here = std::mem::replace(&mut place, piece.prev);
            match &mut chunk {
                Some(chunk) => chunk.take(piece, here)?,
                None if piece.head.is_last => chunk = Some(Joining::begin(piece)),
                None => return Err(here.damaged("a piece that belongs to no chunk")),
            }
        }
        if let Some(whole) = chunk {
            whole.finish(self.range, &mut chunks);
        }
        chunks.reverse();
        Ok(chunks)
    }
}

/// A chunk whose older pieces are still to come.
struct Joining {
    encoding: Encoding,
    range: TimeRange,
    samples: u16,
    missing: u32,
    /// Newest first.
    parts: Vec<Vec<u8>>,
}

impl Joining {
    fn begin(piece: Piece) -> Self {
        let head = piece.head;
        Self {
            encoding: head.encoding,
            range: head.range,
            samples: head.samples,
            missing: head.before,
            parts: vec![piece.bytes],
        }
    }

    fn take(&mut self, piece: Piece, place: SpillRef) -> Result<(), Error> {
        let head = piece.head;
        let fits = u64::from(head.before) + piece.bytes.len() as u64 == u64::from(self.missing);
        if head.is_last || !fits || head.encoding != self.encoding || head.range.min != self.range.min {
            return Err(place.damaged("a piece of another chunk"));
        }
        self.missing = head.before;
        self.parts.push(piece.bytes);
        Ok(())
    }

    /// Pieces of XOR chunks are the stream alone; its count is known only at the end. Others are whole.
    fn finish(self, wanted: TimeRange, chunks: &mut Vec<TimedChunk>) {
        if !self.range.overlaps(wanted) {
            return;
        }
        let length: usize = self.parts.iter().map(Vec::len).sum();
        let mut data = Vec::with_capacity(length + 2);
        if self.encoding == Encoding::Xor {
            data.extend_from_slice(&self.samples.to_be_bytes());
        }
        self.parts.iter().rev().for_each(|part| data.extend_from_slice(part));
        let chunk = Chunk { encoding: self.encoding, data: Bytes::from(data) };
        chunks.push(TimedChunk { range: self.range, chunk });
    }
}
