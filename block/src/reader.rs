//! A whole block in memory, mapped or read by position: select, label values.
//!
//! A [`Block`] holds the open index, the sources of its chunk files, its meta and its tombstones; a clone shares them.
//! Series come out in label order, because that is the order of their numbers. Chunks are read and checked one series
//! at a time, through buffers of bounded size. What a tombstone covers never leaves this room: a chunk wholly inside is
//! dropped without being read, a chunk partly inside is decoded and encoded anew without the deleted samples. Chunks that
//! overlap the asked range are given whole: [`Decode`](crate::Decode) clips.

use std::sync::Arc;

use bytes::Bytes;

use crate::chunk::{Chunk, ChunkMeta, ChunkRef, TimedChunk};
use crate::chunkfile::{
    CHUNK_FILE_HEADER_LEN, RECORD_HEAD_LEN, Record, check_chunk_file_header, read_chunk, record_len,
};
use crate::error::Error;
use crate::index::{IndexReader, IndexSeries, SeriesCursor, SeriesWalk};
use crate::labels::{LabelsBuilder, Matcher};
use crate::meta::BlockMeta;
use crate::postings::{SeriesNo, select_postings};
use crate::series::{ChunkSeries, ChunkSet};
use crate::source::{Source, Window};
use crate::time::TimeRange;
use crate::tombstones::Tombstones;

const OBJECT: &str = "chunk file";

/// A block, open for reading.
#[derive(Debug, Clone)]
pub struct Block(Arc<Parts>);

struct Parts {
    index: IndexReader,
    segments: Vec<Arc<dyn Source>>,
    meta: BlockMeta,
    tombstones: Tombstones,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("id", &self.meta.id).finish_non_exhaustive()
    }
}

impl Block {
    /// Opens a block: its index, its chunk files in the order of their names, its meta, its tombstones (empty if it has
    /// no such file). Reads the headers, the symbols and the table of postings.
    ///
    /// # Errors
    /// `Corrupt` if one of these is damaged, `Io` if reading fails.
    pub fn open(
        index: Arc<dyn Source>,
        segments: Vec<Arc<dyn Source>>,
        meta: BlockMeta,
        tombstones: Tombstones,
    ) -> Result<Self, Error> {
        let index = IndexReader::open(index)?;
        Self::with_index(index, segments, meta, tombstones)
    }

    /// Opens a block, but reads and checks the symbols and the table of postings only when they are first asked for. A block that is
    /// only to be rewritten, or verified quickly, or gone through series by series, is opened so: it takes no memory that
    /// grows with the number of symbols.
    ///
    /// # Errors
    /// `Corrupt` if the head of a file or the table of contents is damaged, `Io` if reading fails.
    pub fn open_unread(
        index: Arc<dyn Source>,
        segments: Vec<Arc<dyn Source>>,
        meta: BlockMeta,
        tombstones: Tombstones,
    ) -> Result<Self, Error> {
        let index = IndexReader::open_unread(index)?;
        Self::with_index(index, segments, meta, tombstones)
    }

    fn with_index(
        index: IndexReader,
        segments: Vec<Arc<dyn Source>>,
        meta: BlockMeta,
        tombstones: Tombstones,
    ) -> Result<Self, Error> {
        for (number, segment) in (0u32..).zip(&segments) {
            let end = segment.len().min(CHUNK_FILE_HEADER_LEN as u64);
            let header = segment.read(0..end).map_err(|e| Error::io("reading a chunk file", e))?;
            check_chunk_file_header(&header, number)?;
        }
        Ok(Self(Arc::new(Parts { index, segments, meta, tombstones })))
    }

    /// The same block, with more that must not be seen: what is given here stands in place of its own tombstones.
    #[must_use]
    pub fn with_tombstones(self, tombstones: Tombstones) -> Self {
        let parts = match Arc::try_unwrap(self.0) {
            Ok(parts) => Parts { tombstones, ..parts },
            Err(shared) => Parts {
                index: shared.index.clone(),
                segments: shared.segments.clone(),
                meta: shared.meta.clone(),
                tombstones,
            },
        };
        Self(Arc::new(parts))
    }

    /// Who the block is.
    pub fn meta(&self) -> &BlockMeta {
        &self.0.meta
    }

    /// The index.
    pub fn index(&self) -> &IndexReader {
        &self.0.index
    }

    /// The sources of the chunk files.
    pub fn segments(&self) -> &[Arc<dyn Source>] {
        &self.0.segments
    }

    /// What must not be seen.
    pub fn tombstones(&self) -> &Tombstones {
        &self.0.tombstones
    }

    /// The names of all labels, rising.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if the block was opened unread and its table of postings is damaged or cannot be read.
    pub fn label_names(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(self.0.index.label_names()?.map(<[u8]>::to_vec).collect())
    }

    /// The values of one label, rising.
    ///
    /// # Errors
    /// As [`label_names`](Self::label_names).
    pub fn label_values(&self, name: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(self.0.index.label_values(name)?.into_iter().map(<[u8]>::to_vec).collect())
    }

    /// The numbers of the series that all `matchers` accept, rising.
    ///
    /// # Errors
    /// `Corrupt` if a postings list is damaged, `Io` if reading fails.
    pub fn postings(&self, matchers: &[Matcher]) -> Result<Vec<SeriesNo>, Error> {
        select_postings(matchers, &self.0.index)
    }

    /// One series, with the places of its chunks. Tombstones are not considered.
    ///
    /// # Errors
    /// `Corrupt` if there is none or its entry is damaged, `Io` if reading fails.
    pub fn series(&self, no: SeriesNo) -> Result<IndexSeries, Error> {
        self.0.index.series(no)
    }

    /// Goes over all series in the order of the index and shows `look` the number of each and where its chunks are, until it answers. Labels are
    /// not looked up and tombstones not considered; in memory is no more than a window on the index.
    ///
    /// # Errors
    /// `Corrupt` if the list of all series or an entry is damaged, `Io` if reading fails.
    pub fn search_chunks<T>(
        &self,
        mut look: impl FnMut(SeriesNo, &[ChunkMeta]) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut walk = SeriesWalk::open(&self.0.index)?;
        let (mut labels, mut chunks) = (Vec::new(), Vec::new());
        while let Some(no) = walk.next(&mut labels, &mut chunks)? {
            if let Some(found) = look(no, &chunks) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// One chunk, as it lies in its file. Tombstones are not considered.
    ///
    /// # Errors
    /// `Corrupt` if there is none or it is damaged, `Io` if reading fails.
    pub fn chunk(&self, at: ChunkRef) -> Result<Chunk, Error> {
        self.0.chunk(at, &mut Window::default())
    }

    /// The same, through a window on the chunk's file.
    pub(crate) fn chunk_through(&self, at: ChunkRef, window: &mut Window) -> Result<Chunk, Error> {
        self.0.chunk(at, window)
    }

    /// The whole record of a chunk, through a window on the chunk's file.
    #[inline]
    pub(crate) fn record_through<'w>(
        &self,
        at: ChunkRef,
        window: &'w mut Window,
    ) -> Result<Record<'w>, Error> {
        let (segment, len) = self.0.measure(at, window)?;
        Record::read(window.view(segment, at.offset().into(), len, OBJECT)?, at)
    }

    /// The series that all `matchers` accept and that have a chunk which overlaps `range`, with these chunks.
    ///
    /// # Errors
    /// `Corrupt` if a postings list is damaged, `Io` if reading fails. Later damage is an error of the set.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<BlockChunkSet, Error> {
        let series = if range.overlaps(self.0.meta.range()) { self.postings(matchers)? } else { Vec::new() };
        Ok(self.chunks_of(series, range))
    }

    fn chunks_of(&self, series: Vec<SeriesNo>, range: TimeRange) -> BlockChunkSet {
        let (reader, labels) = (self.series_reader(), LabelsBuilder::new());
        BlockChunkSet { reader, series: series.into_iter(), range, labels }
    }

    /// Reads series one by one, whichever the caller names.
    pub fn series_reader(&self) -> SeriesReader {
        SeriesReader {
            parts: Arc::clone(&self.0),
            entries: SeriesCursor::default(),
            chunks: Window::default(),
            segment: 0,
            metas: Vec::new(),
        }
    }
}

impl Parts {
    /// Reads a chunk through `window`, which looks at the chunk's segment.
    fn chunk(&self, at: ChunkRef, window: &mut Window) -> Result<Chunk, Error> {
        let (segment, len) = self.measure(at, window)?;
        read_chunk(&window.at_least(segment, at.offset().into(), len, OBJECT)?, at)
    }

    /// The segment of a chunk, and the length of its record.
    #[inline]
    fn measure(&self, at: ChunkRef, window: &mut Window) -> Result<(&dyn Source, u64), Error> {
        let Some(segment) = self.segments.get(at.segment() as usize) else {
            let (file, files) = (u64::from(at.segment()) + 1, self.segments.len());
            return Err(Error::corrupt("index", 0, format!("chunk file {file} of {files}")));
        };
        let offset = u64::from(at.offset());
        let head = window.view(&**segment, offset, RECORD_HEAD_LEN as u64, OBJECT)?;
        let len = record_len(head.get(..RECORD_HEAD_LEN.min(head.len())).unwrap_or_default(), at)?;
        if offset.checked_add(len).is_none_or(|end| end > segment.len()) {
            let object = format!("chunks/{:06}", u64::from(at.segment()) + 1);
            let what = format!("a chunk of {len} bytes ends behind the file");
            return Err(Error::corrupt(object, offset, what));
        }
        Ok((&**segment, len))
    }
}

/// Reads series of a block by their numbers. Entries and chunks that lie near the last ones cost no further read, so numbers
/// should rise. Owns a share of the block, so that it can outlive the handle.
pub struct SeriesReader {
    parts: Arc<Parts>,
    entries: SeriesCursor,
    chunks: Window,
    /// Which segment `chunks` looks at.
    segment: u32,
    metas: Vec<ChunkMeta>,
}

impl std::fmt::Debug for SeriesReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeriesReader").field("id", &self.parts.meta.id).finish_non_exhaustive()
    }
}

impl SeriesReader {
    /// Shows the labels of a series, by name, and whether it has a chunk that shares a millisecond with `range` and is not wholly
    /// covered by a tombstone. Reads no chunk.
    ///
    /// # Errors
    /// As [`Block::series`].
    pub fn labels<'s>(
        &'s mut self,
        no: SeriesNo,
        range: TimeRange,
        show: impl FnMut(&'s [u8], &'s [u8]),
    ) -> Result<bool, Error> {
        let Self { parts, entries, metas, .. } = self;
        parts.index.read_entry(no, entries, metas, show)?;
        let stones = parts.tombstones.of(no);
        let is_seen = |meta: &&ChunkMeta| !stones.iter().any(|stone| stone.covers(meta.range));
        Ok(metas.iter().filter(|meta| meta.range.overlaps(range)).any(|meta| is_seen(&meta)))
    }

    /// The chunks of a series that share a millisecond with `range`, whole, without what its tombstones or `hidden` cover.
    ///
    /// # Errors
    /// `Corrupt` if the series or a chunk is damaged, `Io` if reading fails.
    pub fn chunks(
        &mut self,
        no: SeriesNo,
        range: TimeRange,
        hidden: &[TimeRange],
    ) -> Result<Vec<TimedChunk>, Error> {
        let Self { parts, entries, metas, .. } = self;
        parts.index.read_entry(no, entries, metas, |_, _| {})?;
        self.visible_chunks(no, range, hidden)
    }

    fn chunk(&mut self, at: ChunkRef) -> Result<Chunk, Error> {
        if at.segment() != self.segment {
            self.chunks = Window::default();
            self.segment = at.segment();
        }
        let chunk = self.parts.chunk(at, &mut self.chunks)?;
        // A chunk may be kept for long; it must not keep the whole window in memory. Over a map the slice costs nothing
        // and this copies little; over a file it is what makes the window's bound true.
        Ok(Chunk { encoding: chunk.encoding, data: Bytes::copy_from_slice(&chunk.data) })
    }

    /// The chunks of the series read last that may be seen.
    fn visible_chunks(
        &mut self,
        no: SeriesNo,
        range: TimeRange,
        hidden: &[TimeRange],
    ) -> Result<Vec<TimedChunk>, Error> {
        let metas = std::mem::take(&mut self.metas);
        let mut chunks = Vec::new();
        for meta in metas.iter().filter(|meta| meta.range.overlaps(range)) {
            let stones = self.parts.tombstones.of(no).iter().chain(hidden).copied();
            let deleted: Vec<_> = stones.filter(|interval| interval.overlaps(meta.range)).collect();
            if deleted.iter().any(|interval| interval.covers(meta.range)) {
                continue;
            }
            if chunks.is_empty() {
                chunks.reserve(metas.len());
            }
            let chunk = self.chunk(meta.chunk_ref)?;
            if deleted.is_empty() {
                chunks.push(TimedChunk { range: meta.range, chunk });
            } else {
                chunks.extend(chunk.without(&deleted)?);
            }
        }
        self.metas = metas;
        Ok(chunks)
    }
}

/// Series of a block in label order. Owns a share of the block, so that it can outlive the handle.
#[derive(Debug)]
pub struct BlockChunkSet {
    reader: SeriesReader,
    series: std::vec::IntoIter<SeriesNo>,
    range: TimeRange,
    labels: LabelsBuilder,
}

impl ChunkSet for BlockChunkSet {
    fn next(&mut self) -> Result<Option<ChunkSeries>, Error> {
        for no in self.series.by_ref() {
            let SeriesReader { parts, entries, metas, .. } = &mut self.reader;
            parts.index.read_series(no, entries, &mut self.labels, metas)?;
            let chunks = self.reader.visible_chunks(no, self.range, &[])?;
            if !chunks.is_empty() {
                let labels = self.reader.parts.index.built(no, &mut self.labels)?;
                return Ok(Some(ChunkSeries { labels, chunks }));
            }
        }
        Ok(None)
    }
}
