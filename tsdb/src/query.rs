//! Head and local blocks as one sorted set of series.
//!
//! A querier sees the blocks that there were when it was made, and the head behind them. A cut that ends while a querier
//! lives changes nothing for it: memory behind the cut is given back only when all queriers made before are gone.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use sarsen_block::{Block, BlockChunkSet, ChunkSeries, ChunkSet, Matcher, Merge, TimeRange, Timestamp};

use crate::arranged::{Arranged, Arrangement, Sources};
use crate::blocks::LocalBlock;
use crate::error::Error;
use crate::head::{Head, HeadLists, Reach, SortedHead, clip, names, oldest_values, values};

/// Series whose chunks are copied under one hold of the lock.
const SLICE: usize = 256;

/// Of a head, whatever its time.
pub(crate) const EVERYTHING: Reach = Reach { ordered: TimeRange::ALL, late: TimeRange::ALL };

/// The blocks at one moment, and where the head begins.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Oldest first.
    pub(crate) blocks: Vec<Arc<LocalBlock>>,
    /// What is older is in blocks, or nowhere.
    pub(crate) head_from: Timestamp,
    /// How often late samples had become blocks, all of which are here.
    pub(crate) late_cuts: u64,
}

/// Reads a range of a database.
#[derive(Debug)]
pub struct Querier {
    head: Arc<RwLock<Head>>,
    view: Arc<View>,
    range: TimeRange,
    /// Oldest time of the head when this was made.
    head_min: Timestamp,
}

impl Querier {
    /// Reads what `view` shows. The caller holds the lock on the view, so that the head is the one that belongs to it.
    pub(crate) fn new(head: &Arc<RwLock<Head>>, view: &Arc<View>, range: TimeRange) -> Self {
        let head_min = head.read().times.min;
        Self { head: Arc::clone(head), view: Arc::clone(view), range, head_min }
    }

    /// The part of the range that the head answers. Late samples lie anywhere; those that a block has just taken are seen
    /// in both places until memory is given back, which a reader of samples does not notice.
    fn reach(&self) -> Reach {
        let ordered = self.range.intersect(TimeRange::new(self.view.head_from, Timestamp::MAX));
        Reach { ordered, late: self.range }
    }

    /// Whether the head has anything to say.
    fn asks_head(&self) -> bool {
        let late = self.head.read().late.range();
        !self.reach().ordered.is_empty() || late.is_some_and(|late| late.overlaps(self.range))
    }

    /// Whether the head, as a whole, has something near the range: whose labels are told.
    fn asks_head_for_labels(&self) -> bool {
        let (times, late) = {
            let head = self.head.read();
            (head.times, head.late.range())
        };
        // A cut moves the oldest time of the head on while readers of what it had before are there.
        let all = TimeRange::new(self.head_min.min(times.min), times.max);
        all.overlaps(self.range) || late.is_some_and(|late| late.overlaps(self.range))
    }

    fn blocks(&self) -> impl Iterator<Item = &LocalBlock> {
        self.view.blocks.iter().map(AsRef::as_ref).filter(|b| b.info.meta.range().overlaps(self.range))
    }

    fn select_head(&self, matchers: &[Matcher], reach: Reach) -> Result<SortedHead, Error> {
        let selected = HeadLists::new(&self.head).select(matchers, reach)?;
        SortedHead::collect(&self.head, &selected)
    }

    /// The same series as [`select`](Self::select), with labels added and left out, in the order of the labels as they are
    /// shown; chunks are read later. What is asked for may be more than memory holds: labels stay, chunks come in slices.
    ///
    /// # Errors
    /// [`Error::Block`] if a local block cannot be read, [`Error::Full`] if there are too many series for one answer.
    pub fn arrange(&self, wanted: &Arrangement<'_>) -> Result<Arranged, Error> {
        let (reach, asks_head) = (self.reach(), self.asks_head());
        let sources = Sources { head: &self.head, view: &self.view, range: self.range, reach, asks_head };
        Arranged::new(&sources, wanted)
    }

    /// The series that all matchers accept, with the chunks that share a millisecond with the range. Chunks are given
    /// whole and may overlap; [`Decode`](sarsen_block::Decode) clips them and brings them together.
    ///
    /// # Errors
    /// [`Error::Block`] if a local block cannot be read.
    pub fn select(&self, matchers: &[Matcher]) -> Result<Selected, Error> {
        let mut sources = Vec::new();
        for local in self.blocks() {
            sources.push(Source::Block(local.block.select(matchers, self.range)?));
        }
        let sorted = match self.asks_head() {
            true => self.select_head(matchers, self.reach())?,
            false => SortedHead::default(),
        };
        if sorted.len() > 0 {
            let head = Arc::clone(&self.head);
            sources.push(Source::Head(HeadSet {
                head,
                sorted,
                reach: self.reach(),
                at: 0,
                ready: VecDeque::new(),
            }));
        }
        Ok(Selected { merged: Merge::new(sources), _view: Arc::clone(&self.view) })
    }

    /// Names of labels, rising: of the series that all matchers accept, in the head and in the blocks that are near the range.
    ///
    /// # Errors
    /// [`Error::Block`] if a local block cannot be read.
    pub fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<Bytes>, Error> {
        let mut found = BTreeSet::new();
        if matchers.is_empty() {
            for local in self.blocks() {
                found.extend(local.block.label_names()?.into_iter().map(Bytes::from));
            }
            if self.asks_head_for_labels() {
                found.extend(names(&self.head));
            }
        } else {
            self.for_pairs(matchers, |name, _| {
                if !found.contains(name) {
                    found.insert(Bytes::copy_from_slice(name));
                }
            })?;
        }
        Ok(found.into_iter().collect())
    }

    /// Values of one label, rising: of the series that all matchers accept, in the head and in the blocks that are near the
    /// range.
    ///
    /// # Errors
    /// [`Error::Block`] if a local block cannot be read.
    pub fn label_values(&self, name: &[u8], matchers: &[Matcher]) -> Result<Vec<Bytes>, Error> {
        let mut found = BTreeSet::new();
        if matchers.is_empty() {
            for local in self.blocks() {
                found.extend(local.block.label_values(name)?.into_iter().map(Bytes::from));
            }
            if self.asks_head_for_labels() {
                found.extend(values(&self.head, name));
            }
        } else {
            self.for_pairs(matchers, |found_name, value| {
                if found_name == name && !found.contains(value) {
                    found.insert(Bytes::copy_from_slice(value));
                }
            })?;
        }
        Ok(found.into_iter().collect())
    }

    /// As [`label_values`](Self::label_values), but at most `limit`. Which, is the choice of Prometheus: of the head those of its
    /// oldest series, of a block the smallest.
    ///
    /// # Errors
    /// [`Error::Block`] if a local block cannot be read.
    pub fn some_label_values(
        &self,
        name: &[u8],
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<Bytes>, Error> {
        let mut found = self.label_values(name, matchers)?;
        if found.len() > limit {
            let mut chosen = BTreeSet::new();
            for local in self.blocks() {
                chosen.extend(block_values(&local.block, name, matchers, limit)?);
            }
            if self.asks_head_for_labels() {
                let series = HeadLists::new(&self.head).select(matchers, EVERYTHING)?;
                chosen.extend(oldest_values(&self.head, name, &series, limit));
            }
            found = chosen.into_iter().take(limit).collect();
        }
        Ok(found)
    }

    /// Calls `each` for every label of every series that all matchers accept, some of them more than once.
    fn for_pairs(&self, matchers: &[Matcher], mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Error> {
        for local in self.blocks() {
            for no in local.block.postings(matchers)? {
                let series = local.block.series(no)?;
                series.labels.iter().for_each(|(name, value)| each(name, value));
            }
        }
        if self.asks_head_for_labels() {
            let sorted = self.select_head(matchers, EVERYTHING)?;
            sorted.pairs().for_each(|(name, value)| each(name, value));
        }
        Ok(())
    }
}

/// Up to `limit` values of a label in a block: the smallest, or with matchers those of the first series.
fn block_values(
    block: &Block,
    name: &[u8],
    matchers: &[Matcher],
    limit: usize,
) -> Result<BTreeSet<Bytes>, Error> {
    if matchers.is_empty() {
        return Ok(block.label_values(name)?.into_iter().take(limit).map(Bytes::from).collect());
    }
    let mut found = BTreeSet::new();
    let mut series = block.postings(matchers)?.into_iter();
    while found.len() < limit
        && let Some(no) = series.next()
    {
        if let Some(value) = block.series(no)?.labels.get(name) {
            found.insert(Bytes::copy_from_slice(value));
        }
    }
    Ok(found)
}

/// The series of a selection, labels rising.
#[derive(Debug)]
pub struct Selected {
    merged: Merge<Source>,
    /// Keeps what is read from going away.
    _view: Arc<View>,
}

impl ChunkSet for Selected {
    fn next(&mut self) -> Result<Option<ChunkSeries>, sarsen_block::Error> {
        self.merged.next()
    }
}

#[derive(Debug)]
enum Source {
    Head(HeadSet),
    Block(BlockChunkSet),
}

impl ChunkSet for Source {
    fn next(&mut self) -> Result<Option<ChunkSeries>, sarsen_block::Error> {
        match self {
            Self::Head(set) => set.next(),
            Self::Block(set) => set.next(),
        }
    }
}

/// Selected series of the head; chunks are copied a slice at a time.
#[derive(Debug)]
struct HeadSet {
    head: Arc<RwLock<Head>>,
    sorted: SortedHead,
    reach: Reach,
    at: usize,
    ready: VecDeque<ChunkSeries>,
}

impl HeadSet {
    fn next(&mut self) -> Result<Option<ChunkSeries>, sarsen_block::Error> {
        let mut buffer = Vec::new();
        while self.ready.is_empty() && self.at < self.sorted.len() {
            let slice = self.at..self.sorted.len().min(self.at + SLICE);
            self.at = slice.end;
            let (files, slice) = {
                let head = self.head.read();
                let Reach { ordered, late } = self.reach;
                let pieces = |at| {
                    let no = self.sorted.key(at)?;
                    let pieces = head.pieces_of(no, ordered).transpose()?;
                    Some((at, (pieces, head.deleted(no, ordered)), head.late.chunks(no, late)))
                };
                (Arc::clone(head.spill_files()), slice.filter_map(pieces).collect::<Vec<_>>())
            };
            let mut bytes = Vec::new();
            for (at, (pieces, deleted), late) in slice {
                let mut chunks = pieces?.read(&files, &mut buffer)?;
                if !deleted.is_empty() {
                    chunks = clip(chunks, TimeRange::ALL, &deleted)?;
                }
                let late = late?;
                if !late.is_empty() {
                    chunks.extend(late);
                    chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max));
                }
                if !chunks.is_empty() {
                    let labels = self.sorted.labels(at, &mut bytes).to_owned();
                    self.ready.push_back(ChunkSeries { labels, chunks });
                }
            }
        }
        Ok(self.ready.pop_front())
    }
}
