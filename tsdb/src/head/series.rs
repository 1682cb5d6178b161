//! One series: its labels, its open chunk, its finished chunks; and the table of all series by number.
//!
//! The record of a series is what an append touches: the hash that proves a hit, the state of the open chunk, the end of its
//! bytes. Records lie in pages of 1,024 numbers. A number is given once and never again while the head lives; a page
//! whose series were forgotten closes ranks and keeps a bitmap, so that memory follows the living. No lock: the head is
//! the owner.

use sarsen_block::{Chunk, ChunkCut, SeriesHash, SeriesNo, TimeRange, TimedChunk, Timestamp, XorAppender};

use super::arena::Place;
use super::cells::{Cells, Chain};

/// A chunk that takes no more samples.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) range: TimeRange,
    pub(super) data: Box<[u8]>,
}

/// The finished chunks of a series, oldest first. One pointer while there are none.
#[derive(Debug, Default)]
struct FinishedChunks(Option<Box<FinishedList>>);

#[derive(Debug, Default)]
struct FinishedList(Vec<Finished>);

/// One series.
#[derive(Debug)]
pub(super) struct MemSeries {
    hash: [u64; 2],
    open: XorAppender,
    bytes: Chain,
    pub(super) labels: Place,
    cut: ChunkCut,
    finished: FinishedChunks,
}

const _: () = assert!(size_of::<MemSeries>() == 96, "there is one for every series");

impl MemSeries {
    /// A series without samples.
    pub(super) fn new(hash: SeriesHash, labels: Place) -> Self {
        Self {
            hash: [(hash.0 >> 64) as u64, hash.0 as u64],
            open: XorAppender::new(),
            bytes: Chain::default(),
            labels,
            cut: ChunkCut::begin(0, 1),
            finished: FinishedChunks::default(),
        }
    }

    #[inline]
    pub(super) fn hash(&self) -> SeriesHash {
        SeriesHash(u128::from(self.hash[0]) << 64 | u128::from(self.hash[1]))
    }

    /// Time and bits of the newest sample; `None` if there is no open chunk.
    #[inline]
    pub(super) fn newest(&self) -> Option<(Timestamp, u64)> {
        (self.open.num_samples() > 0).then(|| (self.open.last_time(), self.open.last_value_bits()))
    }

    /// Whether the series has no sample in memory.
    pub(super) fn is_empty(&self) -> bool {
        self.open.num_samples() == 0 && self.finished().is_empty()
    }

    pub(super) fn finished(&self) -> &[Finished] {
        self.finished.0.as_deref().map_or(&[], |list| &list.0)
    }

    /// How many chunks there are, the open one included.
    pub(super) fn num_chunks(&self) -> usize {
        self.finished().len() + usize::from(self.open.num_samples() > 0)
    }

    /// Time of the oldest sample.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let open = (self.open.num_samples() > 0).then(|| self.cut.start());
        self.finished().first().map(|chunk| chunk.range.min).or(open)
    }

    /// Appends a sample that was judged before; whether a chunk was begun.
    #[inline]
    pub(super) fn append(&mut self, store: &mut ChunkStore, t: Timestamp, v: f64) -> bool {
        let mut begun = false;
        if self.open.num_samples() > 0 && self.cut.is_due(t, &self.open, self.bytes.len()) {
            self.finish(store);
        }
        if self.open.num_samples() == 0 {
            self.cut = ChunkCut::begin(t, store.block_range);
            begun = true;
        }
        store.written.clear();
        self.open.append(&mut store.written, t, v);
        if !store.written.is_empty() {
            store.cells.push(&mut self.bytes, &store.written);
        }
        begun
    }

    /// The open chunk takes no more samples.
    #[cold]
    fn finish(&mut self, store: &mut ChunkStore) {
        let range = TimeRange::new(self.cut.start(), self.open.last_time());
        let data = self.open_bytes(store).into_boxed_slice();
        let chunks = &mut self.finished.0.get_or_insert_default().0;
        chunks.reserve_exact(1);
        store.finished_bytes += (data.len() + size_of::<Finished>()) as u64;
        chunks.push(Finished { range, data });
        store.cells.free(&mut self.bytes);
        self.open = XorAppender::new();
    }

    /// The open chunk as a chunk, as it is now.
    fn open_bytes(&self, store: &ChunkStore) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        store.cells.read(&self.bytes, &mut bytes);
        self.open.finish(&bytes)
    }

    /// The chunks that share a millisecond with `range`, oldest first, the open one as it is now.
    pub(super) fn chunks(&self, store: &ChunkStore, range: TimeRange) -> Vec<TimedChunk> {
        let finished = self.finished().iter().filter(|chunk| chunk.range.overlaps(range));
        let mut chunks: Vec<TimedChunk> = finished
            .map(|chunk| TimedChunk { range: chunk.range, chunk: Chunk::xor(chunk.data.to_vec()) })
            .collect();
        if let Some(open) = self.open_range()
            && open.overlaps(range)
        {
            chunks.push(TimedChunk { range: open, chunk: Chunk::xor(self.open_bytes(store)) });
        }
        chunks
    }

    /// First and last time of the open chunk.
    fn open_range(&self) -> Option<TimeRange> {
        self.newest().map(|(last, _)| TimeRange::new(self.cut.start(), last))
    }

    /// Whether a sample lies in `range`, as far as the times of chunks tell.
    pub(super) fn may_have(&self, range: TimeRange) -> bool {
        self.finished().iter().any(|chunk| chunk.range.overlaps(range))
            || self.open_range().is_some_and(|open| open.overlaps(range))
    }

    /// Drops the chunks that lie wholly before `from`; how many.
    pub(super) fn drop_before(&mut self, store: &mut ChunkStore, from: Timestamp) -> usize {
        let mut dropped = 0;
        if let Some(list) = &mut self.finished.0 {
            let chunks = &mut list.0;
            let before = chunks.len();
            chunks.retain(|chunk| {
                let stays = chunk.range.max >= from;
                if !stays {
                    let bytes = (chunk.data.len() + size_of::<Finished>()) as u64;
                    store.finished_bytes = store.finished_bytes.saturating_sub(bytes);
                }
                stays
            });
            dropped += before - chunks.len();
            if chunks.is_empty() {
                self.finished.0 = None;
            } else if chunks.len() < before {
                chunks.shrink_to_fit();
            }
        }
        if self.newest().is_some_and(|(last, _)| last < from) {
            self.open = XorAppender::new();
            store.cells.free(&mut self.bytes);
            dropped += 1;
        }
        dropped
    }
}

/// What the chunks of all series share.
#[derive(Debug)]
pub(super) struct ChunkStore {
    pub(super) cells: Cells,
    /// Bytes of all finished chunks and their lists.
    pub(super) finished_bytes: u64,
    /// Bytes that one append has completed.
    written: Vec<u8>,
    block_range: Timestamp,
}

impl ChunkStore {
    pub(super) fn new(block_range: Timestamp) -> Self {
        Self { cells: Cells::default(), finished_bytes: 0, written: Vec::with_capacity(64), block_range }
    }
}

const PAGE_SERIES: usize = 1024;
const PAGE_WORDS: usize = PAGE_SERIES / 64;

/// Which numbers of a page live, when not all up to the last do.
#[derive(Debug)]
struct Ranks {
    words: [u64; PAGE_WORDS],
    /// How many live before each word.
    before: [u16; PAGE_WORDS],
}

impl Ranks {
    fn from_living(living: impl Iterator<Item = usize>) -> Self {
        let mut words = [0u64; PAGE_WORDS];
        for slot in living {
            if let Some(word) = words.get_mut(slot / 64) {
                *word |= 1 << (slot % 64);
            }
        }
        let mut before = [0; PAGE_WORDS];
        let mut sum = 0;
        for (before, word) in before.iter_mut().zip(&words) {
            *before = sum;
            sum += word.count_ones() as u16;
        }
        Self { words, before }
    }

    /// Place of a slot among the living, and whether it lives.
    fn rank(&self, slot: usize) -> (usize, bool) {
        let (Some(&word), Some(&before)) = (self.words.get(slot / 64), self.before.get(slot / 64)) else {
            return (0, false);
        };
        let bit = 1u64 << (slot % 64);
        (usize::from(before) + (word & (bit - 1)).count_ones() as usize, word & bit != 0)
    }

    fn living(&self) -> impl Iterator<Item = usize> {
        (0..PAGE_SERIES).filter(|&slot| self.rank(slot).1)
    }
}

#[derive(Debug, Default)]
struct Page {
    records: Vec<MemSeries>,
    /// `None` while the living are the first numbers of the page without a gap.
    ranks: Option<Box<Ranks>>,
}

impl Page {
    #[inline]
    fn index(&self, slot: usize) -> Option<usize> {
        match &self.ranks {
            None => Some(slot),
            Some(ranks) => {
                let (rank, lives) = ranks.rank(slot);
                lives.then_some(rank)
            }
        }
    }

    fn slots(&self) -> Vec<usize> {
        match &self.ranks {
            None => (0..self.records.len()).collect(),
            Some(ranks) => ranks.living().collect(),
        }
    }

    fn insert(&mut self, slot: usize, series: MemSeries) {
        if self.records.len() == self.records.capacity() {
            let larger = (self.records.len() * 2).clamp(8, PAGE_SERIES);
            self.records.reserve_exact(larger.saturating_sub(self.records.len()).max(1));
        }
        if self.ranks.is_none() && slot == self.records.len() {
            self.records.push(series);
            return;
        }
        let mut slots = self.slots();
        let at = slots.partition_point(|&other| other < slot);
        slots.insert(at, slot);
        self.records.insert(at, series);
        self.ranks = Some(Box::new(Ranks::from_living(slots.into_iter())));
    }
}

/// All series of a head by number.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    pages: Vec<Page>,
    /// The number that the next birth gets.
    next: u32,
    count: usize,
}

impl SeriesTable {
    /// The number that the next birth gets; `None` if they have run out.
    pub(super) fn next_no(&self) -> Option<SeriesNo> {
        (self.next < u32::MAX).then_some(SeriesNo(self.next))
    }

    /// No birth gets this number.
    pub(super) fn skip(&mut self, no: SeriesNo) {
        self.next = self.next.max(no.0.saturating_add(1));
    }

    /// How many series there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// How many pages there are; their numbers are the argument of [`numbers_of_page`](Self::numbers_of_page).
    pub(super) fn num_pages(&self) -> usize {
        self.pages.len()
    }

    #[inline]
    pub(super) fn get(&self, no: SeriesNo) -> Option<&MemSeries> {
        let page = self.pages.get(no.0 as usize / PAGE_SERIES)?;
        page.records.get(page.index(no.0 as usize % PAGE_SERIES)?)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, no: SeriesNo) -> Option<&mut MemSeries> {
        let page = self.pages.get_mut(no.0 as usize / PAGE_SERIES)?;
        let index = page.index(no.0 as usize % PAGE_SERIES)?;
        page.records.get_mut(index)
    }

    /// Adds a series under a number that no living series has.
    pub(super) fn insert(&mut self, no: SeriesNo, series: MemSeries) {
        let page = no.0 as usize / PAGE_SERIES;
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, Page::default);
        }
        if let Some(page) = self.pages.get_mut(page) {
            page.insert(no.0 as usize % PAGE_SERIES, series);
        }
        self.count += 1;
        self.next = self.next.max(no.0.saturating_add(1));
    }

    /// Takes one series out.
    pub(super) fn remove(&mut self, no: SeriesNo) -> Option<MemSeries> {
        let page = self.pages.get_mut(no.0 as usize / PAGE_SERIES)?;
        let slot = no.0 as usize % PAGE_SERIES;
        let index = page.index(slot).filter(|&index| index < page.records.len())?;
        let slots = page.slots();
        let series = page.records.remove(index);
        page.ranks = Some(Box::new(Ranks::from_living(slots.into_iter().filter(|&other| other != slot))));
        self.count -= 1;
        Some(series)
    }

    /// The living numbers of a page, rising.
    pub(super) fn numbers_of_page(&self, page: usize) -> Vec<SeriesNo> {
        let numbers = |found: &Page| {
            found.slots().into_iter().map(|slot| SeriesNo((page * PAGE_SERIES + slot) as u32)).collect()
        };
        self.pages.get(page).map(numbers).unwrap_or_default()
    }

    /// Takes series of one page out. The next birth goes to a page behind it.
    pub(super) fn remove_from_page(
        &mut self,
        page: usize,
        mut is_dead: impl FnMut(&MemSeries) -> bool,
    ) -> Vec<(SeriesNo, MemSeries)> {
        let base = page * PAGE_SERIES;
        let Some(page) = self.pages.get_mut(page) else { return Vec::new() };
        if !page.records.iter().any(&mut is_dead) {
            return Vec::new();
        }
        let slots = page.slots();
        let (mut kept, mut kept_slots, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, series) in slots.into_iter().zip(page.records.drain(..)) {
            if is_dead(&series) {
                removed.push((SeriesNo((base + slot) as u32), series));
            } else {
                kept_slots.push(slot);
                kept.push(series);
            }
        }
        kept.shrink_to_fit();
        // A page with gaps takes no births: placing one would rebuild its bitmap.
        self.next = self.next.max((base + PAGE_SERIES) as u32);
        page.records = kept;
        page.ranks = Some(Box::new(Ranks::from_living(kept_slots.into_iter())));
        self.count -= removed.len();
        removed
    }

    /// Bytes held by the records.
    pub(super) fn held(&self) -> u64 {
        let page = |page: &Page| {
            page.records.capacity() * size_of::<MemSeries>()
                + page.ranks.as_ref().map_or(0, |_| size_of::<Ranks>())
        };
        (self.pages.iter().map(page).sum::<usize>() + self.pages.capacity() * size_of::<Page>()) as u64
    }
}
