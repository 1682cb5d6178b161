//! One of the blocks of a rewrite, gone through from its first series to its last.
//!
//! In memory are the present series, as numbers, and a window each on its index and its chunk files. What a tombstone covers, or lies
//! outside the new block, is left out here.

use bytes::Bytes;

use super::symbols::Numbers;
use crate::chunk::{Chunk, ChunkMeta, ChunkRef, Encoding, TimedChunk};
use crate::chunkfile::Record;
use crate::error::Error;
use crate::index::SeriesWalk;
use crate::meta::BlockId;
use crate::postings::SeriesNo;
use crate::reader::Block;
use crate::series::{Aggregates, Held, Piece};
use crate::source::Window;
use crate::time::{TimeRange, Timestamp};

/// Where a chunk lies: in which input of a group, and where there.
pub(super) type Place = (usize, ChunkRef);

/// A block and the series it is at.
pub(super) struct Input<'a> {
    block: &'a Block,
    walk: SeriesWalk<'a>,
    numbers: Numbers,
    /// Samples outside are left out.
    range: TimeRange,
    no: SeriesNo,
    /// The labels as they stand in the index, of this series and the one before it.
    raw: Vec<u32>,
    raw_before: Vec<u32>,
    /// The labels by their new numbers.
    labels: Vec<(u32, u32)>,
    labels_before: Vec<(u32, u32)>,
    has_before: bool,
    /// The chunks of which something may be left.
    chunks: Vec<ChunkMeta>,
    /// Whether of one of them something may be left out.
    is_cut: bool,
    window: Window,
    /// Which chunk file the window looks at.
    segment: u32,
}

impl<'a> Input<'a> {
    pub(super) fn new(block: &'a Block, numbers: Numbers, range: TimeRange) -> Result<Self, Error> {
        let walk = SeriesWalk::open(block.index()).map_err(|error| error.in_block(block.meta().id))?;
        Ok(Self {
            block,
            walk,
            numbers,
            range,
            no: SeriesNo(0),
            raw: Vec::new(),
            raw_before: Vec::new(),
            labels: Vec::new(),
            labels_before: Vec::new(),
            has_before: false,
            chunks: Vec::new(),
            is_cut: false,
            window: Window::default(),
            segment: 0,
        })
    }

    pub(super) fn id(&self) -> BlockId {
        self.block.meta().id
    }

    pub(super) fn labels(&self) -> &[(u32, u32)] {
        &self.labels
    }

    pub(super) fn chunks(&self) -> &[ChunkMeta] {
        &self.chunks
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Goes to the next series of which something may be left, if there is one.
    pub(super) fn advance(&mut self) -> Result<bool, Error> {
        self.step().map_err(|error| error.in_block(self.id()))
    }

    fn step(&mut self) -> Result<bool, Error> {
        loop {
            std::mem::swap(&mut self.raw, &mut self.raw_before);
            std::mem::swap(&mut self.labels, &mut self.labels_before);
            let Some(no) = self.walk.next(&mut self.raw, &mut self.chunks)? else { return Ok(false) };
            self.no = no;
            self.number()?;
            self.check_chunks()?;
            self.has_before = true;
            self.hide();
            if !self.chunks.is_empty() {
                return Ok(true);
            }
        }
    }

    #[cold]
    fn corrupt(&self, what: &str) -> Error {
        Error::corrupt("index series", self.block.index().series_offset(self.no), what)
    }

    /// Finds the new numbers of the labels. Neighbours share most of theirs.
    fn number(&mut self) -> Result<(), Error> {
        self.labels.clear();
        let mut least = 0;
        let (pairs, before) = (self.raw.chunks_exact(2), self.raw_before.chunks_exact(2));
        let mut known = before.zip(&self.labels_before);
        for pair in pairs {
            let label = match known.next() {
                Some((before, &label)) if before == pair => Some(label),
                _ => match pair {
                    [name, value] => self.numbers.get(*name).zip(self.numbers.get(*value)),
                    _ => None,
                },
            };
            let Some(label) = label else { return Err(self.corrupt("a label that is no symbol")) };
            if label.0 < least {
                return Err(self.corrupt("label names are not sorted and unique"));
            }
            least = label.0.saturating_add(1);
            self.labels.push(label);
        }
        if self.has_before && self.labels <= self.labels_before {
            return Err(self.corrupt("a series is not above the one before it"));
        }
        Ok(())
    }

    fn check_chunks(&self) -> Result<(), Error> {
        let in_order = self.chunks.windows(2).all(|pair| match pair {
            [one, next] => one.range.max < next.range.min,
            _ => true,
        });
        if in_order { Ok(()) } else { Err(self.corrupt("a chunk does not come after the one before it")) }
    }

    /// Leaves out the chunks of which nothing may be left.
    fn hide(&mut self) {
        let stones = self.block.tombstones().of(self.no);
        let range = self.range;
        self.is_cut = !stones.is_empty() || !self.chunks.iter().all(|meta| range.covers(meta.range));
        if self.is_cut {
            let hidden = |meta: &ChunkMeta| stones.iter().any(|stone| stone.covers(meta.range));
            self.chunks.retain(|meta| meta.range.overlaps(range) && !hidden(meta));
        }
    }

    /// What is to be left out of a chunk.
    fn deleted(&self, chunk: TimeRange) -> Vec<TimeRange> {
        let TimeRange { min, max } = self.range;
        let before = (min > Timestamp::MIN).then(|| TimeRange::new(Timestamp::MIN, min - 1));
        let behind = (max < Timestamp::MAX).then(|| TimeRange::new(max + 1, Timestamp::MAX));
        let stones = self.block.tombstones().of(self.no).iter().copied();
        stones.chain(before).chain(behind).filter(|range| range.overlaps(chunk)).collect()
    }

    /// The chunks of the present series, this input being the one with `number` in its group; those that lose samples are made anew.
    pub(super) fn pieces(
        &mut self,
        number: usize,
        aggregates: Option<&dyn Aggregates>,
    ) -> Result<Vec<Piece<Place>>, Error> {
        let metas = std::mem::take(&mut self.chunks);
        let mut pieces = Vec::with_capacity(metas.len());
        for &ChunkMeta { range, chunk_ref } in &metas {
            let deleted = self.deleted(range);
            if deleted.is_empty() {
                pieces.push(Piece { range, held: Held::Stored((number, chunk_ref)) });
                continue;
            }
            let timed = TimedChunk { range, chunk: self.chunk(chunk_ref)? };
            let left = match (timed.chunk.encoding, aggregates) {
                (Encoding::Aggregate, Some(aggregates)) => aggregates.without(&timed, &deleted),
                _ => timed.chunk.without(&deleted),
            };
            pieces.extend(left.map_err(|error| error.in_block(self.id()))?.into_iter().map(Piece::from));
        }
        self.chunks = metas;
        Ok(pieces)
    }

    /// A chunk, read and checked.
    #[inline]
    pub(super) fn record(&mut self, at: ChunkRef) -> Result<Record<'_>, Error> {
        if at.segment() != self.segment {
            self.window = Window::default();
            self.segment = at.segment();
        }
        let block = self.block;
        block.record_through(at, &mut self.window).map_err(|error| error.in_block(block.meta().id))
    }

    /// The same, in memory of its own.
    pub(super) fn chunk(&mut self, at: ChunkRef) -> Result<Chunk, Error> {
        let Record { encoding, data, .. } = self.record(at)?;
        Ok(Chunk { encoding, data: Bytes::copy_from_slice(data) })
    }
}
