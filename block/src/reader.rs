//! A whole block in memory, mapped or read by position: select, label values.
//!
//! A [`Block`] holds the open index, the sources of its chunk files, its meta and its tombstones; a clone shares them.
//! Series come out in label order, because that is the order of their numbers. Chunks are read and checked one series
//! at a time, through buffers of bounded size. What a tombstone covers never leaves this room: a chunk wholly inside is
//! dropped without being read, a chunk partly inside is decoded and encoded anew without the deleted samples. Chunks that
//! overlap the asked range are given whole: [`Decode`](crate::Decode) clips. Only for a rewrite are they clipped here.

use std::sync::Arc;

use bytes::Bytes;

use crate::chunk::{Chunk, ChunkMeta, ChunkRef, TimedChunk};
use crate::chunkfile::{
    CHUNK_FILE_HEADER_LEN, RECORD_HEAD_LEN, check_chunk_file_header, read_chunk, record_len,
};
use crate::error::Error;
use crate::index::{IndexReader, IndexSeries, SeriesCursor};
use crate::labels::{LabelsBuilder, Matcher};
use crate::meta::BlockMeta;
use crate::postings::{SeriesNo, select_postings};
use crate::series::{ChunkSeries, ChunkSet};
use crate::source::{Source, Window};
use crate::time::{TimeRange, Timestamp};
use crate::tombstones::Tombstones;

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
        for (number, segment) in (0u32..).zip(&segments) {
            let end = segment.len().min(CHUNK_FILE_HEADER_LEN as u64);
            let header = segment.read(0..end).map_err(|e| Error::io("reading a chunk file", e))?;
            check_chunk_file_header(&header, number)?;
        }
        let index = IndexReader::open(index)?;
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
    pub fn label_names(&self) -> Vec<Vec<u8>> {
        self.0.index.label_names().map(<[u8]>::to_vec).collect()
    }

    /// The values of one label, rising.
    ///
    /// # Errors
    /// Does not fail for a block that could be opened.
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

    /// The series that all `matchers` accept and that have a chunk which overlaps `range`, with these chunks.
    ///
    /// # Errors
    /// `Corrupt` if a postings list is damaged, `Io` if reading fails. Later damage is an error of the set.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<BlockChunkSet, Error> {
        let series = if range.overlaps(self.0.meta.range()) { self.postings(matchers)? } else { Vec::new() };
        Ok(self.chunks_of(series, range, None))
    }

    /// All series that have a chunk in `range`, with what of their chunks lies in it.
    pub(crate) fn clipped_to(&self, range: TimeRange) -> Result<BlockChunkSet, Error> {
        Ok(self.chunks_of(self.postings(&[])?, range, Some(range)))
    }

    fn chunks_of(&self, series: Vec<SeriesNo>, range: TimeRange, clip: Option<TimeRange>) -> BlockChunkSet {
        BlockChunkSet {
            parts: Arc::clone(&self.0),
            series: series.into_iter(),
            range,
            clip,
            entries: SeriesCursor::default(),
            chunks: Window::default(),
            segment: 0,
            labels: LabelsBuilder::new(),
            metas: Vec::new(),
        }
    }
}

impl Parts {
    /// Reads a chunk through `window`, which looks at the chunk's segment.
    fn chunk(&self, at: ChunkRef, window: &mut Window) -> Result<Chunk, Error> {
        const OBJECT: &str = "chunk file";
        let segment =
            usize::try_from(at.segment()).ok().and_then(|i| self.segments.get(i)).ok_or_else(|| {
                let files = self.segments.len();
                Error::corrupt("index", 0, format!("chunk file {} of {files}", u64::from(at.segment()) + 1))
            })?;
        let offset = u64::from(at.offset());
        let head = window.at_least(&**segment, offset, RECORD_HEAD_LEN as u64, OBJECT)?;
        let len = record_len(head.get(..RECORD_HEAD_LEN.min(head.len())).unwrap_or_default(), at)?;
        if offset.checked_add(len).is_none_or(|end| end > segment.len()) {
            let object = format!("chunks/{:06}", u64::from(at.segment()) + 1);
            return Err(Error::corrupt(
                object,
                offset,
                format!("a chunk of {len} bytes ends behind the file"),
            ));
        }
        let record = window.at_least(&**segment, offset, len, OBJECT)?;
        read_chunk(&record, at)
    }
}

/// Series of a block in label order. Owns a share of the block, so that it can outlive the handle.
pub struct BlockChunkSet {
    parts: Arc<Parts>,
    series: std::vec::IntoIter<SeriesNo>,
    range: TimeRange,
    /// Samples outside are taken for deleted.
    clip: Option<TimeRange>,
    entries: SeriesCursor,
    chunks: Window,
    /// Which segment `chunks` looks at.
    segment: u32,
    labels: LabelsBuilder,
    metas: Vec<ChunkMeta>,
}

impl std::fmt::Debug for BlockChunkSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockChunkSet").field("id", &self.parts.meta.id).finish_non_exhaustive()
    }
}

impl BlockChunkSet {
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

    /// What must not be seen of a chunk.
    fn deleted(&self, no: SeriesNo, chunk: TimeRange) -> Vec<TimeRange> {
        let outside = self.clip.map(|clip| {
            let before = (clip.min > Timestamp::MIN).then(|| TimeRange::new(Timestamp::MIN, clip.min - 1));
            let behind = (clip.max < Timestamp::MAX).then(|| TimeRange::new(clip.max + 1, Timestamp::MAX));
            [before, behind]
        });
        let stones = self.parts.tombstones.of(no).iter().copied();
        let all = stones.chain(outside.into_iter().flatten().flatten());
        all.filter(|interval| interval.overlaps(chunk)).collect()
    }

    /// The chunks of the series read last that may be seen; `None` if all of them are deleted or outside the range as a whole.
    fn visible_chunks(&mut self, no: SeriesNo) -> Result<Option<Vec<TimedChunk>>, Error> {
        let metas = std::mem::take(&mut self.metas);
        let range = self.range;
        let mut chunks = None;
        for meta in metas.iter().filter(|meta| meta.range.overlaps(range)) {
            let deleted = self.deleted(no, meta.range);
            let whole =
                |interval: &TimeRange| interval.min <= meta.range.min && meta.range.max <= interval.max;
            if deleted.iter().any(whole) {
                continue;
            }
            let chunks: &mut Vec<TimedChunk> = chunks.get_or_insert_with(|| Vec::with_capacity(metas.len()));
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

    /// The next series of which a chunk may be seen, though all its samples may turn out to be deleted.
    pub(crate) fn next_touched(&mut self) -> Result<Option<ChunkSeries>, Error> {
        while let Some(no) = self.series.next() {
            let Self { parts, entries, labels, metas, .. } = self;
            parts.index.read_series(no, entries, labels, metas)?;
            if let Some(chunks) = self.visible_chunks(no)? {
                let labels = self.parts.index.built(no, &mut self.labels)?;
                return Ok(Some(ChunkSeries { labels, chunks }));
            }
        }
        Ok(None)
    }
}

impl ChunkSet for BlockChunkSet {
    fn next(&mut self) -> Result<Option<ChunkSeries>, Error> {
        while let Some(series) = self.next_touched()? {
            if !series.chunks.is_empty() {
                return Ok(Some(series));
            }
        }
        Ok(None)
    }
}
