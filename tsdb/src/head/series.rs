//! One series: its labels, its open chunk, the place of what was spilled.
//!
//! The record of a series is what an append touches: the hash that proves a hit, the state of the open chunk, the end of its
//! bytes. A chunk that is finished leaves memory, and so does the front of an open one that has grown: see
//! [`spill`](super::spill). No lock: the head is the owner.

use sarsen_block::codec::{Reader, put_uvarint};
use sarsen_block::{
    ChunkCut, Encoding, Error as BlockError, SeriesHash, SeriesNo, TimeRange, Timestamp, XorAppender,
};

use super::arena::Place;
use super::cells::{Cells, Chain};
use super::histograms::{Form, OpenOther, Row, Snapshot};
use super::judge::Newest;
use super::spill::{OpenChunk, PieceHead, Pieces, Spill, SpillRef};

/// Bytes of a word: what an appender writes at a time.
const WORD: usize = 8;

/// What a checkpoint says first of an open chunk.
const NO_CHUNK: u8 = 0;
const FLOATS: u8 = 1;
const OTHER: u8 = 2;

/// One series.
#[derive(Debug)]
pub(super) struct MemSeries {
    hash: [u64; 2],
    open: XorAppender,
    /// Time of the first sample of the open chunk.
    start: Timestamp,
    /// Milliseconds from there to the end of the open chunk.
    length: u32,
    pub(super) labels: Place,
    /// Cells with the bytes of the open chunk that are not spilled, and how many words they are.
    cells: (u32, u32),
    words: u8,
    /// How many words of the open chunk are spilled.
    spilled: u8,
    /// The newest spilled piece.
    newest_piece: SpillRef,
    /// The open chunk, if it does not hold plain floats; `open` has no samples then.
    other: Option<Box<OpenOther>>,
}

const _: () = assert!(size_of::<MemSeries>() <= 96, "there is one for every series");

impl MemSeries {
    /// A series without samples.
    pub(super) fn new(hash: SeriesHash, labels: Place) -> Self {
        Self {
            hash: [(hash.0 >> 64) as u64, hash.0 as u64],
            open: XorAppender::new(),
            start: 0,
            length: 0,
            labels,
            cells: Chain::default().ends(),
            words: 0,
            spilled: 0,
            newest_piece: SpillRef::NONE,
            other: None,
        }
    }

    #[inline]
    pub(super) fn hash(&self) -> SeriesHash {
        SeriesHash(u128::from(self.hash[0]) << 64 | u128::from(self.hash[1]))
    }

    /// Says which series this is, once that is known.
    pub(super) fn set_hash(&mut self, hash: SeriesHash) {
        self.hash = [(hash.0 >> 64) as u64, hash.0 as u64];
    }

    /// The newest sample.
    #[inline]
    pub(super) fn newest(&self) -> Newest {
        if self.open.num_samples() > 0 {
            return Newest::float(self.open.last_time(), self.open.last_value_bits());
        }
        self.other.as_ref().map_or(Newest::NONE, |other| other.newest())
    }

    /// Whether the open chunk has plain floats, all of them before `t`.
    #[inline]
    pub(super) const fn goes_behind(&self, t: Timestamp) -> bool {
        self.open.num_samples() > 0 && self.open.last_time() < t
    }

    /// Whether the open chunk is not one of plain floats.
    #[inline]
    pub(super) const fn has_other(&self) -> bool {
        self.other.is_some()
    }

    /// Whether the series has no sample in the head: where there are finished chunks, there is an open one behind them.
    pub(super) fn is_empty(&self) -> bool {
        self.open.num_samples() == 0 && self.other.is_none()
    }

    /// Time of the oldest sample that is in memory.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.open_range().map(|range| range.min)
    }

    #[inline]
    fn chain(&self) -> Chain {
        Chain::new(self.cells, usize::from(self.words) * WORD)
    }

    #[inline]
    fn set_chain(&mut self, chain: &Chain) {
        self.cells = chain.ends();
        self.words = (chain.len() / WORD) as u8;
    }

    /// Whether a sample at `t` belongs into a new chunk.
    #[inline]
    fn is_due(&mut self, t: Timestamp) -> bool {
        let mut cut = ChunkCut::resume(self.start, self.start.saturating_add(i64::from(self.length)));
        let written = (usize::from(self.spilled) + usize::from(self.words)) * WORD;
        let is_due = cut.is_due(t, &self.open, written);
        self.set_end(&cut);
        is_due
    }

    /// Chunks are shorter than two block ranges, and these have a bound: see `Options::check`.
    #[inline]
    fn set_end(&mut self, cut: &ChunkCut) {
        self.length = u32::try_from(cut.end().saturating_sub(cut.start())).unwrap_or(u32::MAX);
    }

    /// Appends a sample that was judged before; whether a chunk was begun. `no` is the number of the series.
    #[inline]
    pub(super) fn append(&mut self, store: &mut ChunkStore, no: SeriesNo, t: Timestamp, v: f64) -> bool {
        let mut begun = false;
        if self.open.num_samples() > 0 && self.is_due(t) {
            self.finish(store, no);
        }
        if self.open.num_samples() == 0 {
            let cut = ChunkCut::begin(t, store.form.block_range);
            self.start = cut.start();
            self.set_end(&cut);
            begun = true;
        }
        store.written.clear();
        self.open.append(&mut store.written, t, v);
        if !store.written.is_empty() {
            let mut chain = self.chain();
            store.cells.push(&mut chain, &store.written);
            self.set_chain(&chain);
            if usize::from(self.words) >= store.open_words {
                self.spill_front(store, no);
            }
        }
        begun
    }

    /// Appends a sample that is no plain float and was judged before; whether a chunk was begun.
    ///
    /// # Errors
    /// [`BlockError`] for a histogram that is none.
    pub(super) fn append_other(
        &mut self,
        store: &mut ChunkStore,
        no: SeriesNo,
        row: Row<'_>,
    ) -> Result<bool, BlockError> {
        let form = store.form;
        let Some(other) = &mut self.other else {
            let begun = OpenOther::begin(row, form)?;
            if self.open.num_samples() > 0 {
                self.finish(store, no);
            }
            self.other = Some(Box::new(begun));
            return Ok(true);
        };
        let Some(full) = other.append(row, form)? else { return Ok(false) };
        self.spill_whole(store, no, full);
        Ok(true)
    }

    /// The open chunk takes no more samples if it is not one of plain floats, so that these can follow.
    #[cold]
    pub(super) fn finish_other(&mut self, store: &mut ChunkStore, no: SeriesNo) {
        if let Some(other) = self.other.take() {
            self.spill_whole(store, no, other.snapshot());
        }
    }

    /// A finished chunk that is no plain XOR chunk becomes one piece.
    fn spill_whole(&mut self, store: &mut ChunkStore, no: SeriesNo, full: Snapshot) {
        let Snapshot { encoding, range, samples, bytes } = full;
        let head = PieceHead { series: no, encoding, is_last: true, before: 0, samples, range };
        self.newest_piece = store.spill.put(self.newest_piece, &head, &bytes).unwrap_or(self.newest_piece);
    }

    /// What is said of a piece that ends with the last sample.
    fn piece_head(&self, no: SeriesNo, is_last: bool) -> PieceHead {
        PieceHead {
            series: no,
            encoding: Encoding::Xor,
            is_last,
            before: u32::from(self.spilled) * WORD as u32,
            samples: self.open.num_samples(),
            range: TimeRange::new(self.start, self.open.last_time()),
        }
    }

    /// The bytes of the open chunk that are in memory become a piece.
    #[cold]
    fn spill_front(&mut self, store: &mut ChunkStore, no: SeriesNo) {
        let head = self.piece_head(no, false);
        let mut chain = self.chain();
        store.written.clear();
        store.cells.read(&chain, &mut store.written);
        if let Some(place) = store.spill.put(self.newest_piece, &head, &store.written) {
            self.newest_piece = place;
            self.spilled += self.words;
            store.cells.free(&mut chain);
            self.set_chain(&chain);
        }
    }

    /// The open chunk takes no more samples, and becomes a piece.
    #[cold]
    fn finish(&mut self, store: &mut ChunkStore, no: SeriesNo) {
        let head = self.piece_head(no, true);
        let last = self.open.finish(&self.tail(store));
        // Without the count, which stands in the head of the piece.
        let stream = last.get(2..).unwrap_or_default();
        self.newest_piece = store.spill.put(self.newest_piece, &head, stream).unwrap_or(self.newest_piece);
        self.clear_open(store);
    }

    fn clear_open(&mut self, store: &mut ChunkStore) {
        let mut chain = self.chain();
        store.cells.free(&mut chain);
        self.set_chain(&chain);
        self.open = XorAppender::new();
        self.spilled = 0;
    }

    /// The bytes of the open chunk that are in memory.
    fn tail(&self, store: &ChunkStore) -> Vec<u8> {
        let chain = self.chain();
        let mut bytes = Vec::with_capacity(chain.len());
        store.cells.read(&chain, &mut bytes);
        bytes
    }

    /// The open chunk as it is now.
    fn open_chunk(&self, store: &ChunkStore) -> Option<OpenChunk> {
        if let Some(other) = &self.other {
            let Snapshot { encoding, range, samples, bytes } = other.snapshot();
            return Some(OpenChunk { encoding, range, samples, before: 0, bytes });
        }
        let range = self.open_range()?;
        let mut bytes = self.open.finish(&self.tail(store));
        bytes.drain(..2);
        let before = u32::from(self.spilled) * WORD as u32;
        Some(OpenChunk { encoding: Encoding::Xor, range, samples: self.open.num_samples(), before, bytes })
    }

    /// Begins to collect the chunks that share a millisecond with `range`, the open one as it is now.
    pub(super) fn pieces(&self, store: &ChunkStore, range: TimeRange) -> Result<Pieces, BlockError> {
        store.spill.pieces(range, self.open_chunk(store), self.newest_piece)
    }

    /// Writes the open chunk as it is, and where its pieces are.
    pub(super) fn put_state(&self, store: &ChunkStore, out: &mut Vec<u8>) {
        let form = match &self.other {
            Some(_) => OTHER,
            None if self.open.num_samples() > 0 => FLOATS,
            None => NO_CHUNK,
        };
        out.push(form);
        if form == NO_CHUNK {
            return;
        }
        out.extend_from_slice(&self.newest_piece.to_bytes());
        if let Some(other) = &self.other {
            other.put_state(out);
            return;
        }
        out.extend_from_slice(&self.open.to_bytes());
        put_uvarint(out, self.open.last_time().wrapping_sub(self.start) as u64);
        put_uvarint(out, u64::from(self.length));
        out.extend_from_slice(&[self.spilled, self.words]);
        store.cells.read(&self.chain(), out);
    }

    /// Takes up what [`put_state`](Self::put_state) wrote. The series is new.
    pub(super) fn restore_state(
        &mut self,
        store: &mut ChunkStore,
        reader: &mut Reader<'_>,
    ) -> Result<(), BlockError> {
        let form = reader.u8("open chunk")?;
        if form == NO_CHUNK {
            return Ok(());
        }
        self.newest_piece = SpillRef::from_bytes(reader.take(6, "newest piece")?).unwrap_or_default();
        if form == OTHER {
            self.other = Some(Box::new(OpenOther::restore(reader, store.form.block_range)?));
            return Ok(());
        }
        let state = reader.take(XorAppender::STATE_LEN, "state of a chunk")?.first_chunk();
        self.open = state
            .and_then(XorAppender::from_bytes)
            .ok_or_else(|| reader.corrupt("a chunk cannot be in such a state"))?;
        self.start = self.open.last_time().wrapping_sub(reader.uvarint("start")? as i64);
        let length = reader.uvarint("length of the chunk")?;
        self.length = u32::try_from(length).map_err(|_| reader.corrupt("a chunk is too long"))?;
        (self.spilled, self.words) = (reader.u8("spilled words")?, reader.u8("words")?);
        let bytes = reader.take(usize::from(self.words) * WORD, "words")?;
        let mut chain = Chain::default();
        store.cells.push(&mut chain, bytes);
        self.set_chain(&chain);
        Ok(())
    }

    /// Whether what was spilled of the open chunk can be found. What lies before it is not looked for.
    pub(super) fn is_whole(&self, store: &ChunkStore) -> bool {
        self.spilled == 0 || store.spill.has_file(self.newest_piece)
    }

    /// First and last time of the open chunk.
    fn open_range(&self) -> Option<TimeRange> {
        if let Some(other) = &self.other {
            return Some(other.range());
        }
        (self.open.num_samples() > 0).then(|| TimeRange::new(self.start, self.open.last_time()))
    }

    /// Whether a sample may lie in `range`: where finished chunks begin is known on disk only.
    pub(super) fn may_have(&self, range: TimeRange) -> bool {
        self.open_range().is_some_and(|open| {
            open.max >= range.min
                && (open.min <= range.max || !self.newest_piece.is_none())
                && !range.is_empty()
        })
    }

    /// Drops the open chunk if it lies wholly before `from`, and with it what was spilled, which is older; whether it did.
    pub(super) fn drop_before(&mut self, store: &mut ChunkStore, from: Timestamp) -> bool {
        let is_old = self.open_range().is_some_and(|open| open.max < from);
        if is_old {
            self.clear_open(store);
            self.other = None;
            self.newest_piece = SpillRef::NONE;
        }
        is_old
    }
}

/// What the chunks of all series share.
#[derive(Debug)]
pub(super) struct ChunkStore {
    pub(super) cells: Cells,
    pub(super) spill: Spill,
    /// Bytes that one append has completed.
    written: Vec<u8>,
    form: Form,
    /// An open chunk that has so many words in memory is spilled.
    open_words: usize,
}

impl ChunkStore {
    /// `open_bytes`: see `Options::open_chunk_bytes`.
    pub(super) fn new(spill: Spill, form: Form, open_bytes: usize) -> Self {
        let open_words = (open_bytes / WORD).clamp(1, MAX_OPEN_BYTES / WORD);
        let written = Vec::with_capacity(64);
        Self { cells: Cells::default(), spill, written, form, open_words }
    }

    /// Whether references have nearly run out, so that nothing may be appended.
    pub(super) fn is_full(&self) -> bool {
        self.cells.is_full() || self.spill.is_full()
    }
}

/// More of an open chunk is never kept in memory: a chunk of a head ends near a KiB.
pub(crate) const MAX_OPEN_BYTES: usize = 1024;
